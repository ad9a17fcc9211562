"""Sounds made by code."""

import numpy as np


def tone(seconds: float, rate: int, *, hertz: float = 440, gain: float = 0.5) -> np.ndarray:
    """Sine of shape (samples,), float64."""
    return gain * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def music(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Decaying notes over a little noise, shape (samples,), float32."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    notes = sum(
        np.sin(2 * np.pi * hertz * time) * np.exp(-4 * ((time * beat) % 1))
        for hertz, beat in [(220, 2.0), (277, 3.0), (330, 1.5), (1760, 4.0)]
    )
    return (0.15 * notes + 0.01 * random.normal(size=len(time))).astype(np.float32)
