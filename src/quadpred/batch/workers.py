"""Worker processes: if a file kills or hangs one, it fails, and the others continue.

A pool of the standard library breaks when one of its processes is killed. This one replaces the
process and reports the file.
"""

import os
import signal
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Self, cast

from quadpred.audio.interrupts import interrupt
from quadpred.batch import BatchError
from quadpred.batch.recording import Failed, Outcome, Settings, Task, process

__all__ = ["Workers"]

_AHEAD = 2  # tasks per worker, so that it never waits for the next one
_ATTEMPTS = 2  # per file whose worker is killed, perhaps because another one took the memory
_STARTS = 3  # consecutive failures to start before the run ends
_TIMEOUT = 600.0  # seconds that a file may take
_TIMEOUT_PER_BYTE = 6e-5  # more seconds: one minute per megabyte, a thousand times the usual
_POLL = 1.0  # seconds, at most, between two checks of the time
_GRACE = 5.0  # seconds that a terminated process has before it is killed
_ONE_THREAD = dict.fromkeys(
    ("MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


class _WorkerProcess:
    """A process, its tasks, and the time left for the first of them."""

    def __init__(self, settings: Settings):
        context = get_context("spawn")  # a forked process would lack the threads of libraries
        self.connection, theirs = context.Pipe()
        self.tasks: deque[Task] = deque()
        self.ready = False
        self.timeout = self.left = float("inf")  # seconds for the first task: in all, and left
        self.process: SpawnProcess = context.Process(
            target=_serve, args=(theirs, settings), daemon=True
        )
        with _environment(_ONE_THREAD), _interrupts_blocked():
            self.process.start()
        theirs.close()  # so that the end of the process closes the connection

    def give(self, task: Task, timeout: float) -> None:
        self.tasks.append(task)
        if len(self.tasks) == 1:
            self.start_clock(timeout)
        with suppress(OSError):  # it has ended; `_receive` notices
            self.connection.send(task)

    def start_clock(self, timeout: float) -> None:
        """Start the time of the first task; larger files have more."""
        if self.tasks:
            with suppress(OSError):
                timeout += _TIMEOUT_PER_BYTE * os.stat(self.tasks[0].recording.path).st_size
            self.timeout = self.left = timeout

    def end(self) -> int | None:
        """Kill the process; return its exit code if it had ended before."""
        self.process.join(0.5)  # a connection ends a moment before its process
        code = self.process.exitcode
        self.process.kill()
        self.process.join()
        self.connection.close()
        return code


class Workers:
    """Processes with one model each.

    Args:
        count: number of processes.
        settings: of the run.
        timeout: seconds that a small file may take before its worker is killed.

    Raises:
        BatchError: processes cannot start (raised by `run`).
    """

    def __init__(self, count: int, settings: Settings, *, timeout: float = _TIMEOUT):
        self._count = count
        self._settings = settings
        self._timeout = timeout
        self._workers: list[_WorkerProcess] = []
        self._failed_starts = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.process.terminate()  # it removes the files that it was writing
        until = time.monotonic() + _GRACE
        for worker in self._workers:
            worker.process.join(max(0.0, until - time.monotonic()))
            worker.end()
        self._workers.clear()

    def run(self, tasks: Iterable[Task]) -> Iterator[list[Outcome]]:
        """Process tasks, read as they are needed.

        Yields:
            Outcomes in the order of arrival; those that arrive together form one list.
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
            for connection in wait([*busy], _POLL):
                worker = busy.pop(cast(Connection, connection))
                outcomes += self._receive(worker, again, deaths)
            # If more time has passed, this process was suspended, and so were its workers.
            passed = min(time.monotonic() - started, _POLL)
            for worker in busy.values():
                worker.left -= passed
                if worker.left <= 0:
                    task = worker.tasks.popleft()
                    self._drop(worker, again)
                    reason = f"no result in {worker.timeout:.0f} seconds; its process was killed"
                    outcomes.append(Failed(task.recording, reason))
            if outcomes:
                yield outcomes

    def _supply(self, waiting: Iterator[Task], again: deque[Task]) -> None:
        """Give every worker one task, then a second one; start workers that are missing."""
        for held in range(_AHEAD):
            for index in range(self._count):
                if index < len(self._workers) and len(self._workers[index].tasks) > held:
                    continue
                task = next(waiting, None) or (again.popleft() if again else None)
                if task is None:
                    return
                if index == len(self._workers):
                    self._workers.append(_WorkerProcess(self._settings))
                self._workers[index].give(task, self._timeout)

    def _receive(
        self, worker: _WorkerProcess, again: deque[Task], deaths: dict[str, int]
    ) -> Iterator[Outcome]:
        """Receive a worker's message: ready, an outcome, or the end of its process."""
        try:
            message = worker.connection.recv()
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
        if message is None:
            worker.ready, self._failed_starts = True, 0
            worker.start_clock(self._timeout)
        else:
            worker.tasks.popleft()
            worker.start_clock(self._timeout)
            yield message

    def _drop(self, worker: _WorkerProcess, again: deque[Task]) -> int | None:
        """Remove a worker but keep its tasks; return its exit code if it had ended before."""
        again.extend(worker.tasks)
        self._workers.remove(worker)
        return worker.end()


def _serve(connection: Connection, settings: Settings) -> None:
    """Process tasks until the connection closes, as it does when the parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles it
    predictor = settings.predictor()
    # The exception removes temporary files. During an import, it would become another one.
    signal.signal(signal.SIGTERM, lambda _, frame: interrupt(SystemExit(), frame))
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
    """Start processes that ignore Ctrl-C from the first moment: they inherit the blocked signal.

    In this process, an interrupt takes effect after the block.
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
    """Set environment variables for processes that the block starts."""
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
