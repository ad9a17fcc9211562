"""Scores of finished runs on the groups that each has not heard."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quadpred.labels import HEADS, QUADRANT, Head
from quadpred.train import calibrate
from quadpred.train.corpora import Clip, Manifest, ManifestError
from quadpred.train.dataset import LogMels, Targets
from quadpred.train.loop import Run, progress_bar
from quadpred.train.transfer import clip_logits, load_classifier

__all__ = [
    "Interval",
    "confusion",
    "evaluate",
    "macro_f1",
    "macro_precision",
    "macro_recall",
    "scores",
]

Counts = NDArray[np.int64]

RESAMPLES = 1000
CERTAIN = 0.7  # share of clips, and of seconds, that a calibrated model calls certain


@dataclass(frozen=True)
class Interval:
    """A score with the bounds of its 95 % bootstrap interval over groups."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class _Heard:
    """Clips with what one head said of them: log-probabilities of every row."""

    groups: NDArray[np.str_]
    truth: NDArray[np.int64]
    rows: list[NDArray[np.float32]]
    folds: NDArray[np.int64]


def evaluate(
    runs: Sequence[Path],
    manifest: Manifest,
    *,
    splits: Sequence[str] = (),
    cache: Path | None = None,
) -> dict[str, Any]:
    """Score runs on their test splits, pooled as if they were one model: the folds of one recipe.

    Args:
        runs: folders of finished transfers.
        manifest: the music that they were tested on.
        splits: to score on, instead of those that each run kept for testing.
        cache: folder of computed log-mels.

    Returns:
        By head and by "clip" and "window" (a row of one second): macro F1, precision and recall,
        each with its interval; accuracy; F1, precision, recall and number by class; and the
        confusion matrix (rows are the truth). For clips also the mean negative log-likelihood.
        Under "calibration": by head the `temperature`, and by unit the calibration error before
        and after, and the reliability after; the least margin of the quadrant of a certain second
        and clip (`min_margin_second`, `min_margin_clip`); and how accuracy rises as coverage
        falls. What is measured after calibration, is with temperatures fitted on the other folds,
        if there are several. Under "runs": each one's fold, seed and scores. A clip counts once for
        each run that heard it, but once in "clips".

    Raises:
        AudioError: a recording that cannot be read.
        ManifestError: no labelled clips in the test splits.
        RunError: a folder that holds no finished transfer.
    """
    clips: list[Clip] = []
    said: list[tuple[NDArray[np.float32], ...]] = []
    by_run: list[dict[str, Any]] = []
    numbers: list[int] = []
    folds: dict[tuple[str, ...], int] = {}
    with progress_bar() as bar:
        task = bar.add_task("evaluation", total=None, note="")
        for folder in runs:
            model, recipe = load_classifier(folder)
            tested = splits or Run.describe(folder)["test"]
            heard = [clip for clip in manifest.subset(tested) if clip.quadrant]
            if not heard:
                raise ManifestError(f"{folder}: no labelled clips in splits {', '.join(tested)}")
            for frames in LogMels(recipe.features, cache).load(heard):
                logits = clip_logits(model, frames, recipe)
                said.append(tuple(head.log_softmax(-1).numpy() for head in logits))
                bar.advance(task)
            clips += heard
            fold = tuple(sorted({clip.split for clip in heard}))
            numbers += [folds.setdefault(fold, len(folds))] * len(heard)
            by_run.append(
                {
                    "run": folder.name,
                    "splits": fold,
                    "seed": recipe.seed,
                    "clips": len(heard),
                    **{
                        head.name: macro_f1(confusion(*_clips(part), len(head.classes)))
                        for head, part in _heads(heard, said[-len(heard) :], [0] * len(heard))
                    },
                }
            )
    parts = _heads(clips, said, numbers)
    heads = {head.name: scores(part, head) for head, part in parts}
    return {
        "corpus": asdict(manifest.sheet) | {"teacher": "", "opinion": ""},
        "clips": len({clip.path for clip in clips}),
        "groups": len({clip.group for clip in clips}),
        "runs": by_run,
        "calibration": _calibration(parts),
        **heads,
    }


def _heads(
    clips: Sequence[Clip], said: Sequence[tuple[NDArray[np.float32], ...]], folds: Sequence[int]
) -> list[tuple[Head, _Heard]]:
    groups = np.array([clip.group for clip in clips])
    truths = [target.argmax(1).numpy() for target in Targets.of(clips).heads]
    return [
        (head, _Heard(groups, truths[index], [rows[index] for rows in said], np.array(folds)))
        for index, head in enumerate(HEADS)
    ]


