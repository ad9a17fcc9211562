"""Sounds that are no music, of which a model should say that it does not know.

Trained to give every quadrant the same probability there (outlier exposure, Hendrycks et al. 2019,
arXiv:1812.04606), it is unsure of speech and noise by the same measure as of ambiguous music.
"""

import numpy as np
from numpy.typing import NDArray

from quadpred.features import FeatureConfig, log_mel

__all__ = ["noise", "noises"]

Half = NDArray[np.float16]


def noise(samples: int, sample_rate: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Make noise between white and brown, of any loudness, more or less swelling."""
    frequencies = np.maximum(np.fft.rfftfreq(samples, 1 / sample_rate), 20.0)
    white = np.fft.rfft(rng.standard_normal(samples))
    sound = np.fft.irfft(white * frequencies ** rng.uniform(-1, 0), samples)
    turns = rng.uniform(0.05, 2) * np.arange(samples) / sample_rate
    sound *= 1 + rng.uniform(0, 0.9) * np.sin(2 * np.pi * turns)
    sound *= 10 ** rng.uniform(-3.5, -0.5) / np.abs(sound).max()
    return sound.astype(np.float32)


def noises(config: FeatureConfig, count: int, seconds: float, seed: int) -> list[Half]:
    """Make log-mels of noise, each of shape (frames, mels)."""
    rng = np.random.default_rng(seed)
    samples = int(seconds * config.sample_rate)
    made = (noise(samples, config.sample_rate, rng) for _ in range(count))
    return [log_mel(sound, config).astype(np.float16) for sound in made]
