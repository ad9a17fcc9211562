"""Predictions that were asked for: waiting, running, finished for a while."""

import asyncio
import json
import math
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quadpred.web.limits import Limits
from quadpred.web.pool import Worker, WorkerLostError
from quadpred.web.problems import ProblemError, problem

__all__ = ["Job", "Jobs"]

_STILL_HERE = 15.0  # seconds between signs of life to a listener
_REVIVAL = 5.0  # seconds between two attempts to start a worker
_RETRY = 1, 60  # seconds, least and most, after which to try a full queue again
_NONE = "no such prediction, or it has expired"


@dataclass(eq=False)
class Job:
    """An upload and what has become of it.

    Attributes:
        path: the recording, which is removed when the work has ended.
        source: its name at the client.
        events: server-sent events, ready to send, in order.
        result: the prediction as JSON.
        picture: the tag-gram as PNG, once somebody wanted it.
        seen: when somebody last asked, in seconds of the monotonic clock.
        ended: when the work ended, in seconds of the same clock.
    """

    path: Path
    source: str
    speech: str
    music: str
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    status: str = "queued"
    progress: dict[str, float | None] = field(
        default_factory=lambda: {"seconds": 0.0, "duration": None}
    )
    warning: str | None = None
    error: dict[str, Any] | None = None
    result: bytes | None = None
    picture: bytes | None = None
    events: list[bytes] = field(default_factory=list)
    seen: float = field(default_factory=time.monotonic)
    started: float = 0.0
    ended: float | None = None
    work: asyncio.Task[None] | None = None
    _listeners: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def document(self) -> bytes:
        """Return the job as JSON."""
        head = {
            "id": self.id,
            "status": self.status,
            "source": self.source,
            "progress": self.progress,
            "warning": self.warning,
            "error": self.error,
        }
        # A result is long, and JSON already.
        result = self.result or b"null"
        return json.dumps(head)[:-1].encode() + b', "result": ' + result + b"}"

    def hear(self, head: dict[str, Any], body: bytes) -> None:
        """Take what a worker says."""
        match head["kind"]:
            case "rows":
                self._tell("rows", body)
            case "progress":
                self.progress = {"seconds": head["seconds"], "duration": head["duration"]}
                self._tell("progress", json.dumps(self.progress).encode())
            case "done":
                self.result, self.warning = body.strip(), head["warning"]
                self._end("done")
                self._tell("done", self.document())
            case "failed":
                self.fail(head["status"], head["detail"])

    def fail(self, status: int, detail: str) -> None:
        """End without a prediction."""
        self.error = problem(status, detail)
        self._end("failed")
        self._tell("failed", json.dumps(self.error).encode())

    def _end(self, status: str) -> None:
        self.status, self.ended = status, time.monotonic()

    def _tell(self, event: str, data: bytes) -> None:
        self.events.append(b"event: %s\ndata: %s\n\n" % (event.encode(), data))
        self._changed.set()
        self._changed = asyncio.Event()

    @contextmanager
    def attended(self) -> Iterator[None]:
        """Count somebody who waits."""
        self._listeners += 1
        try:
            yield
        finally:
            self._listeners -= 1
            self.seen = time.monotonic()

    def unattended(self) -> float:
        """Seconds since somebody asked."""
        return 0.0 if self._listeners else time.monotonic() - self.seen

    async def finished(self) -> None:
        """Wait for the end."""
        while self.ended is None:
            await self._changed.wait()

    async def listen(self) -> AsyncIterator[bytes]:
        """Yield the events from the first to the last, with signs of life between them."""
        with self.attended():
            sent = 0
            while True:
                while sent < len(self.events):
                    yield self.events[sent]
                    sent += 1
                if self.ended is not None:
                    return
                try:
                    async with asyncio.timeout(_STILL_HERE):
                        await self._changed.wait()
                except TimeoutError:
                    yield b": still here\n\n"


