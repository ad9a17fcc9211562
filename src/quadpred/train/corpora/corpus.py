"""Adapters: each has a data sheet, and a function from the published folders to `RawItem`s.

`Corpus.manifest` does the rest for all of them: it leaves out unusable files, turns ratings into
quadrants, renders MIDI files and assigns splits.
"""

import csv
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from quadpred.audio import AudioError, probe
from quadpred.train.corpora.manifest import (
    Clip,
    DataSheet,
    Manifest,
    ManifestError,
    in_folds,
)
from quadpred.train.corpora.quadrants import Scale, Threshold, from_ratings

__all__ = ["MIDI", "Archive", "Corpus", "OnWarning", "RawItem", "number", "read_rows"]

OnWarning = Callable[[str], None]
"""Called with one line: a file and what is wrong with it."""

MIDI = ".mid"
"""Ending of the files that are rendered before use."""

FOLDS = 5


@dataclass(frozen=True)
class Archive:
    """One part of a corpus: a file to download.

    Attributes:
        part: its name on the command line.
        url: of a tar or zip archive.
        megabytes: its approximate size.
        checksum: `md5:…` or `sha256:…`; "" if unknown.
        inner: glob pattern of archives inside this one, which are unpacked too.
        optional: fetched only if it is named with `--part`.
    """

    part: str
    url: str
    megabytes: int
    checksum: str = ""
    inner: str = ""
    optional: bool = False


@dataclass(frozen=True)
class RawItem:
    """A recording with the labels that its corpus publishes.

    Attributes:
        path: of the recording, or of a MIDI file.
        group: artist, song or speaker; "" if unknown.
        split: as published; "" if there is none.
        quadrant: as published, or derived from mood words.
        rating: (arousal, valence) on the corpus's scale, if quadrants are derived from ratings.
        tags: further labels.
    """

    path: Path
    group: str = ""
    split: str = ""
    quadrant: str = ""
    rating: tuple[float, float] | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Corpus:
    """A corpus: its description and its adapter.

    Attributes:
        name: on the command line.
        title: its authors' name for it.
        what: its contents, in a few words.
        kind: speech or music.
        hours: approximate length; `None` if it differs between releases.
        language: of the speech, or of the songs where most share one.
        labels: what is annotated.
        licence: terms of the recordings, in short.
        url: the page that describes it.
        get: how to obtain it.
        layout: expected files, for the error message when no clip is found.
        read: yields the recordings under a folder, and warns about files that do not match.
        folders: common names of its folder, besides `name`.
        archives: what `fetch` downloads; empty if there is no direct public download.
        scale: range of its ratings.
    """

    name: str
    title: str
    what: str
    kind: Literal["speech", "music"]
    hours: float | None
    language: str
    labels: str
    licence: str
    url: str
    get: str
    layout: str
    read: Callable[[Path, OnWarning], Iterable[RawItem]]
    folders: tuple[str, ...] = ()
    archives: tuple[Archive, ...] = ()
    scale: Scale | None = None

    def find(self, root: Path) -> Path | None:
        """Return this corpus's folder below `root`, or `None`."""
        candidates = (root / name for name in (self.name, *self.folders))
        return next((folder for folder in candidates if folder.is_dir()), None)

    def manifest(
        self,
        folder: Path,
        *,
        on_warning: OnWarning,
        threshold: Threshold = "midpoint",
        dead_zone: float = 0.0,
        folds: int | None = None,
        hours: float | None = None,
        render: Callable[[list[Path]], Mapping[Path, Path]] | None = None,
    ) -> Manifest:
        """Make the manifest of a folder.

        Args:
            folder: the corpus as published, or a folder that holds it.
            on_warning: called with one line per file that is left out, and per other problem.
            threshold: between low and high ratings (see `from_ratings`).
            dead_zone: clips this near the threshold are left out (see `from_ratings`).
            folds: number of folds by group. By default the published splits are kept; without
                published splits there are five folds.
            hours: total length of a random sample of the clips; by default all are kept.
            render: returns one recording per MIDI file; MIDI files without one are left out.

        Raises:
            ManifestError: `folder` is not a folder, or holds no usable clip.
        """
        if not folder.is_dir():
            raise ManifestError(f"{folder}: is not a folder")
        unique = _without_duplicates(self.read(folder.absolute(), on_warning), on_warning)
        items = [self._with_group(item) for item in unique if _is_usable(item, on_warning)]
        items, notes = self._with_quadrants(items, threshold, dead_zone)
        if render and (midi := [item.path for item in items if item.path.suffix == MIDI]):
            rendered = render(midi)
            items = [
                replace(item, path=rendered.get(item.path, item.path))
                for item in items
                if item.path.suffix != MIDI or item.path in rendered
            ]
        if hours is not None:
            items = list(_sample(items, hours))
        if not items:
            raise ManifestError(
                f"{folder}: no usable clips of {self.title}; expected {self.layout}"
            )
        clips = [Clip(i.path, i.group, i.split, i.quadrant, i.tags) for i in items]
        if folds is None and any(clip.split for clip in clips):
            clips = self._in_published_splits(clips, on_warning)
            notes.append("split as published")
        else:
            clips = list(in_folds(clips, folds or FOLDS, seed=0))
        note = "; ".join([self.what, *notes])
        return Manifest(tuple(clips), DataSheet(self.title, self.language, self.licence, note))

    def _with_group(self, item: RawItem) -> RawItem:
        """Give a clip of an unknown artist, song or speaker its own group."""
        return item if item.group else replace(item, group=item.path.name)

    def _with_quadrants(
        self, items: list[RawItem], threshold: Threshold, dead_zone: float
    ) -> tuple[list[RawItem], list[str]]:
        """Derive quadrants from ratings; also return notes for the data sheet."""
        rated = [item for item in items if item.rating is not None]
        if not rated or self.scale is None:
            return items, []
        ratings = [item.rating for item in rated if item.rating is not None]
        quadrants = from_ratings(ratings, self.scale, threshold=threshold, dead_zone=dead_zone)
        labelled = [
            replace(item, quadrant=quadrant)
            for item, quadrant in zip(rated, quadrants, strict=True)
            if quadrant
        ]
        value = "the corpus's medians" if threshold == "median" else f"{self.scale.midpoint:g}"
        note = f"quadrants from ratings: threshold {value}, dead zone {dead_zone:g}"
        if dropped := len(rated) - len(labelled):
            note += f", in which {dropped} clips were left out"
        return [*(item for item in items if item.rating is None), *labelled], [note]

    def _in_published_splits(self, clips: list[Clip], on_warning: OnWarning) -> list[Clip]:
        """Keep the clips of published splits.

        In a group that several splits share, each clip becomes its own group.
        """
        split = [clip for clip in clips if clip.split]
        if dropped := len(clips) - len(split):
            on_warning(f"{self.name}: {dropped} clips left out, as no published split has them")
        splits_of: dict[str, set[str]] = {}
        for clip in split:
            splits_of.setdefault(clip.group, set()).add(clip.split)
        shared = {group for group, splits in splits_of.items() if len(splits) > 1}
        if shared:
            on_warning(
                f"{self.name}: {len(shared)} of {len(splits_of)} groups are in several published"
                " splits; use --folds to split by group"
            )
        return [replace(c, group=str(c.path)) if c.group in shared else c for c in split]


