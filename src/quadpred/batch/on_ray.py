"""Tasks on a Ray cluster, by Ray Data.

Every actor has its own worker process, so that a file that kills or hangs it costs no actor. Ray
replaces actors and nodes that fail, and repeats their unfinished tasks.
"""

import logging
import os
import pickle
from collections.abc import Iterable, Iterator
from typing import Any, Self

from quadpred.batch import BatchError
from quadpred.batch.recording import Outcome, Settings, Task
from quadpred.batch.workers import Workers

__all__ = ["Cluster"]

_BLOCK = 64  # tasks sent together, at most


class _Actor:
    """A worker that is kept for all batches of tasks."""

    def __init__(self, settings: Settings):
        self._workers = Workers(1, settings)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        tasks = map(pickle.loads, batch["task"])
        outcomes = (each for group in self._workers.run(tasks) for each in group)
        return {"outcome": [pickle.dumps(outcome) for outcome in outcomes]}


class Cluster:
    """The Ray cluster of `RAY_ADDRESS` or of this machine; otherwise a new one for this run.

    Args:
        actors: number of actors; by default one per core of the cluster.
        settings: of the run; model and output folder must have the same paths on all machines.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        BatchError: the cluster fails (raised by `run`).
    """

    def __init__(self, actors: int | None, settings: Settings):
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # before the import, which reads it
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it warns of its own actions
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

    def __exit__(self, *_: object) -> None:
        if self._started:
            self._ray.shutdown()

    def run(self, tasks: Iterable[Task]) -> Iterator[list[Outcome]]:
        """Process tasks; yield outcomes in any order, in lists of those that arrive together."""
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
            raise BatchError(f"Ray failed: {reason}") from None
