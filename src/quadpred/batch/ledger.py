"""Records of finished recordings: one line of JSON each, appended to a file and never changed.

A line is written and forced to the disk after the recording's files have their names. Every line,
and every block of per-second rows, has a checksum. What is incomplete or altered counts as missing,
and its recording is predicted again.
"""

import json
import math
import os
import re
import zlib
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from quadpred.batch import BatchError
from quadpred.batch.discovery import Shard
from quadpred.batch.locks import lock
from quadpred.library.summary import COLUMNS

__all__ = [
    "FOLDER",
    "ROW",
    "Ledger",
    "Output",
    "Record",
    "Seconds",
    "Stamp",
    "output_of",
    "stamp_of",
]

FOLDER = ".quadpred"
"""In the output folder: ledgers, per-second rows, and files while they are written."""

ROW: Mapping[str, type] = {
    name: kind for name, kind in COLUMNS.items() if name not in ("path", "file")
}
"""Names and types of a record's row: the columns of the summary, less `path` and `file`."""

Array = NDArray[np.float32]
Stamp = tuple[int, int, int, int]
"""A file's size in bytes, times of its last modification and change in ns, and inode."""

Output = tuple[int, int]
"""Size in bytes and time of modification in ns of a file that was written."""

_Place = tuple[float, int, int]
"""When a record was written, in which file, and at which offset."""

_LEDGER = re.compile(r"ledger-\d+-of-\d+\.jsonl")
_SECONDS = re.compile(r"seconds-\d+-of-\d+\.f32")
_CHECKSUM = b',"crc32":"'


class Seconds(NamedTuple):
    """Where a recording's per-second rows are.

    Attributes:
        file: name of a file in `FOLDER`.
        first: index of the first row in that file.
        rows: how many there are.
        crc32: checksum of their bytes.

    """

    file: str
    first: int
    rows: int
    crc32: int


def stamp_of(path: str) -> Stamp:
    """Return what shows, without reading a file, that it has changed.

    The time of change is set by the system at every write, and cannot be set back as that of
    modification can.

    Raises:
        OSError: the file is not there.
    """
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def output_of(path: Path) -> Output:
    """Return what shows whether a file that was written is still the same.

    Its size alone would not: another model's rows may be as many bytes.

    Raises:
        OSError: the file is not there.
    """
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@dataclass(frozen=True)
class Record:
    """A finished recording.

    Attributes:
        name: of the recording.
        sha256: of the recording's audio, which tags do not change.
        model: checksum of the model.
        stamp: of the recording, or `None` where a later change might leave it as it is.
        time: when it was finished, in seconds since 1970. `Ledger.append` raises it where needed.
        row: its row of the summary, with the columns of `ROW`.
        outputs: the files that were written, by format.
        seconds: where its per-second rows are.

    """

    name: str
    sha256: str
    model: str
    stamp: Stamp | None
    time: float
    row: dict[str, Any]
    outputs: dict[str, Output] = field(default_factory=dict)
    seconds: Seconds | None = None

    def line(self) -> bytes:
        """Return the record as a line of JSON in ASCII, whatever is in the name."""
        body = json.dumps(asdict(self), separators=(",", ":")).encode()[:-1]
        return body + _CHECKSUM + b'%08x"}\n' % zlib.crc32(body)

    @classmethod
    def parse(cls, line: bytes) -> Self | None:
        """Read a line; `None` if it is not a record as it was written."""
        body, _, rest = line.rpartition(_CHECKSUM)
        if rest != b'%08x"}\n' % zlib.crc32(body):
            return None
        try:
            return cls._typed(json.loads(body + b"}"))
        except (ValueError, TypeError, KeyError, AttributeError):
            return None  # of another version of quadpred

    @classmethod
    def _typed(cls, values: dict[str, Any]) -> Self:
        stamp, seconds, row = values["stamp"], values["seconds"], values["row"]
        if seconds is not None:
            seconds = Seconds(_is(str, seconds[0]), *_integers(seconds[1:], 3))
            if not _SECONDS.fullmatch(seconds.file):
                raise ValueError(seconds.file)
        return cls(
            name=_is(str, values["name"]),
            sha256=_is(str, values["sha256"]),
            model=_is(str, values["model"]),
            stamp=None if stamp is None else _integers(stamp, 4),
            time=_is(float, values["time"]),
            row={name: _is(kind, row[name]) for name, kind in ROW.items()},
            outputs={form: _integers(output, 2) for form, output in values["outputs"].items()},
            seconds=seconds,
        )


