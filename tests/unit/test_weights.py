"""The models on board are what their cards and the registry say."""

import hashlib
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from helpers.sounds import music
from quadpred import registry
from quadpred.labels import HEADS
from quadpred.predictor import Predictor

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.ogg"))
MODELS = registry.models()


def test_six_models_in_twenty_megabytes() -> None:
    pairs = {(model.speech, model.music) for model in MODELS}
    assert pairs == set(product(("english", "mandarin", "mixed"), ("english", "mandarin")))
    assert sum(model.path.stat().st_size for model in MODELS) < 20e6


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
class TestModel:
    def test_checksum_and_card(self, model: registry.Model) -> None:
        assert hashlib.sha256(model.path.read_bytes()).hexdigest() == model.sha256
        card = model.card.read_text()
        for term in (model.sha256, "research only", "Macro F1"):
            assert term in card

    def test_scores_are_those_of_the_card(self, model: registry.Model) -> None:
        card = model.card.read_text(encoding="utf-8")
        assert model.scores
        for score in model.scores:
            bounds = f"{score['f1']:.3f} [{score['f1_low']:.3f}, {score['f1_high']:.3f}]"
            if bounds in card:
                continue
            name = score["music"][1:]  # the card may begin it with a small letter
            section = card[card.index(name) :].partition("## ")[0]
            assert f"{score['clips']} clips of " in section
            interval = f"{score['f1']:.3f} ({score['f1_low']:.3f} to {score['f1_high']:.3f})"
            (row,) = [line for line in section.splitlines() if interval in line]
            assert row.startswith("| quadrant |")
            assert row.endswith(f"| {score['accuracy']:.3f} |")

    def test_says_who_it_is(self, model: registry.Model) -> None:
        info = Predictor(model.path, sha256=model.sha256).info
        assert (info.name, info.speech, info.music) == (
            model.name,
            model.speech,
            model.music,
        )
        assert bool(info.caveat) == (model.music == "mandarin")

    def test_needs_no_peak(self, model: registry.Model) -> None:
        assert not Predictor(model.path).features.normalise_peak

    def test_silence_and_short_clips(self, model: registry.Model) -> None:
        predictor = Predictor(model.path)
        for samples in (np.zeros(48_000), np.full(48_000, 0.9), music(0.2, 16_000)):
            prediction = predictor.predict_samples(samples, 16_000)
            for head in HEADS:
                rows = prediction.head(head)
                assert np.isfinite(rows).all()
                np.testing.assert_allclose(rows.sum(1), 1, atol=1e-5)

    def test_hears_a_difference_between_examples(self, model: registry.Model) -> None:
        predictor = Predictor(model.path)
        means = [predictor.predict(path).mean(HEADS[0]) for path in EXAMPLES]
        assert np.ptp(means, axis=0).max() > 0.05


def test_rows_do_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor.load()
    samples = music(50, 16_000)
    whole = predictor.predict_samples(samples, 16_000)
    monkeypatch.setattr("quadpred.predictor.BLOCK_ROWS", 8)
    blocks = predictor.predict_samples(samples, 16_000)
    for head in HEADS:
        np.testing.assert_allclose(whole.head(head), blocks.head(head), atol=1e-5)


def test_quiet_recording_is_no_other_emotion() -> None:
    """The network has no peak to divide by: it must not mind 12 dB less."""
    predictor = Predictor.load()
    changes = []
    for path in EXAMPLES:
        import soundfile

        samples, rate = soundfile.read(path, dtype="float32")
        heard = [predictor.predict_samples(gain * samples, rate).quadrant for gain in (1, 0.25)]
        changes.append(np.abs(heard[0].mean(0) - heard[1].mean(0)).mean())
    assert np.mean(changes) < 0.1
