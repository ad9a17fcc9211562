"""From what a person gives (files, folders, playlists, a list) to recordings in a stable order."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes, urlsplit

from quadpred.batch import BatchError

__all__ = ["Found", "Recording", "Shard", "discover", "is_collection", "natural_key", "unicode"]

LIST = "-"
"""Stands for a list of paths on standard input."""

_PLAYLISTS = (".m3u", ".m3u8")
# In a folder, what ends in something else is taken for covers, booklets, films and the like.
_AUDIO = re.compile(
    r"\.(aac|ac3|aif|aif[cf]|amr|ape|au|caf|dsf|flac|m4[ab]|mka|mp[23c]|og[ag]|opus|ra|snd|spx"
    r"|tta|w64|wav|wma|wv)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Recording:
    """A file to predict.

    `name` is what the tables call it and where its results lie below the output folder; no two
    recordings of a run share one. `path` is absolute.
    """

    name: str
    path: str


@dataclass(frozen=True)
class Found:
    """What was found: recordings in natural order of their names, and why others were not."""

    recordings: list[Recording]
    errors: dict[Recording, str]


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
            raise BatchError(f"--shard {text}: must be i/n, from 1/n to n/n")
        return cls(index, count)

    @property
    def suffix(self) -> str:
        """What sets its files apart from those of other shards."""
        return f"-{self.index}-of-{self.count}"

    def holds(self, name: str) -> bool:
        """Tell whether a recording is of this share, by its name alone."""
        digest = hashlib.sha256(os.fsencode(name)).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1


WHOLE = Shard()


def natural_key(name: str) -> tuple[list[list[str | int]], str]:
    """Sort key that puts segment_2 before segment_10, folder by folder.

    >>> sorted(["a2/b", "a/b10", "a/b9"], key=natural_key)
    ['a/b9', 'a/b10', 'a2/b']
    """
    folded = (re.split(r"(\d+)", part) for part in name.casefold().split("/"))
    return [[int(s) if at % 2 else s for at, s in enumerate(part)] for part in folded], name


def unicode(name: str) -> str:
    """Escape the bytes of a file name that are not UTF-8, which tables cannot hold."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def is_collection(path: str) -> bool:
    """Tell whether a path stands for several recordings: a folder, a playlist, or the list `-`."""
    return path == LIST or _is_playlist(path) or os.path.isdir(path)


def discover(paths: Sequence[str], listed: bytes = b"", shard: Shard = WHOLE) -> Found:
    """List the recordings of files, folders, playlists and of standard input.

    A folder is searched with all that it holds, hidden files and folders left out; links to files
    and folders are followed, but what has been found already is not found again. In one folder
    given alone, names are relative to it; else they are the paths as given, without a leading
    slash.

    Args:
        paths: what was given; "-" stands for `listed`.
        listed: paths, a line each, or each ended by a zero byte; they may be other than UTF-8.
        shard: leave out what is of other shards.

    Raises:
        BatchError: two files would share a name.
    """
    alone = len(paths) == 1 and os.path.isdir(paths[0])

    def name_of(path: str) -> str:
        return os.path.relpath(path, paths[0]) if alone else _name(path)

    errors: dict[str, str] = {}
    found: dict[str, Recording] = {}
    named: dict[str, str] = {}
    for path, real in _files(_expand(paths, listed, errors), errors):
        if real in found:
            continue
        name = name_of(path)
        if name in named:
            clash = f"would be saved under the name of {named[name]}"
            raise BatchError(f"{path}: {clash}; give the folder that holds both")
        named[name] = path
        found[real] = Recording(name, os.path.abspath(path))
    return Found(
        sorted(
            (recording for recording in found.values() if shard.holds(recording.name)),
            key=lambda recording: natural_key(unicode(recording.name)),
        ),
        {
            Recording(name, os.path.abspath(path)): reason
            for path, reason in errors.items()
            if shard.holds(name := name_of(path))
        },
    )


def _is_playlist(path: str) -> bool:
    return path.lower().endswith(_PLAYLISTS)


def _expand(paths: Iterable[str], listed: bytes, errors: dict[str, str]) -> Iterator[str]:
    """Yield files and folders in the place of lists and playlists."""
    for path in paths:
        if path == LIST:
            separator = b"\0" if b"\0" in listed else b"\n"
            lines = (os.fsdecode(line.removesuffix(b"\r")) for line in listed.split(separator))
            yield from _expand((line for line in lines if line), b"", errors)
        elif _is_playlist(path):
            try:
                yield from _playlist(path)
            except OSError as error:
                errors[path] = str(error.strerror)
        else:
            yield path


def _playlist(path: str) -> Iterator[str]:
    """Yield a playlist's entries, which are relative to its folder."""
    with open(path, "rb") as file:
        content = file.read().removeprefix(b"\xef\xbb\xbf")
    for line in content.splitlines():
        entry = line.strip()
        if not entry or entry.startswith(b"#"):
            continue
        if entry.startswith(b"file:"):
            entry = unquote_to_bytes(urlsplit(entry).path)
        yield os.path.join(os.path.dirname(path), os.fsdecode(entry))


def _files(paths: Iterable[str], errors: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield files, those in folders too, and what each is called with all links resolved.

    Links come last, so that a file is known by its own name rather than by that of a link.
    """
    links: list[str] = []
    searched: set[str] = set()

    def search(folder: str) -> Iterator[tuple[str, str]]:
        real = os.path.realpath(folder)
        if real in searched:
            return
        searched.add(real)
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: natural_key(entry.name))
        except OSError as error:
            errors[folder] = str(error.strerror)
            return
        for entry in found:
            if entry.name.startswith("."):
                continue
            audio = _AUDIO.fullmatch(os.path.splitext(entry.name)[1])
            if entry.is_symlink():
                if audio or os.path.isdir(entry.path):
                    links.append(entry.path)
            elif entry.is_dir():
                yield from search(entry.path)
            elif audio:
                yield entry.path, os.path.join(real, entry.name)

    for path in paths:
        if os.path.islink(path):
            links.append(path)
        elif os.path.isdir(path):
            yield from search(path)
        else:
            yield path, os.path.realpath(path)
    for link in links:  # grows while the folders behind links are searched
        if os.path.isdir(link):
            yield from search(link)
        else:
            yield link, os.path.realpath(link)


def _name(path: str) -> str:
    """Return a path as it was given, or absolute if it leads out of here; never with a root."""
    name = os.path.normpath(path)
    if name.split(os.sep)[0] == os.pardir:
        name = os.path.abspath(name)
    return os.path.splitdrive(name)[1].lstrip(os.sep)
