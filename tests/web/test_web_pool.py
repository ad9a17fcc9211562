"""Worker processes, also when what they are asked for is cancelled."""

import asyncio
import errno
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("fastapi")

import uvloop

from helpers.serving import children
from quadpred.web.limits import Limits
from quadpred.web.pool import Worker, WorkerLostError

pytestmark = pytest.mark.slow


async def cancel(work: Coroutine[None, None, None]) -> None:
    """Begin the work, and cancel it at once."""
    task = asyncio.create_task(work)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def cancel_start() -> None:
    worker = Worker(Limits())
    await cancel(worker.start())
    await worker.kill()


async def cancel_kill() -> None:
    worker = Worker(Limits())
    await worker.start()
    await cancel(worker.kill())
    await worker.kill()


async def kill_while_its_answer_is_unread() -> None:
    worker = Worker(Limits())
    await worker.start()
    await worker.send("predict", **{1_000_000 * "x": 1})  # the failure names it
    await asyncio.sleep(1)  # until the pipe is full
    async with asyncio.timeout(60):
        await asyncio.gather(worker.kill(), worker.kill())


@pytest.mark.parametrize("work", [cancel_start, cancel_kill, kill_while_its_answer_is_unread])
def test_a_cancelled_or_killed_worker_leaves_no_process(
    work: Callable[[], Coroutine[None, None, None]],
) -> None:
    others = set(children())
    with ThreadPoolExecutor(1) as thread:  # the loop of the browser occupies this one
        thread.submit(uvloop.run, work()).result()
    assert set(children()) == others


def test_a_worker_that_the_system_cannot_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The server tries it again later."""

    async def refuse(*_args: object, **_options: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("asyncio.create_subprocess_exec", refuse)
    with ThreadPoolExecutor(1) as thread, pytest.raises(WorkerLostError):
        thread.submit(uvloop.run, Worker(Limits()).start()).result()
    assert caplog.messages == ["cannot start a worker process: Too many open files"]
