"""A checksum of the audio of a file that does not change with its tags."""

import errno
import hashlib
import os
import stat

import av

from quadpred.audio import NOT_REGULAR, FilePart
from quadpred.files import sha256_of

__all__ = ["audio_sha256"]

_OPTIONS = {"protocol_whitelist": "none"}


def audio_sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 checksum of a file's coded audio, in hexadecimal digits.

    It covers the packets of the first audio stream, in order. Of a file whose packets cannot be
    read, it is the checksum of the whole file.

    Raises:
        OSError: the file cannot be read, or is not a regular file.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):  # to open a pipe would block
        raise OSError(errno.EINVAL, NOT_REGULAR, os.fspath(path))
    digest = hashlib.sha256()
    size = 0
    try:
        # FFmpeg gets bytes alone, so that a playlist in disguise cannot open anything else.
        with (
            open(path, "rb") as file,
            av.open(
                FilePart(file, 0, status.st_size), "r", options=_OPTIONS, metadata_errors="ignore"
            ) as container,
        ):
            stream = container.streams.audio[0]
            digest.update(stream.codec_context.name.encode())
            for packet in container.demux(stream):
                content = bytes(packet)
                digest.update(content)
                size += len(content)
    except (av.FFmpegError, IndexError, ValueError):
        return sha256_of(path)
    return digest.hexdigest() if size else sha256_of(path)
