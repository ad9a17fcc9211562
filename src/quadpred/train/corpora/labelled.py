"""Read a user's labelled songs from a manifest, a plain CSV, or one folder per quadrant.

The CSV has one row per song. Its columns are `file` (or `path`), `quadrant` (Q1 to Q4) and,
optionally, `group` (or `artist`); other columns are ignored. Commas, semicolons or tabs separate
columns. Relative paths start from the CSV's folder.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from quadpred.audio.folders import recordings
from quadpred.labels import QUADRANT
from quadpred.train.corpora import Clip, DataSheet, Manifest, ManifestError, read_table

__all__ = ["read_labelled"]

_MANIFEST = {"path", "group", "split", "quadrant"}
_PATH, _GROUP = ("file", "path"), ("group", "artist")


def read_labelled(source: Path) -> Manifest:
    """Read labelled songs; songs without a label are left out.

    Args:
        source: a manifest, a CSV as above, or a folder with the folders Q1 to Q4 (or some of them).
            Folders in these are groups (artists); a file outside of them is its own group.

    Returns:
        The labelled clips. `split` is as in a manifest, otherwise empty.

    Raises:
        ManifestError: the source is missing or has another form, a quadrant is unknown, or a song
            is listed twice.
    """
    if source.is_dir():
        clips, sheet = tuple(_from_folders(source)), DataSheet(source.resolve().name)
    else:
        rows = _rows(source)
        if set(rows[0]) >= _MANIFEST:
            manifest = Manifest.from_rows(rows, source)
            clips, sheet = manifest.clips, manifest.sheet
        else:
            clips, sheet = tuple(_from_rows(rows, source)), DataSheet(source.stem)
    seen = set()
    for clip in clips:
        if clip.path in seen:
            raise ManifestError(f"{source}: {clip.path} is listed twice")
        seen.add(clip.path)
    return Manifest(tuple(clip for clip in clips if clip.quadrant), sheet)


def _from_folders(root: Path) -> Iterator[Clip]:
    folders = [p for p in sorted(root.iterdir()) if p.is_dir() and _is_quadrant(p.name)]
    if not folders:
        raise ManifestError(f"{root}: no folders named {', '.join(QUADRANT.classes)}")
    for folder in folders:
        for path in recordings(folder):
            first, *below = path.relative_to(folder).parts
            group = first if below else f"{folder.name}/{first}"
            yield Clip(path, group, "", folder.name.upper())


def _from_rows(rows: Sequence[dict[str, str]], source: Path) -> Iterator[Clip]:
    path_column = _column(rows[0], _PATH)
    group_column = _column(rows[0], _GROUP)
    if path_column is None or "quadrant" not in rows[0]:
        missing = "quadrant" if path_column else "file"
        raise ManifestError(f"{source}: no column {missing}")
    for line, row in enumerate(rows, 2):
        name, quadrant = row[path_column].strip(), row["quadrant"].strip().upper()
        if not name:
            raise ManifestError(f"{source}: line {line}: no {path_column}")
        if quadrant and not _is_quadrant(quadrant):
            choices = ", ".join(QUADRANT.classes)
            raise ManifestError(f"{source}: line {line}: {quadrant!r} is not one of {choices}")
        group = row[group_column].strip() if group_column else ""
        yield Clip(source.parent / name, group or name, "", quadrant)


def _is_quadrant(name: str) -> bool:
    return name.upper() in QUADRANT.classes


def _column(row: dict[str, str], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in row), None)


def _rows(path: Path) -> list[dict[str, str]]:
    """Read a table; column names become lower case."""
    return [{name.lower(): value for name, value in row.items()} for row in read_table(path)]
