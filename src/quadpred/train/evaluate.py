"""Scores of finished runs on the groups that each was not trained on."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from quadpred.errors import QuadpredError
from quadpred.files import atomic_write
from quadpred.labels import HEADS, QUADRANT, Head, membership
from quadpred.train.calibration import (
    Coverage,
    Reliability,
    apply_temperature,
    calibration_error,
    fit_temperature,
    min_margin,
    reliability,
    risk_coverage,
)
from quadpred.train.corpora import Clip, Manifest, ManifestError, check_splits
from quadpred.train.data.log_mels import LogMels
from quadpred.train.data.targets import Targets
from quadpred.train.inference import clip_logits, load_classifier
from quadpred.train.loop import progress_bar
from quadpred.train.run import Run, RunError

__all__ = [
    "Calibration",
    "ClassReport",
    "ConfidenceInterval",
    "Evaluation",
    "EvaluationError",
    "HeadCalibration",
    "HeadScores",
    "RunScores",
    "UnitCalibration",
    "class_report",
    "confusion",
    "evaluate",
    "macro_f1",
    "macro_precision",
    "macro_recall",
]

Counts = NDArray[np.int64]
Rows = NDArray[np.float32]

RESAMPLES = 1000


class EvaluationError(QuadpredError):
    """A file of scores cannot be used. The message is one line: the file and the reason."""


@dataclass(frozen=True)
class ConfidenceInterval:
    """A score with the bounds of its 95 % bootstrap interval over groups."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ClassReport:
    """Scores of one head by clip or by second; `confusion` has the truth in its rows."""

    macro_f1: ConfidenceInterval
    macro_precision: ConfidenceInterval
    macro_recall: ConfidenceInterval
    accuracy: float
    f1: Mapping[str, float]
    precision: Mapping[str, float]
    recall: Mapping[str, float]
    number: Mapping[str, int]
    confusion: list[list[int]]


@dataclass(frozen=True)
class HeadScores:
    """Scores of one head by clip and by second, and the negative log-likelihood of clips."""

    clip: ClassReport
    second: ClassReport
    negative_log_likelihood: float


@dataclass(frozen=True)
class UnitCalibration:
    """Calibration of one head by clip or by second.

    `error_before` is the expected calibration error of the network as trained; all else is with
    temperatures fitted on the other folds, if there are several.
    """

    error_before: float
    error: float
    reliability: list[Reliability]
    coverage: list[Coverage]


@dataclass(frozen=True)
class HeadCalibration:
    """Calibration of one head; `temperature` is fitted on all folds."""

    temperature: float
    clip: UnitCalibration
    second: UnitCalibration


@dataclass(frozen=True)
class Calibration:
    """Calibration of all heads, and the least margin of a quadrant that is not uncertain."""

    heads: Mapping[str, HeadCalibration]
    min_margin_second: float
    min_margin_clip: float


@dataclass(frozen=True)
class RunScores:
    """Macro F1 per head of one run on its test splits."""

    run: str
    splits: tuple[str, ...]
    seed: int
    clips: int
    macro_f1: Mapping[str, float]


@dataclass(frozen=True)
class Evaluation:
    """Scores of several runs, pooled; a clip counts once per run in scores, once in `clips`."""

    corpus: str
    clips: int
    groups: int
    runs: list[RunScores]
    heads: Mapping[str, HeadScores]
    calibration: Calibration

    def save(self, path: Path) -> None:
        """Write the evaluation as JSON.

        Raises:
            OSError: the file cannot be written.
        """
        with atomic_write(path) as (file,):
            file.write(TypeAdapter(Evaluation).dump_json(self, indent=1) + b"\n")

    @classmethod
    def load(cls, path: Path) -> "Evaluation":
        """Read the JSON of `save`.

        Raises:
            EvaluationError: the file cannot be read, or holds something else.
        """
        try:
            return TypeAdapter(cls).validate_json(path.read_bytes())
        except OSError as error:
            raise EvaluationError(f"{path}: {error.strerror}") from None
        except ValidationError:
            raise EvaluationError(f"{path}: not the JSON of `quadpred train evaluate`") from None


@dataclass(frozen=True)
class _Outputs:
    """Clips with one head's log-probabilities of every row."""

    groups: NDArray[np.str_]
    truth: NDArray[np.int64]
    rows: list[Rows]
    folds: NDArray[np.int64]


@dataclass
class _Held:
    """Held-out clips, all heads' log-probabilities of their rows, and the number of their fold."""

    clips: list[Clip] = field(default_factory=list)
    outputs: list[tuple[Rows, ...]] = field(default_factory=list)
    folds: list[int] = field(default_factory=list)

    def add(self, clips: Sequence[Clip], outputs: Sequence[tuple[Rows, ...]], fold: int) -> None:
        """Add the clips of a run."""
        self.clips += clips
        self.outputs += outputs
        self.folds += [fold] * len(clips)

    def by_head(self) -> dict[Head, _Outputs]:
        """Separate the heads."""
        groups = np.array([clip.group for clip in self.clips])
        truths = [target.argmax(1).numpy() for target in Targets.of(self.clips).heads]
        folds = np.array(self.folds, np.int64)
        return {
            head: _Outputs(groups, truths[index], [rows[index] for rows in self.outputs], folds)
            for index, head in enumerate(HEADS)
        }


