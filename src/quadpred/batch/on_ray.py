"""Tasks on a Ray cluster, by Ray Data.

Every actor has a worker process of its own, so that a file which kills or hangs it costs a line of
error here too, and no actor. Actors and nodes that die are Ray's to replace; it processes again
what had not come back.
"""

import logging
import os
import pickle
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self

from quadpred.batch import BatchError
from quadpred.batch.clip import Outcome, Settings, Task
from quadpred.batch.workers import Workers

__all__ = ["Cluster"]

_BLOCK = 64  # tasks that travel together, at most


class _Actor:
    """A model, kept for all batches that Ray sends here."""

    def __init__(self, settings: Settings):
        self._workers = Workers(1, settings)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        tasks = map(pickle.loads, batch["task"])
        outcomes = (each for group in self._workers.run(tasks) for each in group)
        return {"outcome": [pickle.dumps(outcome) for outcome in outcomes]}


class Cluster:
    """The Ray cluster that `RAY_ADDRESS` names or this machine is of, or else one for this run.

    Args:
        actors: how many; by default one a core of the cluster.
        settings: of the run; model and output folder have the same paths on all machines.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        BatchError: the cluster cannot go on (while it runs).
    """

    def __init__(self, actors: int | None, settings: Settings):
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # before the import, which reads it
        os.environ.setdefault(
            "RAY_BACKEND_LOG_LEVEL", "fatal"
        )  # or it warns of what it does itself
        import ray
        import ray.data
        import ray.exceptions

        self._ray = ray
        self._actors = actors
        self._settings = settings
        self._started = False

    def __enter__(self) -> Self:
        if not self._ray.is_initialized():
            self._ray.init(
                include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
            )
            self._started = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._started:
            self._ray.shutdown()

    def run(self, tasks: Iterable[Task]) -> Iterator[list[Outcome]]:
        """Process tasks; yield outcomes in any order, together those that come at once."""
        ray = self._ray
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        rows = [{"task": pickle.dumps(task)} for task in tasks]
        actors = self._actors or int(ray.cluster_resources().get("CPU", 1))
        block = min(max(1, len(rows) // (4 * actors)), _BLOCK)
        outcomes = ray.data.from_items(
            rows, override_num_blocks=-(-len(rows) // block)
        ).map_batches(
            _Actor,
            fn_constructor_args=(self._settings,),
            batch_size=None,
            num_cpus=1,
            concurrency=(1, actors),
        )
        try:
            for batch in outcomes.iter_batches(batch_size=None):
                yield [pickle.loads(outcome) for outcome in batch["outcome"]]
        except ray.exceptions.RayError as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise BatchError(f"Ray gave up: {reason}") from None
