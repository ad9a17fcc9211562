"""Excerpts of music for distillation."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from experiments.data.unlabelled import RATE, SYNTHESIS_RATE, Excerpt, read_excerpt

from quadpred.train.corpora import ManifestError


def synthesiser(folder: Path, script: str) -> None:
    """Put a program called fluidsynth into a folder; it writes 16-bit stereo."""
    program = folder / "fluidsynth"
    program.write_text(f"#!{sys.executable}\nimport sys\nwrite = sys.stdout.buffer.write\n{script}")
    program.chmod(0o755)


def test_rendering_stops_at_the_end_of_the_excerpt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    level = int(0.25 * 32_768).to_bytes(2, "little")
    silence, sound = f"bytes({4 * SYNTHESIS_RATE})", f"{level * 2!r} * {SYNTHESIS_RATE}"
    synthesiser(tmp_path, f"write({silence})\nwhile True: write({sound})\n")
    samples = read_excerpt(Excerpt(tmp_path / "endless.mid", "endless", 0.5, 2, "tim"))
    assert samples.shape == (2 * RATE,)
    np.testing.assert_allclose(samples[: RATE // 4], 0, atol=1e-3)
    np.testing.assert_allclose(samples[RATE : -RATE // 4], 0.25, atol=1e-3)


def test_a_file_without_sound_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    synthesiser(tmp_path, "")
    with pytest.raises(ManifestError, match=r"no\.mid: FluidSynth cannot render it"):
        read_excerpt(Excerpt(tmp_path / "no.mid", "no", 0, 2, "tim"))
