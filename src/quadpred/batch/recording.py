"""One recording: predict it, save its files and return its row of the summary."""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quadpred.audio import AudioError, open_regular
from quadpred.batch.discovery import Recording
from quadpred.batch.ledger import Output, Record, Stamp, output_of, stamp_of
from quadpred.batch.targets import library_target
from quadpred.files import DISK_ERRORS, reason_of
from quadpred.formats import FORMATS, save
from quadpred.formats.rows import second_values
from quadpred.library.fingerprint import audio_sha256
from quadpred.library.summary import summary_values
from quadpred.prediction import Prediction, join
from quadpred.predictor import Predictor

__all__ = [
    "Done",
    "Failed",
    "Outcome",
    "Settings",
    "Task",
    "failure",
    "predict_and_save",
    "process",
]

Array = NDArray[np.float32]

# A file that changed less than this many seconds before it was read could change again within one
# tick of the file system's clock, unnoticed.
TICK = 2.0


@dataclass(frozen=True)
class Settings:
    """What all recordings of a library run have in common.

    Attributes:
        model: the ONNX file.
        sha256: its checksum.
        device: see `Predictor`.
        output: the output folder.
        scratch: folder on the same file system, for files while they are written.
        formats: names of the formats to save each recording in.
        seconds: whether a table with one row per second is written.
        bom: whether CSV tables begin with a byte order mark.
    """

    model: str
    sha256: str
    device: str
    output: Path
    scratch: Path
    formats: tuple[str, ...] = ()
    seconds: bool = False
    bom: bool = False

    def predictor(self) -> Predictor:
        """Load the model.

        Raises:
            ModelError: it is damaged, or does not run on the device.
        """
        return Predictor(self.model, sha256=self.sha256, device=self.device)

    def targets(self, name: str) -> dict[str, Path]:
        """Return the file of each format for the recording of this name."""
        return {
            each: library_target(self.output, name, FORMATS[each].suffix) for each in self.formats
        }


@dataclass(frozen=True)
class Task:
    """A recording, and its previous record, which is valid if the content has not changed."""

    recording: Recording
    previous: Record | None = None


@dataclass(frozen=True)
class Done:
    """A recording whose files are complete.

    `previous` is the task's record if it is valid; otherwise the fields after it hold the new
    results. They are those of `ledger.Record`, except that `seconds` are the per-second values
    themselves, shape (rows, 8).
    """

    recording: Recording
    sha256: str
    stamp: Stamp | None
    previous: Record | None = None
    row: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Output] = field(default_factory=dict)
    seconds: Array | None = None
    damage: str | None = None


@dataclass(frozen=True)
class Failed:
    """A recording that was not predicted; `no_room` if the disk is full, which ends the run."""

    recording: Recording
    reason: str
    no_room: OSError | None = None


Outcome = Done | Failed


def predict_and_save(
    recording: Recording,
    predictor: Predictor,
    targets: Mapping[str, Path],
    *,
    scratch: Path | None = None,
    stamp: Stamp | None = None,
    winners_only: bool = False,
) -> Prediction:
    """Predict a recording and save it; all files appear together, or none does.

    Args:
        recording: its name becomes the prediction's `source`.
        predictor: the model.
        targets: the file of each format, by its name.
        scratch: folder on the same file system for the files while they are written.
        stamp: of the recording, if it is already in use; nothing is saved if it has changed.
        winners_only: see `Prediction.winners_only`.

    Raises:
        AudioError: the recording cannot be read, or changed while it was read.
        OSError: a file cannot be written.
    """
    if stamp is None:
        with suppress(OSError):  # `stream` gives the reason
            stamp = stamp_of(recording.path)
    parts = predictor.stream(recording.path, embeddings="embedding" in targets)
    prediction = replace(join(parts), source=recording.name)
    if stamp_of(recording.path) != stamp:
        raise AudioError(recording.path, "changed while it was read; run the command again")
    if winners_only:
        prediction = prediction.winners_only()
    save(prediction, targets, scratch=scratch)
    return prediction


def failure(recording: Recording, error: Exception) -> Failed:
    """Describe an error in one line."""
    if isinstance(error, AudioError):
        return Failed(recording, error.reason)
    if isinstance(error, OSError):
        file = f"{error.filename}: " if error.filename not in (None, recording.path) else ""
        reason = f"{file}{reason_of(error)}"
        return Failed(recording, reason, error if error.errno in DISK_ERRORS else None)
    return Failed(recording, f"cannot be predicted: {type(error).__name__}: {error}")


def process(task: Task, predictor: Predictor, settings: Settings) -> Outcome:
    """Predict a recording of a library and save it, unless its previous record is valid."""
    try:
        return _process(task, predictor, settings)
    except Exception as error:  # a bug or a lack of memory here must not end the whole run
        return failure(task.recording, error)


def _process(task: Task, predictor: Predictor, settings: Settings) -> Done:
    recording, previous = task.recording, task.previous
    with open_regular(recording.path):  # raises an AudioError with the reason
        stamp, started = stamp_of(recording.path), time.time()
        sha256 = audio_sha256(recording.path)
    # A time of change far in the future was set by a wrong clock, and no write repeats it.
    old = abs(started - stamp[2] / 1e9) > TICK
    settled = stamp if old and os.name == "posix" else None
    if previous is not None and sha256 == previous.sha256:
        return Done(recording, sha256, settled, previous)
    targets = settings.targets(recording.name)
    prediction = predict_and_save(
        recording, predictor, targets, scratch=settings.scratch, stamp=stamp
    )
    return Done(
        recording,
        sha256,
        settled,
        row={**summary_values(prediction), "sha256": sha256},
        outputs={name: output_of(path) for name, path in targets.items()},
        seconds=second_values(prediction) if settings.seconds else None,
        damage=prediction.damage,
    )
