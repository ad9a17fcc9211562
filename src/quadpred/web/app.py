"""The application: routes, errors, compression, and the OpenAPI document."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from quadpred import __version__
from quadpred.web.jobs import Jobs
from quadpred.web.limits import Limits
from quadpred.web.live import live_route
from quadpred.web.problems import handle_problems
from quadpred.web.routes import STATIC, router
from quadpred.web.schemas import openapi

__all__ = ["PrefixMiddleware", "create_app"]

_MIN_COMPRESSED = 1000  # bytes
_COMPRESSION_LEVEL = 5  # a third of the time of the default, for one percent more bytes
_DESCRIPTION = """\
Send a recording to `POST /v1/predictions`. With `Prefer: wait=60` the answer is the finished job,
if it takes no longer. Without it, poll the `Location`, or read its `/events` for rows as they are
computed. Send the same random `client` with several uploads to follow them all at `/v1/events`.

Live audio goes over a WebSocket, `/v1/live?speech=english&music=english`. Send the text
`{"sample_rate": 48000}`, then binary messages of mono float32 samples (little-endian), then the
text `{"stop": true}`. The server answers each second with a message like the event `rows`, and the
end with `{"done": PREDICTION}` or `{"error": PROBLEM}`.
"""


def create_app(limits: Limits, workers: int, prefix: str = "") -> FastAPI:
    """Make the application. `state.jobs` must be started before it is served.

    Args:
        limits: what it accepts.
        workers: how many predictions it computes at the same time.
        prefix: path under which clients reach the server, such as "/emotion".
    """
    app = _App(
        title="quadpred",
        version=__version__,
        summary="Second by second, the emotion perceived in music.",
        description=_DESCRIPTION,
        docs_url=None,  # it would load scripts from another site
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.jobs = Jobs(limits, workers, prefix)
    app.add_middleware(_HeadMiddleware)
    app.add_middleware(
        GZipMiddleware, minimum_size=_MIN_COMPRESSED, compresslevel=_COMPRESSION_LEVEL
    )
    handle_problems(app, prefix)
    app.include_router(router)
    if STATIC.is_dir():
        app.mount("/static", StaticFiles(directory=STATIC))
    app.add_api_websocket_route("/v1/live", live_route(limits))
    return app


class _App(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        if self.openapi_schema is None:
            self.openapi_schema = openapi(self)
        return self.openapi_schema


class _HeadMiddleware:
    """Answers HEAD as GET, without the body; a stream of events ends after its headers."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        answered = asyncio.Event()

        async def send_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body"})
                answered.set()

        async def disconnect() -> MutableMapping[str, Any]:
            await answered.wait()
            return {"type": "http.disconnect"}

        # In this version of ASGI, a stream ends by what it receives.
        asgi = {**scope["asgi"], "spec_version": "2.3"}
        await self._app({**scope, "method": "GET", "asgi": asgi}, disconnect, send_headers)


class PrefixMiddleware:
    """Serves an app below a path, whether or not a proxy removes that path from requests."""

    def __init__(self, app: ASGIApp, prefix: str):
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Put the prefix into `root_path` and `path`, as ASGI defines them."""
        prefix, path = self._prefix, scope["path"]
        if path == prefix and scope["type"] == "http":  # relative addresses need the last slash
            query = scope["query_string"].decode("latin-1")
            address = f"{prefix}/?{query}" if query else f"{prefix}/"
            await RedirectResponse(address, 308)(scope, receive, send)
            return
        if not path.startswith(f"{prefix}/"):
            path = prefix + path
        await self._app({**scope, "root_path": prefix, "path": path}, receive, send)
