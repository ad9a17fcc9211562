"""Detect the format of a file and open its tags; ID3 in mp3, wav and aiff files."""

import os
from collections.abc import Sequence
from typing import BinaryIO, Literal

import mutagen
from mutagen.apev2 import APEv2
from mutagen.mp3 import MPEGInfo

from quadpred.library.rawtags import asf
from quadpred.library.rawtags.id3 import HEADER, V1, Id3Tag, frames_of_v1, tag_size
from quadpred.library.rawtags.items import (
    TOO_LARGE,
    Container,
    ContainerError,
    Item,
    Patch,
    Patched,
)
from quadpred.library.rawtags.mp4 import Mp4Tags
from quadpred.library.rawtags.vorbis import FlacTags, OggTags

__all__ = ["open_tags"]

_KNOWN = "mp3, wav, aiff, flac, ogg, opus, spx, m4a or wma"
_CHUNK = 8  # bytes of a chunk's header
_FIRST = 12  # where the first chunk begins
_PADDED = "chunk and padding byte"  # what a file may lack
_MPEG = (".mp3", ".mp2", ".mp1", ".mpga")


def open_tags(file: BinaryIO | Patched, name: str) -> Container:
    """Return the tags of an open file.

    Args:
        file: open for reading.
        name: of the file; its ending decides if the content is ambiguous.

    Raises:
        ContainerError: a format that cannot be tagged, or a file that would be harmed.
    """
    file.seek(0)
    start = file.read(16)
    if start[:4] == b"RIFF" and start[8:12] == b"WAVE":
        return IffTags(file, "little", b"id3 ")
    if start[:4] == b"FORM" and start[8:12] in (b"AIFF", b"AIFC"):
        return IffTags(file, "big", b"ID3 ")
    if start[4:8] == b"ftyp":
        return Mp4Tags(file)
    if start.startswith(b"OggS"):
        return OggTags(file)
    if start.startswith(asf.HEADER):
        return asf.AsfTags(file)
    size = tag_size(start)
    file.seek(size)
    if file.read(4) == b"fLaC":
        return FlacTags(file)
    _check_mpeg(file, size, name)
    return Mp3Tags(file)


def _check_mpeg(file: BinaryIO | Patched, start: int, name: str) -> None:
    """Refuse what is not MPEG audio."""
    unknown = ContainerError(
        "its content is of no format that can be tagged", f"convert it to {_KNOWN}"
    )
    file.seek(start)
    sync = file.read(2)
    synchronised = len(sync) == 2 and sync[0] == 0xFF and sync[1] >= 0xE0
    if not (start or synchronised or name.lower().endswith(_MPEG)):
        raise unknown
    try:
        info = MPEGInfo(file, start)
    except (mutagen.MutagenError, ValueError, OverflowError):
        raise unknown from None
    if info.sketchy and not name.lower().endswith(_MPEG):
        raise unknown


class _Id3Tags(Container):
    ours_first = True  # where damaged frames end the search for frames, ours are found
    _tag: Id3Tag

    def _hold(self, tag: Id3Tag) -> None:
        self._tag = tag
        self.kind, self.items, self.room = tag.kind, tag.items, tag.room

    def make(self, name: str, texts: Sequence[str]) -> list[Item]:
        """Return items that hold these texts under a name."""
        return self._tag.make(name, texts)


class Mp3Tags(_Id3Tags):
    """The ID3v2 tag at the start of an mp3 file; what is at its end is read and never changed."""

    def __init__(self, file: BinaryIO | Patched):
        file.seek(0)
        self._size = tag_size(file.read(HEADER))
        file.seek(0)
        self._hold(Id3Tag(file.read(self._size)) if self._size else Id3Tag.new())
        end = file.seek(0, os.SEEK_END)
        file.seek(-min(end, V1), os.SEEK_END)
        self.created = tuple(frames_of_v1(file.read()))
        if not self._size:
            self.missing, self.items = "tag", list(self.created)
        self.fixed = _ape_moods(file)

    def patches(self, items: Sequence[Item], *, room: int | None = None) -> list[Patch]:
        """Return the patches that put these items in the place of the present ones."""
        return [Patch(0, self._size, self._tag.render(items, room))]

    def removal(self, missing: str) -> list[Patch]:
        """Return the patches that remove created tags."""
        return [Patch(0, self._size, b"")]


class IffTags(_Id3Tags):
    """The ID3v2 tag in a chunk of a wav or aiff file.

    Args:
        file: open for reading.
        order: of the bytes of numbers.
        name: of a new chunk.
    """

    def __init__(self, file: BinaryIO | Patched, order: Literal["little", "big"], name: bytes):
        self._order = order
        self._name = name
        file.seek(4)
        self._end = _CHUNK + self._number(file.read(4))
        if self._end > file.seek(0, os.SEEK_END):
            raise ContainerError("its RIFF or AIFF header gives more bytes than the file has")
        if self._end < _FIRST:
            raise ContainerError("its RIFF or AIFF header gives no size")
        self._place: tuple[int, int] | None = None
        self._behind = b""  # in the chunk, after the tag
        tag = Id3Tag.new()
        at = _FIRST
        while at + _CHUNK <= self._end:
            file.seek(at)
            header = file.read(_CHUNK)
            size = self._number(header[4:])
            end = at + _CHUNK + size + size % 2
            if end == self._end + 1 and size % 2:
                end = self._end  # the last chunk may lack the byte that makes it even
            if end > self._end:
                raise ContainerError("its RIFF or AIFF chunks are cut off or damaged")
            if header[:4].upper() == b"ID3 " and self._place is None:
                self._place, self._name = (at, end), header[:4]
                data = file.read(size)
                length = tag_size(data[:HEADER])
                tag, self._behind = Id3Tag(data[:length]), data[length:]
            at = end
        self._hold(tag)
        if self._place is None:
            self.missing = _PADDED if self._end % 2 else "chunk"

    def patches(self, items: Sequence[Item], *, room: int | None = None) -> list[Patch]:
        """Return the patches that put these items in the place of the present ones."""
        data = self._tag.render(items, room) + self._behind
        chunk = self._name + self._bytes(len(data)) + data + bytes(len(data) % 2)
        if self._place:
            return self._changed(*self._place, chunk)
        return self._changed(self._end, self._end, bytes(self._end % 2) + chunk)

    def removal(self, missing: str) -> list[Patch]:
        """Return the patches that remove created tags."""
        assert self._place
        start, end = self._place
        return self._changed(start - 1 if missing == _PADDED else start, end, b"")

    def _changed(self, start: int, end: int, new: bytes) -> list[Patch]:
        whole = self._end - _CHUNK + len(new) - (end - start)
        return [Patch(4, 8, self._bytes(whole)), Patch(start, end, new)]

    def _number(self, coded: bytes) -> int:
        return int.from_bytes(coded, self._order)

    def _bytes(self, value: int) -> bytes:
        try:
            return value.to_bytes(4, self._order)
        except OverflowError:
            raise ContainerError("it would be larger than its format allows", TOO_LARGE) from None


def _ape_moods(file: BinaryIO | Patched) -> tuple[str, ...]:
    """Return the moods in an APEv2 tag, which players read, too."""
    file.seek(0)
    try:
        tag = APEv2(file)
    except (mutagen.MutagenError, ValueError, OverflowError):
        return ()
    mood = tag.get("Mood")
    return tuple(map(str, mood)) if mood is not None and mood.kind == 0 else ()
