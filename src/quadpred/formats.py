"""A `Prediction` as JSON, CSV, Parquet and npy, and files that appear whole or not at all."""

import csv
import errno
import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from quadpred import __version__
from quadpred.labels import AROUSAL, HEADS, QUADRANT, VALENCE
from quadpred.names import escape_name
from quadpred.prediction import Prediction

__all__ = [
    "SCHEMA",
    "SECOND_COLUMNS",
    "check_target",
    "complete",
    "json_line",
    "naming",
    "second_rows",
    "to_json",
    "write_csv",
    "write_json",
    "write_npy",
    "write_parquet",
]

SCHEMA = 1
"""Number of the JSON's layout; it grows when a reader of an older one would be misled."""

SECOND_COLUMNS = ("q1", "q2", "q3", "q4", "arousal", "valence", "silent", "uncertain")
"""Columns of tables with a row a second, after `time`; the last two are true or false."""

_FLAGS = SECOND_COLUMNS[-2:]
_DIGITS = 6  # after the point, more than any model is certain of


def to_json(prediction: Prediction) -> dict[str, Any]:
    """Return a prediction as plain values that JSON can hold.

    Times and the duration are in seconds. Under each head's name are its `classes` and `rows`, one
    list of probabilities a second, in the order of the classes. `uncertain` are the seconds not to
    rely on, the silent ones among them; `unsure` says it of the whole clip.
    """
    model = prediction.model
    return {
        "schema": SCHEMA,
        "quadpred": __version__,
        "source": escape_name(prediction.source),
        "duration": round(prediction.duration, _DIGITS),
        "model": {
            "name": escape_name(model.name),
            "sha256": model.sha256,
            "speech": model.speech,
            "music": model.music,
            "case": model.case,
            "experimental": model.experimental,
        },
        "winner": prediction.winner,
        "confidence": round(prediction.confidence, _DIGITS),
        "unsure": prediction.unsure,
        "means": {
            head: {name: round(mean, _DIGITS) for name, mean in means.items()}
            for head, means in prediction.means().items()
        },
        "times": _rounded(prediction.times),
        "silent": prediction.silent.tolist(),
        "uncertain": prediction.uncertain.tolist(),
        **{
            head.name: {
                "classes": list(head.classes),
                "rows": _rounded(prediction.head(head)),
            }
            for head in HEADS
        },
    }


def json_line(prediction: Prediction) -> bytes:
    """Return a prediction as one line of UTF-8, with a line feed at its end.

    Raises:
        ValueError: a number that is not finite, which JSON cannot hold.
    """
    text = json.dumps(
        to_json(prediction), allow_nan=False, ensure_ascii=False, separators=(",", ":")
    )
    return f"{text}\n".encode()


def write_json(prediction: Prediction, file: BinaryIO) -> None:
    """Write `json_line` to an open file."""
    file.write(json_line(prediction))


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
    for time, row in enumerate(_rounded(second_rows(prediction))):
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


@contextmanager
def complete(*paths: Path, scratch: Path | None = None) -> Iterator[tuple[BinaryIO, ...]]:
    """Open files that appear under their names together, and only when all are complete.

    They are written beside their targets under temporary names and renamed at the end of the
    `with` block. Whatever ends the block early removes them and leaves the targets as they were. A
    link stays and its target is replaced. What is not a regular file, such as `/dev/stdout` or a
    pipe, is written directly.

    Args:
        paths: the targets. Their folders are made where they are missing.
        scratch: a folder on their file system for the temporary files, instead of their own.

    Yields:
        One file open for writing a path.

    Raises:
        OSError: a target cannot be written.
    """
    with ExitStack() as stack:
        opened = [_open(_real(path), stack, scratch) for path in paths]
        yield tuple(file for file, _, _ in opened)
        for file, _, target in opened:
            with naming(target):
                file.close()  # flushes: on a full disk, nothing has been renamed yet
        for _, part, target in opened:
            if part is not None:
                part.replace(target)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Say which file it was in an `OSError` that does not, as those of `write` do not."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def check_target(path: Path) -> None:
    """Find out whether a file could be written, without leaving a trace.

    Raises:
        OSError: it could not: its name is that of a folder, or its folder is none or read-only.
    """
    path = _real(path)
    with suppress(FileNotFoundError, NotADirectoryError):
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "is a folder", str(path))
        if not stat.S_ISREG(mode):
            return
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "is not a folder", str(folder))
    with ExitStack() as stack, _naming_instead(path):
        # Permissions alone do not tell of read-only and other special file systems.
        _open(folder / path.name, stack)


@contextmanager
def _naming_instead(path: Path) -> Iterator[None]:
    """Name this file in an `OSError`, for a person knows nothing of the temporary one."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def _open(
    target: Path, stack: ExitStack, scratch: Path | None = None
) -> tuple[BinaryIO, Path | None, Path]:
    """Open a temporary file for the target, or the target itself if it is a device or pipe."""
    if target.exists() and not target.is_file():
        return _kept(target.open("wb"), stack), None, target
    target.parent.mkdir(parents=True, exist_ok=True)
    # Of a fixed length: with the target's name in it, it could be too long where that is not.
    part = (scratch or target.parent) / f".quadpred-{secrets.token_hex(8)}.part"
    stack.callback(_remove, part)
    with _naming_instead(target):
        return _kept(part.open("xb"), stack), part, target


def _kept(file: BinaryIO, stack: ExitStack) -> BinaryIO:
    """Have the stack close a file. What the disk refuses then, the error on its way has told of."""

    def close() -> None:
        with suppress(OSError):
            file.close()

    stack.callback(close)
    return file


def _remove(part: Path) -> None:
    with suppress(OSError):  # a read-only file system complains even if there is no such file
        part.unlink()


def _real(path: Path) -> Path:
    """Follow a link; leave other paths as they were typed, for messages."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _rounded(array: NDArray[np.float32]) -> list[Any]:
    rounded: list[Any] = array.astype(np.float64).round(_DIGITS).tolist()
    return rounded