def evaluate(
    runs: Sequence[Path],
    manifest: Manifest,
    *,
    splits: Sequence[str] = (),
    calibrate_on: Sequence[Manifest] = (),
    cache: Path | None = None,
) -> Evaluation:
    """Score runs on their test splits, pooled as if they were one model: the folds of one recipe.

    Args:
        runs: folders of finished transfers.
        manifest: the music to test on.
        splits: to score on, instead of those that each run kept for testing.
        calibrate_on: further music whose clips in these splits are not scored; temperatures are
            fitted on them too.
        cache: folder of computed log-mels.

    Raises:
        AudioError: a recording cannot be read.
        ManifestError: the test splits have no labelled clips.
        RunError: a folder holds no finished transfer, or its network was trained on a test clip.
    """
    scored, further = _Held(), _Held()
    by_run: list[RunScores] = []
    folds: dict[tuple[str, ...], int] = {}
    joint = True
    with progress_bar() as bar:
        task = bar.add_task("evaluation", total=None, note="")
        for folder in runs:
            model, recipe = load_classifier(folder)
            joint &= model.joint
            described = Run.describe(folder, "test", "trained_on")
            tested = splits or described["test"]
            check_splits([manifest, *calibrate_on], tested)
            held = [clip for clip in manifest.subset(tested) if clip.quadrant]
            if not held:
                raise ManifestError(f"{folder}: no labelled clips in splits {', '.join(tested)}")
            more = [c for other in calibrate_on for c in other.subset(tested) if c.quadrant]
            _refuse_training_clips(folder, [*held, *more], described)
            rows = []
            for frames in LogMels(recipe.features, cache).load([*held, *more]):
                logits = clip_logits(model, frames, recipe)
                rows.append(tuple(head.log_softmax(-1).numpy() for head in logits))
                bar.advance(task)
            fold = tuple(sorted({clip.split for clip in held}))
            number = folds.setdefault(fold, len(folds))
            run = _Held()
            run.add(held, rows[: len(held)], number)
            scored.add(held, rows[: len(held)], number)
            further.add(more, rows[len(held) :], number)
            scores = {
                head.name: macro_f1(confusion(*_clips(part), len(head.classes)))
                for head, part in run.by_head().items()
            }
            by_run.append(RunScores(folder.name, fold, recipe.seed, len(held), scores))
    parts = scored.by_head()
    return Evaluation(
        manifest.sheet.name,
        len({clip.path for clip in scored.clips}),
        len({clip.group for clip in scored.clips}),
        by_run,
        {head.name: _scores(part, head) for head, part in parts.items()},
        _calibration(parts, further.by_head(), joint),
    )


def _refuse_training_clips(
    folder: Path, held: Sequence[Clip], described: Mapping[str, Any]
) -> None:
    trained = set(described["trained_on"])
    for clip in held:
        if clip.checksum() in trained:
            raise RunError(
                f"{folder}: its network was trained on {clip.path} or a copy of it; evaluate it on"
                " the manifest and splits that it was trained with, and leave out copies"
            )


def _calibration(
    parts: Mapping[Head, _Outputs], further: Mapping[Head, _Outputs], joint: bool
) -> Calibration:
    """Calibrate each head, or with joint heads the quadrants, of which the others are marginals."""
    if joint:
        temperature = _temperature([parts[QUADRANT], further[QUADRANT]])
        temperatures = {head: temperature for head in parts}
        by_others = _by_others(parts[QUADRANT], further[QUADRANT])
        calibrated = {
            head: [rows @ np.array(membership(head)) for rows in by_others] for head in parts
        }
    else:
        temperatures = {head: _temperature([parts[head], further[head]]) for head in parts}
        calibrated = {head: _by_others(part, further[head]) for head, part in parts.items()}
    heads = {}
    for head, part in parts.items():
        rows_truth = np.repeat(part.truth, [len(rows) for rows in part.rows])
        after = calibrated[head]
        clips = np.stack([rows.mean(0) for rows in after])
        heads[head.name] = HeadCalibration(
            temperatures[head],
            _unit(clips, _means(part), part.truth),
            _unit(np.concatenate(after), np.exp(np.concatenate(part.rows)), rows_truth),
        )
    quadrants = heads[QUADRANT.name]
    second, clip = (min_margin(unit.coverage) for unit in (quadrants.second, quadrants.clip))
    return Calibration(heads, second, clip)


def _unit(
    after: NDArray[np.float64], before: NDArray[np.floating[Any]], truth: NDArray[np.int64]
) -> UnitCalibration:
    return UnitCalibration(
        calibration_error(before.astype(np.float64), truth),
        calibration_error(after, truth),
        reliability(after, truth),
        risk_coverage(after, truth),
    )


