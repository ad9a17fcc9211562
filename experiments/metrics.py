"""Scores of clips, and their bootstrap intervals over groups.

Every score takes `counts`: how often each clip is in a bootstrap sample, as integers of shape
(clips,). Counts of one give the score of the clips themselves.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

__all__ = [
    "SMALLEST",
    "Counts",
    "Score",
    "bar_means",
    "bootstrap",
    "concordance",
    "linear_map",
    "log_loss",
    "macro_f1",
    "pearson",
    "r_squared",
    "spearman",
    "weighted_mean",
]

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
Labels = NDArray[np.int64]

RESAMPLES = 1000
SMALLEST = 1e-7  # probability: keeps logarithms finite


@dataclass(frozen=True)
class Score:
    """A score with the bounds of its 95 % interval, and its value for each seed."""

    value: float
    low: float
    high: float
    seeds: tuple[float, ...] = ()


def bootstrap(
    groups: Sequence[NDArray[np.str_]], statistics: Sequence[Callable[[Counts], float]]
) -> Score:
    """Average a score over seeds, with its 95 % interval over groups (percentile bootstrap).

    A resampled group is resampled for every seed.

    Args:
        groups: for each seed, the group of each clip, shape (clips,).
        statistics: for each seed, the score as a function of the clips' counts.
    """
    values = [
        statistic(np.ones(len(members), np.int64))
        for members, statistic in zip(groups, statistics, strict=True)
    ]
    names = np.unique(np.concatenate(groups))
    positions = [np.searchsorted(names, members) for members in groups]
    rng = np.random.default_rng(0)
    draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), RESAMPLES)
    resampled = [
        np.mean(
            [
                statistic(draw[position])
                for position, statistic in zip(positions, statistics, strict=True)
            ]
        )
        for draw in draws
    ]
    low, high = np.nanquantile(resampled, [0.025, 0.975])
    return Score(float(np.mean(values)), float(low), float(high), tuple(values))


def weighted_mean(values: Array, counts: Counts) -> float:
    """Mean of values; not a number where every count is 0."""
    total = counts.sum()
    return float(values @ counts / total) if total else float("nan")


def log_loss(probabilities: Array, truth: Labels, counts: Counts) -> float:
    """Mean negative log-likelihood (natural logarithm).

    Args:
        probabilities: shape (clips, classes).
        truth: index of each clip's class.
        counts: shape (clips,).
    """
    likelihood = probabilities[np.arange(len(truth)), truth]
    return weighted_mean(-np.log(np.maximum(likelihood, SMALLEST)), counts)


def macro_f1(probabilities: Array, truth: Labels, counts: Counts) -> float:
    """Mean F1 over the classes that are true or predicted somewhere.

    Args:
        probabilities: shape (clips, classes).
        truth: index of each clip's class.
        counts: shape (clips,).
    """
    classes = probabilities.shape[1]
    guess = probabilities.argmax(1)
    confusion = np.bincount(truth * classes + guess, counts, classes * classes)
    confusion = confusion.reshape(classes, classes)
    sizes = confusion.sum(0) + confusion.sum(1)
    present = sizes > 0
    return float(np.mean(2 * np.diag(confusion)[present] / sizes[present]))


def pearson(x: Array, y: Array) -> float:
    """Pearson's correlation; 0 where one of the two is constant."""
    a, b = x - x.mean(), y - y.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 0 else 0.0


def spearman(x: Array, y: Array, counts: Counts) -> float:
    """Spearman's correlation; 0 where one of the two is constant."""
    chosen = np.repeat(np.arange(len(x)), counts)
    return pearson(rankdata(x[chosen]), rankdata(y[chosen]))


def linear_map(x: Array, y: Array) -> tuple[float, float]:
    """Slope and offset of the least-squares line from x to y."""
    variance = float(np.var(x))
    slope = float(np.mean((x - x.mean()) * (y - y.mean())) / variance) if variance else 0.0
    return slope, float(y.mean() - slope * x.mean())


def r_squared(estimate: Array, truth: Array, counts: Counts) -> float:
    """Coefficient of determination; not a number where the truth is constant."""
    residual = weighted_mean((truth - estimate) ** 2, counts)
    variance = weighted_mean((truth - weighted_mean(truth, counts)) ** 2, counts)
    return 1 - residual / variance if variance else float("nan")


def concordance(estimate: Array, truth: Array, counts: Counts) -> float:
    """Lin's concordance correlation coefficient; 0 where both are constant and equal."""
    mean_x, mean_y = weighted_mean(estimate, counts), weighted_mean(truth, counts)
    covariance = weighted_mean((estimate - mean_x) * (truth - mean_y), counts)
    spread = weighted_mean((estimate - mean_x) ** 2 + (truth - mean_y) ** 2, counts)
    scale = spread + (mean_x - mean_y) ** 2
    return 2 * covariance / scale if scale else 0.0


def bar_means(rows: Array, start: Array, end: Array) -> Array:
    """Mean of a value per second over intervals of any length.

    Args:
        rows: row k is the value from second k to k + 1; before and after, the first and the last
            value count.
        start: of each interval, in seconds.
        end: of each interval, later than its start.

    >>> bar_means(np.array([0.0, 1.0, 3.0]), np.array([-1.0, 0.5]), np.array([0.5, 2.5]))
    array([0.  , 1.25])
    """
    edges = np.arange(len(rows) + 1)
    integral = np.concatenate([[0.0], np.cumsum(rows)])

    def until(times: Array) -> Array:
        inside = np.interp(times, edges, integral)
        before, after = np.minimum(times, 0), np.maximum(times - len(rows), 0)
        total: Array = inside + before * rows[0] + after * rows[-1]
        return total

    means: Array = (until(end) - until(start)) / (end - start)
    return means
