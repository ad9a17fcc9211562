"""iTunes metadata of MP4 files as raw atoms. Format: ISO/IEC 14496-12, and the `ilst` of iTunes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from quadpred.library.rawtags.items import (
    COMMENT,
    TOO_LARGE,
    Container,
    ContainerError,
    Item,
    Patch,
    Patched,
)

__all__ = ["Mp4Tags"]

_MEAN = b"com.apple.iTunes"
_TEXT = 1  # type of data: UTF-8
_COMMENT = b"\xa9cmt"
_FRAGMENTS = {b"moof", b"mfra", b"sidx"}
_PARENTS = {b"trak", b"mdia", b"minf", b"stbl"}
_NEEDED = {b"ftyp", b"moov", b"mdat"}
_DAMAGED = "its MP4 atoms are damaged"


@dataclass(frozen=True)
class _Atom:
    name: bytes
    start: int
    inside: int  # where its content begins
    end: int


class Mp4Tags(Container):
    """The metadata of a file that is not fragmented."""

    kind = "mp4"

    def __init__(self, file: BinaryIO | Patched):
        size = file.seek(0, 2)
        outer = list(_atoms(file, 0, size))
        names = {atom.name for atom in outer}
        if names & _FRAGMENTS:
            raise ContainerError("fragmented MP4 is not supported")
        moov = next((atom for atom in outer if atom.name == b"moov"), None)
        if moov is None:
            raise ContainerError("its MP4 has no moov atom")
        file.seek(moov.start)
        self._moov = moov
        self._data = file.read(moov.end - moov.start)
        self._tables = list(self._offset_tables(moov))
        udta = self._child(moov, b"udta")
        meta = udta and self._child(udta, b"meta")
        ilst = meta and self._child(meta, b"ilst", skip=4)
        self._path = [atom for atom in (moov, udta, meta, ilst) if atom]
        self.missing = "" if ilst else "ilst" if meta else "meta" if udta else "udta"
        if meta:
            handler = self._child(meta, b"hdlr", skip=4)
            if handler is None or self._content(handler)[8:12] != b"mdir":
                raise ContainerError("its MP4 metadata is not in iTunes format")
        self.items = []
        self._rest = b""
        if ilst:
            at = ilst.inside
            for atom in self._children(ilst):
                self.items.append(_item(self._between(atom.start, atom.end), self._content(atom)))
                at = atom.end
            self._rest = self._between(at, ilst.end)

    def make(self, name: str, texts: Sequence[str]) -> list[Item]:
        """Return items that hold these texts under a name."""
        data = b"".join(
            _atom(b"data", _TEXT.to_bytes(4, "big") + bytes(4) + text.encode()) for text in texts
        )
        if name == COMMENT:
            raw = _atom(_COMMENT, data)
        else:
            mean, coded = _atom(b"mean", bytes(4) + _MEAN), _atom(b"name", bytes(4) + name.encode())
            raw = _atom(b"----", mean + coded + data)
        return [Item(raw, name, tuple(texts))]

    def patches(self, items: Sequence[Item], *, room: int | None = None) -> list[Patch]:
        """Return the patches that put these items in the place of the present ones."""
        new = _atom(b"ilst", b"".join(item.raw for item in items) + self._rest)
        parents = self._path if self.missing else self._path[:-1]
        if not self.missing:
            return self._changed(parents, self._path[-1].start, self._path[-1].end, new)
        if self.missing != "ilst":
            handler = _atom(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
            new = _atom(b"meta", bytes(4) + handler + new)
        if self.missing == "udta":
            new = _atom(b"udta", new)
        # In `udta`, before what is there: QuickTime ends it with a zero that is not an atom.
        at = parents[-1].inside if self.missing == "meta" else parents[-1].end
        return self._changed(parents, at, at, new)

    def removal(self, missing: str) -> list[Patch]:
        """Return the patches that remove created tags."""
        moov, udta, meta, ilst = self._path
        gone = {"ilst": ilst, "meta": meta, "udta": udta}[missing]
        if gone is udta and len(list(self._children(udta))) > 1:
            gone = meta
        if gone is not ilst and len(list(self._children(meta, skip=4))) > 2:
            gone = ilst
        parents = [atom for atom in (moov, udta, meta) if atom.start < gone.start]
        return self._changed(parents, gone.start, gone.end, b"")

    def _changed(self, parents: Sequence[_Atom], start: int, end: int, new: bytes) -> list[Patch]:
        """Replace bytes inside `moov`, resize its parents, and shift offsets of later audio."""
        grown = len(new) - (end - start)
        patches = [Patch(start, end, new)]
        for atom in parents:
            wide = self._between(atom.start, atom.start + 4) == b"\0\0\0\1"
            at, width = (atom.start + 8, 8) if wide else (atom.start, 4)
            if int.from_bytes(self._between(at, at + width), "big"):
                patches.append(_number(at, atom.end - atom.start + grown, width))
        if not grown:
            return patches
        for table in self._tables:
            width = 8 if table.name == b"co64" else 4
            content = self._content(table)
            offsets = content[8:]
            count = int.from_bytes(content[4:8], "big")
            if count * width > len(offsets):
                raise ContainerError(_DAMAGED)
            moved = bytearray(content)
            for at in range(8, 8 + count * width, width):
                offset = int.from_bytes(content[at : at + width], "big")
                if offset >= end:
                    moved[at : at + width] = _bytes(offset + grown, width)
            patches.append(Patch(table.inside, table.end, bytes(moved)))
        return patches

    def _offset_tables(self, parent: _Atom) -> Iterator[_Atom]:
        for atom in self._children(parent):
            if atom.name in (b"stco", b"co64"):
                yield atom
            elif atom.name in (b"saio", b"mvex"):
                raise ContainerError("fragmented or encrypted MP4 is not supported")
            elif atom.name in _PARENTS:
                yield from self._offset_tables(atom)

    def _child(self, parent: _Atom, name: bytes, skip: int = 0) -> _Atom | None:
        return next((atom for atom in self._children(parent, skip) if atom.name == name), None)

    def _children(self, parent: _Atom, skip: int = 0) -> Iterator[_Atom]:
        at = parent.inside + skip
        while at + 8 <= parent.end:
            header = self._between(at, at + 16)
            size, inside = _size(header, parent.end - at)
            if size < inside or at + size > parent.end:
                if not header[:4].strip(b"\0"):  # QuickTime's end of a list
                    return
                raise ContainerError(_DAMAGED)
            yield _Atom(header[4:8], at, at + inside, at + size)
            at += size

    def _content(self, atom: _Atom) -> bytes:
        return self._between(atom.inside, atom.end)

    def _between(self, start: int, end: int) -> bytes:
        return self._data[start - self._moov.start : end - self._moov.start]


def _atoms(file: BinaryIO | Patched, at: int, end: int) -> Iterator[_Atom]:
    """Yield the outermost atoms of a file."""
    while at + 8 <= end:
        file.seek(at)
        header = file.read(16)
        size, inside = _size(header, end - at)
        if header[:4] == bytes(4):
            size = end - at  # the last one
        if size < inside or at + size > end:
            if header[4:8] in _NEEDED:
                raise ContainerError("its MP4 is cut off")
            return  # something else behind the atoms, such as ID3v1
        yield _Atom(header[4:8], at, at + inside, at + size)
        at += size


def _size(header: bytes, left: int) -> tuple[int, int]:
    """Return an atom's size, and that of its header."""
    size = int.from_bytes(header[:4], "big")
    if size == 1:
        return int.from_bytes(header[8:16], "big"), 16
    return size, 8


def _item(raw: bytes, content: bytes) -> Item:
    name, texts = "", []
    at = 0
    while at + 8 <= len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        if size < 8:
            break
        kind, data = content[at + 4 : at + 8], content[at + 8 : at + size]
        if kind == b"name":
            name = data[4:].decode("utf-8", "replace").upper()
        elif kind == b"data":
            texts.append(data[8:].decode("utf-8", "replace"))
        at += size
    if raw[4:8] == _COMMENT:
        return Item(raw, COMMENT, tuple(texts))
    return Item(raw, name, tuple(texts)) if raw[4:8] == b"----" else Item(raw)


def _atom(name: bytes, content: bytes) -> bytes:
    return _bytes(8 + len(content), 4) + name + content


def _number(at: int, value: int, width: int) -> Patch:
    return Patch(at, at + width, _bytes(value, width))


def _bytes(value: int, width: int) -> bytes:
    try:
        return value.to_bytes(width, "big")
    except OverflowError:
        raise ContainerError("its MP4 offsets would not fit into 32 bits", TOO_LARGE) from None
