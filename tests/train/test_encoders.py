import hashlib
import json
import pickle
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from quadpred import registry
from quadpred.train.encoders import describe, pack, start_weights
from quadpred.train.network import Classifier, Encoder
from quadpred.train.recipe import Recipe
from quadpred.train.run import Run, RunError


@pytest.fixture
def pretrained(recipes: dict[str, Path], tmp_path: Path) -> Path:
    """The run of an encoder with random weights."""
    recipe = Recipe.load(recipes["base"])
    run = Run(tmp_path / "run", {"kind": "pretrain", "recipe": asdict(recipe), "corpora": []})
    torch.manual_seed(0)
    encoder = Encoder(recipe.network, recipe.features.mels)
    run.finish({"encoder": encoder.state_dict()})
    return run.folder


def test_packed_encoder_is_the_run_in_half_precision(pretrained: Path, tmp_path: Path) -> None:
    packed = tmp_path / "encoder.safetensors"
    pack(pretrained, packed)
    assert describe(packed) == Run.describe(pretrained)
    whole, half = start_weights(pretrained)["encoder"], start_weights(packed)["encoder"]
    assert whole.keys() == half.keys()
    for name, weight in whole.items():
        assert half[name].dtype == weight.dtype
        torch.testing.assert_close(half[name], weight, rtol=1e-3, atol=1e-6)
    kernels = [name for name, weight in whole.items() if weight.ndim > 1]
    assert kernels
    with safe_open(packed, "pt") as file:
        assert {file.get_tensor(name).dtype for name in kernels} == {torch.float16}


def test_pickles_and_other_files_are_refused(pretrained: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.safetensors"
    for content in (b"", b"no archive", pickle.dumps({"encoder": 1})):
        bad.write_bytes(content)
        with pytest.raises(RunError, match=r"bad\.safetensors: not a speech encoder"):
            start_weights(bad)
    with pytest.raises(RunError, match="No such file"):
        describe(tmp_path / "missing.safetensors")


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        ("{", "damaged"),
        ('{"kind": "pretrain", "recipe": {"name": 5}, "corpora": []}', "damaged .*name"),
        ('{"kind": "pretrain", "corpora": [{"title": "a"}]}', "damaged .*title"),
        ("[]", "lacks 'kind'"),
    ],
)
def test_damaged_description_is_one_line(description: str, reason: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.safetensors"
    save_file({"weight": torch.ones(1)}, bad, {"quadpred": description})
    with pytest.raises(RunError, match=rf"^{bad}: {reason}") as caught:
        describe(bad)
    assert "\n" not in str(caught.value)


def test_music_runs_are_not_packed(tmp_path: Path) -> None:
    Run(tmp_path / "run", {"kind": "transfer", "recipe": asdict(Recipe.load("base"))})
    with pytest.raises(RunError, match="not a run of quadpred train pretrain"):
        pack(tmp_path / "run", tmp_path / "encoder.safetensors")
    assert not (tmp_path / "encoder.safetensors").exists()


class TestShipped:
    @pytest.mark.parametrize("encoder", registry.encoders(), ids=lambda encoder: encoder.name)
    def test_fits_the_recipe_of_adapt(self, encoder: registry.SpeechEncoder) -> None:
        recipe = Recipe.load("adapt")
        features = recipe.features
        model = Classifier(recipe.network, features)
        model.encoder.load_state_dict(start_weights(encoder.path)["encoder"])
        trained = describe(encoder.path)["recipe"]["features"]
        assert trained == json.loads(json.dumps(asdict(features)))

    @pytest.mark.parametrize("encoder", registry.encoders(), ids=lambda encoder: encoder.name)
    def test_is_the_one_on_record(self, encoder: registry.SpeechEncoder) -> None:
        content = encoder.path.read_bytes()
        assert hashlib.sha256(content).hexdigest() == encoder.sha256
        assert encoder.sha256 in encoder.card.read_text()
        assert len(content) < 1e6

    def test_three_languages(self) -> None:
        assert {encoder.speech for encoder in registry.encoders()} == set(
            registry.LANGUAGES.values()
        )
        assert registry.encoder("m").name == "speech-mandarin"
        with pytest.raises(ValueError, match="unknown language"):
            registry.encoder("klingon")
