"""One recording: its prediction, its files, and its row of the summary."""

import errno
import hashlib
import os
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from quadpred import __version__
from quadpred.annotations import write_audacity, write_jams
from quadpred.audio import AudioError, AudioWarning, open_regular
from quadpred.batch import BatchError
from quadpred.batch.discovery import Recording
from quadpred.batch.ledger import Output, Record, Stamp, output_of, stamp_of
from quadpred.formats import (
    complete,
    naming,
    second_rows,
    write_csv,
    write_json,
    write_npy,
    write_parquet,
)
from quadpred.labels import AROUSAL, QUADRANT, VALENCE
from quadpred.prediction import Prediction
from quadpred.predictor import Predictor

__all__ = [
    "FORMATS",
    "Done",
    "Failed",
    "Outcome",
    "Settings",
    "Task",
    "clip_row",
    "formats_of",
    "process",
    "target",
]

Array = NDArray[np.float32]

_DIGITS = 6
_LONGEST = 255  # bytes of a file name
# A file that changed so shortly before it was read, in seconds, might change again within the same
# tick of the file system's clock, unseen.
_TICK = 2.0
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def _write_png(prediction: Prediction, file: BinaryIO) -> None:
    from quadpred.plots import save_taggram  # half a second, which only pictures should cost

    save_taggram(prediction, file)


@dataclass(frozen=True)
class Format:
    """What a clip's prediction can be saved as; no two formats end names alike."""

    suffix: str
    write: Callable[[Prediction, BinaryIO], None]


FORMATS: Mapping[str, Format] = {
    "json": Format(".json", write_json),
    "csv": Format(".csv", write_csv),
    "parquet": Format(".parquet", write_parquet),
    "npy": Format(".npy", write_npy),
    "png": Format(".png", _write_png),
    "jams": Format(".jams", write_jams),
    "audacity": Format(".txt", write_audacity),
}


def formats_of(names: str) -> tuple[str, ...]:
    """Read the names of formats, separated by commas.

    Raises:
        BatchError: there is no such format.
        ModuleNotFoundError: a format's package is not installed.
    """
    formats = tuple(dict.fromkeys(name.strip().lower() for name in names.split(",") if name))
    for name in formats:
        if name not in FORMATS:
            raise BatchError(f"--format {name}: must be of {', '.join(FORMATS)}")
    if "parquet" in formats:
        import pyarrow  # noqa: F401
    return formats


@dataclass(frozen=True)
class Settings:
    """What is the same for all clips of a run.

    Attributes:
        model: the ONNX file.
        sha256: its checksum.
        device: as `Predictor` takes it.
        output: the output folder.
        scratch: a folder on the same file system, for files that are being written.
        formats: the names of the files a clip.
        seconds: whether rows a second are wanted for the table.

    """

    model: str
    sha256: str
    device: str
    output: Path
    scratch: Path
    formats: tuple[str, ...] = ()
    seconds: bool = False

    def predictor(self) -> Predictor:
        """Load the model.

        Raises:
            ModelError: it is damaged, or does not run on the device.
        """
        return Predictor(self.model, sha256=self.sha256, device=self.device)


@dataclass(frozen=True)
class Task:
    """A recording, and the record that holds if the content is the record's."""

    recording: Recording
    known: Record | None = None


@dataclass(frozen=True)
class Done:
    """A clip whose files lie under their names.

    `known` is the task's record, if that holds; else the others say what is new. They are as in
    `ledger.Record`, but `seconds` are the rows a second themselves, shape (rows, 8).
    """

    recording: Recording
    sha256: str
    stamp: Stamp | None
    known: Record | None = None
    row: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Output] = field(default_factory=dict)
    seconds: Array | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failed:
    """A clip that could not be predicted; `no_room` if no other could be saved either."""

    recording: Recording
    reason: str
    no_room: OSError | None = None


Outcome = Done | Failed


def target(output: Path, name: str, suffix: str) -> Path:
    """Return where a recording's result lies: under its whole name, for stems may be shared.

    Where that is too long for a file's name, a checksum stands for its end.
    """
    path = output / f"{name}{suffix}"
    if len(os.fsencode(path.name)) <= _LONGEST:
        return path
    whole = os.fsencode(Path(name).name)
    mark = f"~{hashlib.sha256(whole).hexdigest()[:16]}{suffix}"
    kept = whole[: _LONGEST - len(mark)].decode("utf-8", "ignore")
    return path.with_name(kept + mark)


def clip_row(prediction: Prediction, sha256: str) -> dict[str, Any]:
    """Return a clip's row of the summary, less path and file."""
    return {
        "duration": round(prediction.duration, _DIGITS),
        "quadrant": prediction.winner,
        **{
            name.lower(): round(float(mean), _DIGITS)
            for name, mean in zip(QUADRANT.classes, prediction.mean(QUADRANT), strict=True)
        },
        "arousal": round(float(prediction.mean(AROUSAL)[1]), _DIGITS),
        "valence": round(float(prediction.mean(VALENCE)[1]), _DIGITS),
        "confidence": round(prediction.confidence, _DIGITS),
        "uncertain": prediction.unsure,
        "model": prediction.model.name,
        "version": __version__,
        "sha256": sha256,
    }


def process(task: Task, predictor: Predictor, settings: Settings) -> Outcome:
    """Predict a recording and write its files, unless its content is known.

    Whatever goes wrong is the outcome of this clip alone.
    """
    recording = task.recording
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", AudioWarning)
            done = _process(task, predictor, settings)
        said = dict.fromkeys(
            str(each.message) for each in caught if issubclass(each.category, AudioWarning)
        )
        return replace(done, warnings=tuple(said))
    except AudioError as error:
        return Failed(recording, error.reason)
    except OSError as error:
        named = f"{error.filename}: " if error.filename not in (None, recording.path) else ""
        reason = f"{named}{error.strerror or error}"
        return Failed(recording, reason, error if error.errno in _NO_ROOM else None)
    except Exception as error:  # one clip's fault, ours or memory's, must not end the run
        return Failed(recording, f"cannot be predicted: {type(error).__name__}: {error}")


def _process(task: Task, predictor: Predictor, settings: Settings) -> Done:
    recording = task.recording
    with open_regular(recording.path) as file:
        stamp, started = stamp_of(recording.path), time.time()
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    kept = stamp if started - stamp[2] / 1e9 > _TICK and os.name == "posix" else None
    if task.known is not None and sha256 == task.known.sha256:
        return Done(recording, sha256, kept, task.known)
    prediction = replace(predictor.predict(recording.path), source=recording.name)
    if stamp_of(recording.path) != stamp:
        raise AudioError(recording.path, "changed while it was read")
    outputs = _write(prediction, recording.name, settings)
    rows = second_rows(prediction) if settings.seconds else None
    row = clip_row(prediction, sha256)
    return Done(recording, sha256, kept, None, row, outputs, rows)


def _write(prediction: Prediction, name: str, settings: Settings) -> dict[str, Output]:
    """Write a clip's files and return what a record says of them."""
    formats = {each: FORMATS[each] for each in settings.formats}
    targets = [target(settings.output, name, each.suffix) for each in formats.values()]
    with complete(*targets, scratch=settings.scratch) as files:
        for path, file, each in zip(targets, files, formats.values(), strict=True):
            with naming(path):
                each.write(prediction, file)
    return {each: output_of(path) for each, path in zip(formats, targets, strict=True)}
