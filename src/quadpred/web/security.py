"""Who may send requests: checks of host, site and token, and headers that restrict browsers."""

import asyncio
import hashlib
import hmac
import html
import ipaddress
import secrets
import socket
from collections.abc import MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from quadpred.web.problems import problem_response

__all__ = ["AccessPolicy", "SecurityMiddleware"]

_COOKIE = "quadpred"
_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
_PUBLIC = ("/healthz", "/problems/", "/static/")  # nothing there depends on who asks
_SIGN_IN = "/sign-in"
_MAX_FORM = 4096  # bytes
_FORM_TIMEOUT = 10  # seconds
_SIGN_IN_PAGE = Path(__file__).with_name("sign_in.html")

_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cache-Control": "no-store",
}
# Without a referrer, a browser would send `Origin: null` with the form.
_SIGN_IN_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "WWW-Authenticate": "Bearer",
}


@dataclass(frozen=True)
class AccessPolicy:
    """Which requests the server answers.

    Attributes:
        host: the name or address it listens at.
        token: the secret that clients must send, if any.
    """

    host: str = "127.0.0.1"
    token: str | None = None

    def allows_host(self, name: str) -> bool:
        """Tell whether a request may call the server by this name, of its `Host` header.

        A page of another site can point a name of its own at this machine, and would then be of
        the same origin (DNS rebinding). It cannot do so with an address, it does not know a token,
        and the cookie of another name is not sent to it.
        """
        if self.token or name in {self.host, "localhost", socket.gethostname().lower()}:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def accepts(self, token: str) -> bool:
        """Tell whether this is the token; takes the same time for any wrong one."""
        return self.token is not None and _equal(token, self.token)

    def accepts_cookie(self, value: str) -> bool:
        """Tell whether this is the value of `cookie`."""
        return self.token is not None and _equal(value, self.cookie())

    def cookie(self) -> str:
        """Return the value that a browser stores in place of the token."""
        assert self.token is not None
        return hmac.digest(self.token.encode(), b"quadpred cookie", hashlib.sha256).hex()


def _equal(one: str, other: str) -> bool:
    return secrets.compare_digest(one.encode(errors="replace"), other.encode(errors="replace"))


class SecurityMiddleware:
    """ASGI middleware that refuses requests, signs browsers in, and adds headers to answers."""

    def __init__(self, app: ASGIApp, policy: AccessPolicy):
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if scope["type"] == "websocket":
            if refusal:
                await receive()  # the message that opens the connection
                await send({"type": "websocket.close", "code": 1008, "reason": refusal[1]})
            else:
                await self._app(scope, receive, send)
            return
        cookie = self._cookie(scope) if not refusal and self._token_in_query(scope) else None

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    answer.setdefault(name, value)
                if cookie:
                    answer.append("Set-Cookie", cookie)
            await send(message)

        app: ASGIApp = self._app
        if refusal:
            app = self._refused(scope, headers, *refusal)
        elif self._is_sign_in(scope):
            app = await self._sign_in(Request(scope, receive))
        await app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[str, str] | None:
        """Return the type and the reason of the problem, if the request must be refused."""
        hosts = headers.getlist("host")
        host = hosts[0].lower() if len(hosts) == 1 else ""
        name = _name(host)
        if name is None or not self._policy.allows_host(name):
            return "unknown-host", "unknown Host header"
        # Browsers state where a request comes from; other clients need not.
        if scope["type"] == "websocket" or scope["method"] not in _SAFE_METHODS:
            origin = headers.get("origin")
            other = origin is not None and _place(origin) != host
            if other or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
                return "cross-site", "cross-site request refused"
        if self._policy.token is None or self._is_open(scope) or self._has_token(scope, headers):
            return None
        return "token-needed", "token needed; send Authorization: Bearer TOKEN"

    def _refused(self, scope: Scope, headers: Headers, kind: str, detail: str) -> Response:
        if kind != "token-needed":
            return problem_response(kind, detail, scope["root_path"])
        if scope["method"] in ("GET", "HEAD") and "text/html" in headers.get("accept", ""):
            return self._sign_in_page(scope, "")
        bearer = {"WWW-Authenticate": "Bearer"}
        return problem_response(kind, detail, scope["root_path"], bearer)

    def _is_open(self, scope: Scope) -> bool:
        """Tell whether a request needs no token."""
        return _path(scope).startswith(_PUBLIC) or self._is_sign_in(scope)

    def _has_token(self, scope: Scope, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._policy.accepts(token.strip()):
            return True
        if self._token_in_query(scope):
            return True
        # Cookies of other programs at this host come along, whatever is in them.
        return self._policy.accepts_cookie(HTTPConnection(scope).cookies.get(_COOKIE, ""))

    def _token_in_query(self, scope: Scope) -> bool:
        """Tell whether the address of the page holds the token."""
        if scope["type"] != "http" or _path(scope) != "/":
            return False
        query = parse_qs(scope["query_string"].decode("latin-1"))
        return any(map(self._policy.accepts, query.get("token", [])))

    def _cookie(self, scope: Scope) -> str:
        path = f"{scope['root_path']}/"
        return f"{_COOKIE}={self._policy.cookie()}; HttpOnly; SameSite=Strict; Path={path}"

    def _is_sign_in(self, scope: Scope) -> bool:
        if self._policy.token is None or scope["type"] != "http":
            return False
        return bool(scope["method"] == "POST" and _path(scope) == _SIGN_IN)

    async def _sign_in(self, request: Request) -> Response:
        """Answer the form: the page and a cookie, or the form again."""
        body = b""
        with suppress(ClientDisconnect, TimeoutError):
            async with asyncio.timeout(_FORM_TIMEOUT):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > _MAX_FORM:
                        break
        tokens = parse_qs(body[:_MAX_FORM].decode("latin-1")).get("token", [])
        if not any(self._policy.accepts(token.strip()) for token in tokens):
            return self._sign_in_page(request.scope, "This is not the token of this server.")
        cookie = {"Set-Cookie": self._cookie(request.scope)}
        return RedirectResponse(f"{request.scope['root_path']}/", 303, cookie)

    def _sign_in_page(self, scope: Scope, message: str) -> Response:
        page = Template(_SIGN_IN_PAGE.read_text(encoding="utf-8"))
        content = page.substitute(
            prefix=html.escape(scope["root_path"]), message=html.escape(message)
        )
        return HTMLResponse(content, 401, _SIGN_IN_HEADERS)


def _path(scope: Scope) -> str:
    """Return the path below the prefix."""
    return str(scope["path"]).removeprefix(scope["root_path"])


def _name(host: str) -> str | None:
    """Return the name or address in a `Host` header, None if the header is invalid."""
    try:
        parts = urlsplit(f"//{host}")
        return parts.hostname if parts.port != 0 else None
    except ValueError:
        return None


def _place(origin: str) -> str:
    """Return the part of an `Origin` header that is the `Host` of its own site, or nothing."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
