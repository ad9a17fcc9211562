"""Excerpts of tracks."""

from pathlib import Path

import numpy as np
import soundfile
from experiments.data.free_music import RATE, SECONDS, keep

from helpers.corpora import music


def test_excerpts_of_a_track_are_spread_over_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    parts = [np.zeros(30 * RATE, np.float32), music("Q1", 60, rng)]
    soundfile.write(tmp_path / "track.flac", np.concatenate(parts), RATE)
    soundfile.write(tmp_path / "sound.flac", parts[1][: 30 * RATE], RATE)

    keep(tmp_path / "track.flac", tmp_path, "game--song")
    keep(tmp_path / "sound.flac", tmp_path, "game--sound")

    kept = sorted(path.name for path in tmp_path.glob("*.ogg"))
    assert kept == ["game--song--0.ogg", "game--song--1.ogg"]
    for name in kept:
        info = soundfile.info(tmp_path / name)
        assert (info.samplerate, info.channels, info.duration) == (RATE, 1, SECONDS)
    first, second = (soundfile.read(tmp_path / name)[0] for name in kept)
    assert np.abs(first[: 10 * RATE]).max() < 0.01 < np.abs(second[: 10 * RATE]).max()
