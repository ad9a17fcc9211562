"""Errors and warnings about audio, each one line."""

import os
from pathlib import Path

from quadpred.errors import QuadpredError
from quadpred.files import printable

__all__ = ["AudioError", "AudioWarning", "TooLongError"]


class AudioError(QuadpredError):
    """Audio that cannot be read. `str(error)` is one line: the file and the reason."""

    def __init__(self, path: str | os.PathLike[str], reason: str):
        super().__init__(path, reason)  # pickle rebuilds the error from these
        self.path = Path(path)
        self.reason = reason

    def __str__(self) -> str:
        return printable(f"{os.fspath(self.args[0])}: {self.reason}")


class AudioWarning(UserWarning):
    """Audio that was read only in part, or whose scale is unlikely."""


class TooLongError(AudioError):
    """Audio that lasts longer than it may."""
