"""Worker processes, also when what they are asked for is cancelled."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("fastapi")

import uvloop

from helpers.serving import children
from quadpred.web.limits import Limits
from quadpred.web.pool import Worker

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


@pytest.mark.parametrize("work", [cancel_start, cancel_kill])
def test_a_cancelled_worker_leaves_no_process(
    work: Callable[[], Coroutine[None, None, None]],
) -> None:
    others = set(children())
    with ThreadPoolExecutor(1) as thread:  # the loop of the browser occupies this one
        thread.submit(uvloop.run, work()).result()
    assert set(children()) == others
