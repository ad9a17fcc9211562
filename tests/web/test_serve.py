"""`quadpred serve` as a process of its own."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

pytest.importorskip("fastapi")

import httpx
import soundfile

from helpers.serving import children, until
from helpers.sse import parse, parse_lines

pytestmark = pytest.mark.slow

Start = Callable[..., tuple["subprocess.Popen[str]", str]]
HERE = ("--port", "0", "--workers", "1")


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.fixture
def start(temporary: Path) -> Iterator[Start]:
    """Start servers, and return process and address."""
    servers = ExitStack()

    def start(*args: str) -> tuple["subprocess.Popen[str]", str]:
        command = [sys.executable, "-m", "quadpred", "serve", *HERE, *args]
        environment = {**os.environ, "TMPDIR": str(temporary)}
        server = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        servers.enter_context(server)  # closes its pipes
        servers.callback(server.kill)
        assert server.stdout is not None
        address = re.search(r"http://\S+", server.stdout.readline())
        assert address

        def answers() -> bool:
            try:
                return httpx.get(httpx.URL(address[0]).join("healthz")).status_code == 200
            except httpx.ConnectError:
                return False

        until(answers)
        return server, address[0]

    with servers:
        yield start


@pytest.fixture
def silence(tmp_path: Path) -> bytes:
    """An hour of it, which keeps a worker busy."""
    path = tmp_path / "silence.flac"
    soundfile.write(path, np.zeros(3600 * 8000, np.int16), 8000)
    return path.read_bytes()


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def refusal(*args: str, **environment: str) -> str:
    """The one line that says why a server does not start."""
    command = [sys.executable, "-m", "quadpred", "serve", *args]
    result = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 2
    assert not result.stdout
    (line,) = result.stderr.splitlines()
    return line.removeprefix("quadpred: ")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "music.example"])
def test_others_need_a_token(host: str) -> None:
    assert refusal("--host", host) == (
        f"--host {host}: other machines can reach it; add --token or --no-auth"
    )


def test_token_that_can_be_guessed() -> None:
    for token in "", "secret", "é" * 16:
        assert refusal("--token", token) == "--token: must be 16 or more printable ASCII characters"
    assert "--token" in refusal(QUADPRED_TOKEN="secret")


def test_address_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refusal("--port", str(port)) == f"127.0.0.1:{port}: Address already in use"
    assert refusal("--host", "no.example", "--no-auth").startswith("no.example:8000: ")


@pytest.mark.parametrize("host", [70 * "a", "a..b"])
def test_address_that_is_no_name(host: str) -> None:
    assert refusal("--host", host, "--no-auth") == f"{host}:8000: not a name of a machine"


def test_only_this_machine_is_answered(start: Start) -> None:
    server, address = start()
    assert address.startswith("http://127.0.0.1:")
    listening = Path(f"/proc/{server.pid}/net/tcp").read_text()
    assert f"0100007F:{httpx.URL(address).port:04X} 00000000:0000 0A" in listening


def test_other_addresses_can_be_asked_for(start: Start) -> None:
    _, address = start("--host", "0.0.0.0", "--token", "correct-horse & battery")
    port = httpx.URL(address).port
    assert httpx.get(address).status_code == 200  # the printed address opens the page
    assert httpx.get(f"http://127.0.0.1:{port}/v1/models").status_code == 401
    _, address = start("--host", "0.0.0.0", "--no-auth")
    port = httpx.URL(address).port
    assert httpx.get(f"http://127.0.0.1:{port}/v1/models").status_code == 200


@pytest.mark.parametrize("prefix", ["emotion", "/a b", "/../x?", "//", "http://a/"])
def test_prefix_that_is_not_a_path(prefix: str) -> None:
    assert refusal("--prefix", prefix).startswith(f"--prefix {prefix}: must be a path")


def test_serves_below_a_prefix(start: Start) -> None:
    _, address = start("--prefix", "/emotion/")
    assert address.endswith("/emotion/")
    assert httpx.get(f"{address}v1/models").status_code == 200


def test_ctrl_c_ends_waiting_clients_at_once_and_quietly(start: Start, silence: bytes) -> None:
    """In a terminal, Ctrl-C interrupts all processes of the group, and so it does here."""
    server, address = start()
    jobs, files = f"{address}v1/predictions", {"file": silence}
    where = httpx.post(jobs, files=files).headers["location"]  # keeps the worker busy
    stream = f"{address}v1/events?client=aaaaaaaaaaaaaaaa"
    ends: dict[str, tuple[int, str]] = {}

    def request(name: str, *args: object, **more: object) -> None:
        answer = httpx.request(*args, timeout=60, **more)
        ends[name] = answer.status_code, answer.text

    wait = {"files": files, "headers": {"Prefer": "wait=50"}, "params": {"client": 16 * "a"}}
    threads = [
        Thread(target=request, args=("stream", "GET", stream)),
        Thread(target=request, args=("job", "GET", f"{address}{where[1:]}/events")),
        Thread(target=request, args=("wait", "POST", jobs), kwargs=wait),
    ]
    for thread in threads:
        thread.start()

    def waits() -> bool:
        with httpx.stream("GET", stream) as answer:
            return bool(next(parse_lines(answer.iter_lines())).data["jobs"])

    until(waits)
    time.sleep(0.5)  # the other two requests were sent before
    began = time.monotonic()
    os.killpg(server.pid, signal.SIGINT)
    assert server.wait(timeout=30) == 130
    assert time.monotonic() - began < 15  # a stream without end would take longer
    for thread in threads:
        thread.join()
    for name in "stream", "job":
        status, text = ends[name]
        assert (status, parse(text)[-1].name) == (200, "closing")
    status, text = ends["wait"]
    assert (status, json.loads(text)["type"]) == (503, "/problems/shutting-down")
    assert server.stderr is not None
    assert server.stderr.read() == "quadpred: interrupted\n"


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_end_it(
    start: Start, temporary: Path, silence: bytes, sent: int, code: int
) -> None:
    server, address = start()
    workers = children(server.pid)
    httpx.post(f"{address}v1/predictions", files={"file": silence})
    server.send_signal(sent)
    assert server.wait(timeout=30) == code
    until(lambda: not any(map(alive, workers)))
    assert not list(temporary.iterdir())


def test_killed(start: Start, temporary: Path, silence: bytes) -> None:
    server, address = start()
    workers = children(server.pid)
    assert workers
    httpx.post(f"{address}v1/predictions", files={"file": silence})
    server.kill()
    server.wait()
    until(lambda: not any(map(alive, workers)))
    (left,) = temporary.iterdir()
    start()
    (folder,) = temporary.iterdir()
    assert folder != left
    assert not list(folder.iterdir())


def test_the_extra_is_missing(tmp_path: Path) -> None:
    (tmp_path / "fastapi.py").write_text("raise ModuleNotFoundError(name='fastapi')")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    assert refusal(PYTHONPATH=path) == 'serving needs the extra: pip install "quadpred[web]"'
