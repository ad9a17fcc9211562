"""Audio made by code, in real files."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile


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


@pytest.fixture
def sound_file(tmp_path: Path) -> Callable[..., Path]:
    """Write samples with soundfile and return the path; the name's ending chooses the format."""

    def write(name: str, samples: np.ndarray, rate: int, **options: str) -> Path:
        path = tmp_path / name
        soundfile.write(path, samples, rate, **options)
        return path

    return write


@pytest.fixture
def ffmpeg(tmp_path: Path) -> Callable[..., Path]:
    """Encode a file with ffmpeg and return the new path; the name's ending chooses the format."""
    program = shutil.which("ffmpeg")
    if not program:
        pytest.skip("ffmpeg is not installed")

    def encode(source: Path, name: str, *options: str, before: tuple[str, ...] = ()) -> Path:
        path = tmp_path / name
        start = [program, "-nostdin", "-v", "error", "-y", *before, "-i", f"file:{source}"]
        subprocess.run([*start, *options, f"file:{path}"], check=True)
        return path

    return encode
