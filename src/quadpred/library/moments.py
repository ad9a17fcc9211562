"""Segments, changes and highlights of one recording."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quadpred.errors import QuadpredError
from quadpred.labels import QUADRANT
from quadpred.prediction import Prediction, margin

__all__ = [
    "HIGHLIGHTS",
    "Interval",
    "IntervalError",
    "Moment",
    "find_segments",
    "highlights",
    "interval_means",
]

Array = NDArray[np.float64]

HIGHLIGHTS = ("highest arousal", "lowest arousal", "happiest", "calmest")
"""Highest and lowest mean arousal; highest mean probability of Q1 and of Q4."""


class IntervalError(QuadpredError):
    """Intervals that cannot be read, or that lie outside the recording."""


@dataclass(frozen=True)
class Interval:
    """A named part of a recording, in seconds."""

    start: float
    end: float
    label: str = ""


@dataclass(frozen=True)
class Moment:
    """A part of a recording, and its means over the seconds that are not silent.

    Attributes:
        kind: "segment", "interval", or one of `HIGHLIGHTS`.
        start: in seconds.
        end: in seconds.
        quadrant: of segments, the quadrant that was found; otherwise the most probable one.
        arousal: probability of positive arousal, 0 to 1.
        valence: probability of positive valence, 0 to 1.
        confidence: mean probability of `quadrant`, 0 to 1.
        uncertain: whether the quadrant is uncertain: all silent, or of a small margin.
        label: of intervals, the one that was given.
    """

    kind: str
    start: float
    end: float
    quadrant: str
    arousal: float
    valence: float
    confidence: float
    uncertain: bool
    label: str = ""


def find_segments(prediction: Prediction, *, shortest: int = 10) -> list[Moment]:
    """Cut a recording into segments of one quadrant each.

    Of all sequences of segments of at least `shortest` seconds, it is the most probable one: the
    sum over seconds of the logarithm of the probability of the segment's quadrant is the largest.
    It is found by dynamic programming. Silent seconds count for all quadrants alike, unless the
    whole recording is silent.

    Args:
        prediction: of the recording.
        shortest: minimum length in seconds. A shorter recording is one segment.
    """
    log_probabilities = np.log(np.maximum(prediction.quadrant.astype(np.float64), 1e-9))
    if not prediction.silent.all():
        log_probabilities[prediction.silent] = 0
    return [
        _moment(prediction, "segment", first, last, QUADRANT.classes[best])
        for first, last, best in _most_probable(log_probabilities, max(1, shortest))
    ]


def _most_probable(scores: Array, shortest: int) -> list[tuple[int, int, int]]:
    """Return first row, row behind the last, and class of each segment with the largest sum.

    Args:
        scores: shape (rows, classes).
        shortest: minimum rows of a segment.
    """
    rows, classes = scores.shape
    sums = np.vstack([np.zeros(classes), scores.cumsum(axis=0)])
    # best[t, k]: the largest sum of rows before t whose last segment, of class k, ends at t or
    # goes on; since[t, k]: where that segment begins.
    best = np.full((rows + 1, classes), -np.inf)
    since = np.zeros((rows + 1, classes), np.intp)
    for end in range(min(shortest, rows), rows + 1):
        start = end - min(shortest, rows)
        others = best[start]
        for each in range(classes):
            before = max((others[k] for k in range(classes) if k != each), default=-np.inf)
            fresh = (0.0 if start == 0 else before) + sums[end, each] - sums[start, each]
            longer = best[end - 1, each] + scores[end - 1, each]
            best[end, each] = max(fresh, longer)
            since[end, each] = start if fresh > longer else since[end - 1, each]
    segments: list[tuple[int, int, int]] = []
    end, used = rows, -1
    while end > 0:
        allowed = np.where(np.arange(classes) == used, -np.inf, best[end])
        used = int(allowed.argmax())
        start = int(since[end, used])
        segments.append((start, end, used))
        end = start
    return segments[::-1]


def highlights(prediction: Prediction, *, length: int = 30) -> list[Moment]:
    """Find the part with the highest or lowest mean of each kind, in the order of `HIGHLIGHTS`.

    Parts that are silent for more than half of their seconds are skipped.

    Args:
        prediction: of the recording.
        length: in seconds; of a shorter recording, all of it.

    Returns:
        The first part of each kind; none if the recording is mostly silent throughout.
    """
    length = min(length, len(prediction))
    sounding = ~prediction.silent
    counts = _sums(sounding.astype(np.float64), length)
    enough = counts * 2 >= length
    if not enough.any():
        return []
    arousal = prediction.arousal[:, 1]
    happy, calm = prediction.quadrant[:, 0], prediction.quadrant[:, 3]
    found = []
    for kind, values in zip(HIGHLIGHTS, (arousal, -arousal, happy, calm), strict=True):
        means = _sums(values * sounding, length) / np.maximum(counts, 1)
        first = int(np.where(enough, means, -np.inf).argmax())
        found.append(_moment(prediction, kind, first, first + length))
    return found


def _sums(values: NDArray[np.floating[Any]], length: int) -> Array:
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    return np.asarray(sums[length:] - sums[:-length])


def interval_means(prediction: Prediction, intervals: Sequence[Interval]) -> list[Moment]:
    """Average a prediction over intervals; a second counts by how much of it lies inside.

    A rest at the end that has no row of its own, because it is too short, counts as the last row.

    Raises:
        IntervalError: an interval is empty, or does not overlap the recording.
    """
    return list(_interval_means(prediction, intervals))


def _interval_means(prediction: Prediction, intervals: Sequence[Interval]) -> Iterator[Moment]:
    starts = np.arange(len(prediction), dtype=np.float64)
    ends = starts + 1
    ends[-1] = max(ends[-1], prediction.duration)
    for interval in intervals:
        end = min(interval.end, prediction.duration)
        where = f"interval {interval.start:g} to {interval.end:g} s"
        if interval.end <= interval.start:
            raise IntervalError(f"{where}: its end must be after its start")
        overlaps = np.minimum(ends, end) - np.maximum(starts, interval.start)
        if not (overlaps > 0).any():
            raise IntervalError(f"{where}: outside the recording of {prediction.duration:g} s")
        weights = np.maximum(overlaps, 0)
        moment = _weighted(prediction, "interval", weights, interval.start, end)
        yield replace(moment, label=interval.label)


def _moment(
    prediction: Prediction, kind: str, first: int, last: int, quadrant: str | None = None
) -> Moment:
    weights = np.zeros(len(prediction))
    weights[first:last] = 1
    end = min(float(last), prediction.duration)
    return _weighted(prediction, kind, weights, float(first), end, quadrant)


def _weighted(
    prediction: Prediction,
    kind: str,
    weights: Array,
    start: float,
    end: float,
    quadrant: str | None = None,
) -> Moment:
    silent = not weights[~prediction.silent].any()
    if not silent:
        weights = np.where(prediction.silent, 0, weights)
    quadrants, arousal, valence = (
        np.average(rows, axis=0, weights=weights)
        for rows in (prediction.quadrant, prediction.arousal, prediction.valence)
    )
    best = int(quadrants.argmax()) if quadrant is None else QUADRANT.classes.index(quadrant)
    small = margin(quadrants[None])[0] < prediction.model.min_margin_clip
    other = best != int(quadrants.argmax())
    return Moment(
        kind=kind,
        start=start,
        end=end,
        quadrant=QUADRANT.classes[best],
        arousal=float(arousal[1]),
        valence=float(valence[1]),
        confidence=float(quadrants[best]),
        uncertain=bool(silent or small or other),
    )
