"""Calibration of probabilities, and selective prediction.

Temperature scaling (Guo et al. 2017, arXiv:1706.04599) divides the logits by one number, fitted on
groups that the networks were not trained on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quadpred.prediction import margin

__all__ = [
    "TARGET_COVERAGE",
    "Coverage",
    "Reliability",
    "apply_temperature",
    "calibration_error",
    "fit_temperature",
    "min_margin",
    "reliability",
    "risk_coverage",
]

Array = NDArray[np.float64]

TEMPERATURES = np.geomspace(0.25, 4, 97)
BINS = 10
COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
TARGET_COVERAGE = 0.7
"""Share of clips, and of seconds, that a calibrated model does not flag as uncertain."""


@dataclass(frozen=True)
class Reliability:
    """One bin of a reliability diagram: mean confidence, accuracy, and share of predictions."""

    confidence: float
    accuracy: float
    share: float


@dataclass(frozen=True)
class Coverage:
    """Selective prediction: accuracy of the predictions with at least this margin."""

    coverage: float
    margin: float
    accuracy: float


def apply_temperature(rows: NDArray[np.floating[Any]], temperature: float) -> Array:
    """Probabilities from log-probabilities of shape (rows, classes), at a temperature."""
    logits = np.asarray(rows, np.float64) / temperature
    odds = np.exp(logits - logits.max(1, keepdims=True))
    probabilities: Array = odds / odds.sum(1, keepdims=True)
    return probabilities


def fit_temperature(
    clips: Sequence[NDArray[np.floating[Any]]], truth: NDArray[np.integer[Any]]
) -> float:
    """Find the temperature with the lowest negative log-likelihood of the clips' classes.

    Args:
        clips: log-probabilities of each clip's rows, each of shape (rows, classes).
        truth: index of each clip's class.
    """
    lengths = [len(rows) for rows in clips]
    starts = np.cumsum([0, *lengths[:-1]])
    column = np.repeat(truth, lengths)
    rows = np.concatenate(clips)

    def negative_log_likelihood(candidate: float) -> float:
        likelihood = apply_temperature(rows, candidate)[np.arange(len(rows)), column]
        clip_likelihood = np.add.reduceat(likelihood, starts) / lengths
        return float(-np.log(clip_likelihood).mean())

    return float(min(TEMPERATURES, key=negative_log_likelihood))


def reliability(probabilities: Array, truth: NDArray[np.integer[Any]]) -> list[Reliability]:
    """Group predictions by confidence, in bins of equal width; empty bins are left out.

    Args:
        probabilities: shape (predictions, classes).
        truth: index of each one's class.
    """
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == truth
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        Reliability(
            float(confidence[inside].mean()), float(right[inside].mean()), float(inside.mean())
        )
        for inside in (bins == k for k in np.unique(bins))
    ]


def calibration_error(probabilities: Array, truth: NDArray[np.integer[Any]]) -> float:
    """Expected calibration error: mean distance between confidence and accuracy.

    >>> calibration_error(np.array([[0.8, 0.2], [0.8, 0.2]]), np.array([0, 1]))
    0.3
    """
    bins = reliability(probabilities, truth)
    return round(sum(abs(b.confidence - b.accuracy) * b.share for b in bins), 6)


def risk_coverage(probabilities: Array, truth: NDArray[np.integer[Any]]) -> list[Coverage]:
    """Accuracy at each of several coverages, keeping the predictions with the largest margin."""
    margins = margin(probabilities)
    right = probabilities.argmax(1) == truth
    order = np.argsort(-margins, kind="stable")
    counts = [max(1, round(share * len(order))) for share in COVERAGES]
    return [
        Coverage(share, float(margins[order[count - 1]]), float(right[order[:count]].mean()))
        for share, count in zip(COVERAGES, counts, strict=True)
    ]


def min_margin(coverages: Sequence[Coverage]) -> float:
    """Return the margin below which a prediction is uncertain, at `TARGET_COVERAGE`."""
    return next(each.margin for each in coverages if each.coverage == TARGET_COVERAGE)
