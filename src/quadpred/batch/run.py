"""A library run: predict what is new or changed, then write the tables of all recordings."""

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from quadpred.batch import BatchError, tables
from quadpred.batch.discovery import DiscoveryResult, Recording, Shard, natural_key
from quadpred.batch.ledger import FOLDER, Ledger, Record, output_of, stamp_of
from quadpred.batch.recording import Done, Outcome, Settings, Task
from quadpred.batch.targets import check_library_targets
from quadpred.batch.workers import Workers
from quadpred.files import check_target, escape_name
from quadpred.formats.rows import VALUE_COLUMNS

__all__ = ["Engine", "Report", "RunProgress", "engine", "run", "scratch"]


class Engine(Protocol):
    """Processes tasks, as a context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def run(self, tasks: Iterable[Task]) -> Iterator[list[Outcome]]:
        """Yield outcomes in any order; those that arrive together form one list."""


@dataclass
class RunProgress:
    """Counts of a run.

    Attributes:
        total: recordings found, including those that failed.
        unchanged: recordings that an earlier run predicted.
        predicted: recordings that this run predicted.
        failed: recordings that could not be predicted.
        hours: of audio that this run predicted.
    """

    total: int
    unchanged: int = 0
    predicted: int = 0
    failed: int = 0
    hours: float = 0.0


@dataclass
class Report:
    """The result of a run: its counts, the reason of each failure, and the tables written."""

    progress: RunProgress
    errors: dict[str, str] = field(default_factory=dict)
    tables: list[Path] = field(default_factory=list)


def scratch(output: Path, shard: Shard) -> Path:
    """Return the folder for files while they are written."""
    return output / FOLDER / f"scratch{shard.suffix}"


def engine(settings: Settings, jobs: int | None, *, on_ray: bool) -> Engine:
    """Return worker processes, by default one per core, or those of a Ray cluster."""
    if on_ray:
        from quadpred.batch.on_ray import Cluster

        return Cluster(jobs, settings)
    return Workers(jobs or _cores(), settings)


def run(
    found: DiscoveryResult,
    settings: Settings,
    shard: Shard,
    engine: Engine,
    *,
    on_progress: Callable[[RunProgress], None],
    on_message: Callable[[str], None],
) -> Report:
    """Predict recordings that are new, changed or failed before; write the tables of all.

    Args:
        found: the recordings of this shard.
        settings: of the run.
        shard: the share of this machine.
        engine: processes tasks; it is entered if there are any.
        on_progress: is called with the counts.
        on_message: is called with one line per recording that failed or is damaged.

    Raises:
        BatchError: files would be overwritten, or another run writes here.
        OSError: the output folder cannot be written. Finished recordings stay finished.
    """
    check_target(settings.output / "summary.csv")
    check_library_targets(found.recordings, settings.output, settings.formats)
    names = frozenset(recording.name for recording in found.recordings)
    progress = RunProgress(len(names) + len(found.errors), failed=len(found.errors))
    report = Report(progress, {each.name: reason for each, reason in found.errors.items()})
    for note in found.notes:
        on_message(note)
    for each, reason in found.errors.items():
        on_message(f"{each.path}: {reason}")
    with Ledger(settings.output, shard, names, len(VALUE_COLUMNS)) as ledger:
        shutil.rmtree(settings.scratch, ignore_errors=True)  # of a run that was killed
        tasks = list(_unfinished(found.recordings, ledger, settings))
        progress.unchanged = len(names) - len(tasks)
        on_progress(progress)
        if tasks:
            settings.scratch.mkdir()
            with engine:
                for outcomes in engine.run(tasks):
                    _record_outcomes(outcomes, ledger, settings, report, on_message)
                    on_progress(progress)
        try:
            report.tables = _write_tables(found.recordings, ledger, settings, shard, report.errors)
        except OSError:
            ledger.check()  # nothing is kept if it was removed
            raise
        shutil.rmtree(settings.scratch, ignore_errors=True)
    return report


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def _unfinished(
    recordings: Iterable[Recording], ledger: Ledger, settings: Settings
) -> Iterator[Task]:
    """Yield a task for each recording that is not finished.

    A recording is finished if its record is of this model and of the recording's content, and every
    requested file exists as it was written. If the recording's stamp is that of the record, its
    content is unchanged and need not be read. A renamed recording is finished too, unless
    files are requested, which have its name.
    """
    for recording in recordings:
        try:
            stamp = stamp_of(recording.path)
        except OSError:  # the task gives the reason
            yield Task(recording)
            continue
        record = ledger.get(recording.name)
        if record is None or not _complete(record, ledger, settings):
            former = ledger.alike(stamp)
            record = former and replace(former, name=recording.name, outputs={}, stamp=None)
        if record is None or not _complete(record, ledger, settings):
            yield Task(recording)
        elif record.stamp != stamp:
            yield Task(recording, record)


def _complete(record: Record, ledger: Ledger, settings: Settings) -> bool:
    if record.model != settings.sha256:
        return False
    if settings.seconds and ledger.seconds(record) is None:
        return False
    for name, path in settings.targets(record.name).items():
        try:
            if output_of(path) != record.outputs.get(name):
                return False
        except OSError:
            return False
    return True


def _record_outcomes(
    outcomes: Iterable[Outcome],
    ledger: Ledger,
    settings: Settings,
    report: Report,
    on_message: Callable[[str], None],
) -> None:
    """Write finished recordings to the ledger, and count."""
    ledger.check()  # without its folder, every recording would fail for a misleading reason
    records = []
    progress = report.progress
    for outcome in outcomes:
        if isinstance(outcome, Done):
            if outcome.previous is None:
                progress.predicted += 1
                progress.hours += outcome.row["duration"] / 3600
                records.append(_record(outcome, ledger, settings))
            else:
                progress.unchanged += 1
                if outcome.stamp or ledger.get(outcome.recording.name) != outcome.previous:
                    previous = replace(outcome.previous, stamp=outcome.stamp, time=time.time())
                    records.append(previous)
            if outcome.damage:
                on_message(f"warning: {outcome.recording.path}: {outcome.damage}")
        else:
            if outcome.no_room is not None:
                ledger.append(records)
                raise outcome.no_room
            report.errors[outcome.recording.name] = outcome.reason
            on_message(f"{outcome.recording.path}: {outcome.reason}")
            progress.failed += 1
    ledger.append(records)


def _record(done: Done, ledger: Ledger, settings: Settings) -> Record:
    """Return the record of a new prediction; keep files that an older one has of this content."""
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

    def seconds() -> Iterator[tuple[str, NDArray[np.float32]]]:
        for recording, record in finished():
            values = ledger.seconds(record)
            if values is None:
                reason = "its per-second rows were damaged during the run; start the run again"
                raise BatchError(f"{recording.path}: {reason}")
            yield escape_name(recording.name), values

    settings.scratch.mkdir(parents=True, exist_ok=True)
    where: Any = {"scratch": settings.scratch, "bom": settings.bom}
    reasons = {escape_name(name): reason for name, reason in errors.items()}
    failures = (
        {"path": path, "reason": reasons[path]} for path in sorted(reasons, key=natural_key)
    )
    written = tables.write_summary(rows(), settings.output, shard, **where)
    written += tables.write_errors(failures, settings.output, shard, **where)
    if settings.seconds:
        written += tables.write_seconds(seconds(), settings.output, shard, **where)
    if shard.count > 1:
        written += tables.merge(settings.output, shard, **where)
    return written
