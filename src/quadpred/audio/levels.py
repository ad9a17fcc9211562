"""The level of every second of audio."""

from array import array
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["SILENCE", "SecondLevels"]

Array = NDArray[np.float32]

SILENCE = 1e-3
"""RMS below which a second is silent: -60 dBFS. Tape noise and the end of a fade-out lie below it,
the quiet passages of music, 40 to 50 dB under its loudest, above it."""


class SecondLevels:
    """The level of every second of a stream of blocks.

    >>> levels = SecondLevels(8_000)
    >>> sum(len(block) for block in levels.watch([np.zeros(8_000, np.float32)] * 3))
    24000
    >>> levels.silent(3)
    array([ True,  True,  True])

    Attributes:
        samples: number of samples so far.
    """

    def __init__(self, sample_rate: int):
        self.samples = 0
        self._rate = sample_rate
        self._moments = np.zeros(3)  # count, sum, sum of squares of the current second
        self._power = array("d")  # mean square around the mean, per second

    def watch(self, blocks: Iterable[Array]) -> Iterator[Array]:
        """Pass consecutive mono blocks of shape (samples,) through."""
        for block in blocks:
            self._add(block)
            yield block

    def _add(self, block: Array) -> None:
        start = 0
        while start < len(block):
            past = self.samples % self._rate
            if not past:
                self._moments = np.zeros(3)
                self._power.append(0)
            piece = block[start : start + self._rate - past].astype(np.float64)
            # Not piece @ piece: BLAS would wake its threads for it, which costs ten times the rest.
            squares = np.einsum("i,i", piece, piece)
            self._moments += np.array([len(piece), piece.sum(), squares])
            _, mean, square = self._moments / self._moments[0]
            self._power[-1] = square - mean**2
            start += len(piece)
            self.samples += len(piece)

    def silent(self, rows: int) -> NDArray[np.bool_]:
        """Return for each second [k, k + 1) whether it is silent, shape (rows,).

        The level of a second is its RMS around its mean, so an offset is silent. The last second
        counts by the samples it has; seconds after the end are silent.
        """
        power = np.zeros(rows)
        power[: len(self._power)] = self._power[:rows]
        return power < SILENCE**2
