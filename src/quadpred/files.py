"""Files that appear complete or not at all, CSV, and checksums and names of files."""

import csv
import errno
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import BinaryIO, TextIO

__all__ = [
    "DISK_ERRORS",
    "add_filename_to_errors",
    "atomic_write",
    "check_target",
    "csv_rows",
    "digest_of",
    "escape_name",
    "printable",
    "reason_of",
    "sha256_of",
    "unescape_name",
]

_FULL = "free some space or choose another folder"
DISK_ERRORS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: "choose another folder",
}
"""Errors that every file on a disk would meet, and what to do."""

_AMBIGUOUS = re.compile(r"\\(?=x(?:[89a-f][0-9a-f]|5c))")
_ESCAPED = re.compile(rb"\\x([89a-f][0-9a-f]|5c)")


def reason_of(error: OSError) -> str:
    """Return why a file cannot be used, and if its disk is the reason, what to do; and its notes.

    >>> reason_of(OSError(errno.ENOSPC, "No space left on device"))
    'No space left on device; free some space or choose another folder'
    """
    reason = error.strerror or str(error)
    remedy = DISK_ERRORS.get(error.errno or 0)
    parts = [reason, *([remedy] if remedy else []), *getattr(error, "__notes__", ())]
    return "; ".join(parts)


def printable(text: str) -> str:
    r"""Escape characters that would break a line or that no encoding holds.

    A byte of a name that is not UTF-8 is written as in `escape_name`.

    >>> printable("a line" + chr(10) + "feed, caf" + os.fsdecode(b"\xe9"))
    'a line\\nfeed, caf\\xe9'
    """
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # from os.fsdecode
        return f"\\x{ord(character) - 0xDC00:x}"
    return ascii(character)[1:-1]


def escape_name(name: str) -> str:
    r"""Return a file name as valid Unicode, in a form that `unescape_name` reverses.

    A byte that is not UTF-8 is written as `\xNN`. Where a name holds such a sequence itself, its
    backslash is written as `\x5c`. Every other name stays as it is.

    >>> escape_name(os.fsdecode(b"caf\xe9.mp3"))
    'caf\\xe9.mp3'
    """
    safe = _AMBIGUOUS.sub(r"\\x5c", name)
    return os.fsencode(safe).decode("utf-8", "backslashreplace")


def unescape_name(text: str) -> str:
    r"""Return the file name from a text that `escape_name` made.

    >>> os.fsencode(unescape_name(r"caf\xe9.mp3"))
    b'caf\xe9.mp3'
    """
    data = text.encode("utf-8", "surrogateescape")
    return os.fsdecode(_ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), data))


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 checksum of a file's content, in hexadecimal digits.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(value: object, digits: int) -> str:
    """Return the first hexadecimal digits of the SHA-256 checksum of a value, written as JSON.

    >>> digest_of({"b": 1, "a": [2]}, 8) == digest_of({"a": [2], "b": 1}, 8)
    True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:digits]


def csv_rows(file: TextIO) -> "csv.DictReader[str]":
    """Return the rows of a CSV with a header, separated by commas, semicolons or tabs.

    Spreadsheets whose decimal sign is a comma write the latter two. The file may be a pipe.
    """
    header = file.readline()
    return csv.DictReader(chain([header], file), delimiter=max(",;\t", key=header.count))


@contextmanager
def atomic_write(*paths: Path, scratch: Path | None = None) -> Iterator[tuple[BinaryIO, ...]]:
    """Open files that appear under their names together, and only when all are complete.

    They are written beside their targets under temporary names and renamed at the end of the
    `with` block. If the block ends early, they are removed and the targets stay as they were. A
    symbolic link is kept and its target replaced. A device or a pipe, such as `/dev/stdout`, is
    written directly.

    Args:
        paths: the targets. Missing folders are created.
        scratch: folder on the same file system for the temporary files, in place of the targets'.
            Not used for symbolic links, which may lead to another file system.

    Yields:
        One file per path, open for writing.

    Raises:
        OSError: a target cannot be written.
    """
    with ExitStack() as stack:
        opened = [
            _open(_resolved(path), stack, None if path.is_symlink() else scratch) for path in paths
        ]
        yield tuple(file for file, _, _ in opened)
        for file, _, target in opened:
            with add_filename_to_errors(target):
                file.close()  # flushes: on a full disk, nothing has been renamed yet
        for _, part, target in opened:
            if part is not None:
                part.replace(target)


@contextmanager
def add_filename_to_errors(path: Path) -> Iterator[None]:
    """Name the file in an `OSError` that does not, such as those that `write` raises."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def check_target(path: Path) -> None:
    """Check that a file could be written, and leave no trace.

    Raises:
        OSError: it could not: there is a folder of that name, or its folder cannot be written.
    """
    path = _resolved(path)
    with suppress(FileNotFoundError, NotADirectoryError):
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "is a folder", str(path))
        if not stat.S_ISREG(mode):
            return
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "is not a folder", str(folder))
    with ExitStack() as stack, _replace_filename_in_errors(path):
        # Permissions do not show that a file system is read-only: create a file.
        _open(folder / path.name, stack)


@contextmanager
def _replace_filename_in_errors(path: Path) -> Iterator[None]:
    """Report the target's path instead of the temporary file's."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def _open(
    target: Path, stack: ExitStack, scratch: Path | None = None
) -> tuple[BinaryIO, Path | None, Path]:
    """Open a temporary file for the target, or the target itself if it is a device or pipe."""
    if target.exists() and not target.is_file():
        return _close_with(stack, target.open("wb")), None, target
    target.parent.mkdir(parents=True, exist_ok=True)
    # The name has a fixed length: with the target's name in it, it could become too long.
    part = (scratch or target.parent) / f".quadpred-{secrets.token_hex(8)}.part"
    stack.callback(_remove, part)
    with _replace_filename_in_errors(target):
        return _close_with(stack, part.open("xb")), part, target


def _close_with(stack: ExitStack, file: BinaryIO) -> BinaryIO:
    """Close on unwind; ignore errors, since the original exception is already propagating."""

    def close() -> None:
        with suppress(OSError):
            file.close()

    stack.callback(close)
    return file


def _remove(part: Path) -> None:
    with suppress(OSError):  # a read-only file system reports an error even for a missing file
        part.unlink()


def _resolved(path: Path) -> Path:
    """Follow a symbolic link; leave other paths as they were given, for messages."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path
