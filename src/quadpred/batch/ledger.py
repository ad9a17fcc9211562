"""What is finished: one line of JSON a clip, appended to a file and never changed.

A line is written when a clip's files lie under their names, and forced to the disk. A run that is
killed leaves at most one line without its end, which no reader takes for a line.
"""

import json
import os
import re
from collections.abc import Collection, Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from quadpred.batch import BatchError
from quadpred.batch.discovery import Shard
from quadpred.batch.locks import lock

__all__ = ["FOLDER", "Ledger", "Output", "Record", "Stamp", "output_of", "stamp_of"]

FOLDER = ".quadpred"
"""Below the output folder: ledgers, rows of seconds, and files that are being written."""

Array = NDArray[np.float32]
Stamp = tuple[int, int, int, int]
"""A file's size in bytes, times of its last modification and change in ns, and inode."""

Output = tuple[int, int]
"""Size in bytes and time of modification in ns of a file that was written."""

_Place = tuple[float, int, int]
"""When a record was written, in which file, and at which offset."""

_LEDGER = re.compile(r"ledger-\d+-of-\d+\.jsonl")


def stamp_of(path: str) -> Stamp:
    """Return what tells, without reading a file, that it has changed.

    The time of change is set by the system at every write, and cannot be set back as that of
    modification can.

    Raises:
        OSError: the file is not there.
    """
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def output_of(path: Path) -> Output:
    """Return what tells whether a file that was written is still the same.

    Its size alone would not: another model's rows may be as many bytes.

    Raises:
        OSError: the file is not there.
    """
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@dataclass(frozen=True)
class Record:
    """A finished clip.

    Attributes:
        name: of the recording.
        sha256: of the recording's audio, which tags do not change.
        model: checksum of the model.
        stamp: of the recording, or `None` where a later change might leave it as it is.
        time: when it was finished, in seconds since 1970.
        row: its row of the summary, less path and file.
        outputs: the files that were written, by format.
        seconds: where its rows a second are: a file in `FOLDER`, the first row there, how many.

    """

    name: str
    sha256: str
    model: str
    stamp: Stamp | None
    time: float
    row: dict[str, Any]
    outputs: dict[str, Output] = field(default_factory=dict)
    seconds: tuple[str, int, int] | None = None

    def line(self) -> bytes:
        """Return the record as a line, in ASCII, whatever is in the name."""
        return json.dumps(asdict(self), separators=(",", ":")).encode() + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> Self | None:
        """Read a line; `None` if it is not one of ours, whole."""
        try:
            values = json.loads(line)
            for name in "stamp", "seconds":
                values[name] = values[name] and tuple(values[name])
            outputs = {name: tuple(output) for name, output in values["outputs"].items()}
            values["outputs"] = outputs
            return cls(**values)
        except (ValueError, TypeError, KeyError, AttributeError):
            return None


class Ledger:
    """The records of an output folder, and the one file among them that this run appends to.

    Every ledger in the folder is read, those of other shards too; the newest record of a recording
    counts. Only where they stand is kept in memory.

    Args:
        output: the output folder.
        shard: whose ledger is appended to. No other run may have it open.
        names: recordings to look for.
        columns: of the rows a second.

    Raises:
        BatchError: another run has it open.
        OSError: it cannot be written.
    """

    def __init__(self, output: Path, shard: Shard, names: Collection[str], columns: int):
        self._folder = output / FOLDER
        self._columns = columns
        self._where: dict[str, _Place] = {}
        self._alike: dict[tuple[int, int], _Place] = {}  # by size and time of modification
        self._files: list[BinaryIO] = []
        self._stack = ExitStack()
        with ExitStack() as stack:
            self._folder.mkdir(parents=True, exist_ok=True)
            own = self._folder / f"ledger{shard.suffix}.jsonl"
            self._own = stack.enter_context(own.open("ab", buffering=0))
            try:
                lock(self._own, wait=False)
            except BlockingIOError:
                busy = f"{output}: another run writes there; give each its own --shard"
                raise BatchError(busy) from None
            self._seconds = stack.enter_context(
                (self._folder / f"seconds{shard.suffix}.f32").open("ab", buffering=0)
            )
            wanted = names if isinstance(names, set | frozenset) else frozenset(names)
            for path in sorted(self._folder.iterdir()):
                if _LEDGER.fullmatch(path.name):
                    self._read(stack.enter_context(path.open("rb")), wanted)
                    if path == own:
                        self._own_index = len(self._files) - 1
            self._end_line()
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def get(self, name: str) -> Record | None:
        """Return the newest record of a recording."""
        return self._at(self._where.get(name))

    def alike(self, stamp: Stamp) -> Record | None:
        """Return a record that a file with this stamp had under another name, perhaps."""
        return self._at(self._alike.get(stamp[:2]))

    def add_seconds(self, rows: Array) -> tuple[str, int, int]:
        """Append rows a second, shape (rows, columns), and return what a record says of them."""
        width = self._columns * rows.itemsize
        first = -(-self._seconds.tell() // width)  # after a row that was cut short
        self._seconds.truncate(first * width)
        self._seconds.seek(first * width)
        _write(self._seconds, np.ascontiguousarray(rows, "<f4").tobytes())
        return Path(self._seconds.name).name, first, len(rows)

    def seconds(self, record: Record) -> Array:
        """Return the rows a second that a record speaks of, shape (rows, columns)."""
        assert record.seconds is not None
        name, first, count = record.seconds
        width = self._columns * 4
        rows = np.fromfile(
            self._folder / name, "<f4", count=count * self._columns, offset=first * width
        )
        return rows.reshape(count, self._columns)

    def append(self, records: Iterable[Record]) -> None:
        """Append records, and return when they are on the disk.

        Raises:
            OSError: they are not, on a full disk for example.
        """
        if self._seconds.tell():
            os.fsync(self._seconds.fileno())
        lines = []
        offset = self._own.tell()
        for record in records:
            lines.append(record.line())
            self._where[record.name] = (record.time, self._own_index, offset)
            offset += len(lines[-1])
        _write(self._own, b"".join(lines))
        os.fsync(self._own.fileno())

    def _at(self, place: _Place | None) -> Record | None:
        if place is None:
            return None
        _, index, offset = place
        file = self._files[index]
        file.seek(offset)
        return Record.parse(file.readline())

    def _read(self, file: BinaryIO, wanted: Collection[str]) -> None:
        index, offset = len(self._files), 0
        self._files.append(file)
        for line in file:
            record = Record.parse(line) if line.endswith(b"\n") else None
            if record is not None:
                place = record.time, index, offset
                if record.name in wanted:
                    self._where[record.name] = max(place, self._where.get(record.name, place))
                if record.stamp is not None:
                    self._alike[record.stamp[:2]] = place
            offset += len(line)

    def _end_line(self) -> None:
        """End the line that a killed run may have left."""
        with open(self._own.name, "rb") as file:
            if self._own.tell():
                file.seek(-1, os.SEEK_END)
                if file.read() != b"\n":
                    _write(self._own, b"\n")


def _write(file: BinaryIO, content: bytes) -> None:
    """Write all of it to an unbuffered file, and name the file if that fails."""
    rest = memoryview(content)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        error.filename = file.name
        raise
