"""Open the file of a recording, and nothing that could block or never end."""

import os
import re
import stat
from typing import BinaryIO

from quadpred.audio.errors import AudioError

__all__ = ["NOT_REGULAR", "open_regular"]

NOT_REGULAR = "is a pipe, a socket or a device, not a file"

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)


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
            raise AudioError(path, "is a folder")
        if not stat.S_ISREG(status.st_mode):
            raise AudioError(path, NOT_REGULAR)
        if not status.st_size:
            raise AudioError(path, "is empty")
        return open(path, "rb", buffering=0)
    except FileNotFoundError:
        reason = (
            "is an address; give the path of a file" if _ADDRESS.match(path) else "no such file"
        )
        raise AudioError(path, reason) from None
    except PermissionError:
        raise AudioError(path, "no permission to read it") from None
    except OSError as error:
        raise AudioError(path, f"cannot be opened ({error.strerror})") from None