def _is(kind: type, value: Any) -> Any:
    if type(value) is not kind or (isinstance(value, float) and not math.isfinite(value)):
        raise TypeError(value)
    return value


def _integers(values: Any, count: int) -> Any:
    """Return a list of that many integers, none of them negative, as a tuple."""
    if len(values) != count or any(_is(int, value) < 0 for value in values):
        raise ValueError(values)
    return tuple(values)


class Ledger:
    """The records of an output folder, and the one file among them that this run appends to.

    Every ledger in the folder is read, those of other shards too; the newest record of a recording
    counts. Only file offsets are kept in memory.

    Args:
        output: the output folder.
        shard: whose ledger is appended to. No other run may have it open.
        names: recordings to look for.
        columns: number of columns of the per-second rows.

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
                busy = "another run writes there; wait for its end, or give each its own --shard"
                raise BatchError(f"{output}: {busy}") from None
            self._seconds = stack.enter_context(
                (self._folder / f"seconds{shard.suffix}.f32").open("ab", buffering=0)
            )
            requested = names if isinstance(names, set | frozenset) else frozenset(names)
            for path in sorted(self._folder.iterdir()):
                if _LEDGER.fullmatch(path.name):
                    self._read(stack.enter_context(path.open("rb")), requested)
                    if path == own:
                        self._own_index = len(self._files) - 1
            self._end_line()
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def get(self, name: str) -> Record | None:
        """Return the newest record of a recording."""
        return self._at(self._where.get(name))

    def alike(self, stamp: Stamp) -> Record | None:
        """Return a record of a file with this stamp under another name, if there is one."""
        return self._at(self._alike.get(stamp[:2]))

    def add_seconds(self, rows: Array) -> Seconds:
        """Append per-second rows, shape (rows, columns), and return where they are."""
        width = self._columns * rows.itemsize
        first = -(-self._seconds.tell() // width)  # after a row that was cut short
        self._seconds.truncate(first * width)
        self._seconds.seek(first * width)
        content = np.ascontiguousarray(rows, "<f4").tobytes()
        _write(self._seconds, content)
        return Seconds(Path(self._seconds.name).name, first, len(rows), zlib.crc32(content))

    def seconds(self, record: Record) -> Array | None:
        """Return a record's per-second rows, shape (rows, columns).

        `None` if there are none, or they are missing, cut short or altered.
        """
        if record.seconds is None:
            return None
        name, first, rows, crc32 = record.seconds
        width = self._columns * 4
        try:
            with open(self._folder / name, "rb") as file:
                file.seek(first * width)
                content = file.read(rows * width)
        except OSError:
            return None
        if len(content) != rows * width or zlib.crc32(content) != crc32:
            return None
        return np.frombuffer(content, "<f4").reshape(rows, self._columns)

    def append(self, records: Iterable[Record]) -> None:
        """Append records, and return when they are on the disk.

        A record becomes newer than those of the same recording, even where the clock was ahead
        when those were written.

        Raises:
            BatchError: the ledger was removed during the run.
            OSError: it cannot be written, on a full disk for example.
        """
        if self._seconds.tell():
            os.fsync(self._seconds.fileno())
        lines = []
        offset = self._own.tell()
        for record in records:
            time, *_ = self._where.get(record.name, (-math.inf,))
            if record.time <= time:
                record = replace(record, time=math.nextafter(time, math.inf))
            lines.append(record.line())
            self._where[record.name] = (record.time, self._own_index, offset)
            offset += len(lines[-1])
        _write(self._own, b"".join(lines))
        os.fsync(self._own.fileno())
        self.check()

    def check(self) -> None:
        """Find out whether the files that this run appends to still have their names.

        Raises:
            BatchError: they were removed or replaced.
        """
        for file in self._own, self._seconds:
            try:
                same = os.path.samestat(os.stat(file.name), os.fstat(file.fileno()))
            except (FileNotFoundError, NotADirectoryError):
                same = False
            if not same:
                reason = "was removed or replaced during the run; start the run again"
                raise BatchError(f"{file.name}: {reason}")

    def _at(self, place: _Place | None) -> Record | None:
        if place is None:
            return None
        _, index, offset = place
        file = self._files[index]
        file.seek(offset)
        return Record.parse(file.readline())

    def _read(self, file: BinaryIO, requested: Collection[str]) -> None:
        index, offset = len(self._files), 0
        self._files.append(file)
        for line in file:
            record = Record.parse(line)
            if record is not None:
                place = record.time, index, offset
                if record.name in requested:
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
