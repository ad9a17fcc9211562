"""Vorbis comments as raw items, in FLAC and Ogg files.

Formats: https://xiph.org/vorbis/doc/v-comment.html, RFC 9639 (FLAC), RFC 3533 (Ogg).
"""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from quadpred.library.rawtags.id3 import HEADER, tag_size
from quadpred.library.rawtags.items import (
    TOO_LARGE,
    Container,
    ContainerError,
    Item,
    Patch,
    Patched,
)

__all__ = ["FlacTags", "OggTags", "VorbisComments"]

_VENDOR = b"quadpred"
_DAMAGED = "its Vorbis comments are damaged"

_STREAMINFO, _PADDING, _COMMENTS = 0, 1, 4  # types of FLAC's metadata blocks
_LAST = 0x80
_LARGEST = 1 << 24

_CONTINUED = 0x01  # flag of an Ogg page
_SEGMENT, _SEGMENTS = 255, 255  # bytes of a segment, segments of a page
# What the first packet begins with, and then the packet of comments.
_CODECS = {
    b"\x01vorbis": b"\x03vorbis",
    b"OpusHead": b"OpusTags",
    b"\x7fFLAC": b"\x84\x04",
    b"Speex   ": b"",
}
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class VorbisComments:
    """The comments of one stream: a vendor's name, a count, and the comments.

    Args:
        data: from the length of the vendor's name.

    Raises:
        ContainerError: the lengths do not fit.
    """

    def __init__(self, data: bytes):
        at = 4 + _number(data, 0)
        count = _number(data, at)
        self._head, at = data[:at], at + 4
        self.items: list[Item] = []
        for _ in range(count):
            end = at + 4 + _number(data, at)
            if end > len(data):
                raise ContainerError(_DAMAGED)
            self.items.append(_item(data[at:end]))
            at = end
        self.rest = data[at:]

    @classmethod
    def new(cls) -> "VorbisComments":
        """Return no comments."""
        return cls(len(_VENDOR).to_bytes(4, "little") + _VENDOR + bytes(4))

    def render(self, items: Iterable[Item]) -> bytes:
        """Return the data with these comments."""
        raw = [item.raw for item in items]
        return self._head + len(raw).to_bytes(4, "little") + b"".join(raw) + self.rest


class _VorbisTags(Container):
    kind = "vorbis"

    def make(self, name: str, texts: Sequence[str]) -> list[Item]:
        """Return items that hold these texts under a name."""
        items = []
        for text in texts:
            comment = f"{name}={text}".encode()
            items.append(_item(len(comment).to_bytes(4, "little") + comment))
        return items


class FlacTags(_VorbisTags):
    """The comments of a FLAC file."""

    def __init__(self, file: BinaryIO | Patched):
        file.seek(0)
        at = tag_size(file.read(HEADER))
        file.seek(at)
        if file.read(4) != b"fLaC":
            raise ContainerError("its first block is not FLAC")
        self._blocks: list[tuple[int, int, int]] = []  # type, start with header, end
        self._comments, self._padding = None, None
        last = False
        at += 4
        while not last:
            file.seek(at)
            header = file.read(4)
            size = int.from_bytes(header[1:], "big")
            data = file.read(size)
            if len(header) < 4 or len(data) < size:
                raise ContainerError("its FLAC blocks are cut off")
            last, kind = bool(header[0] & _LAST), header[0] & ~_LAST
            block = (kind, at, at + 4 + size)
            self._blocks.append(block)
            if kind == _COMMENTS and self._comments is None:
                self._comments, content = block, VorbisComments(data)
            elif kind == _PADDING and not data.strip(b"\0"):
                self._padding = block
            at += 4 + size
        file.seek(at)
        sync = file.read(2)
        if sync and (sync[0] != 0xFF or sync[1] & 0xFC != 0xF8):
            raise ContainerError("its FLAC blocks are damaged")
        if self._comments is None:
            self.missing, content = "block", VorbisComments.new()
        self._content = content
        self.items = content.items
        if self._padding:
            self.room = self._padding[2] - self._padding[1] - 4

    def patches(self, items: Sequence[Item], *, room: int | None = None) -> list[Patch]:
        """Return the patches that put these items in the place of the present ones."""
        data = self._content.render(items)
        if len(data) >= _LARGEST:
            raise ContainerError("its Vorbis comments would be larger than FLAC allows", TOO_LARGE)
        if self._comments is None:
            # Behind the first block, which must stay the first one.
            _, start, end = self._blocks[0]
            last = self._blocks[0] == self._blocks[-1]
            patches = [Patch(end, end, _block(_COMMENTS, data, last=last))]
            if last:
                patches.append(Patch(start, start + 1, bytes([_STREAMINFO])))
            grown = 4 + len(data)
        else:
            _, start, end = self._comments
            patches = [self._replaced(self._comments, _COMMENTS, data)]
            grown = 4 + len(data) - (end - start)
        if self._padding:
            left = max(0, self.room - grown) if room is None else room
            patches.append(self._replaced(self._padding, _PADDING, bytes(left)))
        return patches

    def removal(self, missing: str) -> list[Patch]:
        """Return the patches that remove created tags."""
        assert self._comments
        _, start, end = self._comments
        patches = [Patch(start, end, b"")]
        if self._comments == self._blocks[-1]:
            kind, before, _ = self._blocks[-2]
            patches.append(Patch(before, before + 1, bytes([kind | _LAST])))
        return patches

    def _replaced(self, block: tuple[int, int, int], kind: int, data: bytes) -> Patch:
        return Patch(block[1], block[2], _block(kind, data, last=block == self._blocks[-1]))


