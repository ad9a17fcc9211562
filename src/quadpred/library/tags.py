"""Write moods into music files, each in its format's own tags, and remove them again.

Tags are changed as raw items (`quadpred.library.rawtags`). Before a file is changed, its tags are
removed again from the result in memory, and what remains must equal the file byte for byte.
"""

import base64
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from quadpred.errors import QuadpredError
from quadpred.library.rawtags.files import open_tags
from quadpred.library.rawtags.items import (
    MOOD,
    Container,
    ContainerError,
    Item,
    Patch,
    Patched,
    same,
)
from quadpred.library.rawtags.write import write_patches
from quadpred.library.tag_fields import AROUSAL, VALENCE

__all__ = [
    "AROUSAL",
    "MOOD",
    "UNDO",
    "VALENCE",
    "ExistingTagError",
    "TagError",
    "read_tags",
    "remove_tags",
    "write_tags",
]

UNDO = "QUADPRED_UNDO"
"""What `remove_tags` needs to know: what was written, and what was there before."""

_OWN = "QUADPRED_"  # other programs have no names that begin with this


class TagError(QuadpredError):
    """A file that is not tagged. `str(error)` is one line: the file and the reason."""

    def __init__(self, path: Path, reason: str):
        super().__init__(f"{path}: {reason}")


class ExistingTagError(TagError):
    """A file with a field of another program, such as a mood, in the place of one to be written.

    Attributes:
        field: its name in lower case.
    """

    def __init__(self, path: Path, field: str, texts: Sequence[str], note: str = ""):
        self.field = field.lower()
        super().__init__(path, f"has a {self.field} already: {'; '.join(texts)}{note}")


def write_tags(
    path: Path,
    fields: Mapping[str, Sequence[str]],
    *,
    replace: bool = False,
    dry_run: bool = False,
    touch: bool = False,
) -> bool:
    """Write fields into a music file.

    Args:
        path: of a file; of a link, the file it leads to.
        fields: values by name; `MOOD` and `COMMENT` are stored in the format's own field.
        replace: replace fields of other programs, too, and remember them for `remove_tags`.
        dry_run: check everything, and leave the file as it is.
        touch: set the time of modification to now, so that servers read the file again.

    Returns:
        Whether the file changed; `False` if it has exactly these fields already.

    Raises:
        ExistingTagError: the file has one of the fields, and quadpred did not write it.
        TagError: read-only, of a format without such tags, or damaged.
        OSError: the file cannot be read or replaced.
    """

    def change(tags: _Tags) -> list[Patch]:
        return tags.written(fields, replace=replace)

    return _change(path, change, fields, dry_run=dry_run, touch=touch)


def remove_tags(path: Path, *, dry_run: bool = False, touch: bool = False) -> bool:
    """Remove what `write_tags` wrote, and nothing else.

    Fields that were replaced come back; those that another program has written since stay.

    Args:
        path: of a file; of a link, the file it leads to.
        dry_run: check everything, and leave the file as it is.
        touch: as of `write_tags`.

    Returns:
        Whether there was something to remove.

    Raises:
        TagError: read-only, of a format without such tags, or damaged.
        OSError: the file cannot be read or replaced.
    """
    return _change(path, _Tags.removed, {}, dry_run=dry_run, touch=touch)


def read_tags(path: Path, names: Sequence[str] = (MOOD, AROUSAL, VALENCE)) -> dict[str, list[str]]:
    """Return the values of fields by name.

    Raises:
        TagError: of a format without such tags, or damaged.
        OSError: the file cannot be read.
    """
    with _open(path) as file, _errors_of(path):
        tags = _Tags(path, file)
        return {name: list(tags.texts(name)) for name in names}


