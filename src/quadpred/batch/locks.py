"""File locks, which are released when their process ends, even if it is killed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["lock", "locked"]


def lock(file: BinaryIO, *, wait: bool) -> None:
    """Lock a file until it is closed.

    It has no effect on systems and file systems without such locks.

    Raises:
        BlockingIOError: another process holds the lock, and `wait` is false.
    """
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise
    except OSError:
        return


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock on a file, which is created if it is missing."""
    with path.open("ab") as file:
        lock(file, wait=True)
        yield
