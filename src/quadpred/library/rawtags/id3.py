"""ID3v2.2, 2.3 and 2.4 tags as raw frames.

Frames are cut at their borders and never decoded and encoded again, except those of quadpred.
Format: https://id3.org/id3v2.4.0-structure, id3v2.3.0, id3v2-00.
"""

import re
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import Self

from mutagen.id3 import ID3, ParseID3v1

from quadpred.library.rawtags.items import COMMENT, MOOD, TOO_LARGE, ContainerError, Item

__all__ = ["HEADER", "V1", "Id3Tag", "frames_of_v1", "tag_size"]

HEADER = 10
"""Bytes of a tag's header, and of its footer."""
V1 = 128
"""Bytes of an ID3v1 tag."""

_VERSION = 4  # of new tags
_UNSYNC, _EXTENDED, _FOOTER = 0x80, 0x40, 0x10  # flags of the tag
_LARGEST = 1 << 28
_NAMES = {2: re.compile(rb"[A-Z][A-Z0-9]{2}"), 3: re.compile(rb"[A-Z][A-Z0-9]{3}")}
_NAMES[4] = _NAMES[3]
_TEXT = {2: b"TXX", 3: b"TXXX", 4: b"TXXX"}
_COMMENT = {2: b"COM", 3: b"COMM", 4: b"COMM"}
_LANGUAGE = b"eng"
_SEPARATOR = "; "  # before 2.4, which knows several values of a frame
_LATIN, _UTF16, _UTF16_BE, _UTF8 = range(4)
_CODECS = {_LATIN: "latin-1", _UTF16: "utf-16", _UTF16_BE: "utf-16-be", _UTF8: "utf-8"}


def tag_size(header: bytes) -> int:
    """Return the bytes of the tag that begins with this header; 0 if none does.

    Raises:
        ContainerError: a tag of an unknown version, or with a size that is not valid.
    """
    if len(header) < HEADER or header[:3] != b"ID3":
        return 0
    if header[3] not in _NAMES:
        raise ContainerError(f"its ID3 tag has the unknown version 2.{header[3]}")
    if max(header[6:10]) >= 0x80:
        raise ContainerError("its ID3 tag has a size that is not valid")
    footer = HEADER if header[3] == 4 and header[5] & _FOOTER else 0
    return HEADER + _synchsafe(header[6:10]) + footer


