"""What an adapter is: a data sheet, and a function from the published folders to clips.

`Corpus.manifest` does the rest alike for all: it drops what cannot be used, makes quadrants of
ratings, renders MIDI, and splits.
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
    SUFFIXES,
    Clip,
    DataSheet,
    Manifest,
    ManifestError,
    in_folds,
)
from quadpred.train.corpora.quadrants import Centre, Scale, from_ratings

__all__ = ["Archive", "Corpus", "Found", "Warn", "read_rows", "recordings"]

Warn = Callable[[str], None]
"""Takes one line: a file and what is wrong with it."""

MIDI = ".mid"
FOLDS = 5


@dataclass(frozen=True)
class Archive:
    """A file to download: one of a corpus's parts.

    Attributes:
        part: its name on the command line.
        url: of a tar or zip archive.
        megabytes: about its size.
        checksum: `md5:…` or `sha256:…`; "" where none is known.
        inner: pattern, below the unpacked folder, of archives in it that are to be unpacked too.
        optional: fetched only by name.
    """

    part: str
    url: str
    megabytes: int
    checksum: str = ""
    inner: str = ""
    optional: bool = False


@dataclass(frozen=True)
class Found:
    """A recording as its corpus describes it.

    Attributes:
        path: of the recording, or of a MIDI file.
        group: artist, song or speaker; "" if unknown.
        split: as published; "" if none is.
        quadrant: as published, or named by words.
        rating: (arousal, valence) on the corpus's scale, instead of a quadrant.
        tags: further words.
    """

    path: Path
    group: str = ""
    split: str = ""
    quadrant: str = ""
    rating: tuple[float, float] | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Corpus:
    """A data set and how to read it.

    Attributes:
        name: on the command line.
        title: as its authors call it.
        what: it holds, in a few words.
        kind: speech or music.
        hours: of recordings, about; `None` if that depends.
        language: of the speech, or of the songs where most share one.
        labels: what its annotators say of a clip.
        licence: terms of the recordings, in short.
        url: the page that describes it.
        get: how to get it.
        layout: what a folder of it looks like, for the error when nothing is found.
        read: yields the recordings under a folder and warns of files that do not fit.
        folders: names that its own folder goes by.
        archives: what `fetch` downloads; none where there is no plain public download.
        scale: of its ratings.
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
    read: Callable[[Path, Warn], Iterable[Found]]
    folders: tuple[str, ...] = ()
    archives: tuple[Archive, ...] = ()
    scale: Scale | None = None

    def find(self, root: Path) -> Path | None:
        """Return this corpus's folder in a folder of corpora, if it is there."""
        places = (root / name for name in (self.name, *self.folders))
        return next((place for place in places if place.is_dir()), None)

    def manifest(
        self,
        folder: Path,
        *,
        warn: Warn,
        about: Centre = "middle",
        neutral: float = 0.0,
        folds: int | None = None,
        hours: float | None = None,
        render: Callable[[list[Path]], Mapping[Path, Path]] | None = None,
        seed: int = 0,
    ) -> Manifest:
        """Make the manifest of a folder.

        Args:
            folder: as published, or one above it.
            warn: takes a line on each file that is left out, and on what else a person must know.
            about: centre of the ratings (see `quadrants`).
            neutral: reach of their neutral band; its clips are left out.
            folds: split whole groups into so many folds. Without it the published splits are kept,
                or there are five folds where none are published.
            hours: keep so many, of clips drawn by chance.
            render: makes recordings of MIDI files; those it does not return are left out.
            seed: of folds and chance.

        Raises:
            ManifestError: nothing usable was found.
        """
        if not folder.is_dir():
            raise ManifestError(f"{folder}: is not a folder")
        read = _once(self.read(folder.absolute(), warn), warn)
        found = [self._grouped(f) for f in read if _usable(f, warn)]
        found, notes = self._in_quadrants(found, about, neutral)
        if render and (midi := [f.path for f in found if f.path.suffix == MIDI]):
            rendered = render(midi)
            found = [
                replace(f, path=rendered.get(f.path, f.path))
                for f in found
                if f.path.suffix != MIDI or f.path in rendered
            ]
        if hours is not None:
            found = list(_drawn(found, hours, seed))
        if not found:
            raise ManifestError(
                f"{folder}: no clips of {self.title} can be used; expected {self.layout}"
            )
        clips = [Clip(f.path, f.group, f.split, f.quadrant, f.tags) for f in found]
        if folds is None and any(clip.split for clip in clips):
            clips = self._as_published(clips, warn)
            notes.append("split as published")
        else:
            clips = list(in_folds(clips, folds or FOLDS, seed))
        note = "; ".join([self.what, *notes])
        return Manifest(tuple(clips), DataSheet(self.title, self.language, self.licence, note))

    def _grouped(self, found: Found) -> Found:
        """Make a clip of an unknown artist, song or speaker a group of its own."""
        return found if found.group else replace(found, group=found.path.name)

    def _in_quadrants(
        self, found: list[Found], about: Centre, neutral: float
    ) -> tuple[list[Found], list[str]]:
        rated = [f for f in found if f.rating is not None]
        if not rated or self.scale is None:
            return found, []
        ratings = [f.rating for f in rated if f.rating is not None]
        quadrants = from_ratings(ratings, self.scale, about=about, neutral=neutral)
        kept = [
            replace(f, quadrant=quadrant)
            for f, quadrant in zip(rated, quadrants, strict=True)
            if quadrant
        ]
        centre = "the corpus's medians" if about == "median" else f"{self.scale.middle:g}"
        note = f"quadrants: signs about {centre}, neutral band {neutral:g}"
        if dropped := len(rated) - len(kept):
            note += f", in which {dropped} clips were left out"
        return [*(f for f in found if f.rating is None), *kept], [note]

    def _as_published(self, clips: list[Clip], warn: Warn) -> list[Clip]:
        """Keep the published splits, and narrow the groups that they tear apart to single clips."""
        split = [clip for clip in clips if clip.split]
        if left := len(clips) - len(split):
            warn(f"{self.name}: {left} clips are in none of the published splits and are left out")
        homes: dict[str, set[str]] = {}
        for clip in split:
            homes.setdefault(clip.group, set()).add(clip.split)
        torn = {group for group, splits in homes.items() if len(splits) > 1}
        if torn:
            warn(
                f"{self.name}: the published splits put {len(torn)} of {len(homes)} groups on both"
                " sides; --folds splits whole groups instead"
            )
        return [replace(c, group=str(c.path)) if c.group in torn else c for c in split]


