"""Audio for the benchmarks."""

from pathlib import Path

import numpy as np
import soundfile


def song(path: Path, seconds: float, rate: int = 44_100) -> Path:
    """Write stereo notes over noise in the format of the path's ending, in blocks."""
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", rate, 2) as file:
        for start in range(0, int(seconds * rate), 10 * rate):
            times = np.arange(start, min(start + 10 * rate, int(seconds * rate))) / rate
            notes = sum(
                np.sin(2 * np.pi * hertz * times) * np.exp(-4 * (times * beat % 1))
                for hertz, beat in ((220, 2.0), (277, 3.0), (330, 1.5), (1760, 4.0))
            )
            mono = 0.15 * notes + 0.02 * rng.standard_normal(len(times))
            file.write(np.stack([mono, np.roll(mono, 20)], 1))
    return path
