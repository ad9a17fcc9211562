"""Manifests: one CSV format for every corpus, with a data sheet (JSON) beside it.

A manifest has one row per clip and the columns `path, group, split, quadrant, arousal, valence,
tags`. `group` is the artist, song or speaker: all clips of a group are in the same split. `split`
is any word ("train", "test") or the number of a fold. `quadrant`, `arousal` and `valence` (ratings
on any scale) may be empty. `tags` are further labels, separated by semicolons.
"""

import csv
import json
import math
import os
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from io import TextIOWrapper
from pathlib import Path

from quadpred.audio.folders import recordings
from quadpred.errors import QuadpredError
from quadpred.files import (
    add_filename_to_errors,
    atomic_write,
    csv_rows,
    digest_of,
    reason_of,
    sha256_of,
)
from quadpred.labels import QUADRANT

__all__ = [
    "Clip",
    "DataSheet",
    "Manifest",
    "ManifestError",
    "check_clips",
    "check_splits",
    "from_folder",
    "in_folds",
    "read_table",
]

COLUMNS = ("path", "group", "split", "quadrant", "arousal", "valence", "tags")


class ManifestError(QuadpredError):
    """A manifest or labels file cannot be used; one line gives the file and the reason."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording and its labels; ratings of arousal and valence are on the corpus's scale."""

    path: Path
    group: str
    split: str
    quadrant: str = ""
    tags: tuple[str, ...] = ()
    arousal: float | None = None
    valence: float | None = None

    def checksum(self) -> str:
        """Return a checksum of the recording's content, the same wherever the file lies.

        Raises:
            OSError: the recording cannot be read.
        """
        stat = self.path.stat()
        return _checksum(self.path, stat.st_size, stat.st_mtime_ns)

    def digest(self) -> str:
        """Return a checksum of the recording's content and of all labels.

        Raises:
            OSError: the recording cannot be read.
        """
        labels = [self.group, self.split, self.quadrant, self.tags, self.arousal, self.valence]
        return digest_of([self.checksum(), *labels], 16)


@lru_cache(100_000)
def _checksum(path: Path, size: int, time: int) -> str:
    """Read a recording once, as long as its size and time are the same."""
    return sha256_of(path)[:16]


@dataclass(frozen=True)
class DataSheet:
    """Description of a corpus, for model cards and training.

    Attributes:
        name: of the corpus.
        language: of its speech or songs.
        licence: terms of its recordings.
        note: one sentence about it.
        teacher: NumPy archive of a teacher network's values: under the stem of each clip's file
            name an array of shape (seconds, values).
        dynamics: CSV of ratings over time, with the columns `file, start, end, arousal, valence`.
    """

    name: str
    language: str = ""
    licence: str = "unknown"
    note: str = ""
    teacher: str = ""
    dynamics: str = ""


@dataclass(frozen=True)
class Manifest:
    """The clips of one corpus."""

    clips: tuple[Clip, ...]
    sheet: DataSheet

    def subset(self, splits: Iterable[str]) -> tuple[Clip, ...]:
        """Return the clips of these splits."""
        selected = set(splits)
        return tuple(clip for clip in self.clips if clip.split in selected)

    def without(self, splits: Iterable[str]) -> tuple[Clip, ...]:
        """Return the clips of all other splits."""
        excluded = set(splits)
        return tuple(clip for clip in self.clips if clip.split not in excluded)

    def save(self, path: Path) -> None:
        """Write the CSV, with absolute paths, and its data sheet (`.json` beside it), or neither.

        Raises:
            OSError: a file cannot be written.
        """
        files = atomic_write(path, path.with_suffix(".json"))
        with files as (table, sheet), add_filename_to_errors(path):
            text = TextIOWrapper(table, "utf-8", "surrogateescape", newline="")
            writer = csv.writer(text)
            writer.writerow(COLUMNS)
            for clip in self.clips:
                ratings = ["" if v is None else v for v in (clip.arousal, clip.valence)]
                row = [clip.path.absolute(), clip.group, clip.split, clip.quadrant, *ratings]
                writer.writerow([*row, "; ".join(clip.tags)])
            text.detach()
            sheet.write((json.dumps(asdict(self.sheet), indent=2) + "\n").encode())

    @classmethod
    def load(cls, path: Path) -> "Manifest":
        """Read a manifest; relative paths start from its folder.

        Raises:
            ManifestError: the file is missing, a column is missing, a quadrant is unknown, a clip
                is listed twice, a group is in two splits, or the data sheet is invalid.

        """
        return cls.from_rows(_rows(path, COLUMNS[:4]), path)

    @classmethod
    def from_rows(cls, rows: Iterable[Mapping[str, str]], path: Path) -> "Manifest":
        """Return the manifest whose rows were read from `path`, as `load` does.

        Raises:
            ManifestError: as `load`.
        """
        interned: dict[str, str] = {}  # equal strings share one object, which saves memory
        clips = []
        for line, row in enumerate(rows, 2):
            name, group, split = row["path"], row["group"], row["split"]
            if not name or "\0" in name:
                raise ManifestError(f"{path}: line {line}: no path")
            quadrant = _quadrant(row["quadrant"], path, line)
            group, split, quadrant = (interned.setdefault(t, t) for t in (group, split, quadrant))
            words = tuple(interned.setdefault(word, word) for word in _words(row.get("tags") or ""))
            ratings = (_rating(row.get(name) or "", path, line) for name in ("arousal", "valence"))
            clips.append(Clip(path.parent / name, group, split, quadrant, words, *ratings))
        _refuse_duplicates(clips, path)
        split_of: dict[str, str] = {}
        for clip in clips:
            if split_of.setdefault(clip.group, clip.split) != clip.split:
                raise ManifestError(
                    f"{path}: group {clip.group!r} is in splits {split_of[clip.group]!r} and"
                    f" {clip.split!r}; put all its clips into one split"
                )
        return cls(tuple(clips), _read_sheet(path.with_suffix(".json"), path.stem))


