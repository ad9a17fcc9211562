"""Predictions of uploads: waiting, running, and finished ones for a while."""

import asyncio
import json
import logging
import math
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from quadpred.web.events import Event, EventLog, encode_event
from quadpred.web.limits import Limits, per_address
from quadpred.web.pool import Worker, WorkerLostError
from quadpred.web.problems import ProblemError, problem

__all__ = ["Job", "Jobs"]

T = TypeVar("T")

_LOG = logging.getLogger(__name__)

_RESTART_INTERVAL = 5.0  # seconds between two attempts to start a worker
_RETRY_AFTER = 1, 60  # seconds, least and most, after which to try a full queue again
_UNKNOWN = "no such prediction, or it has expired"


@dataclass(eq=False)
class Job:
    """An upload and its prediction.

    Attributes:
        path: the recording; removed when the work has ended.
        source: its file name at the client.
        address: of the client.
        prefix: path under which the server is reached, for the addresses of problems.
        embeddings: whether its rows carry embeddings.
        client: the event log of the client that follows all its jobs, and its own log.
        damage: what of the recording is damaged or missing.
        result: the prediction as JSON.
        moments: segments and highlights of the recording, as `quadpred moments` writes them.
        playback: what makes a browser play another second or track than was predicted.
        picture: the tag-gram as PNG, once it was requested.
        seen: time of the last request about this job, in seconds of the monotonic clock.
        ended: time when the work ended, on the same clock.
    """

    path: Path
    source: str
    speech: str
    music: str
    address: str = ""
    prefix: str = ""
    embeddings: bool = False
    client: EventLog | None = None
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    status: str = "queued"
    progress: dict[str, float | None] = field(
        default_factory=lambda: {"seconds": 0.0, "duration": None}
    )
    damage: str | None = None
    error: dict[str, Any] | None = None
    result: bytes | None = None
    moments: list[dict[str, Any]] | None = None
    playback: list[str] | None = None
    picture: bytes | None = None
    seen: float = field(default_factory=time.monotonic)
    ended: float | None = None
    work: asyncio.Task[None] | None = None
    log: EventLog = field(default_factory=EventLog)
    _waiting: int = 0
    _end: asyncio.Event = field(default_factory=asyncio.Event)
    _client_events: list[int] = field(default_factory=list)

    def state(self) -> dict[str, Any]:
        """Return the fields of the job's JSON, without the result and its moments."""
        return {
            "id": self.id,
            "status": self.status,
            "source": self.source,
            "progress": self.progress,
            "damage": self.damage,
            "error": self.error,
        }

    def document(self, **more: Any) -> bytes:
        """Return the job as JSON."""
        # A result is long, and already JSON.
        more |= {"moments": self.moments, "playback": self.playback}
        state = json.dumps({**self.state(), **more})[:-1].encode()
        return state + b', "result": ' + (self.result or b"null") + b"}"

    def receive(self, message: dict[str, Any], body: bytes) -> None:
        """Take a worker's message."""
        match message["kind"]:
            case "rows":
                self._announce("rows", lambda: f'{{"job": "{self.id}", '.encode() + body[1:])
            case "progress":
                self.progress = {"seconds": message["seconds"], "duration": message["duration"]}
                state = {"job": self.id, "status": self.status, **self.progress}
                self._announce("progress", lambda: json.dumps(state).encode())
            case "done":
                self.result, self.damage = body.strip(), message["damage"]
                self.moments, self.playback = message["moments"], message["playback"]
                self._finish("done")
            case "failed":
                self.fail(message["problem"], message["detail"])

    def fail(self, kind: str, detail: str) -> None:
        """End without a prediction; `kind` is one of `PROBLEMS`."""
        self.error = problem(kind, detail, self.prefix)
        self._finish("failed")

    def _finish(self, status: str) -> None:
        self.status, self.ended = status, time.monotonic()
        self._announce(status, lambda: self.document(job=self.id))
        self._end.set()
        self.log.end()

    def _announce(self, name: str, data: Callable[[], bytes]) -> None:
        event = Event(name, data)
        self.log.append(event)
        if self.client:
            self._client_events.append(self.client.append(event))

    def forget_events(self) -> None:
        """Remove this job's events from its client's log."""
        for number in self._client_events if self.client else ():
            assert self.client is not None
            self.client.remove(number)

    async def wait(self) -> None:
        """Wait for the end."""
        self._waiting += 1
        try:
            await self._end.wait()
        finally:
            self._waiting -= 1
            self.seen = time.monotonic()

    def unattended(self, now: float) -> float:
        """Return the seconds since a client followed this job or asked about it."""
        followers = self.log.followers + (self.client.followers if self.client else 0)
        if self._waiting or followers:
            self.seen = now
        return now - self.seen


