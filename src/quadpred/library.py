"""A library that was predicted: the rows of its summary, one a clip."""

import csv
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quadpred.labels import AROUSAL, QUADRANT, VALENCE
from quadpred.names import unescape_name
from quadpred.prediction import Prediction

__all__ = ["Clip", "LibraryError", "clip_of", "read_library"]

_SHARES = ("arousal", "valence", "confidence")
_COLUMNS = ("path", "file", "duration", "quadrant", *_SHARES, "uncertain")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


class LibraryError(ValueError):
    """A table that cannot be used, or holds nothing that is asked for. One line."""


@dataclass(frozen=True)
class Clip:
    """One recording and its mood.

    Attributes:
        path: the name that people know it by.
        file: absolute path of the recording.
        duration: in seconds.
        quadrant: the most probable one, Q1..Q4.
        arousal: probability of positive arousal, 0 to 1.
        valence: probability of positive valence, 0 to 1.
        confidence: probability of the most probable quadrant, 0 to 1.
        uncertain: whether the mood is not to be relied on.
    """

    path: str
    file: str
    duration: float
    quadrant: str
    arousal: float
    valence: float
    confidence: float
    uncertain: bool


def clip_of(prediction: Prediction) -> Clip:
    """Sum a prediction of a file up."""
    return Clip(
        path=prediction.source,
        file=str(Path(prediction.source).absolute()),
        duration=prediction.duration,
        quadrant=prediction.winner,
        arousal=float(prediction.mean(AROUSAL)[1]),
        valence=float(prediction.mean(VALENCE)[1]),
        confidence=prediction.confidence,
        uncertain=prediction.unsure,
    )


def read_library(path: Path) -> list[Clip]:
    """Read the `summary.csv` or `summary.parquet` of a folder that was predicted.

    Args:
        path: its ending says which of the two it is. Other columns are passed over.

    Raises:
        LibraryError: neither of the two, a column is missing, or a value is not what it should be.
        OSError: the file cannot be read.
        ModuleNotFoundError: Parquet, and pyarrow is not installed.
    """
    readers = {".csv": _csv_rows, ".parquet": _parquet_rows}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise LibraryError(f"{path}: not the name of a .csv or .parquet summary")
    try:
        return [_clip(row, number) for number, row in enumerate(reader(path), 1)]
    except LibraryError as error:
        raise LibraryError(f"{path}: {error}") from None


def _csv_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        try:
            rows = csv.DictReader(file)
            _check_columns(rows.fieldnames or ())
            yield from rows
        except csv.Error as error:
            raise LibraryError(f"not CSV ({error})") from None


def _parquet_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    import pyarrow
    from pyarrow import parquet

    with path.open("rb") as file:
        try:
            table = parquet.ParquetFile(file)
            _check_columns(table.schema_arrow.names)
            for batch in table.iter_batches(columns=list(_COLUMNS)):
                yield from batch.to_pylist()
        except pyarrow.ArrowException as error:
            reason = str(error).partition("\n")[0]
            raise LibraryError(f"not a Parquet file ({reason})") from None


def _check_columns(names: Iterable[str]) -> None:
    if missing := [name for name in _COLUMNS if name not in names]:
        raise LibraryError(f"not a summary of predictions: it has no column {missing[0]}")


def _clip(row: Mapping[str, Any], number: int) -> Clip:
    try:
        clip = Clip(
            path=str(row["path"]),
            file=unescape_name(str(row["file"])),
            duration=float(row["duration"]),
            quadrant=row["quadrant"],
            arousal=float(row["arousal"]),
            valence=float(row["valence"]),
            confidence=float(row["confidence"]),
            uncertain=_FLAGS[str(row["uncertain"]).lower()],
        )
    except (TypeError, ValueError, KeyError):
        raise LibraryError(f"row {number} holds something that is not a number or flag") from None
    if clip.quadrant not in QUADRANT.classes:
        raise LibraryError(f"row {number}: no quadrant is called {clip.quadrant}")
    if not Path(clip.file).is_absolute() or "\0" in clip.file:
        raise LibraryError(f"row {number}: file is not an absolute path")
    if not (math.isfinite(clip.duration) and clip.duration >= 0):
        raise LibraryError(f"row {number}: a duration of {clip.duration}")
    for name in _SHARES:
        if not 0 <= getattr(clip, name) <= 1:  # nor is NaN
            raise LibraryError(f"row {number}: {name} is not between 0 and 1")
    return clip
