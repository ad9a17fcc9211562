"""One event stream for all predictions of a client."""

import base64
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi")

import httpx
import soundfile

from helpers.serving import serving, until, workers
from helpers.sounds import music
from helpers.sse import ServerEvent, parse_lines
from quadpred.predictor import Predictor
from quadpred.web.limits import Limits

pytestmark = pytest.mark.slow

RATE = 8_000
SECONDS = 400
JOBS = "/v1/predictions"
CLIENT = "a-client_of_22_letters"


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with serving(workers=2) as client:
        yield client


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its rows arrive in three parts. A mix of its channels, in opposite phase, holds nothing."""
    path = tmp_path_factory.mktemp("songs") / "song.wav"
    mono = music(SECONDS, RATE)
    soundfile.write(path, np.stack([mono, -mono / 2], axis=1), RATE, subtype="FLOAT")
    return path


def post(client: httpx.Client, content: bytes, name: str = CLIENT, **query: str) -> str:
    """Upload a recording, and return the id of its job."""
    params = {"client": name, **query}
    answer = client.post(JOBS, files={"file": ("a.wav", content)}, params=params)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def follow(client: httpx.Client, ends: int, name: str = CLIENT, **query: str) -> list[ServerEvent]:
    """Read events until as many jobs have ended."""
    received = []
    headers = {"Last-Event-ID": query.pop("last")} if "last" in query else {}
    params = {"client": name, **query}
    deadline = time.monotonic() + 120
    with client.stream("GET", "/v1/events", params=params, headers=headers) as stream:
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        for event in parse_lines(stream.iter_lines()):
            received.append(event)
            ends -= event.name in ("done", "failed")
            if not ends:
                return received
            assert time.monotonic() < deadline, received
    raise AssertionError("the stream ended")


def test_all_jobs_of_a_client(client: httpx.Client, song: Path) -> None:
    ids = [post(client, song.read_bytes()), post(client, b"not audio")]
    other = post(client, song.read_bytes(), "another-client-00")
    events = follow(client, 2)
    assert events[0].name == "jobs"
    assert [job["id"] for job in events[0].data["jobs"]] == ids
    assert events[0].id is None
    assert {event.data["job"] for event in events[1:]} == set(ids)
    assert len({event.id for event in events[1:]}) == len(events) - 1
    assert {e.data["job"]: e.name for e in events if e.name in ("done", "failed")} == {
        ids[0]: "done",
        ids[1]: "failed",
    }
    for event in events:
        if event.name in ("done", "failed"):
            job = client.get(f"{JOBS}/{event.data['job']}").json()
            assert event.data == {"job": job["id"], **job}
    assert other in {event.data["job"] for event in follow(client, 1, "another-client-00")[1:]}


def test_peaks_come_with_the_rows(client: httpx.Client, song: Path) -> None:
    id = post(client, song.read_bytes(), "client-for-peaks")
    events = follow(client, 1, "client-for-peaks")
    rows = [event.data for event in events if event.name == "rows"]
    assert [part["from"] for part in rows] == [0, 180, 360]
    assert {part["job"] for part in rows} == {id}
    parts = [
        np.frombuffer(base64.b64decode(part["peaks"]["data"]), np.int8).reshape(-1, 2)
        for part in rows
    ]
    ends = np.cumsum([len(part) for part in parts]).tolist()
    assert [part["peaks"]["from"] for part in rows] == [0, *ends[:-1]]
    assert ends[0] >= 180 * 50  # the sound of the rows comes with them
    assert ends[1] >= 360 * 50
    peaks = np.concatenate(parts)
    assert len(peaks) == SECONDS * 50
    samples, _ = soundfile.read(song, dtype="float32")
    bins = samples.reshape(SECONDS * 50, -1)
    np.testing.assert_array_equal(peaks[:, 0], np.rint(127 * bins.min(axis=1)))
    np.testing.assert_array_equal(peaks[:, 1], np.rint(127 * bins.max(axis=1)))


def test_embeddings_come_with_the_rows_where_they_are_asked_for(
    client: httpx.Client, song: Path
) -> None:
    post(client, song.read_bytes(), "client-for-sounds", embeddings="true")
    rows = [e.data for e in follow(client, 1, "client-for-sounds") if e.name == "rows"]
    parts = [part["embeddings"] for part in rows]
    data = b"".join(base64.b64decode(part["data"]) for part in parts)
    found = np.frombuffer(data, np.int8).reshape(-1, parts[0]["width"]).astype(float)
    expected = Predictor.load().embed(song)
    assert found.shape == expected.shape
    assert (np.abs(found).max(axis=1) == 127).all()
    alike = (found * expected).sum(axis=1)
    alike /= np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    assert alike.min() > 0.999
    post(client, song.read_bytes(), "client-without-sounds")
    rows = [e.data for e in follow(client, 1, "client-without-sounds") if e.name == "rows"]
    assert all("embeddings" not in part for part in rows)


@pytest.mark.parametrize("how", ["last", "after"])
def test_a_stream_continues_after_the_last_event(
    client: httpx.Client, song: Path, how: str
) -> None:
    name = f"continuing-client-{how}"
    post(client, song.read_bytes(), name)
    events = follow(client, 1, name)
    middle = next(i for i, event in enumerate(events) if event.name == "rows")
    again = follow(client, 1, name, **{how: events[middle].id})
    assert again[0].name == "jobs"
    assert again[1:] == events[middle + 1 :]
    assert [event.data["from"] for event in again if event.name == "rows"] == [180, 360]


@pytest.mark.parametrize("id", ["", "other-5", "5", "-", "x-y", "00000000-99999999999999999999"])
def test_an_id_of_another_server_starts_from_the_first_event(
    client: httpx.Client, song: Path, id: str
) -> None:
    """As after a restart, when a browser sends the last id that it knows."""
    name = "restarted-client-1"
    if not first_event(client, name).data["jobs"]:
        post(client, song.read_bytes(), name)
    assert follow(client, 1, name, last=id)[1:] == follow(client, 1, name)[1:]


def first_event(client: httpx.Client, name: str = CLIENT) -> ServerEvent:
    with client.stream("GET", "/v1/events", params={"client": name}) as stream:
        return next(parse_lines(stream.iter_lines()))


def test_a_deleted_job_is_not_sent_again(client: httpx.Client) -> None:
    name = "deleting-client-1"
    ids = [post(client, b"not audio", name) for _ in range(2)]
    follow(client, 2, name)
    client.delete(f"{JOBS}/{ids[0]}")
    events = follow(client, 1, name)
    assert [job["id"] for job in events[0].data["jobs"]] == ids[1:]
    assert {event.data["job"] for event in events[1:]} == {ids[1]}


def test_a_stream_keeps_the_work_of_its_client(song: Path) -> None:
    others = workers()

    def post_endless(name: str) -> str:
        """Upload a recording whose prediction never ends."""
        until(lambda: workers() - others)
        (worker,) = workers() - others
        os.kill(worker, signal.SIGSTOP)
        return f"{JOBS}/{post(client, song.read_bytes(), name)}"

    with serving(Limits(unattended=1)) as client:
        with client.stream("GET", "/v1/events", params={"client": CLIENT}) as stream:
            events = parse_lines(stream.iter_lines())  # without it, httpx closes the connection
            assert next(events).name == "jobs"
            left = post_endless("client-without-stream")
            time.sleep(4)
            assert client.get(left).status_code == 404
            kept = post_endless(CLIENT)
            time.sleep(4)
            assert client.get(kept).json()["status"] in ("queued", "running")
        time.sleep(4)
        assert client.get(kept).status_code == 404


@pytest.mark.parametrize("name", ["", "short", 65 * "a", "with space in it..", "ä" * 20])
def test_names_of_clients(client: httpx.Client, name: str) -> None:
    for answer in (
        client.get("/v1/events", params={"client": name}),
        client.post(JOBS, files={"file": b"RIFF"}, params={"client": name}),
    ):
        assert answer.status_code == 422
        assert "client" in answer.json()["detail"]
    assert client.get("/v1/events").status_code == 422


def test_data_is_one_line(client: httpx.Client) -> None:
    """A line break in it would end the event."""
    head = '--x\r\nContent-Disposition: form-data; name="file"; filename="a\u2028b"\r\n\r\nRIFF'
    answer = client.post(
        JOBS,
        params={"client": "client-with-breaks"},
        content=head.encode() + b"\r\n--x--\r\n",
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )
    assert json.loads(answer.text)["source"] == "ab"
    assert follow(client, 1, "client-with-breaks")[-1].data["source"] == "ab"
