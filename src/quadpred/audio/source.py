"""Open the file of a recording, and nothing that could block or never end."""

import os
import re
import stat
from typing import BinaryIO

from quadpred.audio.errors import AudioError

__all__ = ["ADDRESS", "BROKEN_LINK", "NOT_REGULAR", "FilePart", "is_address", "open_regular"]

ADDRESS = "is an address; download the file and give its path"
NOT_REGULAR = "is a pipe, a socket or a device, not a file; save its audio as a file"
BROKEN_LINK = "is a broken link; mount or restore its target, or remove it"

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)


def is_address(path: str) -> bool:
    """Return whether a path that names no file looks like an address."""
    return bool(_ADDRESS.match(path)) and not os.path.exists(path)


def open_regular(path: str) -> BinaryIO:
    """Open a regular file that is not empty, unbuffered.

    Raises:
        AudioError: it is anything else, is missing, or may not be read.
    """
    if "\0" in path:
        raise AudioError(path, "not a valid path")
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise AudioError(path, "is a folder; name a file")
        if not stat.S_ISREG(status.st_mode):
            raise AudioError(path, NOT_REGULAR)
        if not status.st_size:
            raise AudioError(path, "is empty; copy or download it again")
        return open(path, "rb", buffering=0)
    except FileNotFoundError:
        missing = BROKEN_LINK if os.path.islink(path) else "no such file"
        raise AudioError(path, ADDRESS if is_address(path) else missing) from None
    except PermissionError:
        raise AudioError(path, "no permission to read it") from None
    except OSError as error:
        raise AudioError(path, f"cannot be opened ({error.strerror})") from None


class FilePart:
    """The bytes [start, stop) of an open file, as a file that PyAV can read."""

    def __init__(self, file: BinaryIO, start: int, stop: int):
        # FFmpeg looks at the ending of the name where the content does not say what it is.
        self.name = os.fsdecode(file.name)
        self.start = start
        self._file, self._stop, self._at = file, stop, start

    def head(self, size: int) -> bytes:
        """Return its first bytes."""
        self._file.seek(self.start)
        return self._file.read(min(size, self._stop - self.start))

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, and move on; none at the end or beyond it."""
        size = min(size, self._stop - self._at)
        if size <= 0:
            return b""  # damaged headers name positions to which no file system can seek
        self._file.seek(self._at)
        data = self._file.read(size)
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position, and return it, or -1 if it is before the start."""
        origin = (self.start, self._at, self._stop)[whence]
        if not self.start <= origin + offset:
            return -1  # an exception would be printed
        self._at = origin + offset
        return self.tell()

    def tell(self) -> int:
        """Return the position."""
        return self._at - self.start
