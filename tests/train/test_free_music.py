"""Excerpts of tracks, and the shapes of the teacher's network."""

from pathlib import Path

import numpy as np
import soundfile
import torch
from free_music import FRONT_END, PATCH, RATE, SECONDS, Musicnn, keep, taught
from generated import music


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


def test_teacher_says_something_of_every_patch(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "a.ogg", music("Q1", 10, rng), RATE, format="OGG", subtype="OPUS")

    ((name, values),) = taught(tmp_path, Musicnn(untrained()))

    assert name == "a"
    assert values.shape == (10 * RATE // FRONT_END.hop // PATCH, 250)
    assert values.dtype == np.float16
    assert np.isfinite(values).all()
    assert (np.ptp(values.astype(float), axis=0) > 0).any()
    assert ((values[:, 200:] >= 0) & (values[:, 200:] <= 1)).all()


def untrained() -> dict[str, torch.Tensor]:
    """Random variables, named and shaped as in the published checkpoint."""
    shapes = {
        "conv2d": (7, 38, 1, 204),
        "conv2d_1": (7, 67, 1, 204),
        "conv2d_2": (128, 1, 1, 51),
        "conv2d_3": (64, 1, 1, 51),
        "conv2d_4": (32, 1, 1, 51),
        "conv2d_5": (7, 561, 1, 64),
        "conv2d_6": (7, 64, 1, 64),
        "conv2d_7": (7, 64, 1, 64),
        "dense": (1506, 200),
        "dense_1": (200, 50),
    }
    generator = torch.Generator().manual_seed(0)
    variables = {}
    for name, shape in shapes.items():
        fan_in = int(np.prod(shape[:-1]))
        variables[f"{name}/kernel"] = torch.randn(shape, generator=generator) / fan_in**0.5
        variables[f"{name}/bias"] = torch.zeros(shape[-1])
    widths = [1, 204, 204, 51, 51, 51, 64, 64, 64, 1506, 200]
    for number, width in enumerate(widths):
        name = f"batch_normalization_{number}" if number else "batch_normalization"
        for part in ("gamma", "moving_variance"):
            variables[f"{name}/{part}"] = torch.ones(width)
        for part in ("beta", "moving_mean"):
            variables[f"{name}/{part}"] = torch.zeros(width)
    return variables