class Jobs:
    """A bounded queue before the workers, and a bounded store behind them."""

    def __init__(self, limits: Limits, workers: int):
        self._limits = limits
        self._workers = [Worker(limits) for _ in range(workers)]
        self._artist, self._drawing = Worker(limits), asyncio.Lock()
        self._jobs: dict[str, Job] = {}
        self._queue: asyncio.Queue[Job] = asyncio.Queue()
        self._wanted = 0  # pictures
        self._coming = 0  # uploads on their way
        self._took = 1.0  # seconds that a recent job took
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start the workers.

        Raises:
            WorkerLostError: they cannot start.
        """
        await asyncio.gather(*(worker.start() for worker in self._workers))
        self._tasks = [asyncio.create_task(self._serve(worker)) for worker in self._workers]
        self._tasks.append(asyncio.create_task(self._tidy()))

    async def close(self) -> None:
        """End everything."""
        running = [job.work for job in self._jobs.values() if job.work]
        for task in (*self._tasks, *running):
            task.cancel()
        await asyncio.gather(*self._tasks, *running, return_exceptions=True)
        for worker in (*self._workers, self._artist):
            await worker.kill()

    @contextmanager
    def place(self) -> Iterator[None]:
        """Keep a place in the queue for an upload that is on its way.

        Raises:
            ProblemError: there is none.
        """
        waiting = sum(job.status == "queued" for job in self._jobs.values()) + self._coming
        if waiting >= self._limits.queue:
            wait = math.ceil(self._took * waiting / len(self._workers))
            wait = min(max(wait, _RETRY[0]), _RETRY[1])
            raise ProblemError(
                429, f"{waiting} recordings are waiting already", {"Retry-After": str(wait)}
            )
        self._coming += 1
        try:
            yield
        finally:
            self._coming -= 1

    def submit(self, job: Job) -> None:
        """Put a job into the queue."""
        self._jobs[job.id] = job
        self._queue.put_nowait(job)

    def get(self, name: str) -> Job:
        """Find a job, about which somebody is asking.

        Raises:
            ProblemError: there is no such job, or none any more.
        """
        job = self._jobs.get(name)
        if job is None:
            raise ProblemError(404, _NONE)
        job.seen = time.monotonic()
        return job

    def drop(self, job: Job) -> None:
        """Forget a job, and end its work."""
        self._jobs.pop(job.id, None)
        if job.work:
            job.work.cancel()
        if job.ended is None:
            job.path.unlink(missing_ok=True)
            job.fail(404, _NONE)

    async def picture(self, job: Job) -> bytes:
        """Draw the tag-gram of a finished job, as PNG."""
        if self._wanted >= self._limits.queue:
            raise ProblemError(429, "too many pictures are asked for", {"Retry-After": "5"})
        self._wanted += 1
        try:
            return await self._drawn(job)
        finally:
            self._wanted -= 1

    async def _drawn(self, job: Job) -> bytes:
        async with self._drawing:  # a second request for a picture finds it
            if job.picture is None:
                try:
                    async with asyncio.timeout(self._limits.work):
                        await self._artist.send("draw", job.result or b"")
                        async for head, body in self._artist.answers():
                            if head["kind"] == "done":
                                job.picture = body
                except BaseException:
                    await self._artist.kill()
                    raise
            if job.picture is None:
                raise ProblemError(500, "a bug in quadpred")
            return job.picture

    async def _serve(self, worker: Worker) -> None:
        while True:
            job = await self._queue.get()
            if job.ended is None:
                job.work = asyncio.create_task(self._work(worker, job))
                await asyncio.wait([job.work])
                job.work = None
                await self._revive(worker)

    async def _revive(self, worker: Worker) -> None:
        """Have the worker warm for the next job, if this one has cost it its life."""
        while True:
            try:
                return await worker.start()
            except WorkerLostError:
                await worker.kill()
                await asyncio.sleep(_REVIVAL)

    async def _work(self, worker: Worker, job: Job) -> None:
        job.status, started = "running", time.monotonic()
        task: dict[str, Any] = {
            "path": str(job.path),
            "source": job.source,
            "speech": job.speech,
            "music": job.music,
            "longest": self._limits.seconds,
        }
        failure = None
        try:
            async with asyncio.timeout(self._limits.work):
                await worker.send("predict", **task)
                async for head, body in worker.answers():
                    job.hear(head, body)
            self._took = time.monotonic() - started
        except TimeoutError:
            failure = f"took longer than {self._limits.work:g} seconds"
        except WorkerLostError:
            failure = "the decoder crashed on it"
        except asyncio.CancelledError:
            await worker.kill()
            raise
        finally:
            job.path.unlink(missing_ok=True)
        if failure:
            await worker.kill()
            job.fail(422, failure)

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(1)
            now = time.monotonic()
            finished = [job for job in self._jobs.values() if job.ended is not None]
            for count, job in enumerate(reversed(finished)):
                assert job.ended is not None
                if count >= self._limits.kept or now - job.ended > self._limits.expiry:
                    self.drop(job)
            for job in list(self._jobs.values()):
                if job.ended is None and job.unattended() > self._limits.unattended:
                    self.drop(job)
