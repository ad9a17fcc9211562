"""Probabilities that can be taken at their word, and from where on they are worth relying on.

Temperature scaling (Guo et al. 2017, arXiv:1706.04599) divides a head's logits by one number,
fitted on groups that the networks have not heard.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quadpred.prediction import margin

__all__ = ["calibration_error", "coverages", "reliability", "temperature", "tempered"]

Array = NDArray[np.float64]

TEMPERATURES = np.geomspace(0.25, 4, 97)
BINS = 10
SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)


def tempered(rows: NDArray[np.floating[Any]], temperature: float) -> Array:
    """Probabilities of rows (rows, classes) of log-probabilities, at a temperature."""
    logits = np.asarray(rows, np.float64) / temperature
    odds = np.exp(logits - logits.max(1, keepdims=True))
    probabilities: Array = odds / odds.sum(1, keepdims=True)
    return probabilities


def temperature(
    clips: Sequence[NDArray[np.floating[Any]]], truth: NDArray[np.integer[Any]]
) -> float:
    """Find the temperature at which the clips' true classes are most likely.

    Args:
        clips: log-probabilities of each clip's rows, each of shape (rows, classes).
        truth: index of each clip's class.
    """
    lengths = [len(rows) for rows in clips]
    starts = np.cumsum([0, *lengths[:-1]])
    column = np.repeat(truth, lengths)
    rows = np.concatenate(clips)

    def surprise(candidate: float) -> float:
        likelihood = tempered(rows, candidate)[np.arange(len(rows)), column]
        clip_likelihood = np.add.reduceat(likelihood, starts) / lengths
        return float(-np.log(clip_likelihood).mean())

    return float(min(TEMPERATURES, key=surprise))


def reliability(probabilities: Array, truth: NDArray[np.integer[Any]]) -> list[list[float]]:
    """Group guesses by confidence, in bins of equal width.

    Args:
        probabilities: shape (guesses, classes).
        truth: index of each one's class.

    Returns:
        Mean confidence, accuracy and share of the guesses, for every bin that has any.
    """
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == truth
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        [float(confidence[inside].mean()), float(right[inside].mean()), float(inside.mean())]
        for inside in (bins == k for k in np.unique(bins))
    ]


def calibration_error(probabilities: Array, truth: NDArray[np.integer[Any]]) -> float:
    """Expected calibration error: how far confidence and accuracy are apart, on average.

    >>> calibration_error(np.array([[0.8, 0.2], [0.8, 0.2]]), np.array([0, 1]))
    0.3
    """
    bins = reliability(probabilities, truth)
    error = sum(abs(confidence - accuracy) * share for confidence, accuracy, share in bins)
    return round(error, 6)


def coverages(probabilities: Array, truth: NDArray[np.integer[Any]]) -> list[dict[str, float]]:
    """Accuracy where only the guesses that are furthest ahead of the next class are kept.

    Returns:
        For each share that is kept: `coverage`, the least `margin` in it, its `accuracy`.
    """
    ahead = margin(probabilities)
    right = probabilities.argmax(1) == truth
    order = np.argsort(-ahead, kind="stable")
    kept = [max(1, round(share * len(order))) for share in SHARES]
    return [
        {
            "coverage": share,
            "margin": float(ahead[order[count - 1]]),
            "accuracy": float(right[order[:count]].mean()),
        }
        for share, count in zip(SHARES, kept, strict=True)
    ]
