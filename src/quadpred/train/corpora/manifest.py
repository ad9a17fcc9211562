"""Manifests: one CSV format for every corpus, with a data sheet beside it.

A manifest has a row a clip and the columns `path, group, split, quadrant, tags`. `group` is the
artist, song or speaker that must not stand on both sides of a split; `split` is any word ("train",
"test") or the number of a fold; `quadrant` may be empty for speech; `tags` are further words about
the clip, separated by semicolons.
"""

import csv
import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from quadpred.errors import QuadpredError
from quadpred.labels import QUADRANT

__all__ = [
    "SUFFIXES",
    "Clip",
    "DataSheet",
    "Manifest",
    "ManifestError",
    "from_folder",
    "in_folds",
    "read_table",
]

COLUMNS = ("path", "group", "split", "quadrant", "tags")
SUFFIXES = {".aac", ".flac", ".m4a", ".mp3", ".oga", ".ogg", ".opus", ".wav", ".wma"}
"""Of the files that a folder is searched for."""


class ManifestError(QuadpredError):
    """A manifest or labels file that cannot be used. One line: the file and the reason."""


@dataclass(frozen=True)
class Clip:
    """One recording and what is known of it."""

    path: Path
    group: str
    split: str
    quadrant: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataSheet:
    """What a model card must say of a corpus.

    `teacher` is a NumPy archive with what another network says of each clip: under the clip's file
    name without ending, an array of shape (patches, values). `opinion` is one of the same kind,
    whose only value is how positive a network finds the clip's valence.
    """

    name: str
    language: str = ""
    licence: str = "unknown"
    note: str = ""
    teacher: str = ""
    opinion: str = ""