def _temperature(parts: Sequence[_Outputs], left_out: int = -1) -> float:
    """Fit the temperature on all folds but one, or on that one if there is no other."""
    rows, truth = [], []
    for part in parts:
        others = part.folds != left_out
        for index in np.flatnonzero(others if others.any() else ~others):
            rows.append(part.rows[index])
            truth.append(part.truth[index])
    return fit_temperature(rows, np.array(truth))


def _by_others(part: _Outputs, further: _Outputs) -> list[NDArray[np.float64]]:
    """Probabilities of every clip's rows, at the temperature that fits all other folds best."""
    fitted = {fold: _temperature([part, further], fold) for fold in np.unique(part.folds)}
    return [
        apply_temperature(rows, fitted[fold])
        for rows, fold in zip(part.rows, part.folds, strict=True)
    ]


def _means(part: _Outputs) -> NDArray[np.float64]:
    return np.stack([np.exp(rows.astype(np.float64)).mean(0) for rows in part.rows])


def _clips(part: _Outputs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """True and predicted class of each clip, by the mean of its rows' probabilities."""
    return part.truth, _means(part).argmax(1)


def _scores(part: _Outputs, head: Head) -> HeadScores:
    """Score one head by clip and by second."""
    lengths = [len(rows) for rows in part.rows]
    seconds = np.repeat(part.truth, lengths), np.concatenate(part.rows).argmax(1)
    likelihood = _means(part)[np.arange(len(part.truth)), part.truth]
    return HeadScores(
        class_report(*_clips(part), part.groups, head),
        class_report(*seconds, np.repeat(part.groups, lengths), head),
        float(-np.log(likelihood).mean()),
    )


def class_report(
    truth: NDArray[np.int64],
    guess: NDArray[np.int64],
    groups: NDArray[np.str_],
    head: Head,
) -> ClassReport:
    """Score the classes of one head; intervals are from resampled groups.

    Args:
        truth: index of the true class, shape (items,).
        guess: index of the predicted class, shape (items,).
        groups: name of the group of each, shape (items,).
        head: names the classes.
    """
    classes = len(head.classes)
    names, member = np.unique(groups, return_inverse=True)
    # One confusion matrix per group; resampled groups only add theirs up.
    matrices = np.zeros((len(names), classes, classes), np.int64)
    np.add.at(matrices, (member, truth, guess), 1)
    whole = matrices.sum(0)
    rng = np.random.default_rng(0)
    draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), RESAMPLES)
    resampled = np.tensordot(draws, matrices, 1)

    def by_class(values: Iterable[float]) -> dict[str, float]:
        return dict(zip(head.classes, values, strict=True))

    return ClassReport(
        macro_f1=_interval(macro_f1, whole, resampled),
        macro_precision=_interval(macro_precision, whole, resampled),
        macro_recall=_interval(macro_recall, whole, resampled),
        accuracy=float(np.trace(whole) / whole.sum()),
        f1=by_class(_f1(whole)),
        precision=by_class(_precision(whole)),
        recall=by_class(_recall(whole)),
        number=dict(zip(head.classes, whole.sum(1).tolist(), strict=True)),
        confusion=whole.tolist(),
    )


def _interval(
    measure: Callable[[Counts], float], whole: Counts, resampled: Iterable[Counts]
) -> ConfidenceInterval:
    low, high = np.quantile([measure(counts) for counts in resampled], [0.025, 0.975])
    return ConfidenceInterval(measure(whole), float(low), float(high))


def confusion(
    truth: NDArray[np.int64], guess: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """Counts of shape (classes, classes); rows are the truth."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (truth, guess), 1)
    return counts


def macro_f1(counts: Counts) -> float:
    """Mean over classes of the harmonic mean of precision and recall, 0 where both are.

    As in scikit-learn, classes that are neither true nor predicted anywhere do not count.

    >>> round(macro_f1(np.array([[3, 1], [0, 4]])), 3)
    0.873
    """
    return _macro(_f1(counts), counts)


def macro_precision(counts: Counts) -> float:
    """Mean over classes of the share of right ones among the predictions, 0 if there are none.

    >>> macro_precision(np.array([[3, 1], [0, 4]]))
    0.9
    """
    return _macro(_precision(counts), counts)


def macro_recall(counts: Counts) -> float:
    """Mean over classes of the share that is found, 0 where there are none.

    >>> macro_recall(np.array([[3, 1], [0, 4]]))
    0.875
    """
    return _macro(_recall(counts), counts)


def _macro(values: Sequence[float], counts: Counts) -> float:
    return float(np.mean(np.array(values)[counts.sum(0) + counts.sum(1) > 0]))


def _f1(counts: Counts) -> list[float]:
    return _ratio(2 * np.diag(counts), counts.sum(0) + counts.sum(1))


def _precision(counts: Counts) -> list[float]:
    return _ratio(np.diag(counts), counts.sum(0))


def _recall(counts: Counts) -> list[float]:
    return _ratio(np.diag(counts), counts.sum(1))


def _ratio(parts: Counts, wholes: Counts) -> list[float]:
    return [
        float(part / whole) if whole else 0.0 for part, whole in zip(parts, wholes, strict=True)
    ]
