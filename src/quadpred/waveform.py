"""Waveform peaks: the smallest and largest sample of every 1/50 s, over all channels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BINS_PER_SECOND", "Waveform"]

BINS_PER_SECOND = 50
_FULL_SCALE = 127  # int8 for a sample of 1


class Waveform:
    """Peaks of the blocks that a decoder passes on, in bins of 1/50 s.

    >>> waveform = Waveform()
    >>> waveform.add(np.array([[0.5, -1.0]] * 8_000, np.float32), 8_000)
    >>> first, peaks = waveform.take()
    >>> first, peaks.shape, peaks[0].tolist()
    (0, (50, 2), [-127, 64])
    """

    def __init__(self) -> None:
        self._rate = 0  # Hz
        self._samples = 0  # per channel, at this rate
        self._taken = 0  # bins
        self._open = np.empty((0, 2), np.float32)  # the last bin, if it is not complete
        self._complete: list[NDArray[np.float32]] = []

    def add(self, block: NDArray[np.floating[Any]], rate: int) -> None:
        """Take the next samples: shape (samples, channels), full scale 1, at `rate` Hz."""
        if not len(block):
            return
        if rate != self._rate:  # as between the parts of a chained file
            self._complete.append(self._open)
            self._open, self._samples, self._rate = self._open[:0], 0, rate
        start, end = self._samples, self._samples + len(block)
        self._samples = end
        # Bin k holds the samples from ceil(k * rate / 50) on.
        bins = np.arange(start * BINS_PER_SECOND // rate, (end - 1) * BINS_PER_SECOND // rate + 1)
        first_samples = np.maximum(-(-bins * rate // BINS_PER_SECOND) - start, 0)
        # By channel, as they lie in memory; a copy in another order would take most of the time.
        extremes = (np.minimum, np.maximum)
        each = [extreme.reduceat(block.T, first_samples, axis=1) for extreme in extremes]
        peaks = np.stack([each[0].min(axis=0), each[1].max(axis=0)], axis=1)
        if len(self._open):  # the block continues this bin
            peaks[0] = min(peaks[0, 0], self._open[0, 0]), max(peaks[0, 1], self._open[0, 1])
        complete = end * BINS_PER_SECOND // rate - int(bins[0])
        self._complete.append(peaks[:complete])
        self._open = peaks[complete:]

    def take(self) -> tuple[int, NDArray[np.int8]]:
        """Return the bins that have become complete since the last call.

        Returns:
            Index of the first one; int8 of shape (bins, 2), smallest and largest, 127 for a sample
            of 1 or more.
        """
        peaks = np.concatenate([np.empty((0, 2), np.float32), *self._complete])
        first, self._complete = self._taken, []
        self._taken += len(peaks)
        scaled = np.clip(np.rint(peaks * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE)
        return first, scaled.astype(np.int8)
