"""What the server and its workers say to each other over pipes: a small dict and some bytes."""

import json
from asyncio import StreamReader
from struct import Struct
from typing import Any, BinaryIO

__all__ = ["Message", "pack", "read", "receive"]

Message = tuple[dict[str, Any], bytes]

_LONGEST = 1 << 28  # bytes, a hundred times those of an hour
_SIZES = Struct(">II")


def pack(head: dict[str, Any], body: bytes = b"") -> bytes:
    """Return a message as the bytes that `read` and `receive` understand."""
    text = json.dumps(head).encode()
    return _SIZES.pack(len(text), len(body)) + text + body


def read(file: BinaryIO) -> Message | None:
    """Read a message; `None` if the other side has gone."""
    sizes = file.read(_SIZES.size)
    if len(sizes) < _SIZES.size:
        return None
    head, body = _SIZES.unpack(sizes)
    content = file.read(head + body)
    if len(content) < head + body:
        return None
    return json.loads(content[:head]), content[head:]


async def receive(stream: StreamReader) -> Message:
    """Await a message.

    Raises:
        IncompleteReadError: the other side has gone.
        ValueError: what it says is no message, as when a decoder has written over its memory.
    """
    head, body = _SIZES.unpack(await stream.readexactly(_SIZES.size))
    if head + body > _LONGEST:
        raise ValueError(f"a message of {head + body} bytes")
    return json.loads(await stream.readexactly(head)), await stream.readexactly(body)
