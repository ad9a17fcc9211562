"""Put a changed file in the place of the original: through a copy, or in place."""

import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from quadpred.library.rawtags.items import ContainerError, Patch, Patched

__all__ = ["write_patches"]

_BLOCK = 1 << 20  # bytes
# Where a copy cannot take the file's place: the folder is read-only or another owner's, or the
# file is a mount point of its own, as in containers.
_NO_COPY = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV)


def write_patches(
    path: Path, file: BinaryIO, status: os.stat_result, patches: Sequence[Patch], *, touch: bool
) -> None:
    """Apply patches to a file.

    A copy beside the file takes its place, so that the file is whole at any moment. Where the
    folder or the owner forbids that, the file is written in place; what is overwritten is kept
    until all is written, and put back after an error.

    Args:
        path: of the file itself, not of a link to it.
        file: the same, open for reading.
        status: result of `fstat` when it was opened.
        patches: of its present content.
        touch: set the time of modification to now instead of keeping it.

    Raises:
        ContainerError: something else has changed the file.
        OSError: it cannot be written. This or an interrupt has a note if the file could not be
            restored either: it says where its bytes are kept.
    """
    try:
        _write_through_copy(path, file, status, patches)
    except OSError as error:
        if error.errno not in _NO_COPY:
            raise
        _check_unchanged(path, status)
        _write_in_place(path, file, patches)
        if not touch:
            with suppress(PermissionError):  # only the owner may set times
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    if touch:
        os.utime(path)


def _write_through_copy(
    path: Path, file: BinaryIO, status: os.stat_result, patches: Sequence[Patch]
) -> None:
    part = path.parent / f".quadpred-{secrets.token_hex(8)}.part"
    try:
        with part.open("x+b") as copy:
            shutil.copyfileobj(Patched(file, patches), copy, _BLOCK)
            copy.flush()
            os.fsync(copy.fileno())
        own = part.stat()
        if (own.st_uid, own.st_gid) != (status.st_uid, status.st_gid):
            os.chown(part, status.st_uid, status.st_gid)
        shutil.copystat(path, part)
        _check_unchanged(path, status)
        part.replace(path)
    finally:
        with suppress(OSError):  # a read-only file system complains even if there is no such file
            part.unlink()
    _sync(path.parent)


def _write_in_place(path: Path, file: BinaryIO, patches: Sequence[Patch]) -> None:
    size = file.seek(0, os.SEEK_END)
    result = Patched(file, patches)
    start = min(patch.start for patch in patches)
    with tempfile.TemporaryFile() as new, path.open("r+b", buffering=0) as target:
        result.seek(start)
        shutil.copyfileobj(result, new, _BLOCK)
        end = start + new.tell()
        with _put_back_after_errors(path, file, target, start):
            if end > size and hasattr(os, "posix_fallocate"):
                os.posix_fallocate(target.fileno(), 0, end)  # a full disk refuses here
            _overwrite(target, start, new, end)


def _overwrite(target: BinaryIO, start: int, source: BinaryIO, size: int) -> None:
    """Write a source from its beginning at `start`, cut the file to its size, and force it out."""
    source.seek(0)
    target.seek(start)
    while block := source.read(_BLOCK):
        rest = memoryview(block)
        while rest:
            rest = rest[target.write(rest) :]
    target.truncate(size)
    os.fsync(target.fileno())


@contextmanager
def _put_back_after_errors(
    path: Path, file: BinaryIO, target: BinaryIO, start: int
) -> Iterator[None]:
    """Keep a file's bytes from `start` on, and write them to `target` if the block fails.

    They are kept in the system's temporary folder, under the file's name. They stay there if the
    process is killed, or if they cannot be put back; a note of the error then names them.
    """
    size = file.seek(0, os.SEEK_END)
    descriptor, name = tempfile.mkstemp(prefix="quadpred-", suffix=f"-{path.name}"[-100:])
    needed = False
    try:
        with open(descriptor, "w+b") as old:
            file.seek(start)
            shutil.copyfileobj(file, old, _BLOCK)
            old.flush()
            needed = True
            try:
                yield
            except BaseException:
                _overwrite(target, start, old, size)
                needed = False
                raise
            needed = False
    except BaseException as error:
        if needed:
            error.add_note(f"it is incomplete; its old bytes from {start} on are kept in {name}")
        raise
    finally:
        if not needed:
            os.unlink(name)


def _check_unchanged(path: Path, status: os.stat_result) -> None:
    now = path.stat()
    if (now.st_ino, now.st_size, now.st_mtime_ns) != (
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
    ):
        raise ContainerError("was changed by something else just now", "run the command again")


def _sync(folder: Path) -> None:
    """Flush a folder, so that a renamed file survives a power failure."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
