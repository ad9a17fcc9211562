"""Random crops of clips, in batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quadpred.train.data.log_mels import Frames

__all__ = ["Batch", "CropSampler", "PieceSampler"]


@dataclass(frozen=True)
class Batch:
    """Crops of log-mels.

    Attributes:
        frames: shape (crops, frames, mels).
        clips: number of the clip each is from, shape (crops,).
        starts: frame of the clip at which each begins, shape (crops,).
    """

    frames: Tensor
    clips: Tensor
    starts: Tensor


class CropSampler:
    """Random crops of fixed length from every clip, in proportion to its length.

    An epoch is determined by its seed alone, so a resumed run repeats what was interrupted.
    `coverage` is the share of the audio in an epoch: one for all clips, or one per clip.
    """

    def __init__(
        self, clips: Sequence[Frames], crop: int, batch: int, coverage: float | Sequence[float]
    ):
        self.clips = [_at_least(c, crop) for c in clips]
        self.crop, self.batch = crop, batch
        self.shares = np.asarray(coverage) * [len(c) / crop for c in self.clips]

    def __len__(self) -> int:
        """Batches per epoch."""
        return max(1, round(float(self.shares.sum()) / self.batch))

    def epoch(self, seed: Sequence[int]) -> Iterator[Batch]:
        """Yield `len(self)` batches."""
        rng = np.random.default_rng(list(seed))
        needed = len(self) * self.batch
        # Each clip gets the whole part of its share; chance decides on the rest.
        counts = np.floor(self.shares + rng.random(len(self.shares))).astype(int)
        order = rng.permutation(np.repeat(np.arange(len(self.clips)), counts))
        if len(order) < needed:
            share = self.shares / self.shares.sum()
            order = np.append(order, rng.choice(len(self.clips), needed - len(order), p=share))
        for first in range(0, needed, self.batch):
            chosen = order[first : first + self.batch]
            starts = [rng.integers(len(self.clips[index]) - self.crop + 1) for index in chosen]
            yield _batch(self.clips, chosen, np.array(starts), self.crop)


class PieceSampler:
    """Runs of consecutive crops, one piece per batch, for labels that change within a piece.

    A run is as long as the piece allows, at most `longest` crops, and starts at a whole second.
    """

    def __init__(self, clips: Sequence[Frames], crop: int, longest: int, second: int):
        self.clips = [_at_least(c, crop) for c in clips]
        self.crop, self.longest, self.second = crop, longest, second

    def forever(self, seed: Sequence[int]) -> Iterator[Batch]:
        """Yield batches without end, every piece once before any comes again."""
        rng = np.random.default_rng(list(seed))
        while True:
            for index in rng.permutation(len(self.clips)):
                frames = self.clips[index]
                count = min(self.longest, len(frames) // self.crop)
                spare = (len(frames) - count * self.crop) // self.second
                start = rng.integers(spare + 1) * self.second
                starts = start + self.crop * np.arange(count)
                yield _batch(self.clips, np.full(count, index), starts, self.crop)


def _at_least(frames: Frames, crop: int) -> Frames:
    missing = crop - len(frames)
    return np.pad(frames[:], ((0, missing), (0, 0)), "wrap") if missing > 0 else frames


def _batch(
    clips: Sequence[Frames], chosen: NDArray[np.int64], starts: NDArray[np.int64], crop: int
) -> Batch:
    crops = [clips[i][s : s + crop] for i, s in zip(chosen, starts, strict=True)]
    frames = torch.from_numpy(np.stack(crops)).float()
    return Batch(frames, torch.from_numpy(chosen), torch.from_numpy(starts))
