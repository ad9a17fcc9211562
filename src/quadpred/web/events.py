"""Server-sent events: a log that any number of clients follow, each from where it stopped."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

__all__ = ["Event", "EventLog", "encode_event"]

_KEEPALIVE_INTERVAL = 15.0  # seconds between comments on a silent stream
_RETRY = b"retry: 2000\n\n"  # milliseconds after which a browser connects again


@dataclass(frozen=True, eq=False)
class Event:
    """What has happened to a job.

    Attributes:
        name: its name in the stream.
        data: returns its JSON when it is sent; results are long, and should not be kept twice.
    """

    name: str
    data: Callable[[], bytes]


def encode_event(name: str, data: bytes, id: str | None = None) -> bytes:
    """Return an event as a stream sends it (HTML, section 9.2)."""
    place = f"id: {id}\n" if id else ""
    return f"{place}event: {name}\ndata: ".encode() + data + b"\n\n"


class EventLog:
    """Numbered events, in memory.

    An id consists of a random name of this log and a number. A client that sends an id of another
    log, as after a restart of the server, gets all events.
    """

    def __init__(self) -> None:
        self._name = secrets.token_hex(4)
        self._events: dict[int, Event] = {}
        self._next = 0
        self._ended = self._closing = False
        self._changed = asyncio.Event()
        self.followers = 0

    def append(self, event: Event) -> int:
        """Add an event, and return its number."""
        self._events[self._next] = event
        self._next += 1
        self._notify()
        return self._next - 1

    def remove(self, number: int) -> None:
        """Forget an event."""
        self._events.pop(number, None)

    def end(self) -> None:
        """End the streams after the last event."""
        self._ended = True
        self._notify()

    def close(self) -> None:
        """Tell followers that the server shuts down, and end their streams."""
        self._closing = True
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _position(self, last_id: str | None) -> int:
        """Return the number of the event after this id."""
        name, _, number = (last_id or "").partition("-")
        if name != self._name or not number.isascii() or not number.isdigit():
            return 0
        return min(int(number[:18]) + 1, self._next)

    async def follow(
        self, last_id: str | None = None, greeting: Callable[[], bytes] = bytes
    ) -> AsyncIterator[bytes]:
        """Yield the events after `last_id` and those to come; `greeting` precedes them."""
        self.followers += 1
        try:
            position = self._position(last_id)
            yield _RETRY + greeting()
            while True:
                while position < self._next:
                    if event := self._events.get(position):
                        yield encode_event(event.name, event.data(), f"{self._name}-{position}")
                    position += 1
                if self._closing and not self._ended:
                    yield encode_event("closing", b"{}")
                if self._closing or self._ended:
                    return
                try:
                    async with asyncio.timeout(_KEEPALIVE_INTERVAL):
                        await self._changed.wait()
                except TimeoutError:
                    yield b": keep-alive\n\n"
        finally:
            self.followers -= 1