def check_splits(manifests: Iterable[Manifest], splits: Iterable[str]) -> None:
    """Check that each split is in at least one manifest.

    Raises:
        ManifestError: a split is in none of them.
    """
    existing = {clip.split for manifest in manifests for clip in manifest.clips}
    if unknown := sorted(set(splits) - existing):
        raise ManifestError(f"unknown split {unknown[0]!r}; choose from {_list(existing)}")


def check_clips(manifests: Sequence[Manifest]) -> None:
    """Check that no recording is in two manifests, where it would count twice.

    Raises:
        ManifestError: a recording is.
    """
    if len(manifests) < 2:
        return
    corpora: dict[str, str] = {}
    for manifest in manifests:
        name = manifest.sheet.name
        listed = {os.path.abspath(clip.path) for clip in manifest.clips}
        if shared := sorted(listed & corpora.keys()):
            raise ManifestError(
                f"{shared[0]}: is in the manifests of {corpora[shared[0]]} and {name}; list it in"
                " one of them"
            )
        corpora |= dict.fromkeys(listed, name)


def _list(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names))


def _read_sheet(path: Path, name: str) -> DataSheet:
    """Read a data sheet; if the file is missing, return one with this name."""
    if not path.exists():
        return DataSheet(name)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ManifestError(f"{path}: {reason_of(error)}") from None
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{path}: not JSON ({error})") from None
    allowed = [field.name for field in fields(DataSheet)]
    if not isinstance(values, dict) or not isinstance(values.get("name"), str):
        raise ManifestError(f"{path}: not a data sheet: must be a JSON object with a name")
    for key, value in values.items():
        if key not in allowed:
            raise ManifestError(f"{path}: unknown key {key!r}; choose from {', '.join(allowed)}")
        if not isinstance(value, str):
            raise ManifestError(f"{path}: {key} must be a string")
    return DataSheet(**values)


def _refuse_duplicates(clips: Iterable[Clip], source: Path) -> None:
    """Raise an error if a recording is listed twice, even under two spellings of its path.

    It would count twice, perhaps with two labels or in two splits.
    """
    lines: dict[str, int] = {}
    for line, clip in enumerate(clips, 2):
        first = lines.setdefault(os.path.abspath(clip.path), line)
        if first != line:
            raise ManifestError(
                f"{source}: line {line}: {clip.path} is listed in line {first} already"
            )


def from_folder(
    folder: Path,
    sheet: DataSheet,
    *,
    labels: Path | None = None,
    group: str | None = None,
    tags: Sequence[str] = (),
    folds: int = 5,
) -> Manifest:
    """Make a manifest of the recordings under a folder.

    Args:
        folder: searched for audio files.
        sheet: name, language and licence of the corpus.
        labels: a CSV with a column `file` (path below the folder, or name) and optionally
            `quadrant`. Without it, all audio files are taken, without labels.
        group: a column of `labels`. Without `labels`, a regular expression: its first match in the
            path below the folder is the group. By default each file is its own group.
        tags: columns of `labels` with tags separated by semicolons.
        folds: number of splits of similar size and class balance, named "0", "1", …

    Raises:
        ManifestError: no audio files, or `labels` does not match the files.

    """
    files = list(recordings(folder))
    if not files:
        raise ManifestError(f"{folder}: no audio files")
    if labels is None:
        clips = _unlabelled(folder, files, group)
    else:
        clips = _labelled(folder, files, labels, group, tags)
    return Manifest(in_folds(clips, folds, seed=0), sheet)


