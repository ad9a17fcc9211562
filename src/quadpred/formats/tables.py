"""Tables as CSV and Parquet, of one recording or of a library: all are written here.

CSV is UTF-8 with `true` or `false` for flags. Text that a spreadsheet would run as a formula is
escaped, as `escape_cell` describes. Parquet has 32-bit integers.
"""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from typing import Any, BinaryIO

from numpy.typing import NDArray

from quadpred.library.summary import escape_cell

__all__ = ["Columns", "csv_table", "parquet_table"]

Columns = Mapping[str, type]
"""Names of columns, and their types: str, int, float or bool."""


@contextmanager
def csv_table(
    columns: Columns, file: BinaryIO, *, bom: bool = False
) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Yield a function that appends a row to an open CSV file; with `bom`, Excel knows UTF-8."""
    text = TextIOWrapper(file, "utf-8-sig" if bom else "utf-8", newline="")
    plain = csv.writer(text, lineterminator="\n")
    quoting = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    plain.writerow(columns)

    def append(row: Mapping[str, Any]) -> None:
        cells = [_cell(row[name], kind) for name, kind in columns.items()]
        # Without quotes, a carriage return in a name would end the line.
        writer = quoting if any("\r" in cell for cell in cells) else plain
        writer.writerow(cells)

    yield append
    text.detach()


@contextmanager
def parquet_table(
    columns: Columns, file: BinaryIO, *, single: bool = False
) -> Iterator[Callable[[Mapping[str, Sequence[Any] | NDArray[Any]]], None]]:
    """Yield a function that appends rows, given by column, to an open Parquet file.

    With `single`, floats have 32 bits.

    Raises:
        ModuleNotFoundError: pyarrow is not installed.
    """
    import pyarrow
    from pyarrow import parquet

    kinds = {
        str: pyarrow.string(),
        bool: pyarrow.bool_(),
        int: pyarrow.int32(),
        float: pyarrow.float32() if single else pyarrow.float64(),
    }
    schema = pyarrow.schema([(name, kinds[kind]) for name, kind in columns.items()])
    with parquet.ParquetWriter(file, schema) as writer:

        def append(values: Mapping[str, Sequence[Any] | NDArray[Any]]) -> None:
            arrays = [
                pyarrow.array(values[name]).cast(kinds[kind]) for name, kind in columns.items()
            ]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))

        yield append


def _cell(value: Any, kind: type) -> str:
    if kind is bool:
        return str(bool(value)).lower()
    return escape_cell(value) if kind is str else str(value)
