"""MPEG audio (mp3, mp2) as whole frames, without the tags, padding and damage around them.

libsndfile 1.2 trusts the first frame for the length of an mp3 without a Xing header and drops what
lies beyond (most of a file with a variable bit rate), gives up at a kilobyte of damage, and takes
some text for MPEG. A pipe of clean frames, which has no length to guess, spares it all three.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import BinaryIO, NamedTuple

__all__ = ["Frames", "find_frames"]

_CHUNK = 1 << 16  # bytes read at once
_SEARCHED = 2048  # bytes, more than a frame: a recording cut out of a stream begins inside one
_TAIL = 1 << 16  # bytes of tags that may follow the audio
_SYNC = re.compile(rb"\xff[\xe2-\xe5\xf2-\xf5\xfa-\xfd]")  # MPEG 1, 2 or 2.5, layer II or III
_TAGS = (b"ID3", b"TAG", b"APET", b"LYRI")
_XING_BYTES = re.compile(rb"(?:Xing|Info)\0\0\0[\x03\x07\x0b\x0f].{4}(.{4})", re.DOTALL)

# ISO/IEC 11172-3 and 13818-3, 2.4.2.3: kbit/s by layer in MPEG 1, and under 0 by either layer in
# the others (a rate of 0 is left free, or forbidden); Hz by the two bits that tell the version.
_KBITS = {
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    2: (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 0),
    0: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
}
_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


class _Header(NamedTuple):
    kind: tuple[int, int, bool]  # version and layer, rate, mono: what a stream keeps throughout
    size: int  # bytes of the frame


@lru_cache(maxsize=4096)
def _header(head: bytes) -> _Header | None:
    """Read a frame's first four bytes; None if no frame begins with them."""
    if len(head) < 4 or not _SYNC.match(head):
        return None
    version, layer, rate = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3), head[2] >> 2 & 3
    kbits = _KBITS[layer if version == 3 else 0][head[2] >> 4]
    if not kbits or rate == 3:
        return None
    samples = 576 if layer == 3 and version != 3 else 1152
    size = samples // 8 * 1000 * kbits // _HZ[version][rate] + (head[2] >> 1 & 1)
    return _Header((head[1] & 0xFE, rate, head[3] >> 6 == 3), size)


class Frames:
    """The frames of one stream in runs of many, as bytes.

    Attributes:
        lost: bytes of damage between frames; complete when the runs have been read.
    """

    def __init__(self, file: BinaryIO, start: int, kind: tuple[int, int, bool]):
        self._file, self._start, self._kind = file, start, kind
        self.lost = 0

    def _size(self, data: bytes, at: int) -> int:
        """Bytes of the frame that begins here; 0 if none does."""
        header = _header(data[at : at + 4])
        return header.size if header and header.kind == self._kind else 0

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(self._start)
        data, damage, synced, tag = b"", 0, True, False
        while chunk := self._file.read(_CHUNK):
            data += chunk
            at = run = 0
            while at + 4 <= len(data):
                size = self._size(data, at)
                after = at + size
                # After a gap a header counts only if another one follows its frame.
                if size and after + (0 if synced else 4) > len(data):
                    break
                if size and (synced or self._size(data, after)):
                    self.lost += damage
                    at, damage, synced = after, 0, True
                    continue
                yield data[run:at]
                tag = data.startswith(_TAGS, at) if synced else tag
                sync = _SYNC.search(data, at + 1)
                run = sync.start() if sync else len(data) - 3
                damage += 0 if tag else run - at
                at, synced = run, False
            yield data[run:at]
            data = data[at:]


def _skip_tags(file: BinaryIO) -> int:
    """Return the position after the ID3v2 tags that a file begins with."""
    position = 0
    while (head := file.read(10)).startswith(b"ID3") and len(head) == 10:
        size = sum(byte << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        position += size + (20 if head[5] & 0x10 else 10)  # with a footer or without
        file.seek(position)
    return position


def _starts_here(head: bytes, at: int) -> _Header | None:
    """Return the first header if three like frames follow each other, or all there are."""
    first = header = _header(head[at : at + 4])
    for _ in range(2):
        if not first or not header or header.kind != first.kind:
            return None
        at += header.size
        if at == len(head):
            return first
        header = _header(head[at : at + 4])
    return first if first and header and header.kind == first.kind else None


def find_frames(file: BinaryIO) -> Frames | None:
    """Find where MPEG audio begins in an unbuffered file; None if not near its start."""
    position = _skip_tags(file)
    file.seek(position)
    head = file.read(_CHUNK)
    padding = len(head) - len(head.lstrip(b"\0"))
    for sync in _SYNC.finditer(head, padding, padding + _SEARCHED):
        at = sync.start()
        if first := _starts_here(head, at):
            after = at + first.size
            xing = _XING_BYTES.search(head, at, after)
            length = file.seek(0, 2) - position - at
            # Of joined files, a Xing header knows the first alone, and would end the stream there.
            joined = xing and length > int.from_bytes(xing[1], "big") + _TAIL
            return Frames(file, position + (after if joined else at), first.kind)
    return None
