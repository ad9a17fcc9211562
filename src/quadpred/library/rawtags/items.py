"""Raw tag items, patches of a file, and the interface of all containers."""

import io
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import BinaryIO, Self

__all__ = [
    "COMMENT",
    "MOOD",
    "TOO_LARGE",
    "Container",
    "ContainerError",
    "Item",
    "Patch",
    "Patched",
    "same",
]

MOOD, COMMENT = "MOOD", "COMMENT"
"""Names that some formats store in a field of their own; all other names are free text."""

_BLOCK = 1 << 20  # bytes
TOO_LARGE = "remove some of its other tags, such as pictures"
"""The remedy of tags that exceed a limit of their format."""


class ContainerError(ValueError):
    """A file whose tags cannot be changed safely. `str(error)` is the reason and the remedy."""

    def __init__(self, reason: str, remedy: str = "tag a copy: ffmpeg -i FILE -c copy NEW"):
        super().__init__(f"{reason}; {remedy}")


@dataclass(frozen=True)
class Item:
    """One frame, comment, atom or descriptor.

    Attributes:
        raw: its bytes as they are in the file.
        name: in capitals, `MOOD` and `COMMENT` whatever the format calls them; empty for items
            that are not free text.
        texts: its values, if it has a name. Bytes that are not text are replaced.
    """

    raw: bytes
    name: str = ""
    texts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Patch:
    """Bytes that replace those from `start` to `end`."""

    start: int
    end: int
    new: bytes


class Patched(io.RawIOBase):
    """A read-only view of a file with patches applied.

    Args:
        file: open for reading; its position is changed.
        patches: in any order, without overlap.
    """

    def __init__(self, file: BinaryIO | Self, patches: Sequence[Patch]):
        self._file = file
        self._parts: list[tuple[int, int, bytes | None]] = []  # source start and end, or new bytes
        at = 0
        for patch in sorted(patches, key=lambda patch: (patch.start, patch.end)):
            if patch.start < at or patch.end < patch.start:
                raise ContainerError("its tags overlap")
            self._parts += [(at, patch.start, None), (0, len(patch.new), patch.new)]
            at = patch.end
        self._parts.append((at, max(at, file.seek(0, io.SEEK_END)), None))
        self._ends = list(accumulate(end - start for start, end, _ in self._parts))
        self._at = 0

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can be searched."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to an offset, and return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._ends[-1]}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """Return the offset."""
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # of `read`
        """Read what one part has left."""
        index = bisect_right(self._ends, self._at)
        if index == len(self._parts):
            return 0
        start, end, new = self._parts[index]
        begin = self._at - (self._ends[index] - (end - start)) + start
        size = min(len(buffer), end - begin)
        if new is None:
            self._file.seek(begin)
            content = self._file.read(size) or b""
        else:
            content = new[begin : begin + size]
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)

    def read(self, size: int = -1) -> bytes:
        """Read as a buffered file does: fewer bytes than asked for only at the end."""
        left = self._ends[-1] - self._at if size < 0 else size
        parts = []
        while left > 0 and (part := super().read(left)):
            parts.append(part)
            left -= len(part)
        return b"".join(parts)


def same(one: BinaryIO | Patched, other: BinaryIO | Patched) -> bool:
    """Compare two open files byte for byte; they may be views of one file."""
    at = 0
    while True:
        one.seek(at)
        block = one.read(_BLOCK)
        other.seek(at)
        if block != other.read(_BLOCK):
            return False
        if not block:
            return True
        at += len(block)


class Container(ABC):
    """The tags of one open file.

    Attributes:
        kind: format of the raw items, such as "id3v2.3".
        items: all items in the order of the file. Where there are no tags, what new tags must hold.
        missing: what must be created to hold items; empty if the file has tags.
        created: items that new tags hold although the file has none: fields of ID3v1.
        room: padding in bytes that items may use.
        fixed: moods in another kind of tags of this file, which are not changed.
        ours_first: whether new items go before all others.
    """

    kind: str
    items: list[Item]
    missing: str = ""
    created: tuple[Item, ...] = ()
    room: int = 0
    fixed: tuple[str, ...] = ()
    ours_first: bool = False

    @abstractmethod
    def make(self, name: str, texts: Sequence[str]) -> list[Item]:
        """Return items that hold these texts under a name.

        Raises:
            ContainerError: the format has no such field.
        """

    @abstractmethod
    def patches(self, items: Sequence[Item], *, room: int | None = None) -> list[Patch]:
        """Return the patches that put these items in the place of the present ones.

        Args:
            items: in the order of the file.
            room: padding to leave; by default, padding is used up before the file grows.

        Raises:
            ContainerError: they do not fit.
        """

    def removal(self, missing: str) -> list[Patch]:
        """Return the patches that remove tags that were created where `missing` was missing."""
        return self.patches([])