class Id3Tag:
    """One tag.

    Args:
        data: the whole tag, from its header to its padding or footer.

    Raises:
        ContainerError: its frames cannot be found, or cannot be changed without harm.
    """

    def __init__(self, data: bytes):
        if len(data) < (size := tag_size(data[:HEADER])) or not size:
            raise ContainerError("its ID3 tag is cut off")
        self.version, self._flags = data[3], data[5]
        self.kind = f"id3v2.{self.version}"
        self._header = data[:6]
        self._footer = self.version == 4 and bool(self._flags & _FOOTER)
        body = data[HEADER : HEADER + _synchsafe(data[6:10])]
        # Before 2.4 the tag is unsynchronised as a whole, and frames have their sizes before that.
        self._unsync = self.version < 4 and bool(self._flags & _UNSYNC)
        decoded, dropped = _synchronised(body) if self._unsync else (body, [])
        start = self._extended(decoded)
        frames, end, self._plain = self._frames(decoded, start)

        def raw(first: int, last: int) -> bytes:
            begin, end = (at + bisect_left(dropped, at) for at in (first, last))
            return body[begin:end]

        self._start = raw(0, start)
        self.items = [
            Item(raw(at, at + size), *self._named(decoded[at : at + size])) for at, size in frames
        ]
        self._rest = raw(end, len(decoded))
        self.room = 0
        if not self._rest.strip(b"\0") and not self._footer:
            self.room, self._rest = len(self._rest), b""

    @classmethod
    def new(cls) -> Self:
        """Return a tag without frames."""
        return cls(b"ID3" + bytes([_VERSION, 0, 0, 0, 0, 0, 0]))

    def render(self, items: Iterable[Item], room: int | None = None) -> bytes:
        """Return the tag with these frames.

        Args:
            items: of this tag or of `make`.
            room: padding in bytes; by default what the frames leave of the present padding.
        """
        frames = b"".join(item.raw for item in items)
        if room is None:
            room = max(0, self.room + sum(len(item.raw) for item in self.items) - len(frames))
        body = self._start + frames + self._rest + bytes(0 if self._footer else room)
        if len(body) >= _LARGEST:
            raise ContainerError("its ID3 tag would be larger than ID3 allows", TOO_LARGE)
        size = bytes(len(body) >> shift & 0x7F for shift in (21, 14, 7, 0))
        footer = b"3DI" + self._header[3:] + size if self._footer else b""
        return self._header + size + body + footer

    def make(self, name: str, texts: Sequence[str]) -> list[Item]:
        """Return the frame that holds texts under a name."""
        values = list(texts) if self.version == 4 else [_SEPARATOR.join(texts)]
        if name == MOOD and self.version == 4:
            frame, head = b"TMOO", []
        elif name == COMMENT:
            frame, head, values = _COMMENT[self.version], [""], [_SEPARATOR.join(texts)]
        else:
            frame, head = _TEXT[self.version], [name]
        encoding = _UTF8
        if self.version < 4:
            encoding = _LATIN if all(_is_latin(text) for text in (*head, *values)) else _UTF16
        end = b"\0\0" if encoding == _UTF16 else b"\0"
        coded = end.join(text.encode(_CODECS[encoding]) for text in (*head, *values))
        data = bytes([encoding]) + (_LANGUAGE if name == COMMENT else b"") + coded
        raw = frame + self._size(len(data)) + (b"" if self.version == 2 else b"\0\0") + data
        # What readers get of it: before 2.4, values are one text.
        read = tuple(values)
        return [Item(_unsynchronised(raw) if self._unsync else raw, name, read)]

    def _size(self, size: int) -> bytes:
        if self.version == 2:
            return size.to_bytes(3, "big")
        if self.version == 3 or self._plain:
            return size.to_bytes(4, "big")
        return bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))

    def _extended(self, decoded: bytes) -> int:
        """Return where frames begin, behind the extended header."""
        if not self._flags & _EXTENDED:
            return 0
        if self.version == 2:
            raise ContainerError("its ID3 tag is compressed")
        if len(decoded) < 6:
            raise ContainerError("its ID3 tag is cut off")
        if self.version == 3:
            size, checked = 4 + int.from_bytes(decoded[:4], "big"), decoded[4] & 0x80
        else:
            size, checked = _synchsafe(decoded[:4]), decoded[5] & 0x20
        if checked:
            raise ContainerError("its ID3 tag has a checksum of its own")
        if not 6 <= size <= len(decoded):
            raise ContainerError("its ID3 tag has an extended header that is not valid")
        return size

    def _frames(self, decoded: bytes, start: int) -> tuple[list[tuple[int, int]], int, bool]:
        """Find frames: start and size of each, where they end, whether sizes are plain numbers.

        Old versions of iTunes wrote 2.4 with the plain sizes of 2.3.
        """
        frames, end = self._walk(decoded, start, plain=self.version < 4)
        if self.version == 4 and decoded[end:].strip(b"\0"):
            others, other_end = self._walk(decoded, start, plain=True)
            if not decoded[other_end:].strip(b"\0"):
                return others, other_end, True
        return frames, end, False

    def _walk(self, decoded: bytes, at: int, *, plain: bool) -> tuple[list[tuple[int, int]], int]:
        head, width = (6, 3) if self.version == 2 else (10, 4)
        frames = []
        while _NAMES[self.version].fullmatch(decoded[at : at + width]):
            coded = decoded[at + width : at + 2 * width]
            if not plain and coded and max(coded) >= 0x80:
                break
            size = head + (int.from_bytes(coded, "big") if plain else _synchsafe(coded))
            if at + size > len(decoded):
                break
            frames.append((at, size))
            at += size
        return frames, at

    def _named(self, frame: bytes) -> tuple[str, tuple[str, ...]]:
        """Return name and texts of a frame of free text; empty ones for other frames."""
        width = 3 if self.version == 2 else 4
        kind = frame[:width]
        if kind not in (_TEXT[self.version], _COMMENT[self.version], b"TMOO"):
            return "", ()
        data = self._data(frame)
        coding = data[0] if data and data[0] in _CODECS else _LATIN
        if kind == b"TMOO":
            return MOOD, _texts(data[1:], coding)
        if kind == _COMMENT[self.version]:
            name, *texts = _texts(data[4:], coding) or ("",)
            return ("" if name else COMMENT), tuple(texts)
        name, *texts = _texts(data[1:], coding) or ("",)
        return name.upper(), tuple(texts)

    def _data(self, frame: bytes) -> bytes:
        """Return what a frame holds, or nothing if it is encrypted or damaged."""
        if self.version == 2:
            return frame[6:]
        flags, data = frame[9], frame[10:]
        if self.version == 3:
            grouped, packed, secret, extra = flags & 0x20, flags & 0x80, flags & 0x40, flags & 0x80
        else:
            grouped, packed, secret, extra = flags & 0x40, flags & 0x08, flags & 0x04, flags & 0x01
            if flags & 0x02 or self._flags & _UNSYNC:
                data = _synchronised(data)[0]
        # In 2.3 the length comes before the group, in 2.4 after it; both are skipped.
        data = data[(4 if extra else 0) + (1 if grouped else 0) :]
        if secret:
            return b""
        if packed:
            try:
                return zlib.decompress(data)
            except zlib.error:
                return b""
        return data


