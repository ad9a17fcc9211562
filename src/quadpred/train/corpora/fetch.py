"""Download the archives of a corpus, and unpack them as untrusted input."""

import bz2
import gzip
import hashlib
import http.client
import io
import lzma
import os
import re
import shutil
import stat
import sys
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from http.client import HTTPResponse
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from quadpred.errors import QuadpredError
from quadpred.files import add_filename_to_errors, printable
from quadpred.train.corpora.corpus import Archive, Corpus

__all__ = ["FetchError", "OnProgress", "download", "fetch", "unpack"]

OnProgress = Callable[[str, int, int], None]
"""Called with the current step, the bytes done, and the total bytes (0 if unknown)."""

BLOCK = 1 << 20
TIMEOUT = 60.0  # seconds without data
PAUSES: tuple[float, ...] = (1, 2, 5, 10, 30)  # seconds before a retry; new data restarts them
MAX_RATIO = 20  # of unpacked to packed size; audio compresses by 3 at most
MAX_FILES = 1_000_000
MAX_HEADER = 1 << 20  # bytes between two files of a tar archive, which tarfile holds in memory
COMPRESSIONS = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ", lzma.open))
DAMAGED = (
    EOFError,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
TOLERANCE = 64 << 20  # bytes allowed beyond the expected size


class FetchError(QuadpredError):
    """A download or archive cannot be used. The message is one line: the file and the reason."""


class DamagedError(FetchError):
    """An archive is damaged; another download may help."""


def fetch(
    corpus: Corpus,
    root: Path,
    *,
    parts: list[Archive],
    on_progress: OnProgress = lambda *_: None,
    keep: bool = False,
) -> Path:
    """Download and unpack parts of a corpus into a folder with its name.

    Unpacked parts are not fetched again, and an interrupted download is resumed. A damaged archive
    without a checksum is removed and downloaded once more.

    Args:
        corpus: gives the folder its name.
        root: folder of corpora.
        parts: archives of this corpus.
        on_progress: called during each step.
        keep: keep the archives, in `root/.archives`.

    Returns:
        The corpus's folder.

    Raises:
        FetchError: no connection, a wrong checksum, or an unsafe archive.
        OSError: a file cannot be written.
    """
    folder = root / corpus.name
    for archive in parts:
        done = folder / f".{archive.part}.fetched"
        if done.exists():
            continue
        file = root / ".archives" / f"{corpus.name}-{archive.url.rpartition('/')[2]}"
        try:
            _fetch(archive, file, folder, on_progress)
        except DamagedError:
            file.unlink()
            if archive.checksum:
                raise
            try:
                _fetch(archive, file, folder, on_progress)
            except DamagedError:
                file.unlink()
                raise
        done.touch()
        if not keep:
            file.unlink()
    return folder


def _fetch(archive: Archive, file: Path, folder: Path, on_progress: OnProgress) -> None:
    """Download one archive and unpack it into the corpus's folder."""
    download(archive, file, on_progress)
    with tempfile.TemporaryDirectory(dir=file.parents[1], prefix=".unpacking-") as name:
        fresh = Path(name)
        unpack(file, fresh, on_progress)
        for inner in sorted(fresh.glob(archive.inner)) if archive.inner else ():
            unpack(inner, inner.parent, on_progress)
            inner.unlink()
        _merge(fresh, folder)


def download(archive: Archive, target: Path, on_progress: OnProgress = lambda *_: None) -> None:
    """Download a file; it gets its name once it is complete and its checksum is right.

    Raises:
        FetchError: the download fails, or its checksum or size is wrong.
        OSError: the file cannot be written.
    """
    if target.exists():
        with suppress(FetchError):  # altered since its download: `_verify` removed it
            _verify(archive, target, on_progress)
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    failures = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            _receive(archive, part, on_progress)
            break
        except HTTPError as error:
            error.close()
            if error.code not in (408, 429) and error.code < 500:
                reason = printable(f"{error.code} {error.reason}")
                raise FetchError(f"{archive.url}: {reason}") from None
            reason = f"{error.code} {error.reason}"
        except (URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            reason = str(getattr(error, "reason", error))
        received = part.stat().st_size if part.exists() else 0
        failures = 1 if received > before else failures + 1
        if failures > len(PAUSES):
            hint = f"; run it again to resume from {part}" if received else ""
            raise FetchError(f"{archive.url}: {printable(reason)}{hint}")
        time.sleep(PAUSES[failures - 1])
    _verify(archive, part, on_progress)
    part.replace(target)


def _receive(archive: Archive, part: Path, on_progress: OnProgress) -> None:
    """Download the rest of a file.

    Raises:
        ConnectionError: the connection ended before the file did.
    """
    limit = archive.megabytes * 1_500_000 + TOLERANCE
    have = part.stat().st_size if part.exists() else 0
    response = _request(archive, part, have)
    if response is None:
        return
    with response:
        if response.status == http.HTTPStatus.PARTIAL_CONTENT:
            if not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                part.unlink(missing_ok=True)
                raise ConnectionError("the server sent another range than requested")
        else:
            have = 0
        length = response.headers.get("Content-Length", "0").strip()
        if not re.fullmatch(r"[0-9]{1,15}", length):
            raise FetchError(f"{archive.url}: the server sent Content-Length: {length!r}")
        total = have + int(length)
        with part.open("ab" if have else "wb") as file:
            while block := response.read(BLOCK):
                have += len(block)
                if have > limit:
                    raise FetchError(
                        f"{archive.url}: larger than {limit // 1_000_000} MB; download it by hand"
                    )
                with add_filename_to_errors(part):
                    file.write(block)
                on_progress(f"download {archive.part}", have, total)
    if have < total:
        raise ConnectionError("the connection was lost")


def _request(archive: Archive, part: Path, have: int) -> HTTPResponse | None:
    """Ask for the file from byte `have` on; return `None` if the part is complete.

    Raises:
        ConnectionError: the file is another one than that of the part, which is removed.
    """
    headers = {"User-Agent": "quadpred", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response: HTTPResponse = urlopen(Request(archive.url, headers=headers), timeout=TIMEOUT)
        return response
    except HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        error.close()
        if have and error.headers.get("Content-Range") == f"bytes */{have}":
            return None
        part.unlink(missing_ok=True)
        raise ConnectionError("the file has changed since part of it was downloaded") from None
    except (OverflowError, ValueError) as error:
        reason = f"the server redirects to an invalid address ({error})"
        raise FetchError(f"{archive.url}: {reason}") from None


def _verify(archive: Archive, path: Path, on_progress: OnProgress) -> None:
    if not archive.checksum:
        return
    method, _, expected = archive.checksum.partition(":")
    digest = hashlib.new(method, usedforsecurity=False)
    size = path.stat().st_size
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            on_progress(f"check {archive.part}", file.tell(), size)
    if digest.hexdigest() != expected:
        path.unlink()
        reason = f"wrong checksum: {method} is {digest.hexdigest()}, not {expected}; fetch it again"
        raise FetchError(f"{archive.url}: {reason}")


def unpack(path: Path, folder: Path, on_progress: OnProgress = lambda *_: None) -> None:
    """Unpack a tar or zip archive of plain files into a folder.

    Raises:
        DamagedError: the archive is damaged.
        FetchError: it holds a link, a device or a path outside the folder, or unpacks to more than
            the limit.
        OSError: a file cannot be written.
    """
    size = path.stat().st_size
    limit = min(MAX_RATIO * size + TOLERANCE, shutil.disk_usage(folder).free)
    written = 0
    try:
        with closing(_members(path)) as members:
            for count, (name, source) in enumerate(members):
                if count >= MAX_FILES:
                    raise FetchError(f"{path}: holds more than {MAX_FILES} files")
                target = folder / _inside(path, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                with add_filename_to_errors(target), target.open("wb") as file:
                    while block := source.read(BLOCK):
                        written += len(block)
                        if written > limit:
                            raise FetchError(
                                f"{path}: unpacks to more than {limit // 1_000_000} MB, the limit"
                                " for its size and the free disk space"
                            )
                        file.write(block)
                on_progress(f"unpack {path.name}", written, 0)
    except DAMAGED as error:
        raise DamagedError(f"{path}: damaged ({error})") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise DamagedError(f"{path}: damaged ({error})") from None  # gzip and bz2
    except (
        RuntimeError,
        NotImplementedError,
    ) as error:  # an encrypted zip, an unsupported compression
        raise FetchError(f"{path}: {error}") from None


def _members(path: Path) -> Generator[tuple[str, IO[bytes]], None, None]:
    """Yield name and content of each file; raise an error for links and devices."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                kind = stat.S_IFMT(info.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise FetchError(f"{path}: {info.filename!r} is a link or a device")
                if info.header_offset < 0:  # zipfile would seek there
                    raise DamagedError(f"{path}: damaged ({info.filename!r} begins before it)")
                if not info.is_dir():
                    with archive.open(info) as content:
                        yield info.filename, content
        return
    with closing(_Headers(path)) as stream, closing(tarfile.TarFile(fileobj=stream)) as tar:
        while member := tar.next():
            vars(tar)["members"] = []  # otherwise tarfile keeps all of them
            stream.allowance = sys.maxsize
            if not member.isdir():
                unpacked = tar.extractfile(member) if member.isreg() else None
                if unpacked is None:
                    raise FetchError(f"{path}: {member.name!r} is a link or a device")
                with unpacked:
                    yield member.name, unpacked
            stream.allowance = MAX_HEADER
        # tarfile stops at the first invalid header, before the checksum of a compressed file.
        # Reading to the end distinguishes damage from the end of the archive.
        stream.allowance = sys.maxsize
        while stream.read(BLOCK):
            pass


class _Headers(io.RawIOBase):
    """A decompressed tar archive that limits the size of headers.

    tarfile reads a header into memory, and a small archive can hold one of many gigabytes.
    """

    def __init__(self, path: Path):
        with path.open("rb") as file:
            start = file.read(6)
        opener: Any = next((o for magic, o in COMPRESSIONS if start.startswith(magic)), open)
        self._file: IO[bytes] = opener(path, "rb")
        self._path = path
        self.allowance = MAX_HEADER

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self.allowance:
            raise FetchError(f"{self._path}: header of more than {MAX_HEADER} bytes")
        self.allowance -= size
        return self._file.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        super().close()


def _inside(path: Path, name: str) -> PurePosixPath:
    """Return a member's name if on every system it stays inside the target folder."""
    member = PurePosixPath(name)
    if member.is_absolute() or ".." in member.parts or not member.parts:
        raise FetchError(f"{path}: {name!r} is outside the folder")
    if any(character in name for character in "\\:\0"):
        raise FetchError(f"{path}: {name!r} is not a portable file name")
    return member


def _merge(fresh: Path, folder: Path) -> None:
    """Move the files of one folder tree into another."""
    for source in sorted(fresh.rglob("*")):
        if source.is_file():
            target = folder / source.relative_to(fresh)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(source, target)
