import numpy as np
import pytest

from quadpred.train.calibration import (
    Coverage,
    apply_temperature,
    calibration_error,
    fit_temperature,
    reliability,
    risk_coverage,
)


def overconfident(clips: int, rows: int, sharpness: float) -> tuple[list[np.ndarray], np.ndarray]:
    """Log-probabilities `sharpness` times as large as those that their truths were drawn from."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (clips, 4))
    odds = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = np.array([rng.choice(4, p=p) for p in odds])
    sharp = np.log(odds) * sharpness
    sharp -= np.log(np.exp(sharp).sum(1, keepdims=True))
    return [np.repeat(row[None], rows, 0) for row in sharp], truth


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.0])
def test_temperature_undoes_a_scale(sharpness: float) -> None:
    clips, truth = overconfident(4000, 3, sharpness)

    found = fit_temperature(clips, truth)

    assert found == pytest.approx(sharpness, rel=0.1)
    means = np.stack([apply_temperature(rows, found).mean(0) for rows in clips])
    assert calibration_error(means, truth) < 0.03
    if sharpness == 2:
        raw = np.stack([np.exp(rows).mean(0) for rows in clips])
        assert calibration_error(raw, truth) > 0.1


def test_temperature_keeps_the_guess() -> None:
    rows = np.log(np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]))
    for value in (0.5, 1.0, 3.0):
        assert apply_temperature(rows, value).argmax(1).tolist() == [0, 2]
        assert apply_temperature(rows, value).sum(1) == pytest.approx(1)
    assert apply_temperature(rows, 1.0) == pytest.approx(np.exp(rows))


def test_clips_of_different_lengths_count_alike() -> None:
    sure, unsure = np.log([0.9, 0.1]), np.log([0.5, 0.5])
    short, long = np.tile(sure, (1, 1)), np.tile(unsure, (50, 1))
    truth = np.array([0, 0])

    assert fit_temperature([short, long], truth) == fit_temperature([short, long[:1]], truth)


def test_reliability_accounts_for_every_guess() -> None:
    probabilities = np.array([[0.95, 0.05], [0.92, 0.08], [0.45, 0.55], [0.5, 0.5], [1.0, 0.0]])
    truth = np.array([0, 1, 1, 1, 0])

    bins = reliability(probabilities, truth)

    assert [round(b.share, 6) for b in bins] == [0.4, 0.6]
    assert [b.accuracy for b in bins] == pytest.approx([0.5, 2 / 3])
    assert bins[1].confidence == pytest.approx((0.95 + 0.92 + 1.0) / 3)


def test_accuracy_rises_as_the_doubtful_are_left_out() -> None:
    sure = np.array([[0.9, 0.1]] * 7 + [[0.6, 0.4]] * 3)
    truth = np.array([0] * 7 + [1, 1, 0])

    kept = {entry.coverage: entry for entry in risk_coverage(sure, truth)}

    assert kept[1.0].accuracy == pytest.approx(0.8)
    assert kept[0.7] == Coverage(0.7, pytest.approx(0.8), 1.0)
