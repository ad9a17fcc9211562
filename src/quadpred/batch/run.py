"""A run: what is there, what is finished, what is left to do, and the tables of it all."""

import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from quadpred.batch import BatchError, tables
from quadpred.batch.clip import FORMATS, Done, Outcome, Settings, Task, target
from quadpred.batch.discovery import Found, Recording, Shard, natural_key
from quadpred.batch.ledger import FOLDER, Ledger, Record, output_of, stamp_of
from quadpred.batch.workers import Workers
from quadpred.formats import SECOND_COLUMNS, check_target
from quadpred.names import escape_name

__all__ = ["Engine", "Progress", "Report", "engine", "run", "scratch"]

_TABLES = re.compile(r"(summary|errors|seconds)(-\d+-of-\d+)?")


class Engine(Protocol):
    """What processes tasks; entered before and left afterwards."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def run(self, tasks: Iterable[Task]) -> Iterator[list[Outcome]]:
        """Yield outcomes in any order, together those that come at once."""


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        total: what was found, recordings and errors.
        kept: those that had been finished before.
        predicted: those that this run has predicted.
        failed: those that could not be.
        hours: of audio that this run has predicted.

    """

    total: int
    kept: int = 0
    predicted: int = 0
    failed: int = 0
    hours: float = 0.0


@dataclass
class Report:
    """What a run did: its counts, the reason why each file failed, and the tables written."""

    progress: Progress
    errors: dict[str, str] = field(default_factory=dict)
    tables: list[Path] = field(default_factory=list)


def scratch(output: Path, shard: Shard) -> Path:
    """Return the folder of files that are being written."""
    return output / FOLDER / f"scratch{shard.suffix}"


def engine(settings: Settings, jobs: int | None, *, on_ray: bool) -> Engine:
    """Return worker processes, as many as cores if not told, or a Ray cluster's."""
    if on_ray:
        from quadpred.batch.on_ray import Cluster

        return Cluster(jobs, settings)
    return Workers(jobs or _cores(), settings)


def run(
    found: Found,
    settings: Settings,
    shard: Shard,
    engine: Engine,
    *,
    tell: Callable[[Progress], None],
    say: Callable[[str], None],
) -> Report:
    """Predict what is new, changed or failed before, and write the tables of everything found.

    Args:
        found: the recordings of this shard.
        settings: of the run.
        shard: which it is.
        engine: processes tasks; entered if there are any.
        tell: is told how far the run is.
        say: takes a line on each recording that could not be read, or in part only.

    Raises:
        BatchError: files would be overwritten, or another run writes here.
        OSError: the output folder cannot be written. What is finished stays finished.
    """
    check_target(settings.output / "summary.csv")
    _check(found.recordings, settings)
    names = frozenset(recording.name for recording in found.recordings)
    progress = Progress(len(names) + len(found.errors), failed=len(found.errors))
    report = Report(progress, dict(found.errors))
    for note in found.notes:
        say(note)
    for name, reason in found.errors.items():
        say(f"{name}: {reason}")
    with Ledger(settings.output, shard, names, len(SECOND_COLUMNS)) as ledger:
        shutil.rmtree(settings.scratch, ignore_errors=True)  # of a run that was killed
        tasks = list(_left(found.recordings, ledger, settings))
        progress.kept = len(names) - len(tasks)
        tell(progress)
        if tasks:
            settings.scratch.mkdir()
            with engine:
                for outcomes in engine.run(tasks):
                    _take(outcomes, ledger, settings, report, say)
                    tell(progress)
            shutil.rmtree(settings.scratch, ignore_errors=True)
        report.tables = _write_tables(found.recordings, ledger, settings, shard, report.errors)
    return report


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def _check(recordings: Iterable[Recording], settings: Settings) -> None:
    """Refuse results under the names of tables and of recordings."""
    suffixes = tuple(FORMATS[name].suffix for name in settings.formats)
    if not suffixes:
        return
    recordings = list(recordings)
    inputs = {each.path for each in recordings if each.path.endswith(suffixes)}
    for recording in recordings:
        if _TABLES.fullmatch(recording.name):
            raise BatchError(f"{recording.path}: its results would be named as the tables are")
        if inputs:
            for suffix in suffixes:
                path = os.path.abspath(target(settings.output, recording.name, suffix))
                if path in inputs:
                    raise BatchError(f"{path}: is an input, and would be overwritten")


