"""The key: its features, the regression on what runs left out, and the network that has both."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from quadpred.features import FeatureConfig, log_mel
from quadpred.predictor import Predictor
from quadpred.train.corpora import Clip, DataSheet, Manifest, from_folder
from quadpred.train.export import export
from quadpred.train.fusion import HeldOut, fuse, fused_layer, held_out
from quadpred.train.inference import load_classifier
from quadpred.train.network import Classifier, Tonality, marginals, shifted
from quadpred.train.pretrain import pretrain
from quadpred.train.recipe import Recipe
from quadpred.train.run import Run, RunError
from quadpred.train.transfer import transfer

RATE = 16_000
MAJOR = ((0, 4, 7), (5, 9, 12), (7, 11, 14), (0, 4, 7))  # semitones: I, IV, V, I
MINOR = ((0, 3, 7), (5, 8, 12), (7, 11, 14), (0, 3, 7))

Samples = NDArray[np.float32]


def cadence(chords: tuple[tuple[int, ...], ...], tonic: int = 0, gain: float = 1.0) -> Samples:
    """One chord per second, above a tonic in semitones from C4, each tone with four harmonics."""
    seconds = np.arange(RATE) / RATE
    parts = [
        sum(
            np.sin(2 * np.pi * n * 261.63 * 2 ** ((tonic + tone) / 12) * seconds) / n
            for tone in chord
            for n in (1, 2, 3, 4)
        )
        for chord in chords
    ]
    return (0.05 * gain * np.concatenate(parts)).astype(np.float32)


def features_of(samples: Samples) -> torch.Tensor:
    config = FeatureConfig(chroma=True)
    frames = torch.from_numpy(log_mel(samples, config)[None, :, config.mels :])
    return Tonality(config.frames_per_row, context=15)(frames)[0]


def test_a_key_is_recognised_whatever_its_tonic_and_level() -> None:
    major, minor = features_of(cadence(MAJOR)), features_of(cadence(MINOR))
    assert major.shape == (4, Tonality.width)
    assert major[:, 0].min() > 0.1
    assert minor[:, 0].max() < -0.1
    # From the tonic: a major third is stronger than a minor one, or weaker.
    assert (major[:, 2 + 4] > major[:, 2 + 3]).all()
    assert (minor[:, 2 + 4] < minor[:, 2 + 3]).all()
    for tonic in 3, 7:
        torch.testing.assert_close(features_of(cadence(MAJOR, tonic)), major, atol=0.3, rtol=0)
    quiet = features_of(cadence(MAJOR, gain=0.1))
    torch.testing.assert_close(quiet, major, atol=1e-3, rtol=0)


def test_silence_has_no_key() -> None:
    assert features_of(np.zeros(3 * RATE, np.float32)).abs().max() < 1e-3


def test_the_regression_learns_what_the_networks_lack() -> None:
    torch.manual_seed(0)
    tonality = torch.randn(400, Tonality.width) * 3 + 1
    valence = tonality[:, 0] + 0.5 * torch.randn(400) > 1
    arousal = torch.rand(400) < 0.5
    quadrants = torch.where(arousal, (~valence).long(), 2 + valence.long())
    even = torch.full((400, 4), 0.25).log()
    splits = np.where(np.arange(400) % 4, "0", "1")
    found = HeldOut(even, tonality, quadrants, splits)
    weight, bias = found.fit()
    assert weight.shape == (1, Tonality.width)
    assert weight[0, 0] > 5 * weight[0, 1:].abs().max()
    guesses = shifted(even, tonality @ weight.T + bias).argmax(-1)
    assert ((guesses == 0) | (guesses == 3)).eq(valence).float().mean() > 0.9
    assert len(found.without("1").quadrants) == 300
    # Where the networks already know, nothing is left to learn.
    certain = torch.nn.functional.one_hot(quadrants, 4) * 20.0
    known, _ = replace(found, log_probabilities=certain.log_softmax(-1)).fit()
    assert known.abs().max() < 0.01


@pytest.fixture
def base(recipes: dict[str, Path], tmp_path: Path) -> Path:
    """A run of random weights that left out the split 0."""
    recipe = Recipe.load(recipes["base"])
    description = {"kind": "transfer", "recipe": asdict(recipe), "test": ["0"], "trained_on": []}
    run = Run(tmp_path / "base", description)
    torch.manual_seed(0)
    network = Classifier(recipe.network, recipe.features)
    run.finish({"classifier": network.state_dict(), "sizes": {}})
    return run.folder


def test_the_layer_of_one_run_serves_another(base: Path, tmp_path: Path) -> None:
    weight, bias = torch.linspace(-1, 1, Tonality.width)[None], torch.tensor([0.25])
    fuse(base, (weight, bias), tmp_path / "fused")
    fuse(base, fused_layer(tmp_path / "fused"), tmp_path / "other")
    network, _ = load_classifier(tmp_path / "other")
    torch.testing.assert_close(network.fusion.weight.detach(), weight)
    torch.testing.assert_close(network.fusion.bias.detach(), bias)
    with pytest.raises(RunError, match=r"base/run.json: lacks 'fusion'"):
        fused_layer(base)


@pytest.mark.slow
def test_a_fused_run_is_exported_and_streamed(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = torch.linspace(-1, 1, Tonality.width)[None]
    fuse(base, (weight, torch.tensor([0.25])), tmp_path / "fused")
    plain, recipe = load_classifier(base)
    fused, fused_recipe = load_classifier(tmp_path / "fused")
    assert fused_recipe.features == replace(recipe.features, chroma=True)

    samples = np.concatenate([cadence(MAJOR), cadence(MINOR, 2), cadence(MAJOR, 5)])
    frames = torch.from_numpy(log_mel(samples, fused_recipe.features)[None, : 12 * 32])
    mels = recipe.features.mels
    with torch.inference_mode():
        shift = fused.fusion(Tonality(32, recipe.network.level)(frames[..., mels:]))
        wanted = marginals(shifted(plain(frames[..., :mels])[0], shift))
        for one, other in zip(fused(frames), wanted, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
        assert shift.abs().max() > 0.1

    model = tmp_path / "fused.onnx"
    options = {"name": "fused", "speech": "english", "music": "english"}
    assert export(tmp_path / "fused", model, **options).float32 <= 1e-5
    predictor = Predictor(model)
    prediction = predictor.predict_samples(samples, RATE)
    np.testing.assert_allclose(prediction.quadrant, wanted[0][0].exp(), atol=5e-3)
    monkeypatch.setattr("quadpred.predictor.BLOCK_ROWS", 3)
    streamed = predictor.predict_samples(samples, RATE)
    np.testing.assert_allclose(streamed.quadrant, prediction.quadrant, atol=1e-5)
    live = list(predictor.listen(iter(np.array_split(samples, 40)), RATE))
    assert sum(map(len, live)) == 12


@pytest.mark.slow
def test_a_recipe_with_chroma_trains_the_layer_too(
    recipes: dict[str, Path], corpora: Path, tmp_path: Path
) -> None:
    recipe = Recipe.load(recipes["base"])
    music = from_folder(corpora / "music", DataSheet("generated"), labels=corpora / "labels.csv")
    brief = replace(recipe.transfer, stages=recipe.transfer.stages[:1])
    chroma = replace(recipe, features=replace(recipe.features, chroma=True), transfer=brief)
    pretrain(chroma, [music], tmp_path / "speech", cache=tmp_path / "cache")
    start = tmp_path / "speech"
    transfer(chroma, [music], tmp_path / "run", start=start, cache=tmp_path / "cache")
    network, _ = load_classifier(tmp_path / "run")
    assert network.fusion.weight.abs().max() > 1e-3


@pytest.mark.slow
def test_clips_that_a_run_left_out_are_predicted(
    base: Path, tmp_path: Path, sound_file: Callable[..., Path]
) -> None:
    clips = []
    for number, (chords, quadrant) in enumerate([(MAJOR, "Q1"), (MINOR, "Q3"), (MAJOR, "")]):
        path = sound_file(f"{number}.wav", cadence(chords), RATE)
        clips.append(Clip(path, path.stem, "0", quadrant))
    clips.append(replace(clips[0], split="1"))
    music = Manifest(tuple(clips), DataSheet("cadences"))
    found = held_out([base], [music], tmp_path / "cache")
    assert found.quadrants.tolist() == [0, 2]
    assert found.splits.tolist() == ["0", "0"]
    assert found.tonality[0, 0] > 0.1 > -0.1 > found.tonality[1, 0]
    torch.testing.assert_close(found.log_probabilities.exp().sum(-1), torch.ones(2))
