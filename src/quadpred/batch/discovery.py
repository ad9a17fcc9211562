"""Expand input paths (files, folders, playlists, a list) into a sorted list of recordings."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from quadpred.audio import BROKEN_LINK, NOT_REGULAR
from quadpred.audio.folders import ENDINGS, SYSTEM_FOLDERS
from quadpred.batch import BatchError
from quadpred.batch.playlists import is_playlist, list_entries, playlist_entries, refusal
from quadpred.files import escape_name

__all__ = [
    "LIST",
    "WHOLE",
    "DiscoveryResult",
    "Recording",
    "Shard",
    "discover",
    "is_collection",
    "natural_key",
]

LIST = "-"
"""Stands for a list of paths on standard input."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A file to predict.

    `name` is what the tables call it and where its results lie below the output folder; no two
    recordings of a run share one. `path` is absolute.
    """

    name: str
    path: str


@dataclass(frozen=True)
class DiscoveryResult:
    """Recordings, and what was left out.

    Attributes:
        recordings: in natural order of their names.
        errors: the reason for each path without recordings.
        notes: lines on what was skipped or guessed.
    """

    recordings: list[Recording]
    errors: dict[Recording, str]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Shard:
    """The share of one machine among `count`; `index` counts from 1."""

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read "i/n".

        Raises:
            BatchError: it is something else.

        >>> Shard.parse("2/8")
        Shard(index=2, count=8)
        """
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        index, count = map(int, match.groups()) if match else (0, 0)
        if not 1 <= index <= count:
            raise BatchError(f"--shard {text}: write I/N, with I from 1 to N")
        return cls(index, count)

    @property
    def suffix(self) -> str:
        """What sets its files apart from those of other shards."""
        return f"-{self.index}-of-{self.count}"

    def holds(self, name: str) -> bool:
        """Return whether a recording is of this share; only its name decides."""
        digest = hashlib.sha256(os.fsencode(name)).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1


WHOLE = Shard()
"""The share of a single machine: everything."""


def natural_key(name: str) -> tuple[list[list[str | tuple[int, str]]], str]:
    """Sort key that puts segment_2 before segment_10, folder by folder.

    >>> sorted(["a2/b", "a/b10", "a/b9"], key=natural_key)
    ['a/b9', 'a/b10', 'a2/b']
    """
    folded = (re.split(r"(\d+)", part) for part in name.casefold().split("/"))
    return [[_number(s) if at % 2 else s for at, s in enumerate(part)] for part in folded], name


def _number(digits: str) -> tuple[int, str]:
    """Return a key that sorts digits by their value; `int` refuses those of thousands of digits."""
    significant = digits.lstrip("0")
    return len(significant), significant


def is_collection(path: str) -> bool:
    """Return whether a path stands for several recordings: a folder, a playlist, or `-`."""
    return path == LIST or is_playlist(path) or os.path.isdir(path)


def discover(paths: Sequence[str], listed: bytes = b"", shard: Shard = WHOLE) -> DiscoveryResult:
    """List the recordings of files, folders, playlists and of standard input.

    A folder is searched with all its subfolders, except hidden files, hidden folders and those in
    which systems keep what was deleted. Links are followed, but nothing is found twice. In one
    folder given alone, names are relative to it; else they are the paths as given, without a
    leading slash.

    Args:
        paths: what was given; "-" stands for `listed`.
        listed: paths, one per line, or each ended by a zero byte; they may be other than UTF-8.
        shard: leave out what is of other shards.

    Raises:
        BatchError: two files would share a name.
    """
    alone = len(paths) == 1 and os.path.isdir(paths[0])

    search = _Search()

    def name_of(path: str) -> str:
        if path in search.verbatim:
            return path
        return os.path.relpath(path, paths[0]) if alone else _name(path)

    found: dict[str, Recording] = {}
    named: dict[str, str] = {}
    for path, real in search.files(search.expand(paths, listed)):
        if real in found:
            continue
        name = name_of(path)
        if name in named:
            clash = f"{path} and {named[name]} would write the same file"
            raise BatchError(f"{clash}; give the folder that contains both")
        named[name] = path
        found[real] = Recording(name, os.path.abspath(path))
    return DiscoveryResult(
        sorted(
            (recording for recording in found.values() if shard.holds(recording.name)),
            key=lambda recording: natural_key(escape_name(recording.name)),
        ),
        {
            Recording(name, path if path in search.verbatim else os.path.abspath(path)): reason
            for path, reason in search.errors.items()
            if shard.holds(name := name_of(path))
        },
        search.all_notes(),
    )


