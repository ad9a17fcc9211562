"""Cost of the server: 30-second clips over HTTP, against the same clips through `Predictor`.

python benchmarks/web.py [REQUESTS]
"""

import http.client
import json
import multiprocessing
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from multiprocessing.pool import Pool
from pathlib import Path
from types import MappingProxyType

from audio import song

from quadpred.formats.documents import json_line
from quadpred.predictor import Predictor

CONCURRENCY = (1, 2, 8)
WORKERS = 2
ROUNDS = 5  # server and processes alternate, so that other load affects both
BOUNDARY = "quadpred"


def serve() -> tuple[subprocess.Popen[str], str]:
    """Start a server; return its process and its host and port."""
    command = [sys.executable, "-m", "quadpred", "serve", "--port", "0"]
    server = subprocess.Popen(
        [*command, "--workers", str(WORKERS)], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    match = re.search(r"http://([^/]+)/", server.stdout.readline())
    assert match is not None, "the server printed no address"
    where = match[1]
    while True:
        try:
            ask(http.client.HTTPConnection(where), "GET", "/healthz")
            return server, where
        except ConnectionRefusedError:
            time.sleep(0.1)


def ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise SystemExit(f"{answer.status}: {content.decode()}")
    return content


def upload(where: str, form: bytes, count: int) -> list[float]:
    """Send `count` uploads in sequence; return the seconds of each."""
    connection = http.client.HTTPConnection(where)
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Prefer": "wait=60"}
    took = []
    for _ in range(count):
        began = time.perf_counter()
        content = ask(connection, "POST", "/v1/predictions", form, kind)
        took.append(time.perf_counter() - began)
    assert json.loads(content)["status"] == "done"
    return took


def by_server(where: str, form: bytes, concurrency: int, count: int) -> tuple[float, list[float]]:
    """Return the seconds of the whole and of each upload."""
    with ThreadPoolExecutor(concurrency) as pool:
        began = time.perf_counter()
        runs = [pool.submit(upload, where, form, count // concurrency) for _ in range(concurrency)]
        each = [seconds for run in runs for seconds in run.result()]
        return time.perf_counter() - began, each


def by_predictor(path: Path, count: int) -> None:
    """Predict one file `count` times, as the command line does."""
    predictor = load()
    for _ in range(count):
        json_line(predictor.predict(path))


@cache
def load() -> Predictor:
    """Load the model once per process."""
    return Predictor.load()


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 80
    count = -(-count // (max(CONCURRENCY) * ROUNDS)) * max(CONCURRENCY)  # per round
    with tempfile.TemporaryDirectory() as folder, multiprocessing.Pool(WORKERS) as peers:
        mp3 = song(Path(folder) / "song.mp3", 30)
        form = (
            (
                f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="song.mp3"'
                f"\r\n\r\n"
            ).encode()
            + mp3.read_bytes()
            + f"\r\n--{BOUNDARY}--\r\n".encode()
        )
        server, where = serve()
        try:
            names = ("at once", 8), ("requests/s", 12), ("p50 ms", 9), ("p99 ms", 9), ("peer/s", 9)
            print("".join(f"{name:>{width}}" for name, width in (*names, ("ratio", 8))))
            by_server(where, form, WORKERS, 4)
            peers.starmap(by_predictor, [(mp3, 2)] * WORKERS, chunksize=1)
            for concurrency in CONCURRENCY:
                measure(where, form, mp3, concurrency, count, peers)
        finally:
            server.terminate()
            server.wait()


def measure(where: str, form: bytes, mp3: Path, concurrency: int, count: int, peers: Pool) -> None:
    """Time the server and as many processes as it has busy workers, in turn; print one line."""
    busy = min(concurrency, WORKERS)
    all_: list[float] = []
    each: list[float] = []
    ratios: list[float] = []
    peer: list[float] = []
    for _ in range(ROUNDS):
        seconds, took = by_server(where, form, concurrency, count)
        began = time.perf_counter()
        peers.starmap(by_predictor, [(mp3, count // busy)] * busy, chunksize=1)
        peer.append(time.perf_counter() - began)
        all_.append(seconds)
        each += took
        ratios.append(seconds / peer[-1])
    each.sort()
    print(
        f"{concurrency:8}{count / statistics.median(all_):12.1f}"
        f"{1000 * statistics.median(each):9.0f}{1000 * each[int(0.99 * len(each))]:9.0f}"
        f"{count / statistics.median(peer):9.1f}{statistics.median(ratios):8.2f}"
    )


if __name__ == "__main__":
    main()
