"""A checksum of the audio of a file that does not change with its tags."""

import errno
import hashlib
import os
import stat

import av

from quadpred.audio import NOT_REGULAR, AudioError, FilePart
from quadpred.audio.decode import codec_name, open_container
from quadpred.audio.interrupts import raise_deferred
from quadpred.files import sha256_of

__all__ = ["audio_sha256"]


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
        with (
            open(path, "rb") as file,
            open_container(FilePart(file, 0, status.st_size), os.fspath(path)) as container,
        ):
            stream = container.streams.audio[0]
            digest.update(codec_name(stream).encode())
            for packet in container.demux(stream):
                raise_deferred()
                content = bytes(packet)
                digest.update(content)
                size += len(content)
    except (AudioError, av.FFmpegError, IndexError):
        raise_deferred()
        return sha256_of(path)
    return digest.hexdigest() if size else sha256_of(path)
