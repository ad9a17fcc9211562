"""The tables of a run: `summary`, a row a clip; `seconds`, a row a second; and `errors`.

Each appears whole or not at all. They are CSV, and Parquet where pyarrow is installed.
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
from quadpred.batch.ledger import FOLDER, ROW
from quadpred.batch.locks import locked
from quadpred.files import add_filename_to_errors, atomic_write
from quadpred.formats.rows import SECOND_COLUMNS
from quadpred.library.summary import escape_cell, unescape_cell

__all__ = ["SUMMARY", "merge", "write_errors", "write_seconds", "write_summary"]

Row = Mapping[str, Any]
Columns = Mapping[str, type]

SUMMARY: Columns = {"path": str, **ROW, "file": str}
"""A row a clip; docs/batch.md says what they mean."""

_ERRORS: Columns = {"path": str, "reason": str}
_SECONDS: Columns = {
    "path": str,
    "time": float,
    **{name: bool if name in ("silent", "uncertain") else float for name in SECOND_COLUMNS},
}
_AT_ONCE = 50_000  # rows that are held before they are written


def write_summary(
    rows: Iterable[Row], output: Path, shard: Shard, *, bom: bool = False
) -> list[Path]:
    """Write the summary from rows in their order; return its files.

    With `bom`, this and the other tables in CSV begin with a byte order mark.

    Raises:
        OSError: it cannot be written; older ones are as they were.
    """
    stem = output / f"summary{_suffix(shard)}"
    return _write(rows, SUMMARY, stem, parquet=has_parquet(), bom=bom)


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
    """Write the rows a second of clips, shape (rows, 8) each, in their order.

    As Parquet, or else, where pyarrow is not installed, as CSV.
    """
    stem = output / f"seconds{_suffix(shard)}"
    names = tuple(_SECONDS)
    if not has_parquet():
        return _write(
            (
                dict(zip(names, (path, time, *map(float, row)), strict=True))
                for path, rows in clips
                for time, row in enumerate(np.round(rows.astype(np.float64), 6))
            ),
            _SECONDS,
            stem,
            parquet=False,
            bom=bom,
        )
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
                    "time": np.concatenate([np.arange(length) for length in lengths]),
                    **dict(zip(SECOND_COLUMNS, columns, strict=True)),
                }
            )
    return [target]


def merge(output: Path, shard: Shard, *, bom: bool = False) -> list[Path]:
    """Join the summaries and errors of all shards, if all are there; return the files written."""
    written: list[Path] = []
    with locked(output / FOLDER / "tables.lock"):
        for stem, columns in ("summary", SUMMARY), ("errors", _ERRORS):
            parts = [
                _ending(output / f"{stem}{_suffix(Shard(index, shard.count))}", ".csv")
                for index in range(1, shard.count + 1)
            ]
            if all(part.exists() for part in parts):
                rows = heapq.merge(
                    *(_read(part, columns) for part in parts),
                    key=lambda row: natural_key(row["path"]),
                )
                parquet = columns is SUMMARY and has_parquet()
                written += _write(rows, columns, output / stem, parquet=parquet, bom=bom)
    return written


def has_parquet() -> bool:
    """Tell whether pyarrow is installed."""
    return find_spec("pyarrow") is not None


def _suffix(shard: Shard) -> str:
    return shard.suffix if shard.count > 1 else ""


def _ending(stem: Path, ending: str) -> Path:
    return stem.with_name(stem.name + ending)


def _write(
    rows: Iterable[Row], columns: Columns, stem: Path, *, parquet: bool, bom: bool
) -> list[Path]:
    """Write rows as CSV, and as Parquet too if wanted, in one pass."""
    targets = [_ending(stem, ".csv"), *([_ending(stem, ".parquet")] if parquet else [])]
    with atomic_write(*targets) as files, add_filename_to_errors(targets[0]):
        text = io.TextIOWrapper(files[0], "utf-8-sig" if bom else "utf-8", newline="")
        plain = csv.writer(text, lineterminator="\n")
        quoting = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
        plain.writerow(columns)

        def passed() -> Iterator[Row]:
            for row in rows:
                cells = [_cell(row[name], kind) for name, kind in columns.items()]
                # The plain one would leave a carriage return in a name bare, and end the line.
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
    """Yield a function that appends rows, given as columns, to a Parquet file."""
    import pyarrow
    from pyarrow import parquet

    narrow = columns is _SECONDS
    kinds = {
        str: pyarrow.string(),
        bool: pyarrow.bool_(),
        float: pyarrow.float32() if narrow else pyarrow.float64(),
    }
    schema = pyarrow.schema([(name, kinds[kind]) for name, kind in columns.items()])
    with parquet.ParquetWriter(file, schema) as writer:

        def write(values: Mapping[str, Sequence[Any] | NDArray[Any]]) -> None:
            arrays = []
            for name, kind in columns.items():
                column = values[name]
                if isinstance(column, np.ndarray) and kind is not str:
                    column = column.astype(np.bool_ if kind is bool else np.float32)
                arrays.append(pyarrow.array(column, kinds[kind]))
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))

        yield write


def _groups(items: Iterable[Any], *, size: Any) -> Iterator[list[Any]]:
    """Gather items until they are large enough to be written together."""
    group: list[Any] = []
    held = 0
    for item in items:
        group.append(item)
        held += size(item)
        if held >= _AT_ONCE:
            yield group
            group, held = [], 0
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
