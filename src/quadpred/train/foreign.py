"""Sounds that are no music, of which a model should say that it does not know.

Trained to give every quadrant the same probability there (outlier exposure, Hendrycks et al. 2019,
arXiv:1812.04606), it is unsure of speech and noise by the same measure as of ambiguous music.
"""

import numpy as np
from numpy.typing import NDArray

from quadpred.features import FeatureConfig, log_mel

__all__ = ["noises"]

Half = NDArray[np.float16]


def noises(config: FeatureConfig, count: int, seconds: float, seed: int) -> list[Half]:
    """Make log-mels, shape (frames, mels), of steady and of swelling noise from white to brown."""
    rng = np.random.default_rng(seed)
    samples = int(seconds * config.sample_rate)
    frequencies = np.maximum(np.fft.rfftfreq(samples, 1 / config.sample_rate), 20.0)
    times = np.arange(samples) / config.sample_rate
    made = []
    for _ in range(count):
        slope, level = rng.uniform(-1, 0), 10 ** rng.uniform(-3.5, -0.5)
        noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(samples)) * frequencies**slope)
        swell = 1 + rng.uniform(0, 0.9) * np.sin(2 * np.pi * rng.uniform(0.05, 2) * times)
        noise *= swell * level / np.abs(noise).max()
        made.append(log_mel(noise.astype(np.float32), config).astype(np.float16))
    return made
