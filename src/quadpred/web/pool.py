"""Worker processes as the event loop sees them."""

import asyncio
import logging
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from quadpred.errors import QuadpredError
from quadpred.web.limits import Limits
from quadpred.web.protocol import Message, pack, receive

__all__ = ["Worker", "WorkerLostError"]

_LOG = logging.getLogger(__name__)


class WorkerLostError(QuadpredError):
    """A worker process exited or sent an invalid message during a task."""

    def __init__(self) -> None:
        super().__init__("a worker process of the server ended unexpectedly")


class Worker:
    """A worker process. It starts with its first task, and again after it was lost or killed."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self._process: Process | None = None
        self._killing = asyncio.Lock()

    async def start(self) -> None:
        """Start the process unless it runs, and wait until it has loaded the default model.

        Raises:
            WorkerLostError: it cannot start.
        """
        if self._process and self._process.returncode is None:
            return
        command = [sys.executable, "-m", "quadpred.web.worker"]
        command += [str(os.getpid()), str(self._limits.memory)]
        # One thread per worker: the number of workers is the number of threads.
        threads = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        starting = asyncio.create_task(
            asyncio.create_subprocess_exec(
                *command,
                stdin=PIPE,
                stdout=PIPE,
                env={**os.environ, **threads},
                start_new_session=True,  # Ctrl-C in the terminal is for the server alone
            )
        )
        try:
            self._process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            with suppress(OSError):
                self._process = await starting  # so that `kill` can end it
            raise
        except OSError as error:  # too many open files or processes, or no memory
            _LOG.error("cannot start a worker process: %s", error.strerror)
            raise WorkerLostError from None
        await self._receive()  # ready

    async def send(self, kind: str, body: bytes = b"", **fields: Any) -> None:
        """Send a task, or a part of one, and wait while the pipe to the worker is full.

        Raises:
            WorkerLostError: the process has ended.
        """
        await self.start()
        assert self._process is not None
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(pack({"kind": kind, **fields}, body))
            await stdin.drain()
        except OSError:
            raise WorkerLostError from None

    async def answers(self) -> AsyncIterator[Message]:
        """Yield the messages of a task; the last one is `done` or `failed`.

        Raises:
            WorkerLostError: the process has ended.
        """
        kind = ""
        while kind not in ("done", "failed"):
            header, body = await self._receive()
            kind = header["kind"]
            if "traceback" in header:
                _LOG.error(header["traceback"])
            yield header, body

    async def _receive(self) -> Message:
        if not self._process or not self._process.stdout:
            raise WorkerLostError
        try:
            return await receive(self._process.stdout)
        except (asyncio.IncompleteReadError, OSError, ValueError):
            raise WorkerLostError from None

    async def kill(self) -> None:
        """Kill the process. If this is cancelled, call it again."""
        async with self._killing:  # only one may read what is left
            if process := self._process:
                with suppress(ProcessLookupError):
                    process.kill()
                # The process counts as ended once its output is read; `wait` alone reads nothing.
                await process.communicate()
                self._process = None
