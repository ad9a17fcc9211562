"""What training does to log-mels."""

import torch

from quadpred.train.data.augment import augment
from quadpred.train.recipe import AugmentConfig

SILENCE = -16.0
CROPS, STEPS, MELS = 400, 8, 128


def changed(config: AugmentConfig) -> torch.Tensor:
    """What becomes of sound as loud in every band, (crops, steps, mels)."""
    frames = torch.full((CROPS, STEPS, MELS), -2.0)
    return augment(frames, config, SILENCE, torch.Generator().manual_seed(0))


def test_nothing_asked_is_nothing_done() -> None:
    assert (changed(AugmentConfig()) == -2).all()


def test_band_limits_take_away_from_the_edges_inwards() -> None:
    bands = changed(AugmentConfig(band_limit=0.3))[:, 0]
    lost = -2 - bands
    assert lost.min() >= 0
    assert bands.min() == SILENCE
    middle = lost[:, int(0.25 * MELS) + 1 : MELS // 2]
    assert not middle.any()
    upper, lower = lost[:, MELS // 2 :], lost[:, : MELS // 2].flip(1)
    for outwards in (upper, lower):
        assert (outwards.diff() >= 0).all()
        share = outwards[:, -1].gt(0).float().mean()
        assert 0.2 < share < 0.4
    # Some edges are walls, some are slopes.
    steepest = upper.diff().amax(1)[upper[:, -1] > 0]
    assert steepest.min() < 0.2 < 3 < steepest.max()


def test_gain_and_tilt_stay_within_what_is_asked() -> None:
    change = (changed(AugmentConfig(gain=14, tilt=4)) + 2) / torch.log(torch.tensor(10.0)) * 20
    assert 13 < change.abs().max() <= 16
    slope = change[:, 0, -1] - change[:, 0, 0]
    assert 3.9 < slope.abs().max() <= 4.001
