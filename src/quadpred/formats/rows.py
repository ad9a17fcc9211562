"""Tables with one row per second, in every place: files of one recording, libraries, server.

| column | meaning |
| --- | --- |
| `second` | start of the row in seconds: 0, 1, 2, ... |
| `Q1`, `Q2`, `Q3`, `Q4` | probability of the quadrant, 0 to 1; they add up to 1 |
| `arousal`, `valence` | probability of *positive*, 0 to 1 |
| `uncertain` | whether the quadrant of the second is uncertain; true of silent seconds |
| `silent` | whether the second is silent |

A table of several recordings has `path` before them. CSV has at most 6 digits after the point, and
`true` or `false`. Parquet has 32-bit numbers and booleans.
"""

from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from quadpred.formats.tables import csv_table, parquet_table
from quadpred.labels import AROUSAL, QUADRANT, VALENCE
from quadpred.prediction import Prediction

__all__ = [
    "BLOCK",
    "DIGITS",
    "SECOND_COLUMNS",
    "VALUE_COLUMNS",
    "blocks",
    "rounded",
    "second_arrays",
    "second_records",
    "second_values",
    "write_csv",
    "write_npy",
    "write_parquet",
]

SECOND_COLUMNS: Mapping[str, type] = {
    "second": int,
    **dict.fromkeys((*QUADRANT.classes, "arousal", "valence"), float),
    **dict.fromkeys(("uncertain", "silent"), bool),
}
"""Names and types of the columns."""

VALUE_COLUMNS = tuple(SECOND_COLUMNS)[1:]
"""The columns after `second`."""

DIGITS = 6
"""Digits after the point: finer differences have no meaning."""

BLOCK = 4096
"""Rows that are converted at once."""


def second_values(prediction: Prediction) -> NDArray[np.float32]:
    """Return `VALUE_COLUMNS`, shape (rows, 8); flags are 0 or 1."""
    return np.column_stack(
        [
            prediction.head(QUADRANT),
            prediction.head(AROUSAL)[:, 1],
            prediction.head(VALENCE)[:, 1],
            prediction.uncertain_seconds,
            prediction.silent,
        ]
    ).astype(np.float32)


def second_records(values: NDArray[np.float32]) -> Iterator[dict[str, Any]]:
    """Yield one dict per second, by `SECOND_COLUMNS`, from what `second_values` returns."""
    rows = (row for block in blocks(values) for row in rounded(block))
    for second, row in enumerate(rows):
        cells = zip(SECOND_COLUMNS.items(), (second, *row), strict=True)
        yield {name: kind(value) for (name, kind), value in cells}


def second_arrays(*clips: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """Return `SECOND_COLUMNS` of recordings in their order, from what `second_values` returns."""
    seconds = np.concatenate([np.arange(len(values)) for values in clips])
    return dict(zip(SECOND_COLUMNS, (seconds, *np.concatenate(clips).T), strict=True))


def write_csv(prediction: Prediction, file: BinaryIO) -> None:
    """Write one row per second as CSV to an open file."""
    with csv_table(SECOND_COLUMNS, file) as append:
        for record in second_records(second_values(prediction)):
            append(record)


def write_parquet(prediction: Prediction, file: BinaryIO) -> None:
    """Write one row per second as Parquet to an open file.

    Raises:
        ModuleNotFoundError: pyarrow is not installed.
    """
    content = BytesIO()  # pyarrow's errors do not give the reason for which a write failed
    with parquet_table(SECOND_COLUMNS, content, single=True) as append:
        append(second_arrays(second_values(prediction)))
    file.write(content.getbuffer())


def write_npy(prediction: Prediction, file: BinaryIO) -> None:
    """Write the quadrants as npy to an open file: float32, shape (seconds, 4), columns Q1 to Q4."""
    content = BytesIO()  # np.save cannot write to a pipe, and its errors give no reason
    np.save(content, prediction.quadrant)
    file.write(content.getbuffer())


def blocks(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield an array, shape (rows, ...), in blocks of at most `BLOCK` rows, shape (rows, ...).

    As Python's numbers, the whole array would take ten times the memory.
    """
    for first in range(0, len(array), BLOCK):
        yield array[first : first + BLOCK]


def rounded(array: NDArray[Any]) -> list[Any]:
    """Return an array of any shape as nested lists, rounded to `DIGITS`; flags as they are."""
    if array.dtype == np.bool_:
        flags: list[Any] = array.tolist()
        return flags
    numbers: list[Any] = array.astype(np.float64).round(DIGITS).tolist()
    return numbers