class _Search:
    """Looks for files, and notes what it skips.

    Attributes:
        errors: the reason why a path gives no recordings, by path.
        verbatim: those of these paths that are none on this machine, such as addresses.
        notes: lines on what was guessed.
        skipped: how much was left out of folders, by kind.
    """

    def __init__(self) -> None:
        self.errors: dict[str, str] = {}
        self.verbatim = {LIST}
        self.notes: list[str] = []
        self.skipped: Counter[str] = Counter()
        self._links: list[str] = []
        self._searched: set[str] = set()

    def all_notes(self) -> list[str]:
        """Return the notes, and one line that counts what was skipped."""
        counts = [f"{count} {kind}" for kind, count in self.skipped.items()]
        return [*self.notes, *([f"skipped {', '.join(counts)}"] if counts else [])]

    def expand(self, paths: Iterable[str], listed: bytes) -> Iterator[str]:
        """Yield files and folders in the place of lists and playlists."""
        for path in paths:
            try:
                if path == LIST:
                    yield from self.expand(list_entries(listed, note=self.notes.append), b"")
                elif reason := refusal(path):
                    self._refuse(path, reason)
                elif is_playlist(path):
                    yield from playlist_entries(path, refuse=self._refuse, note=self.notes.append)
                else:
                    yield path
            except BatchError as error:
                self.errors[path] = str(error)
            except OSError as error:
                self.errors[path] = str(error.strerror)

    def _refuse(self, path: str, reason: str) -> None:
        self.errors[path] = reason
        if refusal(path):
            self.verbatim.add(path)

    def files(self, paths: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Yield files, those in folders too, and what each is called with all links resolved.

        Links come last, so that a file is known by its own name rather than by that of a link.
        """
        for path in paths:
            if "\0" in path:
                self.errors[path] = "not a valid path"
            elif os.path.islink(path):
                self._links.append(path)
            elif os.path.isdir(path):
                yield from self._folder(path)
            else:
                yield path, os.path.realpath(path)
        for link in self._links:  # grows while the folders behind links are searched
            if os.path.isdir(link):
                yield from self._folder(link)
            else:
                yield link, os.path.realpath(link)

    def _folder(self, folder: str) -> Iterator[tuple[str, str]]:
        real = os.path.realpath(folder)
        if real in self._searched:
            return
        self._searched.add(real)
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: natural_key(entry.name))
        except OSError as error:
            self.errors[folder] = str(error.strerror)
            return
        for entry in found:
            if self._passed_over(entry):
                continue
            if entry.is_symlink():
                if os.path.exists(entry.path):
                    self._links.append(entry.path)
                else:
                    self.errors[entry.path] = BROKEN_LINK
            elif entry.is_dir():
                yield from self._folder(entry.path)
            elif entry.is_file():
                yield entry.path, os.path.join(real, entry.name)
            else:
                self.errors[entry.path] = NOT_REGULAR

    def _passed_over(self, entry: os.DirEntry[str]) -> bool:
        """Count an entry that is skipped, and return whether it is."""
        # A link that leads to itself has no status.
        folder = os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()
        if entry.name.startswith("."):
            self.skipped["hidden"] += 1
        elif folder and entry.name.lower() in SYSTEM_FOLDERS:
            self.skipped["system folders"] += 1
        elif entry.is_symlink() and not os.path.exists(entry.path):
            return False  # perhaps a folder on a disk that is not mounted
        elif not folder and os.path.splitext(entry.name)[1][1:].lower() not in ENDINGS:
            self.skipped["without an audio extension"] += 1
        else:
            return False
        return True


def _name(path: str) -> str:
    """Return a path as it was given, or absolute if it leads out of here; never with a root."""
    name = os.path.normpath(path)
    if name.split(os.sep)[0] == os.pardir:
        name = os.path.abspath(name)
    return os.path.splitdrive(name)[1].lstrip(os.sep)