def read_rows(
    path: Path, warn: Warn, columns: Iterable[str] = (), delimiter: str = ","
) -> Iterator[dict[str, str]]:
    """Yield the rows of a table with a header, all stripped of blanks.

    A table that is missing, malformed, or without one of `columns` is warned of and yields nothing
    (more).
    """
    quoting: Literal[0, 3] = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            reader = csv.reader(file, delimiter=delimiter, quoting=quoting, skipinitialspace=True)
            header = [name.strip() for name in next(reader, [])]
            if missing := [name for name in columns if name not in header]:
                warn(f"{path}: no column {', '.join(missing)}")
                return
            for cells in reader:
                if cells:
                    last = len(header) - 1
                    # Rows of some corpora go on beyond the header: all that is the last column's.
                    cells = [
                        *cells[:last],
                        delimiter.join(cells[last:]),
                        *[""] * (last - len(cells)),
                    ]
                    yield dict(zip(header, map(str.strip, cells), strict=False))
    except OSError as error:
        warn(f"{path}: {error.strerror}")
    except csv.Error as error:
        warn(f"{path}: {error}")


def recordings(folder: Path, suffixes: Iterable[str] = SUFFIXES) -> Iterator[Path]:
    """Yield the recordings under a folder, sorted, without a Mac's shadow files."""
    wanted = set(suffixes)
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in wanted and not path.name.startswith("._"):
            yield path


def _once(found: Iterable[Found], warn: Warn) -> Iterator[Found]:
    """Yield every recording once, as its corpus describes it first."""
    seen: set[Path] = set()
    for each in found:
        if each.path in seen:
            warn(f"{each.path}: is listed twice; its first row is used")
        else:
            seen.add(each.path)
            yield each


def _usable(found: Found, warn: Warn) -> bool:
    """Tell whether there is something in a file, and a readable header where that is cheap."""
    try:
        if not found.path.stat().st_size:
            warn(f"{found.path}: is empty")
            return False
        if found.path.suffix.lower() in {".flac", ".ogg", ".wav"}:
            probe(found.path)
    except OSError as error:
        warn(f"{found.path}: {error.strerror}")
        return False
    except AudioError as error:
        warn(str(error))
        return False
    return True


def _drawn(found: list[Found], hours: float, seed: int) -> Iterator[Found]:
    """Yield clips drawn by chance until they last so many hours."""
    left = hours * 3600
    for item in random.Random(seed).sample(found, len(found)):
        if left <= 0:
            return
        yield item
        try:
            length = probe(item.path)
        except AudioError as error:
            raise ManifestError(f"{error}: its length is unknown") from None
        if length is None:
            raise ManifestError(f"{item.path}: its length is unknown")
        left -= length


def number(text: str) -> float:
    """Read a rating; what is none becomes a NaN, which lies on no scale."""
    try:
        return float(text)
    except ValueError:
        return math.nan
