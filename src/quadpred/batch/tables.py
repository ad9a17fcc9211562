"""The tables of a library run: `summary` (one row per recording), `seconds` and `errors`.

Each appears complete or not at all. They are CSV, and also Parquet if pyarrow is installed.
"""

import csv
import heapq
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from quadpred.batch.discovery import Shard, natural_key
from quadpred.batch.ledger import FOLDER
from quadpred.batch.locks import locked
from quadpred.files import add_filename_to_errors, atomic_write
from quadpred.formats.rows import SECOND_COLUMNS, VALUE_COLUMNS, second_records
from quadpred.library.summary import COLUMNS, escape_cell, unescape_cell

__all__ = ["has_parquet", "merge", "write_errors", "write_seconds", "write_summary"]

Row = Mapping[str, Any]
Columns = Mapping[str, type]

_ERRORS: Columns = {"path": str, "reason": str}
_SECONDS: Columns = {"path": str, **SECOND_COLUMNS}
_DTYPES = {int: np.int32, float: np.float32, bool: np.bool_}
_GROUP_ROWS = 50_000  # rows collected before they are written


def write_summary(
    rows: Iterable[Row], output: Path, shard: Shard, *, bom: bool = False
) -> list[Path]:
    """Write the summary from rows in their order; return its files.

    With `bom`, this and the other CSV tables begin with a byte order mark.

    Raises:
        OSError: it cannot be written; an older one stays as it was.
    """
    stem = output / f"summary{_suffix(shard)}"
    return _write(rows, COLUMNS, stem, parquet=has_parquet(), bom=bom)


def write_errors(
    rows: Iterable[Row], output: Path, shard: Shard, *, bom: bool = False
) -> list[Path]:
    """Write `errors.csv` from rows with a path and a reason; return it."""
    return _write(rows, _ERRORS, output / f"errors{_suffix(shard)}", parquet=False, bom=bom)


def write_seconds(
    clips: Iterable[tuple[str, NDArray[np.float32]]],
    output: Path,
    shard: Shard,
    *,
    bom: bool = False,
) -> list[Path]:
    """Write the per-second values of recordings, shape (rows, 8) each, in their order.

    The table is Parquet, or CSV if pyarrow is not installed.
    """
    stem = output / f"seconds{_suffix(shard)}"
    if not has_parquet():
        records = ({"path": path, **record} for path, v in clips for record in second_records(v))
        return _write(records, _SECONDS, stem, parquet=False, bom=bom)
    target = _ending(stem, ".parquet")
    with (
        atomic_write(target) as (file,),
        add_filename_to_errors(target),
        _parquet(_SECONDS, file) as write,
    ):
        for group in _groups(clips, size=lambda clip: len(clip[1])):
            lengths = [len(rows) for _, rows in group]
            columns = np.concatenate([rows for _, rows in group]).T
            write(
                {
                    "path": np.repeat(np.array([path for path, _ in group], object), lengths),
                    "second": np.concatenate([np.arange(length) for length in lengths]),
                    **dict(zip(VALUE_COLUMNS, columns, strict=True)),
                }
            )
    return [target]


def merge(output: Path, shard: Shard, *, bom: bool = False) -> list[Path]:
    """Join the summaries and errors of all shards if all exist; return the files written."""
    written: list[Path] = []
    with locked(output / FOLDER / "tables.lock"):
        for stem, columns in ("summary", COLUMNS), ("errors", _ERRORS):
            parts = [
                _ending(output / f"{stem}{_suffix(Shard(index, shard.count))}", ".csv")
                for index in range(1, shard.count + 1)
            ]
            if all(part.exists() for part in parts):
                rows = heapq.merge(
                    *(_read(part, columns) for part in parts),
                    key=lambda row: natural_key(row["path"]),
                )
                parquet = columns is COLUMNS and has_parquet()
                written += _write(rows, columns, output / stem, parquet=parquet, bom=bom)
    return written


def has_parquet() -> bool:
    """Return whether pyarrow is installed."""
    return find_spec("pyarrow") is not None


def _suffix(shard: Shard) -> str:
    return shard.suffix if shard.count > 1 else ""


def _ending(stem: Path, ending: str) -> Path:
    return stem.with_name(stem.name + ending)


def _write(
    rows: Iterable[Row], columns: Columns, stem: Path, *, parquet: bool, bom: bool
) -> list[Path]:
    """Write rows as CSV and, if requested, as Parquet, in one pass."""
    targets = [_ending(stem, ".csv"), *([_ending(stem, ".parquet")] if parquet else [])]
    with atomic_write(*targets) as files, add_filename_to_errors(targets[0]):
        text = io.TextIOWrapper(files[0], "utf-8-sig" if bom else "utf-8", newline="")
        plain = csv.writer(text, lineterminator="\n")
        quoting = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
        plain.writerow(columns)

        def passed() -> Iterator[Row]:
            for row in rows:
                cells = [_cell(row[name], kind) for name, kind in columns.items()]
                # Without quotes, a carriage return in a name would end the line.
                writer = quoting if any("\r" in cell for cell in cells) else plain
                writer.writerow(cells)
                yield row

        if parquet:
            with add_filename_to_errors(targets[1]), _parquet(columns, files[1]) as write:
                for group in _groups(passed(), size=lambda row: 1):
                    write({name: [row[name] for row in group] for name in columns})
        else:
            for _ in passed():
                pass
        text.flush()
        text.detach()
    return targets


@contextmanager
def _parquet(columns: Columns, file: BinaryIO) -> Iterator[Any]:
    """Yield a function that appends rows to a Parquet file; it takes their columns."""
    import pyarrow
    from pyarrow import parquet

    narrow = columns is _SECONDS
    kinds = {
        str: pyarrow.string(),
        bool: pyarrow.bool_(),
        int: pyarrow.int32(),
        float: pyarrow.float32() if narrow else pyarrow.float64(),
    }
    schema = pyarrow.schema([(name, kinds[kind]) for name, kind in columns.items()])
    with parquet.ParquetWriter(file, schema) as writer:

        def write(values: Mapping[str, Sequence[Any] | NDArray[Any]]) -> None:
            arrays = []
            for name, kind in columns.items():
                column = values[name]
                if isinstance(column, np.ndarray) and kind is not str:
                    column = column.astype(_DTYPES[kind])
                arrays.append(pyarrow.array(column, kinds[kind]))
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))

        yield write


def _groups(items: Iterable[Any], *, size: Any) -> Iterator[list[Any]]:
    """Collect items into groups that are worth a write."""
    group: list[Any] = []
    count = 0
    for item in items:
        group.append(item)
        count += size(item)
        if count >= _GROUP_ROWS:
            yield group
            group, count = [], 0
    if group:
        yield group


def _read(path: Path, columns: Columns) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            yield {name: _value(row[name], kind) for name, kind in columns.items()}


def _cell(value: Any, kind: type) -> str:
    if kind is bool:
        return str(bool(value)).lower()
    return escape_cell(value) if kind is str else str(value)


def _value(cell: str, kind: type) -> Any:
    if kind is bool:
        return cell == "true"
    return unescape_cell(cell) if kind is str else kind(cell)
