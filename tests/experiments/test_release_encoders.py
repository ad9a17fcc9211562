"""The speech encoders of the package are made again, from generated speech."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
from experiments.data.speech import LANGUAGES
from experiments.data.speech import speech as list_speech

from experiments import release_encoders
from helpers.corpora import RATE, speech
from quadpred import registry
from quadpred.files import sha256_of
from quadpred.train.encoders import describe, start_weights
from quadpred.train.network import Encoder
from quadpred.train.recipe import Recipe

pytestmark = pytest.mark.slow

TINY = """
base = "base"
name = "tiny"

[features]
mels = 32

[network]
blocks = [{ channels = 4, pool = [2, 2] }, { channels = 4, pool = [2, 4] }]

[pretrain]
epochs = 2
batch = 4
crop = 2
"""
NAMES = {
    "speech_english/speechocean762": [f"speaker{n}_0.wav" for n in range(5)],
    "speech_mandarin/audio_cmn": [f"word{n}.wav" for n in range(5)],
    "speech_mandarin/hsk_sentences": [f"sentence{n}.wav" for n in range(5)],
}


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for folder, names in NAMES.items():
        (tmp_path / folder).mkdir(parents=True)
        for name in names:
            soundfile.write(tmp_path / folder / name, speech(3, rng), RATE)
    return tmp_path


def test_an_encoder_is_packed_described_and_registered(
    spoken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "encoders.json").write_text('{"speech-other": {}}')
    monkeypatch.setattr(registry, "WEIGHTS", weights)
    (tmp_path / "tiny.toml").write_text(TINY)
    monkeypatch.setattr(release_encoders, "RECIPE", tmp_path / "tiny.toml")
    monkeypatch.setenv("QUADPRED_CACHE", str(tmp_path / "cache"))
    output = release_encoders.release(spoken, tmp_path / "runs", "mixed")
    assert output == weights / "speech-mixed.safetensors"
    assert describe(output)["validation"] == ["0"]
    recipe = Recipe.load(tmp_path / "tiny.toml")
    encoder = Encoder(recipe.network, recipe.features.mels)
    encoder.load_state_dict(start_weights(output)["encoder"])
    card = output.with_suffix(".md").read_text()
    assert "# speech-mixed\n" in card
    assert "the best of\n2 epochs" in card
    listed = json.loads((weights / "encoders.json").read_text())
    entry = {"speech": "mixed", "sha256": sha256_of(output)}
    assert listed == {"speech-other": {}, "speech-mixed": entry}
    assert entry["sha256"] in card


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_speech_is_that_of_the_bundled_encoder(spoken: Path, language: str) -> None:
    bundled = describe(registry.encoder(language).path)["corpora"]
    assert [asdict(manifest.sheet) for manifest in list_speech(spoken, language)] == bundled
