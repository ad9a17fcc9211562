"""Live audio over a WebSocket: samples in, one row per second out."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from quadpred import registry
from quadpred.web.limits import Limits, per_address
from quadpred.web.pool import Worker, WorkerLostError
from quadpred.web.problems import ProblemError, problem

__all__ = ["live_route"]

_NORMAL, _POLICY, _INTERNAL, _TRY_LATER = 1000, 1008, 1011, 1013  # RFC 6455, section 7.4
_CLOSE_CODES = {"internal-error": _INTERNAL, "live-full": _TRY_LATER, "address-limit": _TRY_LATER}
_RATES = range(8_000, 192_001)  # Hz
_MAX_TEXT = 100  # characters
_SAMPLE_BYTES = 4


def live_route(limits: Limits) -> Callable[[WebSocket], Awaitable[None]]:
    """Make the route. Each session has its own worker, so that uploads do not delay its rows."""
    sessions: Counter[str] = Counter()  # by address

    async def live(socket: WebSocket) -> None:
        await socket.accept()
        address = socket.client.host if socket.client else ""
        sessions[address] += 1
        worker = Worker(limits)
        try:
            if sessions.total() > limits.live:
                raise ProblemError("live-full", f"all {limits.live} live sessions are in use")
            if sessions[address] > per_address(limits.live):
                raise ProblemError("address-limit", "too many live sessions from this address")
            await _serve(socket, worker, limits)
            await socket.close(_NORMAL)
        except ProblemError as error:
            prefix = str(socket.scope["root_path"])
            with suppress(RuntimeError, WebSocketDisconnect):  # the client has gone
                await socket.send_json({"error": problem(error.kind, error.detail, prefix)})
                await socket.close(_CLOSE_CODES.get(error.kind, _POLICY))
        except WebSocketDisconnect:
            pass
        finally:
            sessions[address] -= 1
            await worker.kill()

    return live


async def _serve(socket: WebSocket, worker: Worker, limits: Limits) -> None:
    speech, music = (socket.query_params.get(name, "english") for name in ("speech", "music"))
    try:
        registry.find(speech, music)
    except ValueError as error:
        raise ProblemError("invalid-request", str(error)) from None
    embeddings = socket.query_params.get("embeddings") == "true"
    first = await _message(socket, limits)
    rate = first.get("sample_rate") if isinstance(first, dict) else None
    if not isinstance(rate, int) or rate not in _RATES:
        raise ProblemError(
            "invalid-request",
            f"the first message must hold a sample_rate of {_RATES[0]} to {_RATES[-1]}",
        )
    tasks: list[asyncio.Task[None]] = []
    try:
        await worker.send("listen", speech=speech, music=music, rate=rate, embeddings=embeddings)
        tasks = [
            asyncio.create_task(_send_samples(socket, worker, limits, rate)),
            asyncio.create_task(_send_rows(socket, worker)),
        ]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    except WorkerLostError:
        raise ProblemError("internal-error", "internal error") from None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _send_samples(socket: WebSocket, worker: Worker, limits: Limits, rate: int) -> None:
    """Pass samples to the worker until the client stops; a full pipe makes the client wait."""
    left = limits.seconds * rate * _SAMPLE_BYTES
    while left > 0:
        message = await _message(socket, limits)
        if isinstance(message, dict):
            if message.get("stop") is not True:
                raise ProblemError("invalid-request", 'send samples, or {"stop": true}')
            break
        if len(message) % _SAMPLE_BYTES:
            raise ProblemError("invalid-request", "samples must be 32-bit floats")
        left -= len(message)
        await worker.send("samples", message)
    await worker.send("stop")


async def _send_rows(socket: WebSocket, worker: Worker) -> None:
    """Pass rows to the client, and the prediction at the end."""
    async for header, body in worker.answers():
        match header["kind"]:
            case "rows":
                await socket.send_text(body.decode())
            case "done":
                await socket.send_text('{"done": ' + body.decode().strip() + "}")
            case "failed":
                raise ProblemError(header["problem"], header["detail"])


async def _message(socket: WebSocket, limits: Limits) -> dict[str, Any] | bytes:
    """Await samples, or a JSON object."""
    try:
        async with asyncio.timeout(limits.idle):
            message = await socket.receive()
    except TimeoutError:
        raise ProblemError("upload-timeout", f"no data for {limits.idle:g} seconds") from None
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"])
    if message.get("bytes") is not None:
        return bytes(message["bytes"])
    try:
        content = json.loads(message["text"][:_MAX_TEXT])
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ProblemError("invalid-request", "a text message must be a JSON object")
    return content