@dataclass(frozen=True)
class Manifest:
    """The clips of one corpus."""

    clips: tuple[Clip, ...]
    sheet: DataSheet

    def subset(self, splits: Iterable[str]) -> tuple[Clip, ...]:
        """Clips of these splits."""
        wanted = set(splits)
        return tuple(clip for clip in self.clips if clip.split in wanted)

    def without(self, splits: Iterable[str]) -> tuple[Clip, ...]:
        """Clips of every other split."""
        unwanted = set(splits)
        return tuple(clip for clip in self.clips if clip.split not in unwanted)

    def save(self, path: Path) -> None:
        """Write the CSV, with absolute paths, and its data sheet (`.json` beside it)."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for clip in self.clips:
                tags = "; ".join(clip.tags)
                writer.writerow([clip.path.absolute(), clip.group, clip.split, clip.quadrant, tags])
        path.with_suffix(".json").write_text(json.dumps(asdict(self.sheet), indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Manifest":
        """Read a manifest; relative paths start from its folder.

        Raises:
            ManifestError: missing, without a column, with an unknown quadrant, or with one group in
                two splits.

        """
        rows = read_table(path)
        if missing := set(COLUMNS[:4]) - set(rows[0]):
            raise ManifestError(f"{path}: no column {', '.join(sorted(missing))}")
        clips = tuple(
            Clip(
                path.parent / row["path"],
                row["group"],
                row["split"],
                _quadrant(row["quadrant"], path, line),
                _words(row.get("tags") or ""),
            )
            for line, row in enumerate(rows, 2)
        )
        homes: dict[str, str] = {}
        for clip in clips:
            if homes.setdefault(clip.group, clip.split) != clip.split:
                raise ManifestError(
                    f"{path}: group {clip.group!r} is in splits {homes[clip.group]!r} and"
                    f" {clip.split!r}: what is learned of it in one would show in the other"
                )
        sheet = path.with_suffix(".json")
        described = json.loads(sheet.read_text()) if sheet.is_file() else {"name": path.stem}
        return cls(clips, DataSheet(**described))


def from_folder(
    folder: Path,
    sheet: DataSheet,
    *,
    labels: Path | None = None,
    group: str | None = None,
    tags: Sequence[str] = (),
    folds: int = 5,
    seed: int = 0,
) -> Manifest:
    """Make a manifest of the recordings under a folder.

    Args:
        folder: searched for audio files.
        sheet: name, language and licence of the corpus.
        labels: a CSV with a column `file` (path below the folder, or name) and optionally
            `quadrant`; without one, every audio file counts and none has labels.
        group: a column of `labels`, or without labels a regular expression whose first match in
            the file's path is the group; by default each file is a group of its own.
        tags: columns of `labels` with words separated by semicolons.
        folds: number of parts of about equal size and class balance, named "0", "1", …
        seed: of the shuffle.

    Raises:
        ManifestError: nothing found, or a labels file that does not fit.

    """
    files = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in SUFFIXES]
    if not files:
        raise ManifestError(f"{folder}: no audio files")
    if labels is None:
        pattern = re.compile(group or "(.*)")
        clips = []
        for path in files:
            found = pattern.search(path.relative_to(folder).as_posix())
            clips.append(Clip(path, found.group(0) if found else path.name, ""))
    else:
        rows = read_table(labels)
        wanted = {"file", *tags, *([group] if group else [])}
        if missing := wanted - set(rows[0]):
            raise ManifestError(f"{labels}: no column {', '.join(sorted(missing))}")
        named: dict[str, list[Path]] = {}
        for path in files:
            for name in {path.name, path.relative_to(folder).as_posix()}:
                named.setdefault(name, []).append(path)
        clips = []
        for line, row in enumerate(rows, 2):
            name = row["file"]
            places = named.get(name) or named.get(Path(name).name, [])
            if len(places) != 1:
                reason = (
                    f"is in several folders under {folder}" if places else f"is not under {folder}"
                )
                raise ManifestError(f"{labels}: line {line}: {name} {reason}")
            words = tuple(word for column in tags for word in _words(row[column]))
            quadrant = _quadrant(row.get("quadrant", ""), labels, line)
            clips.append(Clip(places[0], row[group] if group else name, "", quadrant, words))
    return Manifest(in_folds(clips, folds, seed), sheet)


def in_folds(clips: Sequence[Clip], folds: int, seed: int) -> tuple[Clip, ...]:
    """Deal whole groups to folds, largest first, each where its classes are scarcest."""
    members: dict[str, list[Clip]] = {}
    for clip in clips:
        members.setdefault(clip.group, []).append(clip)
    groups = sorted(members)
    random.Random(seed).shuffle(groups)
    groups.sort(key=lambda name: -len(members[name]))
    counts: list[Counter[str]] = [Counter() for _ in range(folds)]
    home = {}
    for name in groups:
        classes = [clip.quadrant for clip in members[name]]
        home[name] = min(
            range(folds), key=lambda k: (sum(counts[k][c] for c in classes), counts[k].total())
        )
        counts[home[name]].update(classes)
    return tuple(Clip(c.path, c.group, str(home[c.group]), c.quadrant, c.tags) for c in clips)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for part in text.split(";") if (word := part.strip()))


def _quadrant(value: str, path: Path, line: int) -> str:
    if value and value not in QUADRANT.classes:
        raise ManifestError(f"{path}: line {line}: {value!r} is not one of Q1, Q2, Q3, Q4")
    return value


def read_table(path: Path) -> list[dict[str, str]]:
    """Read a CSV with a header, separated by commas, semicolons or tabs, as spreadsheets do it.

    Raises:
        ManifestError: it cannot be read, or has no rows.
    """
    try:
        # A spreadsheet's byte order mark is dropped.
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            separator = max(",;\t", key=file.readline().count)
            file.seek(0)
            reader = csv.DictReader(file, restkey="", restval="", delimiter=separator)
            reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
            rows = list(reader)
    except OSError as error:
        raise ManifestError(f"{path}: {error.strerror}") from None
    except csv.Error as error:
        raise ManifestError(f"{path}: {error}") from None
    if not rows:
        raise ManifestError(f"{path}: no rows")
    return rows
