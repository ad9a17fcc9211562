"""Synthetic noise for outlier exposure (Hendrycks et al. 2019, arXiv:1812.04606).

On outliers the training target is a uniform distribution over the quadrants. The margin then flags
speech and noise as uncertain, as it does ambiguous music.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from quadpred.features import FeatureConfig, log_mel

__all__ = ["noise", "noises"]

Half = NDArray[np.float16]


def noise(samples: int, sample_rate: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Make noise with random spectral slope (white to brown), loudness and amplitude modulation."""
    frequencies = np.maximum(np.fft.rfftfreq(samples, 1 / sample_rate), 20.0)
    white = np.fft.rfft(rng.standard_normal(samples))
    sound = np.fft.irfft(white * frequencies ** rng.uniform(-1, 0), samples)
    cycles = rng.uniform(0.05, 2) * np.arange(samples) / sample_rate
    sound *= 1 + rng.uniform(0, 0.9) * np.sin(2 * np.pi * cycles)
    sound *= 10 ** rng.uniform(-3.5, -0.5) / np.abs(sound).max()
    return sound.astype(np.float32)


@lru_cache(maxsize=1)  # the folds of a model share them; making them takes as long as an epoch
def noises(config: FeatureConfig, count: int, seconds: float, seed: int) -> tuple[Half, ...]:
    """Make log-mels of noise, each of shape (frames, mels)."""
    rng = np.random.default_rng(seed)
    samples = int(seconds * config.sample_rate)
    sounds = (noise(samples, config.sample_rate, rng) for _ in range(count))
    return tuple(log_mel(sound, config).astype(np.float16) for sound in sounds)