def _left(recordings: Iterable[Recording], ledger: Ledger, settings: Settings) -> Iterator[Task]:
    """Yield what is left to do.

    A recording is finished when its record has this model's predictions and every file that is
    wanted, and these are there as they were written. Its content must be that of the record, which
    is known without reading it if nothing has touched it since. A recording that was renamed is
    finished, too, if no files are wanted that its new name would need.
    """
    for recording in recordings:
        try:
            stamp = stamp_of(recording.path)
        except OSError:  # a task will say why
            yield Task(recording)
            continue
        record = ledger.get(recording.name)
        if record is None or not _whole(record, settings):
            former = ledger.alike(stamp)
            record = former and replace(former, name=recording.name, outputs={}, stamp=None)
        if record is None or not _whole(record, settings):
            yield Task(recording)
        elif record.stamp != stamp:
            yield Task(recording, record)


def _whole(record: Record, settings: Settings) -> bool:
    if record.model != settings.sha256 or (settings.seconds and record.seconds is None):
        return False
    for name in settings.formats:
        path = target(settings.output, record.name, FORMATS[name].suffix)
        try:
            if output_of(path) != record.outputs.get(name):
                return False
        except OSError:
            return False
    return True


def _take(
    outcomes: Iterable[Outcome],
    ledger: Ledger,
    settings: Settings,
    report: Report,
    say: Callable[[str], None],
) -> None:
    """Enter what is finished into the ledger, and count."""
    records = []
    progress = report.progress
    for outcome in outcomes:
        if isinstance(outcome, Done):
            if outcome.known is None:
                progress.predicted += 1
                progress.hours += outcome.row["duration"] / 3600
                records.append(_record(outcome, ledger, settings))
            else:
                progress.kept += 1
                if outcome.stamp or ledger.get(outcome.recording.name) != outcome.known:
                    known = replace(outcome.known, stamp=outcome.stamp, time=time.time())
                    records.append(known)
            for line in outcome.warnings:
                say(f"warning: {line}")
        else:
            if outcome.no_room is not None:
                ledger.append(records)
                raise outcome.no_room
            report.errors[outcome.recording.name] = outcome.reason
            say(f"{outcome.recording.path}: {outcome.reason}")
            progress.failed += 1
    ledger.append(records)


def _record(done: Done, ledger: Ledger, settings: Settings) -> Record:
    """Return the record of a new prediction, with what an older one has of the same content."""
    older = ledger.get(done.recording.name)
    if older and (older.sha256, older.model) != (done.sha256, settings.sha256):
        older = None
    seconds = ledger.add_seconds(done.seconds) if done.seconds is not None else None
    return Record(
        name=done.recording.name,
        sha256=done.sha256,
        model=settings.sha256,
        stamp=done.stamp,
        time=time.time(),
        row=done.row,
        outputs={**(older.outputs if older else {}), **done.outputs},
        seconds=seconds or (older.seconds if older else None),
    )


def _write_tables(
    recordings: Iterable[Recording],
    ledger: Ledger,
    settings: Settings,
    shard: Shard,
    errors: dict[str, str],
) -> list[Path]:
    def finished() -> Iterator[tuple[Recording, Record]]:
        for recording in recordings:
            record = ledger.get(recording.name) if recording.name not in errors else None
            if record is not None:
                yield recording, record

    def rows() -> Iterator[dict[str, Any]]:
        for recording, record in finished():
            file = escape_name(recording.path)
            yield {"path": escape_name(recording.name), **record.row, "file": file}

    output = settings.output
    reasons = {escape_name(name): reason for name, reason in errors.items()}
    failures = (
        {"path": path, "reason": reasons[path]} for path in sorted(reasons, key=natural_key)
    )
    written = tables.write_summary(rows(), output, shard)
    written += tables.write_errors(failures, output, shard)
    if settings.seconds:
        clips = ((escape_name(each.name), ledger.seconds(record)) for each, record in finished())
        written += tables.write_seconds(clips, output, shard)
    if shard.count > 1:
        written += tables.merge(output, shard)
    return written
