"""Whole libraries: folders of recordings to tables, in many processes, resumable.

`discovery` lists the recordings, `ledger` remembers what is finished, `clip` predicts one of them
and writes its files, `workers` and `on_ray` do so in many processes, `tables` sum up, and `run`
puts these together.
"""

from quadpred.errors import QuadpredError


class BatchError(QuadpredError):
    """A run that cannot be started or cannot go on. One line: what and why."""
