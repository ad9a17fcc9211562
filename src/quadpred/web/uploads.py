"""Uploads: a private folder, and the files in it."""

import asyncio
import errno
import fcntl
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from quadpred.web.limits import Limits
from quadpred.web.problems import ProblemError

__all__ = ["Uploads"]

_PREFIX = "quadpred-serve-"
_BUFFER = 1 << 20  # bytes of an upload between two writes
_MAX_NAME = 255  # characters of a file's name that are kept
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORM = "send a form (multipart/form-data) with the recording in the field file"


class Uploads:
    """A folder that only its owner may read, removed with the server.

    A server that was killed leaves its folder behind; the next server removes it. Each server holds
    a lock on its folder, which the system releases when the process ends.
    """

    def __init__(self) -> None:
        _sweep(Path(tempfile.gettempdir()))
        while True:
            self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))  # for its owner alone
            self._lock = os.open(self.folder, os.O_RDONLY)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            if self.folder.exists():
                return
            os.close(self._lock)  # another server removed it before it was locked

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)

    async def receive(self, request: Request, limits: Limits) -> tuple[Path, str]:
        """Write the field `file` of a form to a file; return it and its name at the client.

        Raises:
            ProblemError: the form is damaged, too large or too slow, it does not hold exactly one
                recording, or the disk is full.
        """
        kind, options = parse_options_header(request.headers.get("content-type"))
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise ProblemError("not-a-form", _FORM)
        too_large = ProblemError(
            "upload-too-large", f"larger than {limits.bytes} bytes; send a smaller file"
        )
        announced = request.headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > limits.bytes + _BUFFER:
            raise too_large
        path = self.folder / secrets.token_hex(16)
        form = _Form(boundary)
        try:
            with path.open("xb") as file:
                size = 0
                async for chunk in _chunks(request, limits):
                    size += len(chunk)
                    form.write(chunk)
                    if size > limits.bytes + _BUFFER or form.size > limits.bytes:
                        raise too_large
                    if len(form.content) > _BUFFER:
                        await asyncio.to_thread(file.write, form.take())
                await asyncio.to_thread(file.write, form.take())
            return path, form.name()
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno in _NO_SPACE:
                raise ProblemError("disk-full", "the server's disk is full") from None
            raise


async def _chunks(request: Request, limits: Limits) -> AsyncIterator[bytes]:
    """Yield the body of a request.

    Raises:
        ProblemError: it pauses or takes too long, or the client has gone.
    """
    stream = request.stream()
    deadline = time.monotonic() + limits.upload
    while True:
        left = deadline - time.monotonic()
        try:
            async with asyncio.timeout(min(limits.idle, left)):
                chunk = await anext(stream, None)
        except TimeoutError:
            slow = f"no data for {limits.idle:g} seconds"
            if left < limits.idle:
                slow = f"the upload took longer than {limits.upload:g} seconds"
            raise ProblemError("upload-timeout", slow) from None
        except ClientDisconnect:
            raise ProblemError("bad-form", "the form is not complete") from None
        if chunk is None:
            return
        yield chunk


class _Form:
    """The field `file` of a form that arrives in pieces.

    Attributes:
        content: bytes of the field that have arrived and were not taken.
        size: bytes of the field that have arrived.
    """

    def __init__(self, boundary: bytes):
        self.content = bytearray()
        self.size = 0
        self._name: str | None = None
        self._complete = self._inside = False
        self._header = self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._headers.clear,
                "on_header_begin": self._new_header,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._begin,
                "on_part_data": self._data,
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
        )

    def write(self, chunk: bytes) -> None:
        """Take the next piece of the form."""
        try:
            self._parser.write(chunk)
        except MultipartParseError:
            raise ProblemError("bad-form", "invalid multipart/form-data") from None

    def take(self) -> bytes:
        """Return the bytes of the field that have arrived since the last call."""
        content = bytes(self.content)
        self.content.clear()
        return content

    def name(self) -> str:
        """Return the file's name at the client, when the whole form has arrived."""
        if not self._complete:
            raise ProblemError("bad-form", "the form is not complete")
        if self._name is None:
            raise ProblemError("invalid-request", _FORM)
        if not self.size:
            raise ProblemError("invalid-request", "the recording is empty")
        return self._name

    def _new_header(self) -> None:
        self._header = self._value = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._header.lower()] = self._value

    def _begin(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        self._inside = options.get(b"name") == b"file"
        if self._inside and self._name is not None:
            raise ProblemError("bad-form", "the form holds two recordings; send one per request")
        if self._inside:
            name = options.get(b"filename", b"").decode(errors="replace")
            name = name.replace("\\", "/").rpartition("/")[2]
            self._name = "".join(c for c in name if c.isprintable())[-_MAX_NAME:] or "upload"

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._inside:
            self.content += data[start:end]
            self.size += end - start

    def _end_part(self) -> None:
        self._inside = False

    def _end(self) -> None:
        self._complete = True


def _sweep(folder: Path) -> None:
    """Remove the folders of this user's servers that have ended."""
    for left in folder.glob(f"{_PREFIX}*"):
        try:
            lock = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            if os.fstat(lock).st_uid == os.getuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
        except BlockingIOError:
            pass  # its server is running
        finally:
            os.close(lock)
