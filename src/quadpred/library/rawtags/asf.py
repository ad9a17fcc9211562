"""Attributes of ASF files (wma) as raw descriptors. Format: Advanced Systems Format, Microsoft."""

from collections.abc import Iterator, Sequence
from typing import BinaryIO
from uuid import UUID

from quadpred.library.rawtags.items import (
    COMMENT,
    MOOD,
    TOO_LARGE,
    Container,
    ContainerError,
    Item,
    Patch,
    Patched,
)

__all__ = ["HEADER", "AsfTags"]

HEADER = UUID("75B22630-668E-11CF-A6D9-00AA0062CE6C").bytes_le
"""What an ASF file begins with."""

_PROPERTIES = UUID("8CABDCA1-A947-11CF-8EE4-00C00C205365").bytes_le
_DESCRIPTORS = UUID("D2D0A440-E307-11D2-97F0-00A0C95EA850").bytes_le
_EXTENSION = UUID("5FBF03B5-A92E-11CF-8EE3-00C00C205365").bytes_le
_LIBRARY = UUID("44231C94-9498-49D1-A141-1D134E457054").bytes_le
_MOOD = "WM/Mood"
_TEXT = 0  # type of a value: UTF-16
_HEAD = 24  # bytes before an object's content
_DAMAGED = "its ASF header is damaged"


class AsfTags(Container):
    """The attributes of an ASF file."""

    kind = "asf"

    def __init__(self, file: BinaryIO | Patched):
        self._file_size = file.seek(0, 2)
        file.seek(0)
        start = file.read(30)
        self._size = int.from_bytes(start[16:24], "little")
        if len(start) < 30 or not 30 <= self._size <= self._file_size:
            raise ContainerError("its ASF header is cut off")
        self._count = int.from_bytes(start[24:28], "little")
        file.seek(0)
        self._data = file.read(self._size)
        objects = list(_objects(self._data, 30))
        if len(objects) != self._count:
            raise ContainerError(_DAMAGED)
        self._properties = next((at for guid, at, _ in objects if guid == _PROPERTIES), None)
        self._place = next(((at, end) for guid, at, end in objects if guid == _DESCRIPTORS), None)
        self.items, self._rest = [], b""
        if self._place is None:
            self.missing = "object"
        else:
            content = self._data[self._place[0] + _HEAD : self._place[1]]
            self.items, self._rest = _descriptors(content)
        self.fixed = tuple(
            text
            for guid, at, end in objects
            if guid == _EXTENSION
            for text in _library_moods(self._data[at:end])
        )

    def make(self, name: str, texts: Sequence[str]) -> list[Item]:
        """Return items that hold these texts under a name."""
        if name == COMMENT:
            raise ContainerError("comments of wma files are not supported", "leave out --comment")
        coded = _utf16(_MOOD if name == MOOD else name)
        items = []
        for text in texts:
            value = _utf16(text)
            if len(value) > 0xFFFF:
                raise ContainerError("its attribute would be larger than ASF allows", TOO_LARGE)
            raw = _u16(len(coded)) + coded + _u16(_TEXT) + _u16(len(value)) + value
            items.append(Item(raw, name, (text,)))
        return items

    def patches(self, items: Sequence[Item], *, room: int | None = None) -> list[Patch]:
        """Return the patches that put these items in the place of the present ones."""
        raw = b"".join(item.raw for item in items)
        content = _u16(len(items)) + raw + self._rest
        new = _DESCRIPTORS + (_HEAD + len(content)).to_bytes(8, "little") + content
        if self._place is None:
            return self._changed(self._size, self._size, new, self._count + 1)
        return self._changed(*self._place, new, self._count)

    def removal(self, missing: str) -> list[Patch]:
        """Return the patches that remove created tags."""
        assert self._place
        return self._changed(*self._place, b"", self._count - 1)

    def _changed(self, start: int, end: int, new: bytes, count: int) -> list[Patch]:
        grown = len(new) - (end - start)
        sizes = (self._size + grown).to_bytes(8, "little") + count.to_bytes(4, "little")
        patches = [Patch(16, 28, sizes), Patch(start, end, new)]
        if self._properties is not None:
            at = self._properties + _HEAD + 16
            if int.from_bytes(self._data[at : at + 8], "little") == self._file_size:
                whole = (self._file_size + grown).to_bytes(8, "little")
                patches.append(Patch(at, at + 8, whole))
        return patches


def _objects(data: bytes, at: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield identifier, start and end of each object."""
    while at + _HEAD <= len(data):
        size = int.from_bytes(data[at + 16 : at + 24], "little")
        if size < _HEAD or at + size > len(data):
            raise ContainerError(_DAMAGED)
        yield data[at : at + 16], at, at + size
        at += size


def _descriptors(data: bytes) -> tuple[list[Item], bytes]:
    """Return attributes, and what follows them."""
    items = []
    at = 2
    for _ in range(int.from_bytes(data[:2], "little")):
        name_end = at + 2 + int.from_bytes(data[at : at + 2], "little")
        kind = int.from_bytes(data[name_end : name_end + 2], "little")
        value = name_end + 4
        end = value + int.from_bytes(data[name_end + 2 : value], "little")
        if end > len(data):
            raise ContainerError(_DAMAGED)
        name, texts = _named(data[at + 2 : name_end], kind, data[value:end])
        items.append(Item(data[at:end], name, texts))
        at = end
    return items, data[at:]


def _library_moods(extension: bytes) -> Iterator[str]:
    """Yield moods among the attributes that others keep in the header's extension."""
    for guid, start, end in _objects(extension, _HEAD + 22):
        if guid != _LIBRARY:
            continue
        data = extension[start + _HEAD : end]
        at = 2
        for _ in range(int.from_bytes(data[:2], "little")):
            name_end = at + 12 + int.from_bytes(data[at + 4 : at + 6], "little")
            kind = int.from_bytes(data[at + 6 : at + 8], "little")
            value_end = name_end + int.from_bytes(data[at + 8 : at + 12], "little")
            name, texts = _named(data[at + 12 : name_end], kind, data[name_end:value_end])
            if name == MOOD:
                yield from texts
            at = value_end


def _named(coded: bytes, kind: int, value: bytes) -> tuple[str, tuple[str, ...]]:
    name = _text(coded).upper()
    if kind != _TEXT:
        return "", ()
    return (MOOD if name in (MOOD, _MOOD.upper()) else name), (_text(value),)


def _text(coded: bytes) -> str:
    return coded.decode("utf-16-le", "replace").rstrip("\0")


def _utf16(text: str) -> bytes:
    return (text + "\0").encode("utf-16-le")


def _u16(value: int) -> bytes:
    return value.to_bytes(2, "little")
