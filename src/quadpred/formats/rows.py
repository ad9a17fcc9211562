"""Tables with one row per second: npy, CSV and Parquet."""

import csv
from io import BytesIO, TextIOWrapper
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from quadpred.labels import AROUSAL, QUADRANT, VALENCE
from quadpred.prediction import Prediction

__all__ = ["SECOND_COLUMNS", "second_rows", "write_csv", "write_npy", "write_parquet"]

SECOND_COLUMNS = ("q1", "q2", "q3", "q4", "arousal", "valence", "silent", "uncertain")
"""Columns of tables with a row a second, after `time`; the last two are true or false."""

_FLAGS = SECOND_COLUMNS[-2:]
DIGITS = 6  # after the point, more than any model is certain of


def write_npy(prediction: Prediction, file: BinaryIO, *, winner: bool = False) -> None:
    """Write the quadrants as npy: float32, shape (seconds, 4), columns Q1 to Q4.

    Args:
        prediction: of any length.
        file: open for writing.
        winner: 1 for each second's most probable quadrant and 0 for the others, instead of
            probabilities.
    """
    content = BytesIO()  # np.save would not write to a pipe, nor say why a disk refused
    np.save(content, prediction.winners() if winner else prediction.quadrant)
    file.write(content.getbuffer())


def second_rows(prediction: Prediction) -> NDArray[np.float32]:
    """Return what `SECOND_COLUMNS` name, shape (rows, 8); arousal and valence of positive."""
    return np.column_stack(
        [
            prediction.head(QUADRANT),
            prediction.head(AROUSAL)[:, 1],
            prediction.head(VALENCE)[:, 1],
            prediction.silent,
            prediction.uncertain,
        ]
    ).astype(np.float32)


def write_csv(prediction: Prediction, file: BinaryIO) -> None:
    """Write a row a second as CSV: `time` in seconds, and `SECOND_COLUMNS`."""
    text = TextIOWrapper(file, "utf-8", newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("time", *SECOND_COLUMNS))
    flags = len(_FLAGS)
    for time, row in enumerate(rounded(second_rows(prediction))):
        writer.writerow((time, *row[:-flags], *(str(bool(flag)).lower() for flag in row[-flags:])))
    text.detach()


def write_parquet(prediction: Prediction, file: BinaryIO) -> None:
    """Write a row a second as Parquet: `time` in seconds, and `SECOND_COLUMNS`.

    Raises:
        ModuleNotFoundError: pyarrow is not installed.
    """
    import pyarrow
    from pyarrow import parquet

    rows = second_rows(prediction)
    columns = {"time": prediction.times}
    for name, values in zip(SECOND_COLUMNS, rows.T, strict=True):
        columns[name] = values.astype(bool) if name in _FLAGS else np.ascontiguousarray(values)
    content = BytesIO()  # pyarrow would not say why a disk refused
    parquet.write_table(pyarrow.table(columns), content)
    file.write(content.getbuffer())


def rounded(array: NDArray[np.float32]) -> list[Any]:
    rounded: list[Any] = array.astype(np.float64).round(DIGITS).tolist()
    return rounded
