"""Live audio over a WebSocket."""

import base64
import json
import math
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest

pytest.importorskip("fastapi")

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from helpers.serving import serving, until, workers
from helpers.sounds import music
from quadpred.formats.documents import to_json
from quadpred.predictor import Predictor
from quadpred.web.limits import Limits
from quadpred.web.security import AccessPolicy

pytestmark = pytest.mark.slow

RATE = 44_100
TOKEN = "correct-horse-battery"


@pytest.fixture(scope="module")
def others() -> set[int]:
    """The workers of other servers."""
    return workers()


@pytest.fixture(scope="module")
def client(others: set[int]) -> Iterator[httpx.Client]:
    with serving(Limits(live=4, idle=5, seconds=20)) as client:
        yield client


def address(client: httpx.Client, query: str = "") -> str:
    return f"ws://{client.base_url.host}:{client.base_url.port}/v1/live{query}"


def begin(connection: ClientConnection, rate: object = RATE) -> None:
    connection.send(json.dumps({"sample_rate": rate}))


def end(connection: ClientConnection) -> dict:
    """Read to the last message, and return it."""
    messages = []
    with suppress(ConnectionClosed):
        while True:
            messages.append(connection.recv(timeout=60))
    return json.loads(messages[-1])


def test_rows_arrive_during_playback(client: httpx.Client) -> None:
    samples = music(4.6, RATE)
    with connect(address(client, "?speech=m&music=e")) as connection:
        begin(connection)
        rows = []
        for second in range(4):
            piece = samples[second * RATE : (second + 1) * RATE]
            for part in np.array_split(piece, 10):
                connection.send(part.astype("<f4").tobytes())
            connection.send(samples[:0].tobytes())
            if second:  # what lies before is out by now, whatever the resampler holds back
                rows.append(json.loads(connection.recv(timeout=30)))
        connection.send(samples[4 * RATE :].astype("<f4").tobytes())
        connection.send('{"stop": true}')
        *more, last = map(json.loads, connection)
        assert connection.close_code == 1000
    rows += more
    assert [row["from"] for row in rows] == [0, 1, 2, 3, 4]
    predictor = Predictor.load(speech="mandarin", music="english")
    expected = [to_json(part) for part in predictor.listen([samples], RATE)]
    for row, part in zip(rows, expected, strict=True):
        assert row["quadrant"] == part["quadrant"]["rows"]
        assert row["arousal"] == part["arousal"]["rows"]
        assert row["silent"] == part["silent"]
        assert row["uncertain_seconds"] == part["uncertain_seconds"]
    data = b"".join(base64.b64decode(row["peaks"]["data"]) for row in rows)
    peaks = np.frombuffer(data, np.int8).reshape(-1, 2)
    assert rows[-1]["peaks"]["per_second"] == 50
    bins = samples[: len(peaks) * RATE // 50].reshape(-1, RATE // 50)
    np.testing.assert_array_equal(peaks[:, 1], np.rint(127 * bins.max(axis=1)))
    assert len(peaks) >= 200
    whole = last["done"]
    assert whole["quadrant"]["rows"] == [row["quadrant"][0] for row in rows]
    assert whole["duration"] == pytest.approx(4.6, abs=1e-3)
    assert whole["source"] == "live"
    assert whole["model"]["name"] == "mandarin-to-english"


def test_a_rest_without_a_row_counts_in_the_duration(client: httpx.Client) -> None:
    samples = music(2.4, RATE)
    with connect(address(client, "")) as connection:
        begin(connection)
        for first in range(0, len(samples), 512):
            connection.send(samples[first : first + 512].astype("<f4").tobytes())
        connection.send('{"stop": true}')
        *rows, last = map(json.loads, connection)
    assert len(rows) == len(last["done"]["times"]) == 2
    assert last["done"]["duration"] == pytest.approx(2.4, abs=1e-3)


def test_embeddings_come_with_the_rows_where_they_are_asked_for(client: httpx.Client) -> None:
    samples = music(2, RATE)
    with connect(address(client, "?embeddings=true")) as connection:
        begin(connection)
        connection.send(samples.astype("<f4").tobytes())
        connection.send('{"stop": true}')
        *rows, _ = map(json.loads, connection)
    width = Predictor.load().embedding_width
    assert [row["embeddings"]["width"] for row in rows] == [width, width]
    assert [len(base64.b64decode(row["embeddings"]["data"])) for row in rows] == [width, width]


@pytest.mark.parametrize(
    ("query", "messages", "detail"),
    [
        ("?speech=latin", [], "unknown language"),
        ("", ['{"sample_rate": 5}'], "sample_rate"),
        ("", ['{"sample_rate": "fast"}'], "sample_rate"),
        ("", ['{"sample_rate": true}'], "sample_rate"),
        ("", [b"\0\0\0\0"], "sample_rate"),
        ("", ["no JSON"], "JSON"),
        ("", ["[]"], "JSON"),
        ("", ["[" * 100_000], "JSON"),
        ("", ['{"sample_rate": 8000}', b"\0"], "32-bit"),
        ("", ['{"sample_rate": 8000}', '{"go": true}'], "send samples, or"),
        ("", ['{"sample_rate": 8000}', np.float32([math.nan]).tobytes()], "finite"),
        ("", ['{"sample_rate": 8000}', '{"stop": true}'], "none were received"),
    ],
)
def test_invalid_messages(
    client: httpx.Client, query: str, messages: list[str | bytes], detail: str
) -> None:
    with connect(address(client, query)) as connection:
        for message in messages:
            connection.send(message)
        error = end(connection)["error"]
        assert connection.close_code == 1008
    assert detail in error["detail"]
    assert error["status"] == 422


def test_it_ends_where_the_limit_is(client: httpx.Client) -> None:
    """And no message may be as long as it likes."""
    with connect(address(client)) as connection:
        begin(connection, 8000)
        for _ in range(30):
            connection.send(bytes(4 * 8000))
        assert len(end(connection)["done"]["times"]) == 20
    with connect(address(client)) as connection:
        begin(connection)
        connection.send(bytes(2_000_000))
        with pytest.raises(ConnectionClosed):
            connection.recv()
        assert connection.close_code == 1009


def test_sessions_are_limited_and_leave_nothing_behind(
    client: httpx.Client, others: set[int]
) -> None:
    until(lambda: len(workers() - others) == 1)
    with connect(address(client)) as first, connect(address(client)) as second:
        begin(first)
        begin(second)
        until(lambda: len(workers() - others) == 3)
        with connect(address(client)) as third:
            error = end(third)["error"]
            assert (error["status"], error["type"]) == (429, "/problems/address-limit")
            assert third.close_code == 1013
    until(lambda: len(workers() - others) == 1)
    with connect(address(client)) as connection:
        begin(connection)
        connection.send(bytes(4 * RATE))
        connection.send('{"stop": true}')
        assert "done" in end(connection)


def test_silent_client_is_sent_away(client: httpx.Client) -> None:
    with connect(address(client)) as connection:
        begin(connection)
        assert end(connection)["error"]["detail"] == "no data for 5 seconds"


@pytest.mark.parametrize(
    "header",
    [
        {"Origin": "http://other.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Host": "rebound.example"},
    ],
)
def test_other_sites_cannot_listen(client: httpx.Client, header: dict[str, str]) -> None:
    origin = header.pop("Origin", None)
    with (
        pytest.raises(InvalidStatus, match="403"),
        connect(address(client), origin=origin, additional_headers=header),
    ):
        pass


def test_the_page_itself_can_listen(client: httpx.Client) -> None:
    origin = str(client.base_url).rstrip("/")
    with connect(address(client), origin=origin) as connection:
        begin(connection)


def test_a_token_is_needed() -> None:
    with serving(policy=AccessPolicy("127.0.0.1", TOKEN)) as client:
        with pytest.raises(InvalidStatus, match="403"), connect(address(client)):
            pass
        with pytest.raises(InvalidStatus), connect(address(client, f"?token={TOKEN}")):
            pass
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        with connect(address(client), additional_headers=bearer) as connection:
            begin(connection)
        client.get(f"/?token={TOKEN}")
        cookie = {"Cookie": f"quadpred={client.cookies['quadpred']}"}
        with connect(address(client), additional_headers=cookie) as connection:
            begin(connection)
