"""Expand input paths (files, folders, playlists, a list) into a sorted list of recordings."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes, urlsplit

from quadpred.batch import BatchError
from quadpred.files import as_unicode

__all__ = [
    "DiscoveryResult",
    "Recording",
    "Shard",
    "discover",
    "is_collection",
    "natural_key",
]

LIST = "-"
"""Stands for a list of paths on standard input."""

_PLAYLISTS = (".m3u", ".m3u8")
# Other files in a folder are taken for covers, booklets, films and the like.
_AUDIO = re.compile(
    r"\.(aac|ac3|aif|aif[cf]|amr|ape|au|caf|dsf|flac|m4[ab]|mka|mp[23c]|og[ag]|opus|ra|snd|spx"
    r"|tta|w64|wav|wma|wv)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Recording:
    """A file to predict.

    `name` is its name in tables, and that of its results in the output folder; it is unique in a
    run. `path` is absolute.
    """

    name: str
    path: str


@dataclass(frozen=True)
class DiscoveryResult:
    """Recordings in natural order of their names, and the reason for each path that failed."""

    recordings: list[Recording]
    errors: dict[Recording, str]


@dataclass(frozen=True)
class Shard:
    """The share of one machine among `count`; `index` counts from 1."""

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read "I/N".

        Raises:
            BatchError: it is not of this form.

        >>> Shard.parse("2/8")
        Shard(index=2, count=8)
        """
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        index, count = map(int, match.groups()) if match else (0, 0)
        if not 1 <= index <= count:
            raise BatchError(f"--shard {text}: must be I/N, from 1/N to N/N")
        return cls(index, count)

    @property
    def suffix(self) -> str:
        """Ending of file names that differs from that of other shards."""
        return f"-{self.index}-of-{self.count}"

    def holds(self, name: str) -> bool:
        """Return whether a recording belongs to this share; only its name counts."""
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


def is_collection(path: str) -> bool:
    """Return whether a path stands for several recordings: a folder, a playlist, or `-`."""
    return path == LIST or _is_playlist(path) or os.path.isdir(path)


def discover(paths: Sequence[str], listed: bytes = b"", shard: Shard = WHOLE) -> DiscoveryResult:
    """List the recordings of files, folders, playlists and of standard input.

    Folders are searched recursively, except for hidden files and folders. Links are followed, but a
    recording is listed once. If one folder is the only path, names are relative to it; otherwise
    they are the paths as given, without a leading slash.

    Args:
        paths: files, folders, playlists; "-" stands for `listed`.
        listed: one path per line, or each ended by a zero byte; not necessarily UTF-8.
        shard: recordings of other shards are left out.

    Raises:
        BatchError: two recordings would have the same name.
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
            raise BatchError(
                f"{path} and {named[name]} would write the same file; name their common folder"
            )
        named[name] = path
        found[real] = Recording(name, os.path.abspath(path))
    return DiscoveryResult(
        sorted(
            (recording for recording in found.values() if shard.holds(recording.name)),
            key=lambda recording: natural_key(as_unicode(recording.name)),
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
    """Replace lists and playlists by their files and folders."""
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
    """Yield the entries of a playlist; relative ones start from its folder."""
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
    """Yield all files, those in folders too, with their real path.

    Links come last, so that a file has its own name rather than that of a link.
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
    for link in links:  # the search of linked folders appends to it
        if os.path.isdir(link):
            yield from search(link)
        else:
            yield link, os.path.realpath(link)


def _name(path: str) -> str:
    """Return a path as given, or absolute if it is above the working directory; without root."""
    name = os.path.normpath(path)
    if name.split(os.sep)[0] == os.pardir:
        name = os.path.abspath(name)
    return os.path.splitdrive(name)[1].lstrip(os.sep)
