"""Worker processes that survive their files: one may be killed or hang, and the rest goes on.

A pool of the standard library is broken once one of its processes is killed; this one starts
another and tells which file it was.
"""

import os
import signal
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Self, cast

from quadpred.batch import BatchError
from quadpred.batch.clip import Failed, Outcome, Settings, Task, process

__all__ = ["Workers"]

_AHEAD = 2  # tasks a worker holds, so that it never waits for the next
_ATTEMPTS = 2  # of a file whose worker is killed, perhaps for the memory that another took
_STARTS = 3  # failures to start in a row after which starting is given up
_PATIENCE = 600.0  # seconds that a file may take
_PATIENCE_PER_BYTE = 6e-5  # seconds more, a minute a megabyte; a thousand times what it takes
_LOOK = 1.0  # seconds between two looks at the clock, at most
_GRACE = 5.0  # seconds until a process that was asked to end is killed
_ONE_THREAD = dict.fromkeys(
    ("MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


class _Worker:
    """A process, the tasks it holds, and how long the first of them may still take."""

    def __init__(self, settings: Settings):
        context = get_context("spawn")  # a fork would copy the threads of none of the libraries
        self.connection, theirs = context.Pipe()
        self.tasks: deque[Task] = deque()
        self.ready = False
        self.patience = self.left = float("inf")  # seconds for the first task: in all, and left
        self.process: SpawnProcess = context.Process(
            target=_serve, args=(theirs, settings), daemon=True
        )
        with _environment(_ONE_THREAD), _interrupts_blocked():
            self.process.start()
        theirs.close()  # so that the death of the process ends the connection

    def give(self, task: Task, patience: float) -> None:
        self.tasks.append(task)
        if len(self.tasks) == 1:
            self.start_clock(patience)
        with suppress(OSError):  # it died; its end of the connection will tell
            self.connection.send(task)

    def start_clock(self, patience: float) -> None:
        """Begin to wait for the first task, longer for a larger file."""
        if self.tasks:
            with suppress(OSError):
                patience += _PATIENCE_PER_BYTE * os.stat(self.tasks[0].recording.path).st_size
            self.patience = self.left = patience

    def end(self) -> int | None:
        """Kill the process and return how it had ended, if it had."""
        self.process.join(0.5)  # a connection ends a moment before its process
        code = self.process.exitcode
        self.process.kill()
        self.process.join()
        self.connection.close()
        return code


class Workers:
    """Processes with a model each.

    Args:
        count: how many.
        settings: of the run.
        patience: seconds that a small file may take before its worker is given up.

    Raises:
        BatchError: processes cannot be started (when they are first needed).
    """

    def __init__(self, count: int, settings: Settings, *, patience: float = _PATIENCE):
        self._count = count
        self._settings = settings
        self._patience = patience
        self._workers: list[_Worker] = []
        self._failed_starts = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            worker.process.terminate()  # lets it remove the files that it was writing
        until = time.monotonic() + _GRACE
        for worker in self._workers:
            worker.process.join(max(0.0, until - time.monotonic()))
            worker.end()
        self._workers.clear()

    def run(self, tasks: Iterable[Task]) -> Iterator[list[Outcome]]:
        """Process tasks, taken as they are needed.

        Yields:
            Outcomes in the order in which they come, together those that came at once.
        """
        waiting = iter(tasks)
        again: deque[Task] = deque()
        deaths: dict[str, int] = {}
        while True:
            self._supply(waiting, again)
            busy = {worker.connection: worker for worker in self._workers if worker.tasks}
            if not busy:
                return
            outcomes: list[Outcome] = []
            started = time.monotonic()
            for connection in wait([*busy], _LOOK):
                worker = busy.pop(cast(Connection, connection))
                outcomes += self._receive(worker, again, deaths)
            # If more time has passed, this process was suspended, and so were its workers.
            passed = min(time.monotonic() - started, _LOOK)
            for worker in busy.values():
                worker.left -= passed
                if worker.left <= 0:
                    task = worker.tasks.popleft()
                    self._drop(worker, again)
                    reason = f"no result in {worker.patience:.0f} seconds, so it was given up"
                    outcomes.append(Failed(task.recording, reason))
            if outcomes:
                yield outcomes

    def _supply(self, waiting: Iterator[Task], again: deque[Task]) -> None:
        """Give tasks to the workers, one to each before any gets a second; start those missing."""
        for held in range(_AHEAD):
            for index in range(self._count):
                if index < len(self._workers) and len(self._workers[index].tasks) > held:
                    continue
                task = next(waiting, None) or (again.popleft() if again else None)
                if task is None:
                    return
                if index == len(self._workers):
                    self._workers.append(_Worker(self._settings))
                self._workers[index].give(task, self._patience)

    def _receive(
        self, worker: _Worker, again: deque[Task], deaths: dict[str, int]
    ) -> Iterator[Outcome]:
        """Take what a worker says: that it is ready, or an outcome; or notice that it is dead."""
        try:
            said = worker.connection.recv()
        except (EOFError, OSError):
            task = worker.tasks.popleft()
            ready, code = worker.ready, self._drop(worker, again)
            if not ready:
                again.append(task)
                self._failed_starts += 1
                if self._failed_starts == _STARTS:
                    reason = f"each of {_STARTS} {_ended(code)}"
                    raise BatchError(f"worker processes do not start: {reason}") from None
                return
            path = task.recording.path
            deaths[path] = deaths.get(path, 0) + 1
            if deaths[path] < _ATTEMPTS:
                again.append(task)
            else:
                reason = f"the process that read it {_ended(code)}, {_ATTEMPTS} times"
                yield Failed(task.recording, reason)
            return
        if said is None:
            worker.ready, self._failed_starts = True, 0
            worker.start_clock(self._patience)
        else:
            worker.tasks.popleft()
            worker.start_clock(self._patience)
            yield said

    def _drop(self, worker: _Worker, again: deque[Task]) -> int | None:
        """Give a worker up, keep its tasks, and return how it ended, if by itself."""
        again.extend(worker.tasks)
        self._workers.remove(worker)
        return worker.end()


def _serve(connection: Connection, settings: Settings) -> None:
    """Process tasks until the other end closes, as it does when its process is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # is for the process that started this one
    predictor = settings.predictor()
    # Removes temporary files. Not earlier: an exception in the midst of an import becomes another.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with suppress(EOFError, OSError):
        connection.send(None)
        while True:
            connection.send(process(connection.recv(), predictor, settings))


def _ended(code: int | None) -> str:
    if code is not None and code < 0:
        with suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
    return f"ended with code {code}"


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Have the processes that are started meanwhile take no notice of Ctrl-C, from the first.

    They inherit the block. Here, an interrupt that comes meanwhile takes effect afterwards.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # its start would end the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Set variables for the processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
