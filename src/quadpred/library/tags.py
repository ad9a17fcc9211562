"""Moods in music files, each in its format's own frame, and their removal.

A file is copied beside itself, the copy gets its tags and takes the file's place: whatever happens,
the file is there, whole. Audio, other tags, times, mode and owner stay as they were.
"""

import json
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import mutagen
from mutagen.aiff import AIFF
from mutagen.asf import ASF, ASFUnicodeAttribute
from mutagen.flac import FLAC
from mutagen.id3 import ID3, TMOO, TXXX, Encoding, ParseID3v1
from mutagen.mp3 import MP3
from mutagen.mp4 import MP4, Atoms, MP4FreeForm
from mutagen.oggflac import OggFLAC
from mutagen.oggopus import OggOpus
from mutagen.oggspeex import OggSpeex
from mutagen.oggvorbis import OggVorbis
from mutagen.wave import WAVE

from quadpred.errors import QuadpredError

__all__ = [
    "AROUSAL",
    "MOOD",
    "UNDO",
    "VALENCE",
    "ForeignMoodError",
    "Mood",
    "TagError",
    "read_mood",
    "remove_mood",
    "write_mood",
]

MOOD = "MOOD"
AROUSAL, VALENCE = "QUADPRED_AROUSAL", "QUADPRED_VALENCE"
"""Probabilities of positive arousal and valence, 0 to 1, with three digits."""
UNDO = "QUADPRED_UNDO"
"""What `remove_mood` needs to know: the word that was written, and what was there before."""

_NAMES = (MOOD, AROUSAL, VALENCE, UNDO)
_V1 = 128  # bytes of an ID3v1 tag


class TagError(QuadpredError):
    """A file that is not tagged. `str(error)` is one line: the file and the reason."""

    def __init__(self, path: Path, reason: str):
        super().__init__(f"{path}: {reason}")


class ForeignMoodError(TagError):
    """A file with a mood that somebody else wrote."""


@dataclass(frozen=True)
class Mood:
    """What is written: a word, and arousal and valence from 0 to 1."""

    word: str
    arousal: float
    valence: float

    @property
    def fields(self) -> dict[str, str]:
        """Text by name, as it stands in a file."""
        return {MOOD: self.word, AROUSAL: f"{self.arousal:.3f}", VALENCE: f"{self.valence:.3f}"}


@dataclass(frozen=True)
class _Frames:
    """How one family of formats calls a frame, and what it makes of texts."""

    key: Callable[[str], str]
    make: Callable[[str, list[str]], Any]
    texts: Callable[[Any], list[str]]


def _id3_frame(name: str, texts: list[str]) -> TMOO | TXXX:
    if name == MOOD:
        return TMOO(encoding=Encoding.UTF8, text=texts)
    return TXXX(encoding=Encoding.UTF8, desc=name, text=texts)


_ID3 = _Frames(
    lambda name: "TMOO" if name == MOOD else f"TXXX:{name}",
    _id3_frame,
    lambda frame: list(frame.text),
)
_VORBIS = _Frames(str, lambda _, texts: texts, list)
_MP4 = _Frames(
    lambda name: f"----:com.apple.iTunes:{name}",
    lambda _, texts: [MP4FreeForm(text.encode()) for text in texts],
    lambda values: [bytes(value).decode() for value in values],
)
_ASF = _Frames(
    lambda name: "WM/Mood" if name == MOOD else name,
    lambda _, texts: [ASFUnicodeAttribute(text) for text in texts],
    lambda values: [str(value) for value in values],
)
_FORMATS: dict[type[mutagen.FileType], _Frames] = {
    MP3: _ID3,
    WAVE: _ID3,
    AIFF: _ID3,
    FLAC: _VORBIS,
    OggVorbis: _VORBIS,
    OggOpus: _VORBIS,
    OggFLAC: _VORBIS,
    OggSpeex: _VORBIS,
    MP4: _MP4,
    ASF: _ASF,
}
_KNOWN = "mp3, wav, aiff, flac, ogg, opus, spx, m4a and wma"


def write_mood(path: Path, mood: Mood, *, replace: bool = False, dry_run: bool = False) -> bool:
    """Write a mood into a music file.

    Args:
        path: of a file; of a link, the file it leads to.
        mood: what to write.
        replace: write over a mood of somebody else's too, and remember it for `remove_mood`.
        dry_run: check everything, and leave the file as it is.

    Returns:
        Whether the file did not say just that already.

    Raises:
        ForeignMoodError: the file has a mood that is not ours.
        TagError: read-only, of a format without such tags, or damaged.
        OSError: the file cannot be read or replaced.
    """

    def change(tagged: "_Tagged") -> bool:
        before, record = tagged.read(MOOD), tagged.record()
        ours = record is not None and before == [record.mood]
        if any(before) and not ours and not replace:
            raise ForeignMoodError(path, f"has a mood already: {'; '.join(before)}")
        if ours and all(tagged.read(name) == [text] for name, text in mood.fields.items()):
            return False
        if ours and record is not None:
            before = record.before
        made = record.made if record else tagged.made
        for name, text in mood.fields.items():
            tagged.write(name, [text])
        tagged.write(UNDO, [_Record(mood.word, before, made).to_json()])
        return True

    return _changed(path, change, dry_run=dry_run)


