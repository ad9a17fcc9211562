"""Labels as tensors: quadrants, ratings per clip, ratings per second, tags."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quadpred.labels import HEADS, QUADRANT, membership
from quadpred.train.corpora import Clip, ManifestError
from quadpred.train.corpora.manifest import read_table

__all__ = ["Targets", "read_dynamics", "tag_vocabulary", "tags_of"]

MIN_CLIPS = 10  # with a tag, for it to count
_LIMIT = 1e6  # of ratings and, in seconds, of times: more than eleven days


def tag_vocabulary(clips: Sequence[Clip]) -> tuple[str, ...]:
    """Tags that at least `MIN_CLIPS` clips carry, sorted."""
    names, counts = np.unique([tag for clip in clips for tag in set(clip.tags)], return_counts=True)
    return tuple(str(name) for name, count in zip(names, counts, strict=True) if count >= MIN_CLIPS)


def tags_of(clips: Sequence[Clip], vocabulary: Sequence[str]) -> Tensor:
    """Multi-hot tags of shape (clips, words)."""
    words = torch.tensor([[float(tag in clip.tags) for tag in vocabulary] for clip in clips])
    return words.reshape(len(clips), len(vocabulary))


@dataclass(frozen=True)
class Targets:
    """Labels of clips or crops, one row each.

    Attributes:
        heads: one float tensor of shape (clips, classes) per head in the order of `labels.HEADS`,
            one-hot, or all zeros where the quadrant is unknown.
        ratings: arousal and valence, standardised within each corpus, of shape (clips, 2); NaN
            where unknown.
        corpora: index of each clip's corpus, of shape (clips,).
    """

    heads: tuple[Tensor, ...]
    ratings: Tensor
    corpora: Tensor

    @classmethod
    def of(cls, clips: Sequence[Clip], corpora: Sequence[int] | None = None) -> "Targets":
        """Targets of clips; `corpora` are indices of their corpora, by default all 0."""
        quadrants = torch.tensor(
            [[float(clip.quadrant == name) for name in QUADRANT.classes] for clip in clips]
        ).reshape(len(clips), len(QUADRANT.classes))
        heads = tuple(quadrants @ torch.tensor(membership(head)) for head in HEADS)
        numbers = torch.tensor(corpora or [0] * len(clips))
        values = [(clip.arousal, clip.valence) for clip in clips]
        ratings = torch.tensor([[np.nan if v is None else v for v in pair] for pair in values])
        for number in set(numbers.tolist()):
            members = numbers == number
            ratings[members] = _standardised(ratings[members])
        return cls(heads, ratings.float(), numbers)


def _standardised(ratings: Tensor) -> Tensor:
    """Ratings with mean 0 and deviation 1 per column, over the known ones."""
    centred = ratings - ratings.nanmean(0)
    deviation = centred.square().nanmean(0).sqrt()
    return centred / deviation.clamp_min(1e-6)


def read_dynamics(path: Path, delay: float) -> dict[str, NDArray[np.float32]]:
    """Read ratings over time as one row per second of music.

    Args:
        path: a CSV with the columns `file, start, end, arousal, valence`; start and end in seconds.
        delay: of the listeners' answers, in seconds: a rating at time t describes the music at
            t - delay.

    Returns:
        Arrays of shape (seconds, 2), NaN where unknown, by the stem of the file.

    Raises:
        ManifestError: the file cannot be read, or lacks a column or a number; or a number is not
            finite, or too large.
    """
    ratings: dict[str, list[tuple[float, ...]]] = {}
    for line, row in enumerate(read_table(path), 2):
        try:
            values = tuple(float(row[k]) for k in ("start", "end", "arousal", "valence"))
        except KeyError as error:
            raise ManifestError(f"{path}: no column {error.args[0]}") from None
        except ValueError:
            raise ManifestError(f"{path}: line {line}: not a number") from None
        if not all(abs(value) < _LIMIT for value in values):  # NaN is not below anything
            raise ManifestError(f"{path}: line {line}: not a number below {_LIMIT:,.0f}")
        ratings.setdefault(Path(row["file"]).stem, []).append(values)
    return {name: _per_second(np.array(rows), delay) for name, rows in ratings.items()}


def _per_second(rows: NDArray[np.float64], delay: float) -> NDArray[np.float32]:
    """Ratings (start, end, arousal, valence) at the middle of each second of music."""
    order = np.argsort(rows[:, 0], kind="stable")
    starts, ends, values = rows[order, 0], rows[order, 1], rows[order, 2:]
    times = np.arange(int(ends.max())) + 0.5 + delay
    index = np.clip(np.searchsorted(starts, times, "right") - 1, 0, len(starts) - 1)
    inside = (times >= starts[index]) & (times < ends[index])
    return np.where(inside[:, None], values[index], np.nan).astype(np.float32)
