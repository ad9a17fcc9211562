"""Connections: how many one address may open, and how long one may stay silent."""

import asyncio
import json
from collections import Counter
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from quadpred.web.limits import Limits, per_address
from quadpred.web.problems import MEDIA_TYPE, problem

__all__ = ["limited_protocol"]


def limited_protocol(limits: Limits, prefix: str = "") -> type[asyncio.Protocol]:
    """Make uvicorn's HTTP protocol, with limits.

    A connection beyond the share of its address is refused. A connection is closed when it does not
    complete the headers of a request in time; uvicorn by itself would wait for them forever.
    """
    open_connections: Counter[str] = Counter()  # by address
    share = per_address(limits.connections)
    refusal = _refusal(share, prefix)

    class LimitedProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
        _address = ""
        _timer: asyncio.TimerHandle | None = None
        _waiting_since: Any = None  # the request before, if none was going on at the last check

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self._address = self.client[0] if self.client else ""
            open_connections[self._address] += 1
            if open_connections[self._address] > share:
                transport.write(refusal)
                transport.close()
                return
            self._check()

        def connection_lost(self, error: Exception | None) -> None:
            self._release()
            super().connection_lost(error)

        def handle_websocket_upgrade(self, *args: Any) -> None:
            self._release()  # live sessions have limits of their own
            super().handle_websocket_upgrade(*args)

        def _release(self) -> None:
            if self._timer:
                self._timer.cancel()
            open_connections[self._address] -= 1
            if not open_connections[self._address]:
                del open_connections[self._address]

        def _check(self) -> None:
            """Close the connection if it has not sent a request since the last check."""
            idle = self.cycle is None or self.cycle.response_complete
            if idle and self._timer and self._waiting_since is self.cycle:
                self.transport.close()
                return
            self._waiting_since = self.cycle if idle else self
            self._timer = self.loop.call_later(limits.request, self._check)

    return LimitedProtocol


def _refusal(share: int, prefix: str) -> bytes:
    detail = f"more than {share} connections from one address"
    body = json.dumps(problem("address-limit", detail, prefix)).encode()
    head = (
        "HTTP/1.1 429 Too Many Requests\r\n"
        f"Content-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n"
        "Retry-After: 5\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
