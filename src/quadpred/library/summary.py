"""The summary of a library: one row per recording, written by a library run and read back.

`COLUMNS` is its only definition; docs/batch.md describes each column.
"""

import csv
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from quadpred import __version__
from quadpred.errors import QuadpredError
from quadpred.files import csv_rows, unescape_name
from quadpred.labels import AROUSAL, QUADRANT, VALENCE
from quadpred.prediction import Prediction

__all__ = [
    "COLUMNS",
    "SummaryError",
    "SummaryRow",
    "escape_cell",
    "read_summary",
    "summary_values",
    "unescape_cell",
]

COLUMNS: Mapping[str, type] = {
    "path": str,
    "duration": float,
    "quadrant": str,
    **dict.fromkeys((*QUADRANT.classes, "arousal", "valence", "confidence"), float),
    "uncertain": bool,
    "damage": str,
    **dict.fromkeys(("model", "version", "sha256", "file"), str),
}
"""Names and types of the columns."""

_DIGITS = 6  # after the point
_PROBABILITIES = ("arousal", "valence", "confidence")
_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff0b\uff0d\uff1d\uff20]")  # the last four are full-width
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


class SummaryError(QuadpredError):
    """A summary that cannot be read, or that has no recording of the kind asked for."""


@dataclass(frozen=True)
class SummaryRow:
    """The columns of a summary that tags, playlists and maps need.

    Attributes:
        path: name of the recording in the library.
        file: absolute path of the recording.
        duration: in seconds.
        quadrant: the most probable one, Q1 to Q4.
        arousal: probability of positive arousal, 0 to 1.
        valence: probability of positive valence, 0 to 1.
        confidence: probability of the most probable quadrant, 0 to 1.
        uncertain: whether the quadrant is uncertain.
        sha256: checksum of the audio, as `audio_sha256` returns it; empty if not computed.
    """

    path: str
    file: str
    duration: float
    quadrant: str
    arousal: float
    valence: float
    confidence: float
    uncertain: bool
    sha256: str = ""

    @classmethod
    def of(cls, prediction: Prediction) -> "SummaryRow":
        """Return the row of a predicted file."""
        values = {
            **summary_values(prediction),
            "path": prediction.source,
            "sha256": "",
            "file": str(Path(prediction.source).absolute()),
        }
        return cls(**{name: values[name] for name in _REQUIRED})


_REQUIRED = [field.name for field in fields(SummaryRow)]


def summary_values(prediction: Prediction) -> dict[str, Any]:
    """Return the columns that follow from a prediction: all but `path`, `sha256` and `file`."""
    means = prediction.means()
    values = {
        **means[QUADRANT.name],
        "arousal": means[AROUSAL.name]["positive"],
        "valence": means[VALENCE.name]["positive"],
        "confidence": prediction.confidence,
    }
    return {
        "duration": round(prediction.duration, _DIGITS),
        "quadrant": prediction.winner,
        **{name: round(value, _DIGITS) for name, value in values.items()},
        "uncertain": prediction.uncertain,
        "damage": prediction.damage or "",
        "model": prediction.model.name,
        "version": __version__,
    }


def escape_cell(text: str) -> str:
    """Return a text for a CSV cell, with an apostrophe before what spreadsheets would run.

    Spreadsheets read a cell that begins with =, +, - or @ as a formula, even if it is the name of a
    file. `unescape_cell` is the inverse.

    >>> escape_cell("=1+1.mp3"), unescape_cell("'=1+1.mp3")
    ("'=1+1.mp3", '=1+1.mp3')
    """
    return f"'{text}" if _FORMULA.match(text) else text


def unescape_cell(cell: str) -> str:
    """Return the text that `escape_cell` escaped."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def read_summary(path: Path) -> list[SummaryRow]:
    """Read the `summary.csv` or `summary.parquet` of a library.

    Args:
        path: its suffix decides between the two formats. Columns that `SummaryRow` lacks are
            ignored, and may be missing.

    Raises:
        SummaryError: another suffix, a missing column, or an invalid value.
        OSError: the file cannot be read.
        ModuleNotFoundError: the file is Parquet and pyarrow is not installed.
    """
    readers = {".csv": _csv_rows, ".parquet": _parquet_rows}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise SummaryError(f"{path}: a summary must be a .csv or .parquet file")
    try:
        return [_row(values, number) for number, values in enumerate(reader(path), 1)]
    except SummaryError as error:
        raise SummaryError(f"{path}: {error}") from None


def _csv_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a CSV, also as a spreadsheet saves it, with a byte order mark."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        try:
            rows = csv_rows(file)
            _check_columns(rows.fieldnames or ())
            for row in rows:
                for name in _REQUIRED:
                    if COLUMNS[name] is float and rows.reader.dialect.delimiter != ",":
                        row[name] = (row[name] or "").replace(",", ".")
                for name in "path", "file":
                    row[name] = unescape_cell(row[name] or "")
                yield row
        except csv.Error as error:
            raise SummaryError(f"not CSV ({error})") from None


def _parquet_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    import pyarrow
    from pyarrow import parquet

    with path.open("rb") as file:
        try:
            table = parquet.ParquetFile(file)
            _check_columns(table.schema_arrow.names)
            for batch in table.iter_batches(columns=_REQUIRED):
                yield from batch.to_pylist()
        except pyarrow.ArrowException as error:
            reason = str(error).partition("\n")[0]
            raise SummaryError(f"not a Parquet file ({reason})") from None


def _check_columns(names: Iterable[str]) -> None:
    if missing := [name for name in _REQUIRED if name not in names]:
        raise SummaryError(f"not a summary of quadpred predict: column {missing[0]!r} is missing")


def _row(values: Mapping[str, Any], number: int) -> SummaryRow:
    try:
        row = SummaryRow(
            path=unescape_name(str(values["path"])),
            file=unescape_name(str(values["file"])),
            duration=float(values["duration"]),
            quadrant=values["quadrant"],
            arousal=float(values["arousal"]),
            valence=float(values["valence"]),
            confidence=float(values["confidence"]),
            uncertain=_FLAGS[str(values["uncertain"]).lower()],
            sha256=str(values["sha256"]),
        )
    except (TypeError, ValueError, KeyError):
        raise SummaryError(f"row {number}: a value is not a number, or not true or false") from None
    if row.quadrant not in QUADRANT.classes:
        choices = ", ".join(QUADRANT.classes)
        raise SummaryError(f"row {number}: quadrant is {row.quadrant!r}, not one of {choices}")
    if not Path(row.file).is_absolute() or "\0" in row.file:
        raise SummaryError(f"row {number}: file is not an absolute path")
    if not (math.isfinite(row.duration) and row.duration >= 0):
        raise SummaryError(f"row {number}: duration is {row.duration}")
    for name in _PROBABILITIES:
        if not 0 <= getattr(row, name) <= 1:  # false of NaN, too
            raise SummaryError(f"row {number}: {name} is not between 0 and 1")
    return row