def _unlabelled(folder: Path, files: Sequence[Path], group: str | None) -> list[Clip]:
    """Return one clip per file; the first match of `group` in its path is its group."""
    try:
        pattern = re.compile(group or "(.*)")
    except re.error as error:
        reason = f"not a regular expression ({error})"
        raise ManifestError(f"--group {group}: {reason}") from None
    clips = []
    for path in files:
        match = pattern.search(path.relative_to(folder).as_posix())
        clips.append(Clip(path, match.group(0) if match else path.name, ""))
    return clips


def _labelled(
    folder: Path, files: Sequence[Path], labels: Path, group: str | None, tags: Sequence[str]
) -> list[Clip]:
    """Return one clip per row of `labels`; the column `group` has its group."""
    rows = read_table(labels)
    required = {"file", *tags, *([group] if group else [])}
    if missing := required - set(rows[0]):
        raise ManifestError(f"{labels}: no column {', '.join(sorted(missing))}")
    paths_of: dict[str, list[Path]] = {}
    for path in files:
        for name in {path.name, path.relative_to(folder).as_posix()}:
            paths_of.setdefault(name, []).append(path)
    clips = []
    for line, row in enumerate(rows, 2):
        name = row["file"]
        matches = paths_of.get(name) or paths_of.get(Path(name).name, [])
        if len(matches) != 1:
            reason = (
                f"is in several folders under {folder}" if matches else f"is not under {folder}"
            )
            raise ManifestError(f"{labels}: line {line}: {name} {reason}")
        words = tuple(word for column in tags for word in _words(row[column]))
        quadrant = _quadrant(row.get("quadrant", ""), labels, line)
        clips.append(Clip(matches[0], row[group] if group else name, "", quadrant, words))
    _refuse_duplicates(clips, labels)
    return clips


def in_folds(clips: Sequence[Clip], folds: int, seed: int) -> tuple[Clip, ...]:
    """Assign groups to folds, largest first, each where its classes have the fewest clips."""
    members: dict[str, list[Clip]] = {}
    for clip in clips:
        members.setdefault(clip.group, []).append(clip)
    groups = sorted(members)
    random.Random(seed).shuffle(groups)
    groups.sort(key=lambda name: -len(members[name]))
    counts: list[Counter[str]] = [Counter() for _ in range(folds)]
    fold_of = {}
    for name in groups:
        classes = [clip.quadrant for clip in members[name]]
        fold_of[name] = min(
            range(folds), key=lambda k: (sum(counts[k][c] for c in classes), counts[k].total())
        )
        counts[fold_of[name]].update(classes)
    return tuple(replace(clip, split=str(fold_of[clip.group])) for clip in clips)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for part in text.split(";") if (word := part.strip()))


def _quadrant(value: str, path: Path, line: int) -> str:
    if value and value not in QUADRANT.classes:
        raise ManifestError(f"{path}: line {line}: {value!r} is not one of Q1, Q2, Q3, Q4")
    return value


def _rating(value: str, path: Path, line: int) -> float | None:
    try:
        rating = float(value) if value.strip() else None
    except ValueError:
        rating = math.nan
    if rating is not None and not math.isfinite(rating):
        raise ManifestError(f"{path}: line {line}: {value!r} is not a number")
    return rating


def read_table(path: Path) -> list[dict[str, str]]:
    """Read a CSV with a header, separated by commas, semicolons or tabs.

    Raises:
        ManifestError: the file cannot be read, or has no rows.
    """
    return list(_rows(path))


def _rows(path: Path, columns: Iterable[str] = ()) -> Iterator[dict[str, str]]:
    """Yield the rows of a table; raise an error if one of `columns` is missing."""
    count = 0
    try:
        # utf-8-sig drops the byte order mark that spreadsheets write.
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv_rows(file)
            reader.restkey = reader.restval = ""
            reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
            for count, row in enumerate(reader, 1):
                if count == 1 and (missing := set(columns) - set(row)):
                    raise ManifestError(f"{path}: no column {', '.join(sorted(missing))}")
                yield row
    except OSError as error:
        raise ManifestError(f"{path}: {reason_of(error)}") from None
    except csv.Error as error:
        raise ManifestError(f"{path}: {error}") from None
    if not count:
        raise ManifestError(f"{path}: no rows")
