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
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from quadpred.errors import QuadpredError
from quadpred.files import add_filename_to_errors, printable
from quadpred.train.corpora.corpus import Archive, Corpus

__all__ = ["FetchError", "Progress", "download", "fetch", "unpack"]

Progress = Callable[[str, int, int], None]
"""Takes what is going on, bytes done, and bytes in all (0 if unknown)."""

BLOCK = 1 << 20
TIMEOUT = 60.0  # seconds without a byte
PAUSES = (1, 2, 5, 10, 30)  # seconds before trying again, as long as nothing more arrives
MOST_TIMES_LARGER = 20  # an unpacked archive; recordings shrink to a third at best
MOST_FILES = 1_000_000
MOST_HEADERS = 1 << 20  # bytes of a tar archive between two files, which tarfile holds in memory
COMPRESSIONS = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ", lzma.open))
DAMAGED = (
    EOFError,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
SPARE = 64 << 20  # bytes allowed beyond what is announced or expected


class FetchError(QuadpredError):
    """A download or archive that cannot be used. One line: what, and the reason."""


class DamagedError(FetchError):
    """An archive that another download may repair."""


def fetch(
    corpus: Corpus,
    root: Path,
    *,
    parts: list[Archive],
    progress: Progress = lambda *_: None,
    keep: bool = False,
) -> Path:
    """Download and unpack parts of a corpus into a folder of its name.

    What has been unpacked is not fetched again, and a download that was cut off goes on where it
    stopped. A damaged archive without a checksum is removed and downloaded once more.

    Args:
        corpus: whose name the folder gets.
        root: folder of corpora.
        parts: archives of this corpus.
        progress: is told how far it is.
        keep: the archives, in `root/.archives`.

    Returns:
        The corpus's folder.

    Raises:
        FetchError: no connection, a wrong checksum, or an archive that is not to be trusted.
        OSError: a file could not be written.
    """
    folder = root / corpus.name
    for archive in parts:
        done = folder / f".{archive.part}.fetched"
        if done.exists():
            continue
        file = root / ".archives" / f"{corpus.name}-{archive.url.rpartition('/')[2]}"
        try:
            _fetch(archive, file, folder, progress)
        except DamagedError:
            file.unlink()
            if archive.checksum:
                raise
            try:
                _fetch(archive, file, folder, progress)
            except DamagedError:
                file.unlink()
                raise
        done.touch()
        if not keep:
            file.unlink()
    return folder


def _fetch(archive: Archive, file: Path, folder: Path, progress: Progress) -> None:
    """Download one archive and unpack it into the corpus's folder."""
    download(archive, file, progress)
    with tempfile.TemporaryDirectory(dir=file.parents[1], prefix=".unpacking-") as name:
        fresh = Path(name)
        unpack(file, fresh, progress)
        for inner in sorted(fresh.glob(archive.inner)) if archive.inner else ():
            unpack(inner, inner.parent, progress)
            inner.unlink()
        _merge(fresh, folder)


def download(archive: Archive, target: Path, progress: Progress = lambda *_: None) -> None:
    """Download a file, beside its target until it is complete and its checksum is right.

    Raises:
        FetchError: it cannot be had, or is not what its checksum or size promise.
        OSError: it could not be written.
    """
    if target.exists():
        with suppress(FetchError):  # altered since it was downloaded, and removed now
            _verify(archive, target, progress)
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    failures = 0
    while True:
        had = part.stat().st_size if part.exists() else 0
        try:
            _receive(archive, part, progress)
            break
        except HTTPError as error:
            error.close()
            if error.code not in (408, 429) and error.code < 500:
                reason = printable(f"{error.code} {error.reason}")
                raise FetchError(f"{archive.url}: {reason}") from None
            reason = f"{error.code} {error.reason}"
        except (URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            reason = str(getattr(error, "reason", error))
        now = part.stat().st_size if part.exists() else 0
        failures = 1 if now > had else failures + 1
        if failures > len(PAUSES):
            kept = f"; what has arrived is kept in {part}" if now else ""
            raise FetchError(f"{archive.url}: {printable(reason)}{kept}")
        time.sleep(PAUSES[failures - 1])
    _verify(archive, part, progress)
    part.replace(target)


def _receive(archive: Archive, part: Path, progress: Progress) -> None:
    """Append what is missing of a download.

    Raises:
        ConnectionError: the connection ended before the file did.
    """
    most = archive.megabytes * 1_500_000 + SPARE
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "quadpred", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response = urlopen(Request(archive.url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        error.close()
        if have and error.headers.get("Content-Range") == f"bytes */{have}":
            return  # it was complete
        part.unlink(missing_ok=True)
        raise ConnectionError("the file has changed since part of it was downloaded") from None
    except (OverflowError, ValueError) as error:
        reason = f"the server redirects to an invalid address ({error})"
        raise FetchError(f"{archive.url}: {reason}") from None
    with response:
        if response.status == http.HTTPStatus.PARTIAL_CONTENT:
            if not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                part.unlink(missing_ok=True)
                raise ConnectionError("the server sent another part than asked for")
        else:
            have = 0
        length = response.headers.get("Content-Length", "0").strip()
        if not re.fullmatch(r"[0-9]{1,15}", length):
            raise FetchError(f"{archive.url}: the server sent Content-Length: {length!r}")
        total = have + int(length)
        with part.open("ab" if have else "wb") as file:
            while block := response.read(BLOCK):
                have += len(block)
                if have > most:
                    raise FetchError(f"{archive.url}: larger than {most // 1_000_000} MB")
                with add_filename_to_errors(part):
                    file.write(block)
                progress(f"download {archive.part}", have, total)
    if have < total:
        raise ConnectionError("the connection was lost")


def _verify(archive: Archive, path: Path, progress: Progress) -> None:
    if not archive.checksum:
        return
    method, _, wanted = archive.checksum.partition(":")
    digest = hashlib.new(method, usedforsecurity=False)
    size = path.stat().st_size
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            progress(f"check {archive.part}", file.tell(), size)
    if digest.hexdigest() != wanted:
        path.unlink()
        raise FetchError(f"{archive.url}: its {method} is {digest.hexdigest()}, not {wanted}")


def unpack(path: Path, folder: Path, progress: Progress = lambda *_: None) -> None:
    """Unpack a tar or zip archive of plain files into a folder.

    Raises:
        DamagedError: damaged.
        FetchError: it holds a link, a device, a name that leads elsewhere, or more than an archive
            of its size should.
        OSError: a file could not be written.
    """
    size = path.stat().st_size
    left = min(MOST_TIMES_LARGER * size + SPARE, shutil.disk_usage(folder).free)
    written = 0
    try:
        with closing(_members(path)) as members:
            for count, (name, source) in enumerate(members):
                if count >= MOST_FILES:
                    raise FetchError(f"{path}: holds more than {MOST_FILES} files")
                target = folder / _inside(path, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                with add_filename_to_errors(target), target.open("wb") as file:
                    while block := source.read(BLOCK):
                        written += len(block)
                        if written > left:
                            raise FetchError(
                                f"{path}: unpacks to more than {left // 1_000_000} MB, which is"
                                " more than it should or than the disk can take"
                            )
                        file.write(block)
                progress(f"unpack {path.name}", written, 0)
    except DAMAGED as error:
        raise DamagedError(f"{path}: is damaged ({error})") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise DamagedError(f"{path}: is damaged ({error})") from None  # gzip and bz2
    except (RuntimeError, NotImplementedError) as error:  # an encrypted zip, a rare compression
        raise FetchError(f"{path}: {error}") from None


def _members(path: Path) -> Generator[tuple[str, IO[bytes]], None, None]:
    """Yield name and content of each file, and refuse an archive with anything but files."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                kind = stat.S_IFMT(info.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise FetchError(f"{path}: {info.filename!r} is a link or a device")
                if not info.is_dir():
                    with archive.open(info) as content:
                        yield info.filename, content
        return
    with closing(_Headers(path)) as stream, closing(tarfile.TarFile(fileobj=stream)) as tar:
        while member := tar.next():
            tar.members = []  # or it keeps all of them
            stream.left = sys.maxsize
            if not member.isdir():
                unpacked = tar.extractfile(member) if member.isreg() else None
                if unpacked is None:
                    raise FetchError(f"{path}: {member.name!r} is a link or a device")
                with unpacked:
                    yield member.name, unpacked
            stream.left = MOST_HEADERS
        # tarfile stops at the first header that it does not understand, and before the sum at the
        # end of a compressed file: reading on tells damage from an end.
        stream.left = sys.maxsize
        while stream.read(BLOCK):
            pass


class _Headers(io.RawIOBase):
    """A tar archive without its compression, and a limit for what tarfile reads of headers.

    It reads them whole, and a small archive can hold a header of many gigabytes.
    """

    def __init__(self, path: Path):
        with path.open("rb") as file:
            start = file.read(6)
        opener = next((opener for magic, opener in COMPRESSIONS if start.startswith(magic)), open)
        self._file: IO[bytes] = opener(path, "rb")
        self._path = path
        self.left = MOST_HEADERS

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self.left:
            raise FetchError(f"{self._path}: has a header of more than {MOST_HEADERS} bytes")
        self.left -= size
        return self._file.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        super().close()


def _inside(path: Path, name: str) -> PurePosixPath:
    """Return a member's name if it stays below where it is unpacked on every system."""
    inside = PurePosixPath(name)
    if inside.is_absolute() or ".." in inside.parts or not inside.parts:
        raise FetchError(f"{path}: {name!r} leads out of the folder")
    if any(sign in name for sign in "\\:\0"):
        raise FetchError(f"{path}: {name!r} is a name that some systems read otherwise")
    return inside


def _merge(fresh: Path, folder: Path) -> None:
    """Move the files of one tree into another."""
    for source in sorted(fresh.rglob("*")):
        if source.is_file():
            target = folder / source.relative_to(fresh)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(source, target)
