"""Uploads, jobs, events and downloads of a real server."""

import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi")

import httpx
import soundfile

from helpers.serving import children, serving, until
from helpers.sounds import music
from quadpred.formats.documents import to_json
from quadpred.labels import HEADS
from quadpred.predictor import Predictor
from quadpred.web.limits import Limits

RATE = 22_050
WAIT = {"Prefer": "wait=60"}
SECONDS, BYTES = 600, 3_000_000
JOBS = "/v1/predictions"


@pytest.fixture(scope="module", autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder for temporary files."""
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(folder))
        yield folder


@pytest.fixture(scope="module")
def client(temporary: Path) -> Iterator[httpx.Client]:
    with serving(Limits(bytes=BYTES, seconds=SECONDS), workers=2) as client:
        yield client


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("songs") / "Frühling, 1.flac"
    with path.open("wb") as file:
        soundfile.write(file, music(70, RATE), RATE, format="FLAC")
    return path


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Two hours of silence in 180 kilobytes, which keep a worker busy."""
    path = tmp_path_factory.mktemp("long") / "silence.flac"
    with soundfile.SoundFile(path, "w", 8000, 1, format="FLAC") as file:
        for _ in range(24):
            file.write(np.zeros(5 * 60 * 8000, np.int16))
    return path.read_bytes()


def post(
    client: httpx.Client, content: bytes, name: str = "a.wav", **more: object
) -> httpx.Response:
    return client.post(JOBS, files={"file": (name, content)}, **more)


def events(client: httpx.Client, where: str) -> list[tuple[str, dict]]:
    """Read a job's events to their end."""
    text = client.get(f"{where}/events").text
    parts = [part.split("\n") for part in text.split("\n\n") if part and not part.startswith(":")]
    return [
        (name.removeprefix("event: "), json.loads(data.removeprefix("data: ")))
        for name, data in parts
    ]


def problem(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == status
    assert set(told) == {"type", "title", "status", "detail"}
    assert "/" not in told["detail"].replace("multipart/form-data", "")
    return told["detail"]


def uploads(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_result_is_what_the_predictor_says(
    client: httpx.Client, song: Path, temporary: Path
) -> None:
    answer = post(client, song.read_bytes(), song.name, headers=WAIT)
    assert answer.status_code == 200
    job = answer.json()
    assert (job["status"], job["source"], job["error"]) == ("done", song.name, None)
    assert job["progress"] == {"seconds": pytest.approx(70), "duration": pytest.approx(70)}
    expected = json.loads(json.dumps(to_json(Predictor.load().predict(song))))
    assert job["result"] == {**expected, "source": song.name}
    assert client.get(answer.headers["location"]).json() == job
    assert not uploads(temporary)


def test_other_languages(client: httpx.Client, song: Path) -> None:
    query = {"speech": "x", "music": "mandarin"}
    job = post(client, song.read_bytes(), headers=WAIT, params=query).json()
    assert job["result"]["model"]["name"] == "mixed-to-mandarin"
    assert "speech" in problem(post(client, b"a", params={"speech": "latin"}), 422)


def test_events_tell_the_rows_from_the_first_to_the_last(client: httpx.Client, song: Path) -> None:
    answer = post(client, song.read_bytes(), song.name)
    assert answer.status_code == 202
    told = events(client, answer.headers["location"])
    job = client.get(answer.headers["location"]).json()
    assert told[-1] == ("done", job)
    rows = [data for event, data in told if event == "rows"]
    assert [part["from"] for part in rows] == [0, 60]
    whole = job["result"]
    for head in HEADS:
        assert [row for part in rows for row in part[head.name]] == whole[head.name]["rows"]
    for name in "silent", "uncertain_seconds":
        assert [flag for part in rows for flag in part[name]] == whole[name]
    seconds = [data["seconds"] for event, data in told if event == "progress"]
    assert seconds == sorted(seconds)
    assert events(client, answer.headers["location"]) == told  # for whoever comes late


def test_downloads(client: httpx.Client, song: Path) -> None:
    where = post(client, song.read_bytes(), song.name, headers=WAIT).headers["location"]
    result = client.get(where).json()["result"]
    for name in "prediction.json", "rows.csv", "taggram.png":
        answer = client.get(f"{where}/{name}")
        assert answer.status_code == 200
        ending = name.rpartition(".")[2]
        assert answer.headers["content-disposition"] == (
            f'attachment; filename="Fr_hling_ 1.{ending}"; '
            f"filename*=UTF-8''Fr%C3%BChling%2C%201.{ending}"
        )
    assert client.get(f"{where}/prediction.json").json() == result
    table = client.get(f"{where}/rows.csv").text.splitlines()
    assert table[0] == "second,Q1,Q2,Q3,Q4,arousal,valence,uncertain,silent"
    numbers = [float(value) for value in table[70].split(",")]
    assert numbers[:5] == [69, *result["quadrant"]["rows"][69]]
    assert numbers[5] == result["arousal"]["rows"][69][1]
    assert len(table) == 71
    assert client.get(f"{where}/taggram.png").content.startswith(b"\x89PNG")


def test_damaged_recording_says_so(client: httpx.Client, song: Path) -> None:
    whole = song.read_bytes()
    job = post(client, whole[: len(whole) // 2], headers=WAIT).json()
    assert job["status"] == "done"
    assert "others are damaged or missing" in job["warning"]
    assert job["warning"].startswith("decoded ")


def test_what_is_no_recording(client: httpx.Client, temporary: Path) -> None:
    assert "not audio" in problem(post(client, b"no music " * 100, headers=WAIT), 422)
    where = post(client, b"no music " * 100).headers["location"]
    (_, failure) = events(client, where)[-1]
    assert "not audio" in failure["detail"]
    job = client.get(where).json()
    assert (job["status"], job["error"], job["result"]) == ("failed", failure, None)
    assert problem(client.get(f"{where}/rows.csv"), 422) == failure["detail"]
    assert not uploads(temporary)


def test_samples_that_no_recorder_writes(client: httpx.Client, tmp_path: Path) -> None:
    """Found by scripts/fuzz_audio.py: a header that calls integers floats gave rows of NaN."""
    soundfile.write(tmp_path / "a.wav", np.full(RATE, 3e38, np.float32), RATE, subtype="FLOAT")
    answer = post(client, (tmp_path / "a.wav").read_bytes(), headers=WAIT)
    assert problem(answer, 422) == "holds samples as large as 3e+38"


def test_forms_that_are_none(client: httpx.Client) -> None:
    problem(client.post(JOBS, content=b"RIFF"), 415)
    problem(client.post(JOBS, json={}), 415)
    problem(client.post(JOBS, files={"song": ("a.wav", b"RIFF")}), 422)
    assert problem(post(client, b""), 422) == "the recording is empty"
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    problem(client.post(JOBS, content=b"something else", headers=kind), 400)
    half = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nRIFF'
    assert problem(client.post(JOBS, content=half, headers=kind), 400) == "the form is not complete"


@pytest.mark.parametrize(
    ("given", "kept"),
    [("../../etc/passwd", "passwd"), ("C:\\songs\\a.wav", "a.wav"), ("a\tb\x7f.wav", "ab.wav")],
)
def test_name_of_a_file_is_no_path(client: httpx.Client, song: Path, given: str, kept: str) -> None:
    head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{given}"\r\n\r\n'
    answer = client.post(
        JOBS,
        content=head.encode() + song.read_bytes() + b"\r\n--x--\r\n",
        headers={"Content-Type": "multipart/form-data; boundary=x", **WAIT},
    )
    assert answer.json()["source"] == kept


def test_too_large(client: httpx.Client, temporary: Path) -> None:
    assert "3000000 bytes" in problem(post(client, bytes(2 * BYTES)), 413)

    def unannounced() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(8):
            yield bytes(BYTES // 4)

    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    problem(client.post(JOBS, content=unannounced(), headers=kind), 413)
    assert not uploads(temporary)


def test_silence_without_end(client: httpx.Client, long: bytes) -> None:
    assert len(long) < 200_000
    assert problem(post(client, long, headers=WAIT), 413) == "lasts longer than 600 seconds"


def test_upload_that_breaks_off_leaves_nothing(client: httpx.Client, temporary: Path) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port)) as connection:
        head = f"POST {JOBS} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2500000\r\n"
        connection.sendall(
            f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n".encode()
            + b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
            + bytes(2_000_000)
        )
        until(lambda: any(path.stat().st_size for path in uploads(temporary)))
    until(lambda: not uploads(temporary))


def test_unknown_job(client: httpx.Client) -> None:
    for path in "", "/events", "/rows.csv", "/prediction.json", "/taggram.png":
        problem(client.get(f"{JOBS}/unknown{path}"), 404)
    problem(client.delete(f"{JOBS}/unknown"), 404)
    problem(client.get("/v2"), 404)
    problem(client.put(JOBS), 405)


def test_models_and_health(client: httpx.Client) -> None:
    told = client.get("/v1/models").json()
    assert told["limits"] == {"bytes": BYTES, "seconds": SECONDS, "files": Limits().queue}
    assert [head["name"] for head in told["heads"]] == [head.name for head in HEADS]
    assert told["models"][0] == {
        "name": "english-to-english",
        "speech": "english",
        "music": "english",
        "transfer_setting": "intra-linguistic",
        "experimental": False,
    }
    assert client.get("/healthz").json()["status"] == "ok"


@pytest.fixture
def busy(temporary: Path, long: bytes) -> Iterator[Callable[..., tuple[httpx.Client, str]]]:
    """Make servers with one worker, which is busy for long, and a queue of one."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def start(**limits: float) -> tuple[httpx.Client, str]:
            client = stack.enter_context(serving(Limits(seconds=1e6, queue=1, **limits)))
            where = post(client, long).headers["location"]
            until(lambda: client.get(where).json()["status"] == "running")
            return client, where

        yield start


def test_full_queue(busy: Callable[..., tuple[httpx.Client, str]], temporary: Path) -> None:
    others = set(children())
    client, where = busy()
    waiting = post(client, b"RIFF").headers["location"]
    refused = post(client, b"RIFF")
    assert problem(refused, 429) == "1 recordings are waiting already"
    assert int(refused.headers["retry-after"]) > 0
    assert client.get("/healthz").status_code == 200
    problem(client.get(f"{where}/rows.csv"), 409)
    assert client.get(waiting).json()["status"] == "queued"
    assert client.delete(waiting).status_code == 204
    assert len(uploads(temporary)) == 1
    (worker,) = set(children()) - others
    # Cancelling frees the worker for the next one.
    assert client.delete(where).status_code == 204
    problem(client.get(where), 404)
    assert "not audio" in problem(post(client, b"no music", headers=WAIT), 422)
    assert worker not in children()
    assert not uploads(temporary)


def test_listener_of_a_cancelled_job_hears_of_it(
    busy: Callable[..., tuple[httpx.Client, str]],
) -> None:
    client, where = busy()
    heard: list[tuple[str, dict]] = []
    listener = threading.Thread(target=lambda: heard.extend(events(client, where)))
    listener.start()
    client.delete(where)
    listener.join()
    assert heard[-1][0] == "failed"
    assert heard[-1][1]["status"] == 404


def test_work_without_end(busy: Callable[..., tuple[httpx.Client, str]], temporary: Path) -> None:
    client, where = busy(work=3)
    assert events(client, where)[-1][1]["detail"] == "took longer than 3 seconds"
    assert not uploads(temporary)
    assert "not audio" in problem(post(client, b"no music", headers=WAIT), 422)


def test_decoder_that_crashes(
    busy: Callable[..., tuple[httpx.Client, str]], temporary: Path
) -> None:
    others = set(children())
    client, where = busy()
    (worker,) = set(children()) - others
    os.kill(worker, signal.SIGSEGV)
    assert events(client, where)[-1][1]["detail"] == "the decoder crashed on it"
    assert not uploads(temporary)
    assert "not audio" in problem(post(client, b"no music", headers=WAIT), 422)


def test_work_is_dropped_that_nobody_asks_about(
    busy: Callable[..., tuple[httpx.Client, str]], temporary: Path
) -> None:
    client, where = busy(unattended=0.5)
    with client.stream("GET", f"{where}/events") as stream:
        next(stream.iter_lines())
    until(lambda: not uploads(temporary))
    problem(client.get(where), 404)


def test_work_is_dropped_whose_client_has_left(temporary: Path, song: Path, long: bytes) -> None:
    with serving(Limits(seconds=1e6)) as client:
        with pytest.raises(httpx.ReadTimeout):
            post(client, long, headers=WAIT, timeout=1)
        until(lambda: not uploads(temporary))
        assert post(client, song.read_bytes(), headers=WAIT).status_code == 200


def test_old_predictions_go(temporary: Path, song: Path) -> None:
    with serving(Limits(expiry=0.5)) as client:
        where = post(client, song.read_bytes(), headers=WAIT).headers["location"]
        until(lambda: client.get(where).status_code == 404)
    with serving(Limits(kept=1)) as client:
        first = post(client, song.read_bytes(), headers=WAIT).headers["location"]
        second = post(client, song.read_bytes(), headers=WAIT).headers["location"]
        until(lambda: client.get(first).status_code == 404)
        assert client.get(second).status_code == 200


def test_nothing_is_left_when_it_ends(temporary: Path) -> None:
    others, folders = set(children()), set(temporary.iterdir())
    with serving() as client:
        post(client, b"RIFF" * 1000)
        assert set(children()) > others
        assert set(temporary.iterdir()) > folders
    assert set(children()) == others
    assert set(temporary.iterdir()) == folders
