"""Download from hostile servers, unpack hostile archives; each must succeed or fail in one line.

    python tools/attack_downloads.py --servers 200 --archives 2000

A server answers with random status lines, headers and bodies. Archives are valid ones with random
bytes changed, cut off, repeated, or with large headers. Each must succeed or raise a
`FetchError`. Nothing may be written outside the folder. Memory may grow by at most 200 MB. The exit
code is 1 otherwise.
"""

import argparse
import gzip
import io
import random
import resource
import socket
import sys
import tarfile
import tempfile
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from quadpred.train.corpora import Archive
from quadpred.train.corpora import fetch as fetching
from quadpred.train.corpora.fetch import FetchError, download, unpack

GROWTH = 200_000  # kB
CONTENT = bytes(range(256)) * 400
STATUSES = ("200 OK", "206 Partial Content", "302 Found", "404 Not Found", "416 No", "503 Busy",
            "999 ?", "abc", "")  # fmt: skip
HEADERS = {
    "Content-Length": ["102400", "abc", "-1", "0", "9" * 400, "102400, 102400", "1e5", ""],
    "Content-Range": ["bytes 0-5/6", "bytes */102400", "bytes", "bytes x-y/z", ""],
    "Location": ["http://[::1", "file:///etc/passwd", "//", "http://127.0.0.1:1/", "\x00", "é"],
    "Transfer-Encoding": ["chunked", "gzip", ""],
    "X-Long": ["a" * 70_000],
}


class Server:
    """Answers every request with other nonsense, until it is closed."""

    def __init__(self, chance: random.Random):
        self.chance = chance
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                try:
                    connection.recv(65_536)
                    connection.sendall(self._answer())
                except OSError:
                    pass

    def _answer(self) -> bytes:
        chance = self.chance
        lines = [f"HTTP/1.{chance.choice('019')} {chance.choice(STATUSES)}"]
        for name in chance.sample(sorted(HEADERS), chance.randrange(4)):
            lines.append(f"{name}: {chance.choice(HEADERS[name])}")
        if chance.random() < 0.05:
            lines += [f"X-{number}: 1" for number in range(150)]
        body = CONTENT[: chance.choice([0, 1, 1000, len(CONTENT)])]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def archive(chance: random.Random) -> bytes:
    """Return a tar or zip archive of a few files."""
    files = {f"a/{number}.wav": CONTENT[: chance.randrange(len(CONTENT))] for number in range(4)}
    buffer = io.BytesIO()
    if chance.random() < 0.3:
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in files.items():
                packed.writestr(name, content)
        return buffer.getvalue()
    mode: Literal["w", "w:gz", "w:bz2", "w:xz"] = chance.choice(["w", "w:gz", "w:bz2", "w:xz"])
    form = chance.choice([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
    with tarfile.open(fileobj=buffer, mode=mode, format=form) as packed:
        for name, content in files.items():
            info = tarfile.TarInfo(name if chance.random() < 0.8 else f"{'long/' * 30}{name}")
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def flip(content: bytes, chance: random.Random) -> bytes:
    """Change some bytes."""
    changed = bytearray(content)
    for _ in range(chance.choice([1, 1, 3, 50])):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def header_bomb(content: bytes, chance: random.Random) -> bytes:
    """Return a small archive with a header of many megabytes."""
    kinds = [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK]
    info = tarfile.TarInfo("long")
    info.type, info.size = chance.choice(kinds), chance.choice([2 << 20, 500 << 20])
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1) as file:
        file.write(info.tobuf())
        for _ in range(info.size >> 20):
            file.write(bytes(1 << 20))
    return packed.getvalue()


DAMAGE: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *([flip] * 20),
    *([lambda content, chance: content[: chance.randrange(len(content))]] * 5),
    *([lambda content, chance: content + content[chance.randrange(len(content)) :]] * 5),
    lambda content, chance: bytes(chance.randrange(1 << 20)),
    header_bomb,
)


def end_of(work: Callable[..., None], *arguments: object) -> str:
    """Do something and say how it ended."""
    try:
        work(*arguments)
    except FetchError as error:
        return "several lines" if not str(error).isprintable() else "one line"
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:200]
    return "well"


@contextmanager
def no_pauses() -> Iterator[None]:
    """Try again at once, and only twice."""
    before, fetching.PAUSES = fetching.PAUSES, (0.0, 0.0)
    try:
        yield
    finally:
        fetching.PAUSES = before


def main() -> None:
    """Attack, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--servers", type=int, default=200)
    parser.add_argument("--archives", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    counts: Counter[str] = Counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as name, no_pauses():
        root = Path(name)
        server = Server(random.Random(options.seed))
        wanted = Archive("part", f"http://127.0.0.1:{server.port}/a.tar", 1)
        for number in range(options.servers):
            target = root / f"download {number % 5}"
            counts[f"servers: {end_of(download, wanted, target)}"] += 1
            target.unlink(missing_ok=True)
        server.socket.close()
        for number in range(options.archives):
            packed, folder = root / "archive", root / "deep" / f"folder {number}"
            packed.write_bytes(chance.choice(DAMAGE)(archive(chance), chance))
            folder.mkdir(parents=True)
            counts[f"archives: {end_of(unpack, packed, folder)}"] += 1
        strays = [path for path in (root / "deep").iterdir() if not path.name.startswith("folder ")]
    counts["archives: written outside"] += len(strays)
    for outcome, count in (+counts).most_common():
        print(f"{count} {outcome}")
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"memory grew by {growth // 1000} MB")
    allowed = ("well", "one line")
    sys.exit(growth > GROWTH or any(not each.endswith(allowed) for each in +counts))


if __name__ == "__main__":
    main()
