"""Who may ask: the right host, the right site, the right token. And what a browser may do."""

import hashlib
import hmac
import ipaddress
import secrets
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

from quadpred.web.problems import problem_response

__all__ = ["Access", "Guard"]

_COOKIE = "quadpred"
_SAFE = {"GET", "HEAD", "OPTIONS"}
_OPEN = "/healthz"  # for whoever watches over the server

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


@dataclass(frozen=True)
class Access:
    """Whom the server answers.

    Attributes:
        host: the name or address it listens at.
        token: what a client has to know, if anything.
    """

    host: str = "127.0.0.1"
    token: str | None = None

    def knows(self, name: str) -> bool:
        """Whether a request may call the server by this name, of its `Host` header.

        A page of another site can point a name of its own at this machine, and would then be of
        the same origin (DNS rebinding). It cannot do so with an address, and it does not know a
        token, nor has the cookie of another name.
        """
        if self.token or name in {self.host, "localhost", socket.gethostname().lower()}:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def admits(self, token: str) -> bool:
        """Whether this is the token; takes as long for any wrong one."""
        return self.token is not None and _equal(token, self.token)

    def admits_cookie(self, value: str) -> bool:
        """Whether this is what `cookie` has given."""
        return self.token is not None and _equal(value, self.cookie())

    def cookie(self) -> str:
        """What a browser keeps in place of the token."""
        assert self.token is not None
        return hmac.digest(self.token.encode(), b"quadpred cookie", hashlib.sha256).hex()


def _equal(one: str, other: str) -> bool:
    return secrets.compare_digest(one.encode(errors="replace"), other.encode(errors="replace"))


class Guard:
    """ASGI middleware that refuses what it must and adds headers to every answer."""

    def __init__(self, app: ASGIApp, access: Access):
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refused = self._refused(scope, headers)
        if scope["type"] == "websocket":
            if refused:
                await receive()  # what opens the connection
                await send({"type": "websocket.close", "code": 1008, "reason": refused[1]})
            else:
                await self._app(scope, receive, send)
            return
        cookie = None if refused else self._new_cookie(scope)

        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    answer.setdefault(name, value)
                if cookie:
                    answer.append("Set-Cookie", cookie)
            await send(message)

        if refused:
            status, detail = refused
            more = {"WWW-Authenticate": "Bearer"} if status == 401 else None
            await problem_response(status, detail, more)(scope, receive, with_headers)
        else:
            await self._app(scope, receive, with_headers)

    def _refused(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        """Return status and reason, if the request must be refused."""
        hosts = headers.getlist("host")
        host = hosts[0].lower() if len(hosts) == 1 else ""
        name = urlsplit(f"//{host}").hostname if _wellformed(host) else None
        if name is None or not self._access.knows(name):
            return 403, "this server does not go by that name"
        # A browser says where a request comes from; what is no browser does not, and needs not.
        if scope["type"] == "websocket" or scope["method"] not in _SAFE:
            origin = headers.get("origin")
            if origin is not None and urlsplit(origin).netloc.lower() != host:
                return 403, "a page of another site may not ask this"
            if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
                return 403, "a page of another site may not ask this"
        if self._access.token is None or scope["path"] == _OPEN or self._admitted(scope, headers):
            return None
        return 401, "a token is needed: Authorization: Bearer TOKEN"

    def _admitted(self, scope: Scope, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._access.admits(token.strip()):
            return True
        if self._given(scope):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(_COOKIE)
        except CookieError:
            return False
        return cookie is not None and self._access.admits_cookie(cookie.value)

    def _given(self, scope: Scope) -> bool:
        """Whether the page is opened by an address with the token."""
        if scope["type"] != "http" or scope["path"] != "/":
            return False
        query = parse_qs(scope["query_string"].decode("latin-1"))
        return any(map(self._access.admits, query.get("token", [])))

    def _new_cookie(self, scope: Scope) -> str | None:
        if not self._given(scope):
            return None
        return f"{_COOKIE}={self._access.cookie()}; HttpOnly; SameSite=Strict; Path=/"


def _wellformed(host: str) -> bool:
    try:
        return bool(urlsplit(f"//{host}").hostname) and urlsplit(f"//{host}").port != 0
    except ValueError:
        return False
