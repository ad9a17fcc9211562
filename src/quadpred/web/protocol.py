"""Messages between the server and its workers: a JSON header and a body of bytes, over pipes."""

import json
from asyncio import StreamReader
from struct import Struct
from typing import Any, BinaryIO

__all__ = ["Message", "pack", "read", "receive"]

Message = tuple[dict[str, Any], bytes]

_MAX_BYTES = 1 << 28  # per message; an hour of rows takes about 1 MB
_SIZES = Struct(">II")


def pack(header: dict[str, Any], body: bytes = b"") -> bytes:
    """Return a message as the bytes that `read` and `receive` understand."""
    text = json.dumps(header).encode()
    return _SIZES.pack(len(text), len(body)) + text + body


def read(file: BinaryIO) -> Message | None:
    """Read a message; return None if the other process has ended."""
    sizes = file.read(_SIZES.size)
    if len(sizes) < _SIZES.size:
        return None
    header, body = _SIZES.unpack(sizes)
    content = file.read(header + body)
    if len(content) < header + body:
        return None
    return json.loads(content[:header]), content[header:]


async def receive(stream: StreamReader) -> Message:
    """Await a message.

    Raises:
        IncompleteReadError: the other process has ended.
        ValueError: the bytes are not a message, as when a decoder has overwritten memory.
    """
    header, body = _SIZES.unpack(await stream.readexactly(_SIZES.size))
    if header + body > _MAX_BYTES:
        raise ValueError(f"a message of {header + body} bytes is too long")
    return json.loads(await stream.readexactly(header)), await stream.readexactly(body)
