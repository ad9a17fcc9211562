"""Worker processes as the event loop sees them."""

import asyncio
import logging
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from quadpred.web.limits import Limits
from quadpred.web.wire import Message, pack, receive

__all__ = ["Worker", "WorkerLostError"]

_LOG = logging.getLogger(__name__)


class WorkerLostError(Exception):
    """A worker process has ended, or lost its mind, in the midst of a task."""


class Worker:
    """A worker process, started on its first task and again after it was lost or killed."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self._process: Process | None = None

    async def start(self) -> None:
        """Start the process, unless it runs, and wait until it has loaded what it needs.

        Raises:
            WorkerLostError: it cannot start.
        """
        if self._process and self._process.returncode is None:
            return
        command = [sys.executable, "-m", "quadpred.web.worker"]
        command += [str(os.getpid()), str(self._limits.memory)]
        # There are as many workers as there are to be threads.
        alone = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        self._process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, env={**os.environ, **alone}
        )
        await self._receive()  # ready

    async def send(self, kind: str, body: bytes = b"", **more: Any) -> None:
        """Send a task, or a part of one, and wait while the worker has enough to do.

        Raises:
            WorkerLostError: the process has ended.
        """
        await self.start()
        assert self._process is not None
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(pack({"kind": kind, **more}, body))
            await stdin.drain()
        except OSError:
            raise WorkerLostError from None

    async def answers(self) -> AsyncIterator[Message]:
        """Yield what the worker says of its task; the last one is `done` or `failed`.

        Raises:
            WorkerLostError: the process has ended.
        """
        kind = ""
        while kind not in ("done", "failed"):
            head, body = await self._receive()
            kind = head["kind"]
            if "trace" in head:
                _LOG.error(head["trace"])
            yield head, body

    async def _receive(self) -> Message:
        if not self._process or not self._process.stdout:
            raise WorkerLostError
        try:
            return await receive(self._process.stdout)
        except (asyncio.IncompleteReadError, OSError, ValueError):
            raise WorkerLostError from None

    async def kill(self) -> None:
        """End the process at once, and its children with it."""
        process, self._process = self._process, None
        if process:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
