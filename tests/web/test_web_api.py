"""Uploads, jobs, events and downloads of a real server."""

import io
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi")

import httpx
import soundfile

from helpers.full_disk import large_files_refused
from helpers.serving import children, serving, until
from helpers.sounds import music
from helpers.sse import parse, parse_lines
from quadpred import registry
from quadpred.formats.documents import to_json
from quadpred.formats.moments import moment_document
from quadpred.formats.rows import write_csv
from quadpred.labels import HEADS
from quadpred.library.moments import HIGHLIGHTS, find_segments, highlights
from quadpred.library.moods import Vocabulary
from quadpred.prediction import Prediction
from quadpred.predictor import Predictor
from quadpred.web.jobs import Job
from quadpred.web.limits import Limits
from quadpred.web.problems import PROBLEMS

pytestmark = pytest.mark.slow

RATE = 22_050
WAIT = {"Prefer": "wait=60"}
SECONDS, BYTES = 600, 3_000_000
JOBS = "/v1/predictions"


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
def three_parts(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """400 s of music, whose rows are computed in three parts."""
    path = tmp_path_factory.mktemp("songs") / "three_parts.flac"
    soundfile.write(path, music(400, 8000), 8000, subtype="PCM_S8", format="FLAC")
    return path.read_bytes()


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
    return [(event.name, event.data) for event in parse(client.get(f"{where}/events").text)]


def problem(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    content = answer.json()
    assert content["status"] == status
    assert set(content) == {"type", "title", "status", "detail"}
    assert "/" not in content["detail"].replace("multipart/form-data", "")
    return content["detail"]


def failure(answer: httpx.Response) -> str:
    """The detail of a job that has failed."""
    assert answer.status_code == 200, answer.text
    job = answer.json()
    assert (job["status"], job["result"], job["moments"]) == ("failed", None, None)
    return job["error"]["detail"]


def uploads(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_result_is_that_of_the_predictor(client: httpx.Client, song: Path, temporary: Path) -> None:
    answer = post(client, song.read_bytes(), song.name, headers=WAIT)
    assert answer.status_code == 200
    job = answer.json()
    assert (job["status"], job["source"], job["error"]) == ("done", song.name, None)
    assert job["progress"] == {"seconds": pytest.approx(70), "duration": pytest.approx(70)}
    prediction = Predictor.load().predict(song)
    expected = json.loads(json.dumps(to_json(prediction)))
    assert job["result"] == {**expected, "source": song.name}
    found = [*find_segments(prediction), *highlights(prediction)]
    assert job["moments"] == moment_document(prediction, found, Vocabulary())["moments"]
    assert {moment["kind"] for moment in job["moments"]} == {"segment", *HIGHLIGHTS}
    assert client.get(answer.headers["location"]).json() == job
    assert not uploads(temporary)


def test_other_languages(client: httpx.Client, song: Path) -> None:
    query = {"speech": "x", "music": "mandarin"}
    job = post(client, song.read_bytes(), headers=WAIT, params=query).json()
    assert job["result"]["model"]["name"] == "mixed-to-mandarin"
    assert "speech" in problem(post(client, b"a", params={"speech": "latin"}), 422)


def test_events_hold_the_rows_from_the_first_to_the_last(
    client: httpx.Client, three_parts: bytes
) -> None:
    answer = post(client, three_parts)
    assert answer.status_code == 202
    sent = events(client, answer.headers["location"])
    job = client.get(answer.headers["location"]).json()
    assert sent[-1] == ("done", {"job": job["id"], **job})
    rows = [data for event, data in sent if event == "rows"]
    assert [part["from"] for part in rows] == [0, 180, 360]
    whole = job["result"]
    for head in HEADS:
        assert [row for part in rows for row in part[head.name]] == whole[head.name]["rows"]
    for name in "silent", "uncertain_seconds":
        assert [flag for part in rows for flag in part[name]] == whole[name]
    seconds = [data["seconds"] for event, data in sent if event == "progress"]
    assert seconds == sorted(seconds)
    names = [event for event, _ in sent]
    assert names == ["progress", *3 * ["rows", "progress"], "done"]
    assert seconds[0] == 0
    assert 180 < seconds[1] < 220  # the first rows were sent when half the song was not decoded
    assert 360 < seconds[2] <= seconds[3] == 400
    assert events(client, answer.headers["location"]) == sent  # for a client that connects late


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
    numbers = [float(value) for value in table[70].split(",")[:7]]
    assert numbers[:5] == [69, *result["quadrant"]["rows"][69]]
    assert numbers[5] == result["arousal"]["rows"][69][1]
    written = io.BytesIO()
    write_csv(Prediction.from_dict(result), written)
    assert table == written.getvalue().decode().splitlines()
    assert len(table) == 71
    assert client.get(f"{where}/taggram.png").content.startswith(b"\x89PNG")


def test_damage_is_reported(client: httpx.Client, song: Path) -> None:
    whole = song.read_bytes()
    job = post(client, whole[: len(whole) // 2], headers=WAIT).json()
    assert job["status"] == "done"
    assert "damaged or missing" in job["damage"]
    assert job["damage"].startswith("decoded ")


def test_a_failed_prediction_is_a_job_everywhere(client: httpx.Client, temporary: Path) -> None:
    answer = post(client, b"no music " * 100, headers=WAIT)
    assert "not audio" in failure(answer)
    where, job = answer.headers["location"], answer.json()
    assert client.get(where).json() == job
    assert events(client, where)[-1] == ("failed", {"job": job["id"], **job})
    assert client.get(job["error"]["type"]).status_code == 200
    for name in "prediction.json", "rows.csv", "taggram.png":
        assert "not audio" in problem(client.get(f"{where}/{name}"), 409)
    assert not uploads(temporary)


@pytest.mark.parametrize(
    ("samples", "reason"), [(0, "holds no samples"), (1, "too short: not one sample")]
)
def test_recordings_without_a_row(
    client: httpx.Client, tmp_path: Path, samples: int, reason: str
) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(samples, np.float32), 44_100)
    answer = post(client, (tmp_path / "a.wav").read_bytes(), headers=WAIT)
    assert failure(answer).startswith(reason)


def test_samples_that_no_recorder_writes(client: httpx.Client, tmp_path: Path) -> None:
    """Found by tools/fuzz_audio.py: a header that calls integers floats gave rows of NaN."""
    soundfile.write(tmp_path / "a.wav", np.full(RATE, 3e38, np.float32), RATE, subtype="FLOAT")
    answer = post(client, (tmp_path / "a.wav").read_bytes(), headers=WAIT)
    assert (
        failure(answer) == "holds samples as large as 3e+38, where 1 is full scale; export it again"
    )


def test_invalid_forms(client: httpx.Client) -> None:
    problem(client.post(JOBS, content=b"RIFF"), 415)
    problem(client.post(JOBS, json={}), 415)
    problem(client.post(JOBS, files={"song": ("a.wav", b"RIFF")}), 422)
    assert problem(post(client, b""), 422) == "the recording is empty"
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    problem(client.post(JOBS, content=b"something else", headers=kind), 400)
    half = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nRIFF'
    assert problem(client.post(JOBS, content=half, headers=kind), 400) == "the form is not complete"
    two = client.post(JOBS, files=[("file", ("a.wav", b"RIFF")), ("file", ("b.wav", b"RIFF"))])
    assert "two recordings" in problem(two, 400)


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


def test_a_long_recording_is_refused_before_it_is_predicted(
    client: httpx.Client, long: bytes
) -> None:
    assert len(long) < 200_000
    answer = post(client, long, headers=WAIT)
    assert failure(answer) == "lasts longer than 600 seconds"
    where = answer.headers["location"]
    assert [event for event, _ in events(client, where)] == ["failed"]
    assert client.get(where).json()["error"]["type"] == "/problems/recording-too-long"


def test_the_header_of_a_recording_may_be_wrong(client: httpx.Client, long: bytes) -> None:
    """It states two hours, and six minutes are left."""
    job = post(client, long[: len(long) // 20], headers=WAIT).json()
    assert job["status"] == "done", job["error"]
    assert 300 < job["result"]["duration"] < 600
    assert "of 7200.0 seconds" in job["damage"]


def test_a_long_recording_without_a_length_in_its_header(client: httpx.Client, long: bytes) -> None:
    header = bytearray(long)
    header[21] &= 0xF0  # of STREAMINFO, the number of samples: 0 if it is unknown
    header[22:26] = bytes(4)
    assert failure(post(client, bytes(header), headers=WAIT)) == "lasts longer than 600 seconds"


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


def test_a_full_disk(client: httpx.Client, temporary: Path) -> None:
    with large_files_refused():
        answer = post(client, bytes(100_000))
    assert problem(answer, 507) == "the server's disk is full"
    assert not uploads(temporary)


def trickle(pauses: Iterator[float]) -> Iterator[bytes]:
    """A form that arrives in pieces, with pauses of some seconds."""
    yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    for pause in pauses:
        time.sleep(pause)
        yield b"RIFF"


def test_a_slow_upload(temporary: Path) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    with serving(Limits(idle=0.5, upload=2)) as client:
        answer = client.post(JOBS, content=trickle(repeat(0.2)), headers=kind)
        assert problem(answer, 408) == "the upload took longer than 2 seconds"
        answer = client.post(JOBS, content=trickle(iter([2])), headers=kind)
        assert problem(answer, 408) == "no data for 0.5 seconds"
    assert not uploads(temporary)


def test_one_address_cannot_fill_the_queue(temporary: Path) -> None:
    with serving(Limits(queue=4)) as client, ExitStack() as stack:
        for _ in range(2):
            address = client.base_url.host, client.base_url.port
            connection = stack.enter_context(socket.create_connection(address))
            connection.sendall(
                f"POST {JOBS} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
                "Content-Type: multipart/form-data; boundary=x\r\n\r\n".encode()
            )
        until(lambda: len(uploads(temporary)) == 2)
        refused = post(client, b"RIFF")
        detail = "2 recordings of this address are waiting; retry later"
        assert problem(refused, 429) == detail
        assert refused.json()["type"] == "/problems/address-limit"
        assert int(refused.headers["retry-after"]) > 0


def test_every_problem_is_explained(client: httpx.Client) -> None:
    for kind, known in PROBLEMS.items():
        page = client.get(f"/problems/{kind}")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert known.title in page.text
    problem(client.get("/problems/other"), 404)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/", "GET, HEAD, OPTIONS"),
        ("/static/sign-in.css", "GET, HEAD, OPTIONS"),
        ("/v1/models", "GET, HEAD, OPTIONS"),
        ("/v1/events?client=aaaaaaaaaaaaaaaa", "GET, HEAD, OPTIONS"),
        ("/openapi.json", "GET, HEAD, OPTIONS"),
        (f"{JOBS}/a", "DELETE, GET, HEAD, OPTIONS"),
    ],
)
def test_head_and_options(client: httpx.Client, path: str, allowed: str) -> None:
    answer = client.options(path)
    assert (answer.status_code, answer.headers["allow"]) == (204, allowed)
    head = client.head(path, headers={"Accept-Encoding": "identity"})
    assert head.content == b""
    if "events" in path:
        assert head.headers["content-type"] == "text/event-stream; charset=utf-8"
        return
    get = client.get(path, headers={"Accept-Encoding": "identity"})
    assert head.status_code == get.status_code
    for name in "content-type", "content-length":
        assert head.headers[name] == get.headers[name]


def test_answers_are_compressed(client: httpx.Client) -> None:
    for path in "/v1/models", "/static/sign-in.css", "/openapi.json":
        answer = client.get(path)
        expected = "gzip" if len(answer.content) >= 1000 else None
        assert answer.headers.get("content-encoding") == expected
    assert client.get("/openapi.json").headers["content-encoding"] == "gzip"
    plain = client.get("/openapi.json", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers


def test_unknown_job(client: httpx.Client) -> None:
    for path in "", "/events", "/rows.csv", "/prediction.json", "/taggram.png":
        problem(client.get(f"{JOBS}/unknown{path}"), 404)
    problem(client.delete(f"{JOBS}/unknown"), 404)
    problem(client.get("/v2"), 404)
    refused = client.put(JOBS)
    problem(refused, 405)
    assert refused.headers["allow"] == "OPTIONS, POST"
    problem(client.options("/v2"), 404)


def test_models_and_health(client: httpx.Client) -> None:
    content = client.get("/v1/models").json()
    assert content["limits"] == {"bytes": BYTES, "seconds": SECONDS}
    assert [head["name"] for head in content["heads"]] == [head.name for head in HEADS]
    model = registry.models()[0]
    assert content["models"][0] == {
        "name": "english-to-english",
        "speech": "english",
        "music": "english",
        "transfer_setting": "intra-linguistic",
        "experimental": False,
        "sha256": model.sha256,
        "scores": list(model.scores),
    }
    card = client.get("/v1/models/english-to-english/card")
    assert (card.headers["content-type"], card.text) == (
        "text/markdown; charset=utf-8",
        model.card.read_text(encoding="utf-8"),
    )
    problem(client.get("/v1/models/..%2fmodels.json/card"), 404)
    assert client.get("/healthz").json()["status"] == "ok"


@pytest.fixture
def busy(temporary: Path, long: bytes) -> Iterator[Callable[..., tuple[httpx.Client, str]]]:
    """Make servers with one worker, which is busy for long, and a queue of one."""
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
    assert problem(refused, 429) == "queue full (1); retry later"
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
    assert "not audio" in failure(post(client, b"no music", headers=WAIT))
    assert worker not in children()
    assert not uploads(temporary)


def test_a_deleted_job_ends_its_events(busy: Callable[..., tuple[httpx.Client, str]]) -> None:
    client, where = busy()
    with client.stream("GET", f"{where}/events") as answer:
        assert answer.status_code == 200  # it follows before the job is deleted
        client.delete(where)
        *_, last = parse_lines(answer.iter_lines())
    assert last.name == "failed"
    assert last.data["error"]["status"] == 404


def test_work_without_end(busy: Callable[..., tuple[httpx.Client, str]], temporary: Path) -> None:
    client, where = busy(work=3)
    error = events(client, where)[-1][1]["error"]
    assert error["detail"] == "the prediction took longer than 3 seconds"
    assert not uploads(temporary)
    assert "not audio" in failure(post(client, b"no music", headers=WAIT))


def test_decoder_that_crashes(
    busy: Callable[..., tuple[httpx.Client, str]], temporary: Path
) -> None:
    others = set(children())
    client, where = busy()
    (worker,) = set(children()) - others
    os.kill(worker, signal.SIGSEGV)
    error = events(client, where)[-1][1]["error"]
    assert error["detail"] == "the decoder crashed on this recording"
    assert not uploads(temporary)
    assert "not audio" in failure(post(client, b"no music", headers=WAIT))


def test_a_mistake_in_the_server_fails_one_prediction(
    song: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise LookupError("/secret/folder")

    with serving() as client:
        with monkeypatch.context() as patched:
            patched.setattr(Job, "receive", broken)
            answer = post(client, song.read_bytes(), headers={"Prefer": "wait=20"})
        assert failure(answer) == "internal error"
        assert answer.json()["error"]["status"] == 500
        assert "/secret/folder" in caplog.text
        answer = post(client, b"no music", headers=WAIT)
        assert "not audio" in failure(answer)


def test_work_is_dropped_that_no_client_follows(
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
