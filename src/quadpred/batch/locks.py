"""Locks on files, which end with the process that holds them, killed or not."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["lock", "locked"]


def lock(file: BinaryIO, *, wait: bool) -> None:
    """Keep others from locking a file until it is closed.

    Does nothing on systems and file systems without such locks.

    Raises:
        BlockingIOError: another has it, and `wait` is false.
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
    """Wait for a lock on a file, which is made if it is missing, and hold it."""
    with path.open("ab") as file:
        lock(file, wait=True)
        yield