@dataclass(frozen=True)
class _Page:
    """A page of the stream, as far as it holds the packet of comments."""

    start: int
    header: bytes  # without the lengths of segments
    sizes: bytes  # of segments
    ours: int  # how many of these are of the packet
    body: bytes

    @property
    def held(self) -> int:
        return sum(self.sizes[: self.ours])

    @property
    def end(self) -> int:
        return self.start + len(self.header) + len(self.sizes) + len(self.body)


class OggTags(_VorbisTags):
    """The comments of the first stream of an Ogg file.

    All pages but the last of the packet keep their sizes, so that no other page changes.
    """

    def __init__(self, file: BinaryIO | Patched):
        first = _page(file, 0)
        codec = next((each for each in _CODECS if first.body.startswith(each)), None)
        if codec is None:
            raise ContainerError("its first stream is not Vorbis, Opus, FLAC or Speex")
        self._codec = codec
        self._pages: list[_Page] = []
        at = first.end
        while not self._pages or self._pages[-1].ours == len(self._pages[-1].sizes):
            page = _page(file, at)
            at = page.end
            if page.header[14:18] != first.header[14:18]:  # another stream
                continue
            if bool(page.header[5] & _CONTINUED) != bool(self._pages):
                raise ContainerError("its Ogg pages of comments are damaged")
            self._pages.append(page)
            if page.sizes[page.ours - 1] < _SEGMENT:
                break
        packet = b"".join(page.body[: page.held] for page in self._pages)
        mark = _CODECS[codec]
        if codec == b"\x7fFLAC":
            if not packet or packet[0] & ~_LAST != _COMMENTS:
                raise ContainerError("its Ogg FLAC has no comments")
            mark = packet[:4]
        elif not packet.startswith(mark):
            raise ContainerError("its Ogg packet of comments is damaged")
        self._mark = mark
        self._content = VorbisComments(packet[len(mark) :])
        self.items = self._content.items

    def patches(self, items: Sequence[Item], *, room: int | None = None) -> list[Patch]:
        """Return the patches that put these items in the place of the present ones."""
        data = self._content.render(items)
        mark = self._mark
        if self._codec == b"\x7fFLAC":
            mark = mark[:1] + len(data).to_bytes(3, "big")
        packet = mark + data
        before = sum(page.held for page in self._pages[:-1])
        if len(packet) < before:
            if self._codec not in (b"\x01vorbis", b"OpusHead"):
                raise ContainerError("its comments would need fewer Ogg pages")
            packet += bytes(before - len(packet))  # padding that both formats allow
        patches = []
        at = 0
        for page in self._pages:
            last = page is self._pages[-1]
            part = packet[at:] if last else packet[at : at + page.held]
            at += len(part)
            sizes = b"\xff" * (len(part) // _SEGMENT)
            if last:
                sizes += bytes([len(part) % _SEGMENT])
            sizes += page.sizes[page.ours :]
            if len(sizes) > _SEGMENTS:
                raise ContainerError("its Ogg page of comments has no room left", TOO_LARGE)
            header = page.header[:22] + bytes(4) + bytes([len(sizes)])
            whole = header + sizes + part + page.body[page.held :]
            check = _checksum(whole).to_bytes(4, "little")
            patches.append(Patch(page.start, page.end, whole[:22] + check + whole[26:]))
        return patches


def _page(file: BinaryIO | Patched, start: int) -> _Page:
    file.seek(start)
    header = file.read(27)
    if len(header) < 27 or header[:4] != b"OggS":
        raise ContainerError("its Ogg pages are damaged")
    sizes = file.read(header[26])
    body = file.read(sum(sizes))
    if len(sizes) < header[26] or len(body) < sum(sizes) or not sizes:
        raise ContainerError("its Ogg pages are damaged")
    ours = next((at + 1 for at, size in enumerate(sizes) if size < _SEGMENT), len(sizes))
    return _Page(start, header, sizes, ours, body)


def _checksum(page: bytes) -> int:
    """CRC-32 of Ogg: that of zlib with bits the other way round, and without its inversions."""
    check = ~zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) & 0xFFFFFFFF
    return int.from_bytes(check.to_bytes(4, "little").translate(_MIRRORED), "big")


def _block(kind: int, data: bytes, *, last: bool) -> bytes:
    return bytes([kind | (_LAST if last else 0)]) + len(data).to_bytes(3, "big") + data


def _item(raw: bytes) -> Item:
    name, separator, text = raw[4:].partition(b"=")
    if not separator or not name.isascii():
        return Item(raw)
    return Item(raw, name.decode().upper(), (text.decode("utf-8", "replace"),))


def _number(data: bytes, at: int) -> int:
    if at + 4 > len(data):
        raise ContainerError(_DAMAGED)
    return int.from_bytes(data[at : at + 4], "little")