def frames_of_v1(tail: bytes) -> list[Item]:
    """Return the fields of an ID3v1 tag as frames of a new tag; none if it is not ID3v1.

    Players that find ID3v2 ignore ID3v1, so new tags must hold what the old ones do.

    Args:
        tail: the last `V1` bytes of a file.
    """
    fields = ParseID3v1(tail) if tail.startswith(b"TAG") else None
    if not fields:
        return []
    tag, coded = ID3(), BytesIO()
    for frame in fields.values():
        tag.add(frame)
    tag.save(coded, v2_version=_VERSION, padding=lambda _: 0)
    return Id3Tag(coded.getvalue()).items


def _synchsafe(coded: bytes) -> int:
    size = 0
    for byte in coded:
        size = size << 7 | byte & 0x7F
    return size


def _synchronised(body: bytes) -> tuple[bytes, list[int]]:
    """Undo unsynchronisation; return also the decoded places behind which a zero was dropped."""
    places = [match.start() for match in re.finditer(rb"\xff\x00", body)]
    return body.replace(b"\xff\0", b"\xff"), [at - before for before, at in enumerate(places)]


def _unsynchronised(raw: bytes) -> bytes:
    return re.sub(rb"\xff(?=[\xe0-\xff\x00]|\Z)", b"\xff\0", raw)


def _texts(data: bytes, coding: int) -> tuple[str, ...]:
    """Decode the texts of a frame, which zeros separate and may end."""
    wide = coding in (_UTF16, _UTF16_BE)
    if wide:
        data = data[: len(data) // 2 * 2]
        units = [data[at : at + 2] for at in range(0, len(data), 2)]
        parts = [b""]
        for unit in units:
            if unit == b"\0\0":
                parts.append(b"")
            else:
                parts[-1] += unit
    else:
        parts = data.split(b"\0")
    if len(parts) > 1 and not parts[-1]:
        parts.pop()
    return tuple(part.decode(_CODECS[coding], "replace") for part in parts)


def _is_latin(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True