def remove_mood(path: Path, *, dry_run: bool = False) -> bool:
    """Take back what `write_mood` wrote, and nothing else.

    A mood that was there before comes back; one that somebody has written since stays.

    Args:
        path: of a file; of a link, the file it leads to.
        dry_run: check everything, and leave the file as it is.

    Returns:
        Whether there was something of ours.

    Raises:
        TagError: read-only, of a format without such tags, or damaged.
        OSError: the file cannot be read or replaced.
    """

    def change(tagged: "_Tagged") -> bool:
        record = tagged.record()
        if record is None:
            return False
        if tagged.read(MOOD) == [record.mood]:
            tagged.write(MOOD, record.before)
        for name in (AROUSAL, VALENCE, UNDO):
            tagged.write(name, [])
        if record.made:
            tagged.drop_if_empty()
        return True

    return _changed(path, change, dry_run=dry_run)


def read_mood(path: Path) -> dict[str, list[str]]:
    """Return what a file says under `MOOD`, `AROUSAL` and `VALENCE`.

    Raises:
        TagError: of a format without such tags, or damaged.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        tagged = _open(path, file, _kind(path, file))
        return {name: tagged.read(name) for name in (MOOD, AROUSAL, VALENCE)}


@dataclass(frozen=True)
class _Record:
    """What was written and what was there before; `made` says that there were no tags at all."""

    mood: str
    before: list[str]
    made: bool

    def to_json(self) -> str:
        return json.dumps({"mood": self.mood, "before": self.before, "made": self.made})

    @classmethod
    def of_json(cls, text: str) -> "_Record":
        """Raises `ValueError` if that is not what `to_json` wrote."""
        given = json.loads(text)
        match given:
            case {"mood": str(mood), "before": [*before], "made": bool(made)}:
                if all(isinstance(word, str) for word in before):
                    return cls(mood, before, made)
        raise ValueError(given)


class _Tagged:
    """An open music file's tags.

    Attributes:
        audio: mutagen's view of it.
        made: whether there were no tags, or but ID3v1.
        dropped: whether `save` removes all there is.
    """

    def __init__(self, path: Path, file: BinaryIO, audio: Any, version: int):
        self.path = path
        self.audio = audio
        self._file = file
        self._frames = _FORMATS[type(audio)]
        self._version = version  # of ID3v2
        self.made = audio.tags is None or getattr(audio.tags, "version", None) == (1, 1)
        self.dropped = False
        if audio.tags is None:
            audio.add_tags()

    def read(self, name: str) -> list[str]:
        values = self.audio.tags.get(self._frames.key(name), [])
        try:
            return self._frames.texts(values) if values else []
        except UnicodeDecodeError:
            raise TagError(self.path, f"its {name} is not text") from None

    def write(self, name: str, texts: list[str]) -> None:
        """Set a frame; no texts remove it."""
        key = self._frames.key(name)
        if texts:
            self.audio.tags[key] = self._frames.make(name, texts)
        elif key in self.audio.tags:
            del self.audio.tags[key]

    def record(self) -> _Record | None:
        texts = self.read(UNDO)
        try:
            return _Record.of_json(texts[0]) if texts else None
        except ValueError:
            raise TagError(self.path, f"its {UNDO} is damaged") from None

    def others(self) -> tuple[dict[str, Any], Any]:
        """What is not ours, to be compared."""
        ours = {self._frames.key(name).lower() for name in _NAMES}
        tags = self.audio.tags
        kept = {key: tags[key] for key in tags.keys() if key.lower() not in ours}  # noqa: SIM118
        return kept, getattr(tags, "unknown_frames", None)

    def drop_if_empty(self) -> None:
        """Have tags removed that are not there but for us."""
        kept, unknown = self.others()
        if self._frames is _ID3:
            copied = ParseID3v1(_tail(self._file)) or {}
            kept = {key: frame for key, frame in kept.items() if copied.get(key) != frame}
        self.dropped = not (kept or unknown or self.read(MOOD))

    def save(self) -> None:
        """Write the tags into the file, which must be open for that."""
        file, tail = self._file, _tail(self._file)
        file.seek(0)
        if self.dropped:
            if isinstance(self.audio, MP3):
                self.audio.tags.delete(file, delete_v1=False)
            else:
                self.audio.delete(file)
        elif self._frames is _ID3:
            self.audio.tags.save(file, v2_version=self._version, v23_sep=None)
        else:
            self.audio.save(file)
        if isinstance(self.audio, MP3) and tail.startswith(b"TAG"):
            file.seek(-_V1, os.SEEK_END)  # mutagen has made it anew of the longer tags
            file.write(tail)


def _tail(file: BinaryIO) -> bytes:
    """The bytes where an ID3v1 tag would be."""
    size = file.seek(0, os.SEEK_END)
    file.seek(-min(size, _V1), os.SEEK_END)
    return file.read()


def _kind(path: Path, file: BinaryIO) -> type[mutagen.FileType]:
    """Find out what a file is, and that mutagen can move its parts without harm."""
    with _one_line(path):
        audio = mutagen.File(file, options=list(_FORMATS))
    if audio is None:
        raise TagError(path, f"not a format that can be tagged; those are {_KNOWN}")
    if isinstance(audio, (WAVE, AIFF)):
        file.seek(4)
        size = int.from_bytes(file.read(4), "little" if isinstance(audio, WAVE) else "big")
        if 8 + size > file.seek(0, os.SEEK_END):
            raise TagError(path, "ends before its header says it does")
        if size % 2:
            raise TagError(path, "its last chunk lacks the byte that makes it even")
    elif isinstance(audio, MP4) and "moof" in _atoms(file):
        raise TagError(path, "its sound is in fragments, which cannot be tagged")
    return type(audio)


def _atoms(file: BinaryIO) -> set[str]:
    """Names of an MP4's outermost parts."""
    file.seek(0)
    return {atom.name.decode("latin-1") for atom in Atoms(file).atoms}