def read_rows(
    path: Path, on_warning: OnWarning, columns: Iterable[str] = (), delimiter: str = ","
) -> Iterator[dict[str, str]]:
    """Yield the rows of a table with a header; whitespace around cells is removed.

    A missing or malformed table, or one without one of `columns`, gives a warning and no further
    rows.
    """
    quoting: Literal[0, 3] = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            reader = csv.reader(file, delimiter=delimiter, quoting=quoting, skipinitialspace=True)
            header = [name.strip() for name in next(reader, [])]
            if missing := [name for name in columns if name not in header]:
                on_warning(f"{path}: no column {', '.join(missing)}")
                return
            for cells in reader:
                if cells:
                    last = len(header) - 1
                    # Some corpora have rows longer than the header: the last column takes the rest.
                    cells = [
                        *cells[:last],
                        delimiter.join(cells[last:]),
                        *[""] * (last - len(cells)),
                    ]
                    yield dict(zip(header, map(str.strip, cells), strict=False))
    except OSError as error:
        on_warning(f"{path}: {error.strerror}")
    except csv.Error as error:
        on_warning(f"{path}: {error}")


def _without_duplicates(items: Iterable[RawItem], on_warning: OnWarning) -> Iterator[RawItem]:
    """Yield the first item of each path."""
    seen: set[Path] = set()
    for item in items:
        if item.path in seen:
            on_warning(f"{item.path}: listed twice; only its first row is used")
        else:
            seen.add(item.path)
            yield item


def _is_usable(item: RawItem, on_warning: OnWarning) -> bool:
    """Return whether a file has content and, where this is fast to check, a valid header."""
    try:
        if not item.path.stat().st_size:
            on_warning(f"{item.path}: empty file")
            return False
        if item.path.suffix.lower() in {".flac", ".ogg", ".wav"}:
            probe(item.path)
    except OSError as error:
        on_warning(f"{item.path}: {error.strerror}")
        return False
    except AudioError as error:
        on_warning(str(error))
        return False
    return True


def _sample(items: list[RawItem], hours: float) -> Iterator[RawItem]:
    """Yield clips in random order until their total length reaches `hours`."""
    remaining = hours * 3600
    for item in random.Random(0).sample(items, len(items)):
        if remaining <= 0:
            return
        yield item
        try:
            length = probe(item.path)
        except AudioError as error:
            raise ManifestError(f"{error}; --hours needs the length of each clip") from None
        if length is None:
            raise ManifestError(
                f"{item.path}: unknown length; --hours needs the length of each clip"
            )
        remaining -= length


def number(text: str) -> float:
    """Parse a rating; anything but a number becomes NaN, which no scale contains."""
    try:
        return float(text)
    except ValueError:
        return math.nan
