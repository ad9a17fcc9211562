"""Labelled songs of one's own, as a manifest: from a manifest, a plain CSV, or a folder a quadrant.

The CSV has a row a song and the columns `file` (or `path`), `quadrant` (Q1 to Q4) and, if there is
one, `group` (or `artist`); other columns are left alone. Commas, semicolons or tabs separate them,
as spreadsheets do it. Paths start from the CSV's folder.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from quadpred.labels import QUADRANT
from quadpred.train.corpora import SUFFIXES, Clip, DataSheet, Manifest, ManifestError, read_table

__all__ = ["read_labelled"]

_MANIFEST = {"path", "group", "split", "quadrant"}
_PATH, _GROUP = ("file", "path"), ("group", "artist")


def read_labelled(source: Path) -> Manifest:
    """Read labelled songs; those without a label are left out, and splits are not used.

    Args:
        source: a manifest, a CSV as above, or a folder with the folders Q1 to Q4 (or some of them).
            In these, a folder stands for an artist; a file that is in none is its own group.

    Raises:
        ManifestError: missing, of another form, with an unknown quadrant, or with a song twice.
    """
    if source.is_dir():
        clips, sheet = tuple(_from_folders(source)), DataSheet(source.resolve().name)
    else:
        rows = _rows(source)
        if set(rows[0]) >= _MANIFEST:
            manifest = Manifest.load(source)
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
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in SUFFIXES and path.is_file():
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
            known = ", ".join(QUADRANT.classes)
            raise ManifestError(f"{source}: line {line}: {quadrant!r} is not one of {known}")
        group = row[group_column].strip() if group_column else ""
        yield Clip(source.parent / name, group or name, "", quadrant)


def _is_quadrant(name: str) -> bool:
    return name.upper() in QUADRANT.classes


def _column(row: dict[str, str], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in row), None)


def _rows(path: Path) -> list[dict[str, str]]:
    """Rows by the columns' names in lower case."""
    return [{name.lower(): value for name, value in row.items()} for row in read_table(path)]
