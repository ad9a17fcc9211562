"""Read from the bytes of a file: leading tags, the links of chained Ogg, and the stated length.

FFmpeg limits a stated length to the bytes that exist, so it does not notice a truncated file.
"""

import re
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

__all__ = ["Links", "ogg_links", "promised_fraction", "skip_tags", "xing_frames"]

_CHUNK = 1 << 16  # bytes read at once
_UNKNOWN_32 = 0x7FFF0000  # a 32-bit size from here on was never filled in, nor was 0
_UNKNOWN_64 = 1 << 62

# By magic: the position of the first chunk; the layout of a chunk's header; whether its size counts
# the header; to how many bytes it is padded; the name of the chunk that holds the samples.
_CHUNKED = {
    b"RIFF": (12, "<4sI", False, 2, b"data"),
    b"FORM": (12, ">4sI", False, 2, b"SSND"),
    b"caff": (8, ">4sq", False, 1, b"data"),
    b"riff": (40, "<16sq", True, 8, b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"),
}

_PAGE = 27  # bytes of an Ogg page header, before its segment table
_FIRST = 2  # flag of the first page of a stream

# A Xing or Info header with a frame count and a byte count, and how many bytes a frame can have.
_XING = re.compile(rb"(?:Xing|Info)\0\0\0[\x03\x07\x0b\x0f](.{4})(.{4})", re.DOTALL)
_FRAME_BYTES = range(24, 1500)


def skip_tags(file: BinaryIO, size: int) -> int:
    """Return the position after the ID3v2 tags at the start of a file of `size` bytes.

    Of a tag that claims to reach beyond the file, only the header is skipped.
    """
    position = 0
    while True:
        file.seek(position)
        head = file.read(10)
        if len(head) < 10 or not head.startswith(b"ID3") or max(head[6:]) > 0x7F:
            return position
        length = sum(byte << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        after = position + length + (20 if head[5] & 0x10 else 10)  # with a footer or without
        position = after if after < size else position + 10


def xing_frames(head: bytes) -> int | None:
    """Return the number of frames that the header of an mp3 states, if it is plausible."""
    found = _XING.search(head)
    if not found:
        return None
    frames, size = (int.from_bytes(field, "big") for field in found.groups())
    return frames if frames and size // frames in _FRAME_BYTES else None


def promised_fraction(file: BinaryIO, start: int, size: int) -> float:
    """Return how much audio the header of a PCM file states, as a multiple of what the file holds.

    Args:
        file: wav, aiff, caf, w64 or au; for any other the result is 1.
        start: the position of its magic.
        size: the size of the file in bytes.
    """
    file.seek(start)
    magic, header, data = struct.unpack(">4sII", file.read(12).ljust(12, b"\0"))
    if magic == b".snd":
        return _fraction(data, size - start - header, _UNKNOWN_32)
    if magic not in _CHUNKED:
        return 1.0
    first, layout, inclusive, padding, name = _CHUNKED[magic]
    head_size = struct.calcsize(layout)
    position = start + first
    while True:
        file.seek(position)
        head = file.read(head_size)
        if len(head) < head_size:
            return 1.0
        found, length = struct.unpack(layout, head)
        length -= head_size if inclusive else 0
        position += head_size
        if found == name:
            limit = _UNKNOWN_32 if head_size == 8 else _UNKNOWN_64
            return _fraction(length, size - position, limit)
        if not 0 <= length <= size:
            return 1.0
        position += -(-length // padding) * padding


def _fraction(claimed: int, present: int, unknown: int) -> float:
    known = 0 < claimed < unknown and present > 0
    return max(1.0, claimed / present) if known else 1.0


class Links(NamedTuple):
    """The links of a chained Ogg file: where each begins and ends, and whether the last is cut."""

    spans: list[tuple[int, int]]
    truncated: bool


def ogg_links(file: BinaryIO, start: int, size: int) -> Links:
    """Find the links of an Ogg file, each of which may have a codec, rate and layout of its own."""
    starts, end, beginning = [start], start, True
    for position, flags, after in _pages(file, start):
        if flags & _FIRST and not beginning:
            starts.append(position)
        beginning, end = bool(flags & _FIRST), after
    return Links(list(zip(starts, [*starts[1:], size], strict=True)), end > size)


def _pages(file: BinaryIO, position: int) -> Iterator[tuple[int, int, int]]:
    """Yield position, flags and end of each Ogg page."""
    while True:
        file.seek(position)
        head = file.read(_PAGE + 255)
        if not head.startswith(b"OggS"):
            found = _find_page(file, position)
            if found is None:
                return
            position = found
            continue
        head = head.ljust(_PAGE + 255, b"\0")
        segments = head[_PAGE - 1]
        end = position + _PAGE + segments + sum(head[_PAGE : _PAGE + segments])
        yield position, head[5], end
        position = end


def _find_page(file: BinaryIO, position: int) -> int | None:
    """Return the position of the next Ogg page at or after `position`."""
    while True:
        file.seek(position)
        chunk = file.read(_CHUNK)
        if len(chunk) < 4:
            return None
        found = chunk.find(b"OggS")
        if found >= 0:
            return position + found
        position += len(chunk) - 3
