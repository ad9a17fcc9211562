"""Generated speech and music."""

import numpy as np

RATE = 16_000
# Loud and busy for positive arousal, major for positive valence: a network must learn both.
MUSIC = {
    "Q1": (8.0, (0, 4, 7)),
    "Q2": (8.0, (0, 3, 6)),
    "Q3": (1.0, (0, 3, 6)),
    "Q4": (1.0, (0, 4, 7)),
}


def music(quadrant: str, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Repeated broken chords of a quadrant's pace and mode."""
    pace, chord = MUSIC[quadrant]
    times = np.arange(int(seconds * RATE)) / RATE
    beat = np.floor(times * pace).astype(int)
    notes = np.array(chord)[beat % 3]
    pitch = 220 * 2 ** (notes / 12) * 2 ** (rng.integers(-2, 3) / 12)
    decay = np.exp(-4 * (times * pace % 1))
    tone = np.sin(2 * np.pi * np.cumsum(pitch) / RATE) * decay
    return (0.4 * tone + 0.01 * rng.standard_normal(len(times))).astype(np.float32)


def speech(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Noise that comes and goes at the pace of syllables."""
    times = np.arange(int(seconds * RATE)) / RATE
    syllables = np.clip(np.sin(2 * np.pi * 4 * times + rng.uniform(0, 6)), 0, 1)
    return (0.2 * syllables * rng.standard_normal(len(times))).astype(np.float32)
