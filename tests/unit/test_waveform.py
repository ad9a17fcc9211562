"""Waveform peaks, against a direct computation."""

from itertools import pairwise

import numpy as np
import pytest

from quadpred.waveform import BINS_PER_SECOND, Waveform


@pytest.mark.parametrize("rate", [1_000, 8_000, 11_025, 44_100, 96_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_peaks_of_any_blocks(rate: int, channels: int) -> None:
    random = np.random.default_rng(rate + channels)
    samples = random.uniform(-1.2, 1.2, (3 * rate + 17, channels)).astype(np.float32)
    waveform, taken, start = Waveform(), [], 0
    while start < len(samples):
        count = int(random.integers(0, rate // 3))
        waveform.add(samples[start : start + count], rate)
        start += count
        if random.random() < 0.3:
            first, peaks = waveform.take()
            assert first == sum(map(len, taken))
            taken.append(peaks)
    taken.append(waveform.take()[1])
    count = len(samples) * BINS_PER_SECOND // rate
    edges = [-(-k * rate // BINS_PER_SECOND) for k in range(count + 1)]
    bins = [samples[a:b] for a, b in pairwise(edges)]
    expected = 127 * np.clip([(part.min(), part.max()) for part in bins], -1, 1)
    np.testing.assert_array_equal(np.concatenate(taken), np.rint(expected))


def test_nothing_decoded() -> None:
    first, peaks = Waveform().take()
    assert (first, peaks.shape) == (0, (0, 2))


def test_rate_that_changes() -> None:
    """A part of a chained file ends with a bin that is not complete."""
    waveform = Waveform()
    waveform.add(np.full((8_100, 1), 0.25, np.float32), 8_000)
    waveform.add(np.full((44_100, 2), -0.5, np.float32), 44_100)
    _, peaks = waveform.take()
    assert peaks.tolist() == 51 * [[32, 32]] + 50 * [[-64, -64]]