def _calibration(parts: Sequence[tuple[Head, _Heard]]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for head, heard in parts:
        rows_truth = np.repeat(heard.truth, [len(rows) for rows in heard.rows])
        after = _tempered_by_others(heard)
        units = {
            "clip": (np.stack([p.mean(0) for p in after]), heard.truth, _means(heard)),
            "window": (np.concatenate(after), rows_truth, np.exp(np.concatenate(heard.rows))),
        }
        told[head.name] = {
            "temperature": calibrate.temperature(heard.rows, heard.truth),
            **{
                unit: {
                    "error_before": calibrate.calibration_error(before, truth),
                    "error": calibrate.calibration_error(probabilities, truth),
                    "reliability": calibrate.reliability(probabilities, truth),
                    "coverage": calibrate.coverages(probabilities, truth),
                }
                for unit, (probabilities, truth, before) in units.items()
            },
        }
    told["min_margin_clip"], told["min_margin_second"] = (
        next(
            kept["margin"]
            for kept in told[QUADRANT.name][unit]["coverage"]
            if kept["coverage"] == CERTAIN
        )
        for unit in ("clip", "window")
    )
    return told


def _tempered_by_others(heard: _Heard) -> list[NDArray[np.float64]]:
    """Probabilities of every clip's rows, at the temperature that fits all other folds best."""
    temperatures = {}
    for fold in np.unique(heard.folds):
        others = np.flatnonzero(heard.folds != fold)
        fitted = others if len(others) else np.arange(len(heard.folds))
        rows = [heard.rows[index] for index in fitted]
        temperatures[fold] = calibrate.temperature(rows, heard.truth[fitted])
    return [
        calibrate.tempered(rows, temperatures[fold])
        for rows, fold in zip(heard.rows, heard.folds, strict=True)
    ]


def _means(heard: _Heard) -> NDArray[np.float64]:
    return np.stack([np.exp(rows.astype(np.float64)).mean(0) for rows in heard.rows])


def _clips(heard: _Heard) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Truth and guess of each clip, by the mean of its rows' probabilities."""
    return heard.truth, _means(heard).argmax(1)


def _windows(heard: _Heard) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    truth = np.repeat(heard.truth, [len(rows) for rows in heard.rows])
    return truth, np.concatenate(heard.rows).argmax(1)


def scores(heard: _Heard, head: Head) -> dict[str, Any]:
    """Score one head by clip and by window."""
    lengths = [len(rows) for rows in heard.rows]
    likelihood = _means(heard)[np.arange(len(heard.truth)), heard.truth]
    return {
        "clip": _report(*_clips(heard), heard.groups, head)
        | {"negative_log_likelihood": float(-np.log(likelihood).mean())},
        "window": _report(*_windows(heard), np.repeat(heard.groups, lengths), head),
    }


def _report(
    truth: NDArray[np.int64],
    guess: NDArray[np.int64],
    groups: NDArray[np.str_],
    head: Head,
) -> dict[str, Any]:
    classes = len(head.classes)
    names, member = np.unique(groups, return_inverse=True)
    # One confusion matrix a group; resampled groups only add theirs up.
    matrices = np.zeros((len(names), classes, classes), np.int64)
    np.add.at(matrices, (member, truth, guess), 1)
    whole = matrices.sum(0)
    rng = np.random.default_rng(0)
    draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), RESAMPLES)
    resampled = np.tensordot(draws, matrices, 1)

    def by_class(values: Iterable[float]) -> dict[str, float]:
        return dict(zip(head.classes, values, strict=True))

    return {
        "macro_f1": asdict(_interval(macro_f1, whole, resampled)),
        "macro_precision": asdict(_interval(macro_precision, whole, resampled)),
        "macro_recall": asdict(_interval(macro_recall, whole, resampled)),
        "accuracy": float(np.trace(whole) / whole.sum()),
        "f1": by_class(_f1(whole)),
        "precision": by_class(_precision(whole)),
        "recall": by_class(_recall(whole)),
        "number": by_class(whole.sum(1).tolist()),
        "confusion": whole.tolist(),
    }


def _interval(
    measure: Callable[[Counts], float], whole: Counts, resampled: Iterable[Counts]
) -> Interval:
    low, high = np.quantile([measure(counts) for counts in resampled], [0.025, 0.975])
    return Interval(measure(whole), float(low), float(high))


def confusion(
    truth: NDArray[np.int64], guess: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """Counts of shape (classes, classes); rows are the truth."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (truth, guess), 1)
    return counts


def macro_f1(counts: Counts) -> float:
    """Mean over classes of the harmonic mean of precision and recall, 0 where both are.

    As in scikit-learn, classes that are neither true nor guessed anywhere do not count.

    >>> round(macro_f1(np.array([[3, 1], [0, 4]])), 3)
    0.873
    """
    return _macro(_f1(counts), counts)


def macro_precision(counts: Counts) -> float:
    """Mean over classes of the share of right ones among the guesses, 0 where there are none.

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