@dataclass(frozen=True)
class _Record:
    """What was written, and what was there before.

    Attributes:
        wrote: texts by name.
        before: replaced items: index among all that are not ours, name, raw bytes, texts.
        kind: format of the raw bytes.
        room: padding in bytes that there was.
        missing: as of `Container`.
    """

    wrote: dict[str, list[str]]
    before: list[tuple[int, str, str, list[str]]]
    kind: str
    room: int
    missing: str

    @classmethod
    def of_json(cls, text: str) -> "_Record":
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is something else.
        """
        match json.loads(text):
            case {
                "wrote": dict(wrote),
                "before": list(before),
                "kind": str(kind),
                "room": int(room),
                "missing": str(missing),
            } if room >= 0:
                for texts in wrote.values():
                    _check_texts(texts)
                for _, _, raw, texts in before:
                    base64.b64decode(raw, validate=True)
                    _check_texts(texts)
                entries = [(int(at), str(name), raw, texts) for at, name, raw, texts in before]
                return cls(wrote, entries, kind, room, missing)
        raise ValueError(text)

    def to_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))


def _check_texts(texts: object) -> None:
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(texts)


class _Tags:
    """A file's tags, with and without ours."""

    def __init__(self, path: Path, file: BinaryIO | Patched):
        self._path = path
        self._container: Container = open_tags(file, os.path.basename(os.path.realpath(path)))
        self._record = self._read_record()

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the values of a field."""
        return tuple(
            text for item in self._container.items if item.name == name for text in item.texts
        )

    def written(self, fields: Mapping[str, Sequence[str]], *, replace: bool) -> list[Patch]:
        """Return the patches that write fields; none if they are there already."""
        container, record = self._container, self._record
        ours = {name: container.make(name, texts) for name, texts in fields.items()}
        wrote = {name: [text for item in ours[name] for text in item.texts] for name in ours}
        if record and record.wrote == wrote and wrote == {n: list(self.texts(n)) for n in wrote}:
            return []
        others = self._others()
        self._check_existing(fields, replace=replace)
        before = [
            (at, item.name, base64.b64encode(item.raw).decode(), list(item.texts))
            for at, item in enumerate(others)
            if item.name in fields
        ]
        undoable = record is not None and record.kind == container.kind
        new = _Record(
            wrote,
            before,
            container.kind,
            record.room if record and undoable else container.room,
            record.missing if record and undoable else container.missing,
        )
        items = [item for each in ours.values() for item in each]
        items += container.make(UNDO, [new.to_json()])
        kept = [item for item in others if item.name not in fields]
        return container.patches(items + kept if container.ours_first else kept + items)

    def removed(self) -> list[Patch]:
        """Return the patches that restore what was there before; none if nothing is ours."""
        container, record = self._container, self._record
        if record is None:
            return []
        others = self._others()
        if record.kind != container.kind:
            return container.patches(others)
        if record.missing and others == list(container.created):
            return container.removal(record.missing)
        return container.patches(others, room=record.room)

    def _others(self) -> list[Item]:
        """Return the items as they would be without ours."""
        container, record = self._container, self._record
        others = [item for item in container.items if not self._is_ours(item)]
        if record is None:
            return others
        present = {item.name for item in others}
        for at, name, raw, texts in sorted(record.before):
            if name not in present:  # else another program has written it since
                if record.kind == container.kind:
                    restored = [Item(base64.b64decode(raw), name, tuple(texts))]
                else:
                    restored = container.make(name, texts)
                others[at:at] = restored
        return others

    def _is_ours(self, item: Item) -> bool:
        """Return whether quadpred wrote an item, and no other program has changed it since."""
        if self._record is None:
            return False
        wrote = self._record.wrote.get(item.name)
        unchanged = wrote is not None and set(item.texts) <= set(wrote)
        return unchanged or item.name.startswith(_OWN)

    def _check_existing(self, fields: Mapping[str, Sequence[str]], *, replace: bool) -> None:
        if MOOD in fields and any(self._container.fixed):
            note = " (in APEv2 or other tags that --replace does not change)"
            raise ExistingTagError(self._path, MOOD, self._container.fixed, note)
        if replace:
            return
        theirs = [item for item in self._container.items if not self._is_ours(item)]
        for name in fields:
            texts = [text for item in theirs if item.name == name for text in item.texts]
            if any(texts) and not name.startswith(_OWN):
                raise ExistingTagError(self._path, name, texts)

    def _read_record(self) -> _Record | None:
        texts = self.texts(UNDO)
        if not texts:
            return None
        try:
            return _Record.of_json(texts[0])
        except (ValueError, TypeError):
            raise TagError(
                self._path, f"its {UNDO} is damaged; remove that field with a tag editor"
            ) from None


def _open(path: Path) -> BinaryIO:
    if not (path.is_dir() or stat.S_ISREG(path.stat().st_mode)):  # to open a pipe would block
        raise TagError(path, "is not a file; name an audio file")
    return path.open("rb")


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """Name the file in what a container reports."""
    try:
        yield
    except ContainerError as error:
        raise TagError(path, str(error)) from None


def _change(
    path: Path,
    change: Callable[["_Tags"], list[Patch]],
    fields: Mapping[str, Sequence[str]],
    *,
    dry_run: bool,
    touch: bool,
) -> bool:
    """Change a file's tags if that can be undone; return whether there was a change."""
    real = Path(os.path.realpath(path))
    with _open(path) as file, _errors_of(path):
        status = os.fstat(file.fileno())
        tags = _Tags(path, file)
        patches = change(tags)
        if not patches:
            return False
        # Respect the read-only flag even as root.
        if not status.st_mode & 0o222 or not os.access(real, os.W_OK):
            raise TagError(path, "is read-only; make it writable")
        result = Patched(file, patches)
        if fields:
            _check_result(path, result, fields, Patched(file, tags.removed()))
        if not dry_run:
            try:
                write_patches(real, file, status, patches, touch=touch)
            except OSError as error:
                error.filename, error.filename2 = str(path), None  # report the target path
                raise
    return True


def _check_result(
    path: Path, result: Patched, fields: Mapping[str, Sequence[str]], before: Patched
) -> None:
    """Refuse a result whose fields cannot be read, or that could not be undone byte for byte."""
    tags = _Tags(path, result)
    if tags.written(fields, replace=False):
        raise TagError(path, "its tags could not be read back; tag it with a tag editor")
    if not same(Patched(result, tags.removed()), before):
        raise TagError(path, "its tags could not be restored by --undo; tag it with a tag editor")
