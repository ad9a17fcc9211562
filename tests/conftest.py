"""Audio made by code, in real files."""

import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

# A shell's background job ignores ^C, and so would every process that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


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