class Jobs:
    """A bounded queue before the workers, and a bounded store behind them."""

    def __init__(self, limits: Limits, workers: int, prefix: str = ""):
        self.limits = limits
        self.prefix = prefix
        self._workers = [Worker(limits) for _ in range(workers)]
        self._plot_worker, self._drawing = Worker(limits), asyncio.Lock()
        self._jobs: dict[str, Job] = {}
        self._queue: asyncio.Queue[Job] = asyncio.Queue()
        self._clients: dict[str, EventLog] = {}
        self._pictures = 0  # requested and not drawn
        self._uploading: list[str] = []  # addresses
        self._recent = 1.0  # seconds that a recent job took
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = asyncio.Event()

    async def start(self) -> None:
        """Start the workers.

        Raises:
            WorkerLostError: they cannot start.
        """
        try:
            await asyncio.gather(*(worker.start() for worker in self._workers))
        except BaseException:
            await self.close()
            raise
        self._tasks = [asyncio.create_task(self._serve(worker)) for worker in self._workers]
        self._tasks.append(asyncio.create_task(self._tidy()))

    def stop(self) -> None:
        """End all waiting requests and streams, since the server shuts down."""
        self._closing.set()
        for log in (*self._clients.values(), *(job.log for job in self._jobs.values())):
            log.close()

    async def close(self) -> None:
        """End all work."""
        self.stop()
        running = [job.work for job in self._jobs.values() if job.work]
        for task in (*self._tasks, *running):
            task.cancel()
        await asyncio.gather(*self._tasks, *running, return_exceptions=True)
        for worker in (*self._workers, self._plot_worker):
            await worker.kill()

    async def unless_closing(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work`, unless the server shuts down before.

        Raises:
            ProblemError: the server shuts down; the work is cancelled.
        """
        task, closing = asyncio.create_task(work), asyncio.create_task(self._closing.wait())
        try:
            await asyncio.wait((task, closing), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise ProblemError("shutting-down", "the server is shutting down", {"Retry-After": "5"})
        finally:
            task.cancel()
            closing.cancel()
            await asyncio.gather(task, closing, return_exceptions=True)

    @contextmanager
    def place(self, address: str) -> Iterator[None]:
        """Reserve a place in the queue for an upload that is arriving.

        Raises:
            ProblemError: the queue is full, or this address has its share of it.
        """
        waiting = [job.address for job in self._jobs.values() if job.status == "queued"]
        waiting += self._uploading
        seconds = math.ceil(self._recent * len(waiting) / len(self._workers))
        retry = {"Retry-After": str(min(max(seconds, _RETRY_AFTER[0]), _RETRY_AFTER[1]))}
        if len(waiting) >= self.limits.queue:
            raise ProblemError("queue-full", f"queue full ({len(waiting)}); retry later", retry)
        if waiting.count(address) >= per_address(self.limits.queue):
            detail = f"{waiting.count(address)} recordings of this address are waiting; retry later"
            raise ProblemError("address-limit", detail, retry)
        self._uploading.append(address)
        try:
            yield
        finally:
            self._uploading.remove(address)

    def client(self, name: str) -> EventLog:
        """Return the event log of a client, for all its jobs."""
        log = self._clients.setdefault(name, EventLog())
        if self._closing.is_set():
            log.close()
        return log

    async def follow(self, client: str, last_id: str | None) -> AsyncIterator[bytes]:
        """Yield the events of all jobs of a client; the first one, `jobs`, lists them."""
        log = self.client(client)

        def known() -> bytes:
            states = [job.state() for job in self._jobs.values() if job.client is log]
            return encode_event("jobs", json.dumps({"jobs": states}).encode())

        async for event in log.follow(last_id, known):
            yield event

    def submit(self, job: Job) -> None:
        """Put a job into the queue."""
        self._jobs[job.id] = job
        self._queue.put_nowait(job)

    def get(self, id: str) -> Job:
        """Find a job that a client asks about.

        Raises:
            ProblemError: there is no such job, or it has expired.
        """
        job = self._jobs.get(id)
        if job is None:
            raise ProblemError("unknown-prediction", _UNKNOWN)
        job.seen = time.monotonic()
        return job

    def drop(self, job: Job) -> None:
        """Forget a job, and end its work."""
        self._jobs.pop(job.id, None)
        if job.work:
            job.work.cancel()
        if job.ended is None:
            job.path.unlink(missing_ok=True)
            job.fail("unknown-prediction", _UNKNOWN)
        job.forget_events()

    async def picture(self, job: Job) -> bytes:
        """Return the tag-gram of a finished job, as PNG.

        Raises:
            ProblemError: too many tag-grams are being drawn, or drawing failed.
        """
        if self._pictures >= self.limits.queue:
            retry = {"Retry-After": "5"}
            raise ProblemError("queue-full", "too many image requests; retry later", retry)
        self._pictures += 1
        try:
            async with self._drawing:  # a second request for the same picture finds it
                if job.picture is None:
                    job.picture = await self._draw(job.result or b"")
            return job.picture
        finally:
            self._pictures -= 1

    async def _draw(self, result: bytes) -> bytes:
        try:
            async with asyncio.timeout(self.limits.work):
                await self._plot_worker.send("draw", result)
                async for header, picture in self._plot_worker.answers():
                    if header["kind"] == "done":
                        return picture
        except (TimeoutError, WorkerLostError):
            await self._plot_worker.kill()
        except asyncio.CancelledError:
            await self._plot_worker.kill()
            raise
        raise ProblemError("internal-error", "the tag-gram could not be drawn")

    async def _serve(self, worker: Worker) -> None:
        while True:
            job = await self._queue.get()
            if job.ended is None:
                job.work = asyncio.create_task(self._work(worker, job))
                await asyncio.wait([job.work])
                job.work = None
                await self._restart(worker)

    async def _restart(self, worker: Worker) -> None:
        """Have the worker ready for the next job, if this one has ended its process."""
        while True:
            try:
                return await worker.start()
            except WorkerLostError:
                await worker.kill()
                await asyncio.sleep(_RESTART_INTERVAL)

    async def _work(self, worker: Worker, job: Job) -> None:
        job.status, started = "running", time.monotonic()
        task: dict[str, Any] = {
            "path": str(job.path),
            "source": job.source,
            "speech": job.speech,
            "music": job.music,
            "longest": self.limits.seconds,
            "embeddings": job.embeddings,
        }
        failure = None
        try:
            async with asyncio.timeout(self.limits.work):
                await worker.send("predict", **task)
                async for message, body in worker.answers():
                    job.receive(message, body)
            self._recent = time.monotonic() - started
        except TimeoutError:
            late = f"the prediction took longer than {self.limits.work:g} seconds"
            failure = "unreadable", late
        except WorkerLostError:
            failure = "unreadable", "the decoder crashed on this recording"
        except asyncio.CancelledError:
            await worker.kill()
            raise
        except Exception:
            _LOG.exception("a prediction failed")
            failure = "internal-error", "internal error"
        finally:
            job.path.unlink(missing_ok=True)
        if failure:
            await worker.kill()
            job.fail(*failure)

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(1)
            now = time.monotonic()
            finished = [job for job in self._jobs.values() if job.ended is not None]
            for count, job in enumerate(reversed(finished)):
                assert job.ended is not None
                if count >= self.limits.kept or now - job.ended > self.limits.expiry:
                    self.drop(job)
            for job in list(self._jobs.values()):
                if job.ended is None and job.unattended(now) > self.limits.unattended:
                    self.drop(job)
            logs = {job.client for job in self._jobs.values()}
            for name, log in list(self._clients.items()):
                if not log.followers and log not in logs:
                    del self._clients[name]
