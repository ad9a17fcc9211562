"""From predicted clips to the scores of a set."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.data import Bars
from experiments.metrics import (
    SMALLEST,
    Score,
    bar_means,
    bootstrap,
    concordance,
    linear_map,
    log_loss,
    macro_f1,
    pearson,
    r_squared,
    spearman,
    weighted_mean,
)
from experiments.subjects import Case
from experiments.test_sets import TestSet, class_truth, quadrants
from quadpred.labels import AROUSAL, HEADS, QUADRANT, VALENCE
from quadpred.train.calibration import (
    TARGET_COVERAGE,
    calibration_error,
    reliability,
    risk_coverage,
)
from quadpred.train.corpora import Clip

__all__ = [
    "AXES",
    "DELAYS",
    "ClipOutputs",
    "outputs_of",
    "score_classes",
    "score_ratings",
    "score_set",
]

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

AXES = (AROUSAL.name, VALENCE.name)
DELAYS = (0, 2, 4, 6)  # seconds from the music to the listeners' response
FEWEST_BARS = 8


@dataclass(frozen=True, eq=False)
class ClipOutputs:
    """What one seed of a model predicts for clips.

    Attributes:
        clips: the clips; one may occur several times, if several models predict it.
        probabilities: by head, shape (clips, classes); empty if ratings are predicted.
        estimates: arousal and valence on a scale of the model's own, such as log-odds, shape
            (clips, 2).
        seconds: for each clip arousal and valence per second, shape (seconds, 2), or none.
        uncertain: whether the model calls a clip uncertain, shape (clips,), or none.
    """

    clips: Sequence[Clip]
    probabilities: dict[str, Array]
    estimates: Array
    seconds: Sequence[Array] = ()
    uncertain: NDArray[np.bool_] | None = None

    @property
    def groups(self) -> NDArray[np.str_]:
        """Group of each clip."""
        return np.array([clip.group for clip in self.clips])

    @property
    def folds(self) -> NDArray[np.str_]:
        """Fold of each clip."""
        return np.array([clip.split for clip in self.clips])


def outputs_of(cases: Sequence[Case]) -> ClipOutputs:
    """Collect the predictions of one seed."""
    probabilities = {
        head.name: np.stack([case.prediction.mean(head) for case in cases]).astype(np.float64)
        for head in HEADS
    }
    return ClipOutputs(
        [case.clip for case in cases],
        probabilities,
        np.stack([_log_odds(probabilities[axis]) for axis in AXES], -1),
        [
            np.stack([_log_odds(case.prediction.arousal), _log_odds(case.prediction.valence)], -1)
            for case in cases
        ],
        np.array([case.prediction.uncertain for case in cases]),
    )


def score_set(test_set: TestSet, seeds: Sequence[ClipOutputs]) -> dict[str, Any]:
    """Score a set: ratings and dynamics where it has them, and classes.

    Args:
        test_set: the set.
        seeds: the outputs of each seed.

    Returns:
        What README.md defines, in a form that JSON can hold but for `Score`.
    """
    first = seeds[0]
    scores: dict[str, Any] = {
        "title": test_set.title,
        "remark": test_set.remark,
        "clips": len({clip.path for clip in first.clips}),
        "groups": len(set(first.groups)),
    }
    if test_set.scale is not None:
        scores["ratings"] = score_ratings(test_set, seeds)
    if test_set.corpus.bars and first.seconds:
        scores["within_piece"] = score_dynamics(test_set, seeds)
    if first.probabilities:
        scores["classes"] = score_classes(test_set, seeds)
    return scores


def score_ratings(test_set: TestSet, seeds: Sequence[ClipOutputs]) -> dict[str, dict[str, Score]]:
    """Agreement of estimates with ratings, by measure and axis."""
    scores: dict[str, dict[str, Score]] = {"spearman": {}, "r_squared": {}, "concordance": {}}
    groups = [outputs.groups for outputs in seeds]
    for index, axis in enumerate(AXES):
        truths = [_ratings(test_set, outputs)[:, index] for outputs in seeds]
        raw = [outputs.estimates[:, index] for outputs in seeds]
        mapped = [
            _on_the_scale(estimates, truth, outputs.folds)
            for estimates, truth, outputs in zip(raw, truths, seeds, strict=True)
        ]
        for name, measure, estimates in (
            ("spearman", spearman, raw),
            ("r_squared", r_squared, mapped),
            ("concordance", concordance, mapped),
        ):
            scores[name][axis] = bootstrap(
                groups,
                [partial(measure, e, t) for e, t in zip(estimates, truths, strict=True)],
            )
    return scores


def score_dynamics(test_set: TestSet, seeds: Sequence[ClipOutputs]) -> dict[str, Any]:
    """Mean correlation within a piece, at the delay that is best on the other folds."""
    correlations: dict[str, Score] = {}
    delays: dict[str, list[dict[str, int]]] = {}
    by_delay: dict[str, dict[str, float]] = {}
    rated = [
        [k for k, clip in enumerate(outputs.clips) if _is_long(test_set.corpus.bars[clip.path])]
        for outputs in seeds
    ]
    groups = [outputs.groups[chosen] for outputs, chosen in zip(seeds, rated, strict=True)]
    for index, axis in enumerate(AXES):
        chosen_values, chosen_delays, tables = [], [], []
        for outputs, chosen in zip(seeds, rated, strict=True):
            table = np.array(
                [
                    _delayed_correlations(
                        outputs.seconds[k][:, index],
                        test_set.corpus.bars[outputs.clips[k].path],
                        axis,
                    )
                    for k in chosen
                ]
            )
            best = _best_on_other_folds(table, outputs.folds[chosen])
            columns = [best[fold] for fold in outputs.folds[chosen]]
            chosen_values.append(table[np.arange(len(table)), columns])
            chosen_delays.append({fold: DELAYS[column] for fold, column in best.items()})
            tables.append(table)
        correlations[axis] = bootstrap(
            groups, [partial(weighted_mean, values) for values in chosen_values]
        )
        delays[axis] = chosen_delays
        means = np.mean([table.mean(0) for table in tables], 0)
        by_delay[axis] = {
            str(delay): float(mean) for delay, mean in zip(DELAYS, means, strict=True)
        }
    return {
        "pieces": len(rated[0]),
        "correlation": correlations,
        "delays": delays,
        "by_delay": by_delay,
    }


def score_classes(test_set: TestSet, seeds: Sequence[ClipOutputs]) -> dict[str, Any]:
    """Classification and calibration of the clips that have a quadrant."""
    parts = []
    for outputs in seeds:
        quadrant = quadrants(test_set, outputs.clips)
        chosen = np.flatnonzero(quadrant >= 0)
        parts.append((outputs, chosen, class_truth(quadrant[chosen])))
    groups = [outputs.groups[chosen] for outputs, chosen, _ in parts]
    scores: dict[str, Any] = {"clips": len({parts[0][0].clips[int(k)].path for k in parts[0][1]})}
    measures: dict[str, Callable[[Array, Labels, Labels], float]] = {
        "macro_f1": macro_f1,
        "log_loss": log_loss,
        "accuracy": _accuracy,
        "calibration_error": _calibration_error,
        "gain": _gain,
    }
    for name, measure in measures.items():
        scores[name] = {
            head.name: bootstrap(
                groups,
                [
                    partial(measure, outputs.probabilities[head.name][chosen], truth[head.name])
                    for outputs, chosen, truth in parts
                ],
            )
            for head in HEADS
        }
    probabilities = np.concatenate([o.probabilities[QUADRANT.name][c] for o, c, _ in parts])
    truth = np.concatenate([t[QUADRANT.name] for _, _, t in parts])
    scores["reliability"] = reliability(probabilities, truth)
    scores["risk_coverage"] = risk_coverage(probabilities, truth)
    scores["confidence"] = float(probabilities.max(1).mean())
    scores["predicted"] = {
        name: float(np.mean(probabilities.argmax(1) == index))
        for index, name in enumerate(QUADRANT.classes)
    }
    if parts[0][0].uncertain is not None:
        flags = [o.uncertain[c] for o, c, _ in parts if o.uncertain is not None]
        scores["uncertain"] = float(np.concatenate(flags).mean())
    return scores


def _accuracy(probabilities: Array, truth: Labels, counts: Labels) -> float:
    return weighted_mean((probabilities.argmax(1) == truth).astype(float), counts)


def _calibration_error(probabilities: Array, truth: Labels, counts: Labels) -> float:
    chosen = np.repeat(np.arange(len(truth)), counts)
    return calibration_error(probabilities[chosen], truth[chosen])


def _gain(probabilities: Array, truth: Labels, counts: Labels) -> float:
    """Accuracy of the 70 % of clips with the largest margin, less that of all."""
    chosen = np.repeat(np.arange(len(truth)), counts)
    points = {
        point.coverage: point.accuracy
        for point in risk_coverage(probabilities[chosen], truth[chosen])
    }
    return points[TARGET_COVERAGE] - points[1.0]


def _ratings(test_set: TestSet, outputs: ClipOutputs) -> Array:
    return np.array([test_set.corpus.ratings[clip.path] for clip in outputs.clips], np.float64)


def _on_the_scale(estimates: Array, truth: Array, folds: NDArray[np.str_]) -> Array:
    """Map estimates to ratings by the line that fits the other folds; all, if there is one."""
    mapped = np.empty_like(truth)
    for fold in np.unique(folds):
        inside = folds == fold
        others = ~inside if (~inside).any() else inside
        slope, offset = linear_map(estimates[others], truth[others])
        mapped[inside] = slope * estimates[inside] + offset
    return mapped


def _is_long(bars: Bars) -> bool:
    """Whether a piece has enough bars, whose ratings change."""
    return len(bars.start) >= FEWEST_BARS and all(
        np.ptp(values) > 0 for values in (bars.arousal, bars.valence)
    )


def _delayed_correlations(seconds: Array, bars: Bars, axis: str) -> list[float]:
    """Correlation of a piece's estimates with its bars' ratings at every delay."""
    truth = bars.arousal if axis == AROUSAL.name else bars.valence
    return [
        pearson(bar_means(seconds, bars.start - delay, bars.end - delay), truth) for delay in DELAYS
    ]


def _best_on_other_folds(table: Array, folds: NDArray[np.str_]) -> dict[str, int]:
    """Index of the best delay for each fold, given correlations of shape (pieces, delays)."""
    best = {}
    for fold in np.unique(folds):
        others = folds != fold
        best[str(fold)] = int(table[others if others.any() else ~others].mean(0).argmax())
    return best


def _log_odds(pairs: NDArray[np.floating[Any]]) -> Array:
    """Log-odds of the positive class, given probabilities of shape (rows, 2)."""
    pairs = np.maximum(pairs.astype(np.float64), SMALLEST)
    odds: Array = np.log(pairs[:, 1] / pairs[:, 0])
    return odds
