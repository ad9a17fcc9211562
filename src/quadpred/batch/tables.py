"""The tables of a library run: `summary` (one row per recording), `seconds` and `errors`.

Each appears complete or not at all. They are CSV, and also Parquet if pyarrow is installed.
"""

import csv
import heapq
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quadpred.batch import BatchError
from quadpred.batch.discovery import Shard, natural_key
from quadpred.batch.ledger import FOLDER
from quadpred.batch.locks import locked
from quadpred.files import add_filename_to_errors, atomic_write, csv_rows
from quadpred.formats.rows import SECOND_COLUMNS, second_arrays, second_records
from quadpred.formats.tables import Columns, csv_table, parquet_table
from quadpred.library.summary import COLUMNS, unescape_cell

__all__ = ["has_parquet", "merge", "write_errors", "write_seconds", "write_summary"]

Row = Mapping[str, Any]

_ERRORS: Columns = {"path": str, "reason": str}
_SECONDS: Columns = {"path": str, **SECOND_COLUMNS}
_GROUP_ROWS = 50_000  # rows collected before they are written


def write_summary(
    rows: Iterable[Row], output: Path, shard: Shard, *, scratch: Path, bom: bool = False
) -> list[Path]:
    """Write the summary from rows in their order; return its files.

    This and the other tables are written in the folder `scratch`, and then moved. With `bom`, CSV
    begins with a byte order mark.

    Raises:
        OSError: it cannot be written; an older one stays as it was.
    """
    stem = output / f"summary{_suffix(shard)}"
    return _write(rows, COLUMNS, stem, parquet=has_parquet(), scratch=scratch, bom=bom)


def write_errors(
    rows: Iterable[Row], output: Path, shard: Shard, *, scratch: Path, bom: bool = False
) -> list[Path]:
    """Write `errors.csv` from rows with a path and a reason; return it."""
    return _write(
        rows, _ERRORS, output / f"errors{_suffix(shard)}", parquet=False, scratch=scratch, bom=bom
    )


def write_seconds(
    recordings: Iterable[tuple[str, NDArray[np.float32]]],
    output: Path,
    shard: Shard,
    *,
    scratch: Path,
    bom: bool = False,
) -> list[Path]:
    """Write the per-second values of recordings, shape (rows, 8) each, in their order.

    The table is Parquet, or CSV if pyarrow is not installed.
    """
    stem = output / f"seconds{_suffix(shard)}"
    if not has_parquet():
        records = (
            {"path": path, **record} for path, v in recordings for record in second_records(v)
        )
        return _write(records, _SECONDS, stem, parquet=False, scratch=scratch, bom=bom)
    target = _ending(stem, ".parquet")
    with (
        atomic_write(target, scratch=scratch) as (file,),
        add_filename_to_errors(target),
        parquet_table(_SECONDS, file, single=True) as append,
    ):
        for group in _groups(recordings, size=lambda each: len(each[1])):
            paths = np.array([path for path, _ in group], object)
            lengths = [len(values) for _, values in group]
            append({"path": np.repeat(paths, lengths), **second_arrays(*(v for _, v in group))})
    return [target]


def merge(output: Path, shard: Shard, *, scratch: Path, bom: bool = False) -> list[Path]:
    """Join the summaries and errors of all shards if all exist; return the files written.

    Raises:
        BatchError: one of them is not what this version writes.
        OSError: one cannot be read, or the result not be written.
    """
    written: list[Path] = []
    with locked(output / FOLDER / "tables.lock"):
        for stem, columns in ("summary", COLUMNS), ("errors", _ERRORS):
            shares = [Shard(index, shard.count) for index in range(1, shard.count + 1)]
            parts = [_ending(output / f"{stem}{_suffix(share)}", ".csv") for share in shares]
            if all(part.exists() for part in parts):
                rows = heapq.merge(
                    *(
                        _read(part, columns, share)
                        for part, share in zip(parts, shares, strict=True)
                    ),
                    key=lambda row: natural_key(row["path"]),
                )
                parquet = columns is COLUMNS and has_parquet()
                written += _write(
                    rows, columns, output / stem, parquet=parquet, scratch=scratch, bom=bom
                )
    return written


def has_parquet() -> bool:
    """Return whether pyarrow is installed."""
    return find_spec("pyarrow") is not None


def _suffix(shard: Shard) -> str:
    return shard.suffix if shard.count > 1 else ""


def _ending(stem: Path, ending: str) -> Path:
    return stem.with_name(stem.name + ending)


def _write(
    rows: Iterable[Row], columns: Columns, stem: Path, *, parquet: bool, scratch: Path, bom: bool
) -> list[Path]:
    """Write rows as CSV and, if requested, as Parquet, in one pass."""
    targets = [_ending(stem, ".csv"), *([_ending(stem, ".parquet")] if parquet else [])]
    with (
        atomic_write(*targets, scratch=scratch) as files,
        add_filename_to_errors(targets[0]),
        csv_table(columns, files[0], bom=bom) as append,
        add_filename_to_errors(targets[-1]),
        parquet_table(columns, files[1]) if parquet else nullcontext() as append_columns,
    ):
        for group in _groups(rows, size=lambda row: 1):
            with add_filename_to_errors(targets[0]):
                for row in group:
                    append(row)
            if append_columns:
                append_columns({name: [row[name] for row in group] for name in columns})
    return targets


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


def _read(path: Path, columns: Columns, share: Shard) -> Iterator[dict[str, Any]]:
    """Yield the rows of another machine's table, also as a spreadsheet saves it."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv_rows(file)
            if not set(columns) <= set(rows.fieldnames or ()):
                raise ValueError("columns are missing")
            decimal = "." if rows.reader.dialect.delimiter == "," else ","
            for row in rows:
                yield {name: _value(row[name], kind, decimal) for name, kind in columns.items()}
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error):
        reason = "edited, damaged, or of another version"
        remedy = f"run --shard {share.index}/{share.count} again with this version"
        raise BatchError(f"{path}: {reason}; {remedy}") from None


def _value(cell: str, kind: type, decimal: str) -> Any:
    if kind is bool:
        return {"true": True, "false": False}[cell.lower()]
    return unescape_cell(cell) if kind is str else kind(cell.replace(decimal, "."))
