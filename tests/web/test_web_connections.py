"""Slow and silent connections, which must not keep others from the server."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

pytest.importorskip("fastapi")

import httpx

from helpers.serving import serving, until
from quadpred.web.limits import Limits

pytestmark = pytest.mark.slow

LIMITS = Limits(connections=12, request=1)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with serving(LIMITS) as client:
        yield client


def connect(client: httpx.Client, source: str = "127.0.0.1") -> socket.socket:
    address = client.base_url.host, client.base_url.port
    return socket.create_connection(address, timeout=10, source_address=(source, 0))


def ends(connection: socket.socket) -> float:
    """Seconds until the server closes a connection."""
    began = time.monotonic()
    while connection.recv(1000):
        pass
    return time.monotonic() - began


REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize("sent", [b"", REQUEST[:30], REQUEST])
def test_a_silent_connection_is_closed(client: httpx.Client, sent: bytes) -> None:
    with connect(client) as connection:
        connection.sendall(sent)
        assert 0.5 < ends(connection) < 6


def test_a_connection_that_sends_its_headers_slowly_is_closed(client: httpx.Client) -> None:
    with connect(client) as connection:
        connection.settimeout(0.1)
        for letter in "GET / HTTP/1.1\r\nHost: localhost\r\nX-Header: " + 40 * "slow":
            connection.sendall(letter.encode())
            with suppress(TimeoutError):
                assert connection.recv(1) == b""
                return
    pytest.fail("the connection is still open")


def test_a_busy_connection_stays_open(client: httpx.Client) -> None:
    with connect(client) as connection:
        for _ in range(6):
            connection.sendall(REQUEST)
            assert connection.recv(10_000).startswith(b"HTTP/1.1 200")
            time.sleep(0.5)


def test_an_event_stream_stays_open(client: httpx.Client) -> None:
    with connect(client) as connection:
        path = "/v1/events?client=aaaaaaaaaaaaaaaa"
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        connection.settimeout(3)
        with pytest.raises(TimeoutError):
            ends(connection)


def test_one_address_cannot_take_all_connections(client: httpx.Client) -> None:
    with ExitStack() as stack:
        for _ in range(6):
            stack.enter_context(connect(client, "127.0.0.2"))
        refused = stack.enter_context(connect(client, "127.0.0.2"))
        answer = refused.recv(10_000)
        assert answer.startswith(b"HTTP/1.1 429 ")
        assert b"/problems/address-limit" in answer
        assert httpx.get(client.base_url.join("/healthz")).status_code == 200

    def again() -> bool:
        with connect(client, "127.0.0.2") as connection:
            connection.sendall(REQUEST)
            return connection.recv(10_000).startswith(b"HTTP/1.1 200")

    until(again)
