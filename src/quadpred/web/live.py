"""Samples of a microphone in, a row a second out, over a WebSocket."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from quadpred import registry
from quadpred.web.limits import Limits
from quadpred.web.pool import Worker, WorkerLostError
from quadpred.web.problems import problem

__all__ = ["live"]

_NORMAL, _POLICY, _BUG, _TRY_LATER = 1000, 1008, 1011, 1013  # RFC 6455, section 7.4
_RATES = range(8_000, 192_001)  # Hz
_TEXT = 100  # characters
_BYTES = 4  # of a sample


class _RefusedError(Exception):
    def __init__(self, detail: str, status: int = 422, code: int = _POLICY):
        super().__init__(detail)
        self.problem = problem(status, detail)
        self.code = code


def live(limits: Limits) -> Callable[[WebSocket], Awaitable[None]]:
    """Make the route; each listener has a worker of its own, so that uploads do not delay rows."""
    listeners = 0

    async def route(socket: WebSocket) -> None:
        nonlocal listeners
        await socket.accept()
        listeners += 1
        worker = Worker(limits)
        try:
            if listeners > limits.live:
                raise _RefusedError(f"{limits.live} are listened to already", 429, _TRY_LATER)
            await _listen(socket, worker, limits)
            await socket.close(_NORMAL)
        except _RefusedError as refused:
            with suppress(RuntimeError, WebSocketDisconnect):  # it has gone
                await socket.send_json({"error": refused.problem})
                await socket.close(refused.code)
        except WebSocketDisconnect:
            pass
        finally:
            listeners -= 1
            await worker.kill()

    return route


async def _listen(socket: WebSocket, worker: Worker, limits: Limits) -> None:
    speech, music = (socket.query_params.get(name, "english") for name in ("speech", "music"))
    try:
        registry.find(speech, music)
    except ValueError as error:
        raise _RefusedError(str(error)) from None
    first = await _message(socket, limits)
    rate = first.get("sample_rate") if isinstance(first, dict) else None
    if not isinstance(rate, int) or rate not in _RATES:
        raise _RefusedError(
            f"the first message must be a sample_rate of {_RATES[0]} to {_RATES[-1]}"
        )
    both: list[asyncio.Task[None]] = []
    try:
        await worker.send("listen", speech=speech, music=music, rate=rate)
        both = [
            asyncio.create_task(_hear(socket, worker, limits, rate)),
            asyncio.create_task(_answer(socket, worker)),
        ]
        done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    except WorkerLostError:
        raise _RefusedError("a bug in quadpred", 500, _BUG) from None
    finally:
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)


async def _hear(socket: WebSocket, worker: Worker, limits: Limits, rate: int) -> None:
    """Pass samples on until the client stops; a full pipe makes the client wait."""
    left = limits.seconds * rate * _BYTES
    while left > 0:
        message = await _message(socket, limits)
        if isinstance(message, dict):
            if message.get("stop") is not True:
                raise _RefusedError("a message must be samples, or stop")
            break
        if len(message) % _BYTES:
            raise _RefusedError("samples must be 32-bit floats")
        left -= len(message)
        await worker.send("samples", message)
    await worker.send("stop")


async def _answer(socket: WebSocket, worker: Worker) -> None:
    async for head, body in worker.answers():
        match head["kind"]:
            case "rows":
                await socket.send_text(body.decode())
            case "done":
                await socket.send_text('{"done": ' + body.decode().strip() + "}")
            case "failed":
                raise _RefusedError(head["detail"], head["status"])


async def _message(socket: WebSocket, limits: Limits) -> dict[str, Any] | bytes:
    """Await samples, or what JSON says."""
    try:
        async with asyncio.timeout(limits.upload):
            message = await socket.receive()
    except TimeoutError:
        raise _RefusedError(f"nothing came for {limits.upload:g} seconds") from None
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"])
    if message.get("bytes") is not None:
        return bytes(message["bytes"])
    try:
        said = json.loads(message["text"][:_TEXT])
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise _RefusedError("text must be a JSON object")
    return said