def _open(path: Path, file: BinaryIO, kind: type[mutagen.FileType]) -> _Tagged:
    """Load tags as they are: ID3 of an older version is not made newer."""

    def load(**options: Any) -> Any:
        file.seek(0)
        return kind(file, **options)

    with _one_line(path):
        if _FORMATS[kind] is not _ID3:
            audio = load()
        else:
            audio = load(translate=False, load_v1=False)
            if audio.tags is None and kind is MP3:
                # Who finds newer tags reads no older ones, so the newer must say it all.
                audio = load(translate=False)
            elif audio.tags is not None and audio.tags.version < (2, 3):
                audio = load(v2_version=3, load_v1=False)  # ID3v2.2, which nothing writes any more
    tags = audio.tags
    if _FORMATS[kind] is _VORBIS and tags and any("\ufffd" in text for _, text in tags):
        raise TagError(path, "its tags are not UTF-8 throughout, and would not survive")
    older = isinstance(tags, ID3) and (2, 0) <= tags.version < (2, 4)
    return _Tagged(path, file, audio, 3 if older else 4)


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    """Say what mutagen complains of in one line."""
    try:
        yield
    except mutagen.MutagenError as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise TagError(path, f"cannot be tagged ({reason})") from None


def _changed(path: Path, change: Callable[[_Tagged], bool], *, dry_run: bool) -> bool:
    """Change a file's tags in a copy that takes its place; return whether there was a change."""
    real = Path(os.path.realpath(path))
    with real.open("rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise TagError(path, "is not a file")
        kind = _kind(path, file)
        if not change(_open(path, file, kind)):
            return False
        # The superuser may write everywhere, but a person meant something by it.
        if not status.st_mode & 0o222 or not os.access(real, os.W_OK):
            raise TagError(path, "is read-only")
        if dry_run:
            return True
        with _copy(path, real, file, status) as copy:
            tagged = _open(path, copy, kind)
            kept = tagged.others()
            change(tagged)
            with _one_line(path):
                tagged.save()
            if not tagged.dropped and _open(path, copy, kind).others() != kept:
                raise TagError(path, "its other tags would not survive")
    return True


@contextmanager
def _copy(path: Path, real: Path, file: BinaryIO, status: os.stat_result) -> Iterator[BinaryIO]:
    """Yield a copy that takes the file's place at the end of the block, if nothing was raised."""
    part = real.parent / f".quadpred-{secrets.token_hex(8)}.part"
    try:
        with part.open("x+b") as copy:
            file.seek(0)
            shutil.copyfileobj(file, copy, 1 << 20)
            yield copy
            copy.flush()
            os.fsync(copy.fileno())
        made = part.stat()
        if (made.st_uid, made.st_gid) != (status.st_uid, status.st_gid):
            os.chown(part, status.st_uid, status.st_gid)
        shutil.copystat(real, part)
        now = real.stat()
        if (now.st_ino, now.st_size, now.st_mtime_ns) != (
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
        ):
            raise TagError(path, "was changed by something else just now")
        part.replace(real)
    except OSError as error:
        error.filename, error.filename2 = str(path), None  # a person knows nothing of the other
        raise
    finally:
        part.unlink(missing_ok=True)
    _sync(real.parent)


def _sync(folder: Path) -> None:
    """Have the new name survive a loss of power."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
