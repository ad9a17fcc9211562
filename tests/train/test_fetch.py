"""Downloads from a local server that drops connections, and malicious archives."""

import gc
import gzip
import hashlib
import io
import os
import re
import stat
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from quadpred.cli.app import app
from quadpred.train.corpora import CORPORA, Archive
from quadpred.train.corpora import fetch as fetching
from quadpred.train.corpora.fetch import FetchError, download, unpack


class Server(ThreadingHTTPServer):
    """Serves `files`; after `patience` bytes of a file it drops the connection."""

    files: dict[str, bytes]
    patience: int
    ranges: bool
    asked: list[str]
    errors: list[int]
    headers: dict[str, str]

    def handle_error(self, *_: object) -> None:
        """Ignore clients that close the connection."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.server.errors:
            self.send_error(self.server.errors.pop(0))
            return
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        asked = self.headers.get("Range", "")
        self.server.asked.append(asked)
        start = int(asked[6:-1]) if asked and self.server.ranges else 0
        if start and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        if "Location" in self.server.headers:
            self.send_response(302)
            self.send_header("Location", self.server.headers["Location"])
            self.end_headers()
            return
        self.send_response(int(self.server.headers.get("Status", 206 if start else 200)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        length = self.server.headers.get("Content-Length", str(len(content) - start))
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(content[start : start + self.server.patience])
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(fetching, "PAUSES", (0.01, 0.01))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server(("127.0.0.1", 0), Handler) as made:
        made.files, made.asked, made.errors, made.headers = {}, [], [], {}
        made.patience, made.ranges = 1 << 30, True
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def serve(server: Server, content: bytes, name: str = "a.zip", **about: object) -> Archive:
    server.files[f"/{name}"] = content
    url = f"http://127.0.0.1:{server.server_address[1]}/{name}"
    checksum = f"md5:{hashlib.md5(content).hexdigest()}"
    return Archive(**{"part": "part", "url": url, "megabytes": 1, "checksum": checksum, **about})


NOISE = os.urandom(100_000)


def test_dropped_connections_are_resumed(server: Server, tmp_path: Path) -> None:
    server.patience = 30_000
    archive = serve(server, NOISE)
    steps: list[tuple[str, int, int]] = []
    download(archive, tmp_path / "file", lambda *step: steps.append(step))
    assert (tmp_path / "file").read_bytes() == NOISE
    assert server.asked == ["", "bytes=30000-", "bytes=60000-", "bytes=90000-"]
    assert steps[-1] == ("check part", len(NOISE), len(NOISE))
    assert {total for _, _, total in steps} == {len(NOISE)}
    assert os.listdir(tmp_path) == ["file"]


def test_download_is_resumed_in_another_process(server: Server, tmp_path: Path) -> None:
    archive = serve(server, NOISE)
    (tmp_path / "file.part").write_bytes(NOISE[:99_999])
    download(archive, tmp_path / "file")
    assert server.asked == ["bytes=99999-"]
    (tmp_path / "file").rename(tmp_path / "file.part")  # killed before the check
    download(archive, tmp_path / "file")
    download(archive, tmp_path / "file")  # is there already
    assert server.asked == ["bytes=99999-", "bytes=100000-"]
    assert (tmp_path / "file").read_bytes() == NOISE


def test_server_without_ranges_starts_again(server: Server, tmp_path: Path) -> None:
    archive = serve(server, NOISE)
    server.ranges = False
    (tmp_path / "file.part").write_bytes(b"something else")
    download(archive, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == NOISE


def test_part_larger_than_the_file_starts_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(NOISE * 2)
    download(serve(server, NOISE), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == NOISE


def test_busy_server_is_tried_again(server: Server, tmp_path: Path) -> None:
    server.errors = [503, 429]
    download(serve(server, NOISE), tmp_path / "file")
    assert (tmp_path / "file").exists()


@pytest.mark.parametrize(
    ("spoil", "message", "kept"),
    [
        (lambda server: server.files.clear(), "404 Not Found", False),
        (
            lambda server: setattr(server, "patience", 0),
            "the connection was lost",
            True,
        ),
        (lambda server: server.errors.extend([500] * 9), "500 Internal Server Error", False),
        (lambda server: server.files.update({"/a.zip": NOISE[::-1]}), "md5 is", False),
        (lambda server: server.files.update({"/a.zip": bytes(80_000_000)}), "larger than", True),
    ],
)
def test_failed_download_is_one_line(
    spoil: Callable[[Server], object], message: str, kept: bool, server: Server, tmp_path: Path
) -> None:
    archive = serve(server, NOISE)
    spoil(server)
    with pytest.raises(FetchError, match=message) as caught:
        download(archive, tmp_path / "file")
    assert archive.url in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "file").exists()
    assert (tmp_path / "file.part").exists() == kept


# After a redirection to an invalid address, urllib leaves the socket to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("Content-Length", "abc", "the server sent Content-Length: 'abc'"),
        ("Content-Length", "-5", "the server sent Content-Length: '-5'"),
        ("Content-Length", "9" * 5000, "the server sent Content-Length: '9999"),
        ("Status", "206", "the server sent another range than requested"),
        ("Status", "416", "the file has changed since"),
        ("Location", "/a.zip", "302"),
        ("Location", "http://[::1", "the server redirects to an invalid address"),
        ("Location", "http://a b/", "the server redirects to an invalid address|can't contain"),
        ("Location", "file:///etc/passwd", "302"),
    ],
)
def test_invalid_headers_are_one_line(
    name: str, value: str, message: str, server: Server, tmp_path: Path
) -> None:
    archive = serve(server, NOISE)
    server.headers[name] = value
    with pytest.raises(FetchError, match=message) as caught:
        download(archive, tmp_path / "file")
    assert archive.url in str(caught.value)
    assert str(caught.value).isprintable()
    del caught
    gc.collect()


def test_an_archive_that_was_altered_since_is_downloaded_again(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(NOISE[::-1])
    download(serve(server, NOISE), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == NOISE


def test_no_server(tmp_path: Path, server: Server) -> None:
    archive = Archive("part", "http://127.0.0.1:9/a.zip", 1)
    with pytest.raises(FetchError, match="Connection refused"):
        download(archive, tmp_path / "file")


def tar(members: dict[str, bytes | tarfile.TarInfo], mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def special(name: str, kind: bytes, target: str = "") -> dict[str, tarfile.TarInfo]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return {name: info}


def zipped(members: dict[str, bytes], mode: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return buffer.getvalue()


def spoilt(content: bytes) -> bytes:
    middle = len(content) // 2
    return (
        content[:middle]
        + bytes(byte ^ 85 for byte in content[middle : middle + 9])
        + content[middle + 9 :]
    )


def bomb(kind: bytes) -> bytes:
    """A small tar archive, one header of which is large."""
    info = tarfile.TarInfo("long")
    info.type, info.size = kind, 64 << 20
    return gzip.compress(info.tobuf() + bytes(info.size))


def sparse_bomb() -> bytes:
    """A small tar archive with a file that claims a hundred million holes."""
    marks = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "a.wav"}
    info = tarfile.TarInfo("sparse")
    info.pax_headers = {**marks, "GNU.sparse.realsize": "1"}
    content = b"100000000\n" + b"1\n" * (16 << 20)
    info.size = len(content)
    content += bytes(-len(content) % tarfile.BLOCKSIZE)
    return gzip.compress(info.tobuf(tarfile.PAX_FORMAT) + content)


def understated(content: bytes) -> bytes:
    """A zip whose directory gives too small a size for its file."""
    return content.replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))


def displaced(content: bytes) -> bytes:
    """A zip whose last record puts its first file before the archive."""
    place = int.from_bytes(content[-6:-2], "little")
    return content[:-6] + (place + 10).to_bytes(4, "little") + content[-2:]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tar({"../out.wav": b"x"}), "outside the folder"),
        (lambda: tar({"/tmp/out.wav": b"x"}), "outside the folder"),
        (lambda: tar({"a/../../out.wav": b"x"}), "outside the folder"),
        (lambda: tar({"C:\\out.wav": b"x"}), "not a portable file name"),
        (lambda: tar(special("link", tarfile.SYMTYPE, "/etc")), "link or a device"),
        (lambda: tar(special("link", tarfile.SYMTYPE, "inside")), "link or a device"),
        (lambda: tar(special("link", tarfile.LNKTYPE, "/etc/passwd")), "link or a device"),
        (lambda: tar(special("device", tarfile.CHRTYPE)), "link or a device"),
        (lambda: tar(special("pipe", tarfile.FIFOTYPE)), "link or a device"),
        (lambda: tar({"a.wav": NOISE})[:-9_000], "damaged"),
        (lambda: tar({"a.wav": NOISE}, "w")[:-90_000], "damaged"),
        (lambda: tar({"a.wav": bytes(80_000_000)}), "unpacks to more than"),
        (lambda: zipped({"../out.wav": b"x"}), "outside the folder"),
        (lambda: zipped({"/tmp/out.wav": b"x"}), "outside the folder"),
        (lambda: zipped({"a\\..\\..\\out.wav": b"x"}), "outside the folder|not a portable"),
        (lambda: zipped({"link": b"/etc"}, stat.S_IFLNK | 0o777), "link or a device"),
        (lambda: zipped({"device": b""}, stat.S_IFCHR), "link or a device"),
        (lambda: zipped({"a.wav": bytes(80_000_000)}), "unpacks to more than"),
        (lambda: understated(zipped({"a.wav": NOISE})), "damaged"),
        (lambda: displaced(zipped({"a.wav": NOISE})), "damaged"),
        (lambda: spoilt(zipped({"a.wav": b"sound" * 9_999})), "damaged"),
        (lambda: spoilt(tar({"a.wav": b"sound" * 9_999})), "damaged"),
        (lambda: spoilt(tar({"a.wav": NOISE}, "w:xz")), "damaged"),
        (lambda: spoilt(tar({"a.wav": NOISE}, "w:bz2")), "damaged"),
        (lambda: bomb(tarfile.XHDTYPE), "header of more than"),
        (lambda: bomb(tarfile.XGLTYPE), "header of more than"),
        (lambda: bomb(tarfile.GNUTYPE_LONGNAME), "header of more than"),
        (
            lambda: tar({"fine.wav": b"x"}, "w")[:1024] + gzip.decompress(bomb(b"K")),
            "header of more than",
        ),
        (sparse_bomb, "header of more than"),
        (lambda: b"<html>sorry</html>", "damaged"),
        (lambda: b"", "damaged"),
    ],
)
def test_malicious_archive_is_refused(
    make: Callable[[], bytes], message: str, tmp_path: Path
) -> None:
    (tmp_path / "archive").write_bytes(make())
    folder = tmp_path / "deep" / "folder"
    folder.mkdir(parents=True)
    with pytest.raises(FetchError, match=message) as caught:
        unpack(tmp_path / "archive", folder)
    assert str(tmp_path / "archive") in str(caught.value)
    assert os.listdir(tmp_path / "deep") == ["folder"]
    assert not any(path.is_symlink() for path in folder.rglob("*"))


@pytest.mark.parametrize("pack", [tar, zipped])
def test_plain_files_are_unpacked(pack: Callable[..., bytes], tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(pack({"a b/c.wav": b"one", "./d/é.wav": b"two"}))
    (tmp_path / "out").mkdir()
    unpack(tmp_path / "archive", tmp_path / "out")
    assert (tmp_path / "out" / "a b" / "c.wav").read_bytes() == b"one"
    assert (tmp_path / "out" / "d" / "é.wav").read_bytes() == b"two"


def run(*arguments: object, say: str = "") -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)), input=say, prog_name="quadpred")


@pytest.fixture
def aishell(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """AISHELL-1 as on its server, an archive of archives, with a second part."""
    inner = tar({"train/S0002/BAC009S0002W0122.wav": b"RIFF"})
    outer = {"data_aishell/wav/S0002.tar.gz": inner, "data_aishell/transcript/t.txt": b"-"}
    published = CORPORA["aishell"]
    inside = published.archives[0].inner
    archive = serve(server, tar(outer), "data_aishell.tgz", part="data", inner=inside)
    more = serve(server, tar({"more.txt": b"-"}), "more.tgz", part="more", optional=True)
    monkeypatch.setitem(CORPORA, "aishell", replace(published, archives=(archive, more)))


def test_fetch(aishell: None, server: Server, tmp_path: Path) -> None:
    server.patience = 200
    result = run("corpora", "fetch", "aishell", "-o", tmp_path, "--yes")
    assert result.exit_code == 0, result.output
    assert result.output.index("Licence: Apache 2.0") < result.output.index("Download: data")
    assert result.stderr == ""
    wav = tmp_path / "aishell" / "data_aishell" / "wav"
    assert (wav / "train" / "S0002" / "BAC009S0002W0122.wav").read_bytes() == b"RIFF"
    assert not list(wav.glob("*.tar.gz"))
    assert os.listdir(tmp_path / ".archives") == []
    assert not list(tmp_path.glob(".unpacking*"))
    asked = len(server.asked)
    assert run("corpora", "fetch", "aishell", "-o", tmp_path, "--yes").exit_code == 0
    assert len(server.asked) == asked
    result = run("corpora", "fetch", "aishell", "-o", tmp_path, "--yes", "--keep", "--part", "more")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "aishell" / "more.txt").exists()
    assert os.listdir(tmp_path / ".archives") == ["aishell-more.tgz"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["aishell"], "aishell: add --yes to agree to its licence"),
        (["aishell", "--yes", "--part", "x"], "aishell: unknown part x; choose from data, more"),
        (["nothing", "--yes"], "nothing: unknown corpus; choose from librispeech, "),
        (["ch818", "--yes"], "ch818: cannot be downloaded directly (by hand, from its authors"),
    ],
)
def test_fetch_refuses_in_one_line(
    arguments: list[str], message: str, aishell: None, server: Server, tmp_path: Path
) -> None:
    result = run("corpora", "fetch", *arguments, "-o", tmp_path)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert not server.asked
    assert os.listdir(tmp_path) == []


def test_archive_refused_leaves_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = serve(server, tar({"fine.wav": b"x", "../out.wav": b"x"}), part="data")
    monkeypatch.setitem(CORPORA, "aishell", replace(CORPORA["aishell"], archives=(bad,)))
    result = run("corpora", "fetch", "aishell", "-o", tmp_path, "--yes")
    assert result.exit_code == 2
    assert "is outside the folder" in result.stderr
    assert os.listdir(tmp_path) == [".archives"]


def fetch_one(archive: Archive, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    monkeypatch.setitem(CORPORA, "aishell", replace(CORPORA["aishell"], archives=(archive,)))
    return run("corpora", "fetch", "aishell", "-o", folder, "--yes")


def test_a_damaged_archive_without_checksum_is_downloaded_again(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tar({"a.wav": NOISE})
    archive = serve(server, whole, checksum="")
    (tmp_path / ".archives").mkdir()
    (tmp_path / ".archives" / "aishell-a.zip").write_bytes(whole[:-50_000])
    result = fetch_one(archive, tmp_path, monkeypatch)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "aishell" / "a.wav").read_bytes() == NOISE


def test_an_archive_that_stays_damaged_is_removed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = serve(server, tar({"a.wav": NOISE})[:-50_000], checksum="")
    result = fetch_one(archive, tmp_path, monkeypatch)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "damaged (" in result.stderr
    assert len(server.asked) == 2
    assert os.listdir(tmp_path / ".archives") == []


def test_checksums_and_addresses_are_well_formed() -> None:
    for corpus in CORPORA.values():
        for archive in corpus.archives:
            assert archive.url.startswith("https://")
            assert re.fullmatch(r"(md5:[0-9a-f]{32}|sha256:[0-9a-f]{64})?", archive.checksum)
