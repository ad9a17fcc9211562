"""The shapes of the teachers' networks, and of what they say."""

from pathlib import Path

import numpy as np
import soundfile
import torch
from teachers import FRONT_END, PATCH, Musicnn, said

from helpers.corpora import music

RATE = FRONT_END.sample_rate


def test_teachers_say_something_of_every_patch(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    samples = music("Q1", 10, np.random.default_rng(0))
    soundfile.write(path, samples, RATE, format="OGG", subtype="OPUS")
    first, second = Musicnn(untrained(0)), Musicnn(untrained(1))

    values = said(path, [first, second], None)

    assert values.shape == (10 * RATE // FRONT_END.hop // PATCH, 500)
    assert np.isfinite(values).all()
    for each in (values[:, :250], values[:, 250:]):
        assert (np.ptp(each, axis=0) > 0).any()
        assert ((each[:, 200:] >= 0) & (each[:, 200:] <= 1)).all()
    # What is known of the first teacher is taken as it is, as far as the other has heard.
    known = np.ones((5, 250), np.float16)
    again = said(path, [first, second], known)
    np.testing.assert_array_equal(again[:, :250], known[: len(values)])
    np.testing.assert_array_equal(again[:, 250:], values[:, 250:])


def untrained(seed: int) -> dict[str, torch.Tensor]:
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
    generator = torch.Generator().manual_seed(seed)
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
