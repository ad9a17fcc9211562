"""Library runs: predict many recordings in several processes, resumable, and write tables.

`discovery` lists the recordings and `targets` names their files. `recording` predicts one, in
processes of `workers` or `on_ray`. `ledger` records finished ones, and `tables` are made from it.
`run` combines these. Single files use `recording` and `targets` in this process.
"""

from quadpred.errors import QuadpredError


class BatchError(QuadpredError):
    """A run that cannot start or continue."""
