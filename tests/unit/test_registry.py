import hashlib
import json

import pytest

from helpers.tiny_model import write_weights
from quadpred import registry


@pytest.fixture(autouse=True)
def fresh():
    registry.models.cache_clear()
    yield
    registry.models.cache_clear()


@pytest.fixture
def weights(tmp_path, monkeypatch):
    folder = write_weights(tmp_path / "weights")
    monkeypatch.setattr(registry, "WEIGHTS", folder)
    return folder


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("e", "english"),
        ("m", "mandarin"),
        ("x", "mixed"),
        ("E", "english"),
        ("english", "english"),
        ("Mandarin", "mandarin"),
        ("MIXED", "mixed"),
    ],
)
def test_language(given, name):
    assert registry.language(given) == name


@pytest.mark.parametrize("given", ["", "f", "en", "englisch", "e "])
def test_unknown_language(given):
    with pytest.raises(ValueError, match="unknown language") as caught:
        registry.language(given)
    assert repr(given) in str(caught.value)
    assert "m (mandarin)" in str(caught.value)


def test_models_and_their_files(weights):
    assert [model.name for model in registry.models()] == [
        "english-to-english",
        "english-to-mandarin",
    ]
    model = registry.find("e", "mandarin")
    assert (model.speech, model.music) == ("english", "mandarin")
    assert model.path == weights / "english-to-mandarin.onnx"
    assert model.card == weights / "english-to-mandarin.md"
    assert hashlib.sha256(model.path.read_bytes()).hexdigest() == model.sha256


def test_no_model_for_a_pair(weights):
    with pytest.raises(ValueError, match="no model for mixed speech to english music") as caught:
        registry.find("x", "e")
    assert "english to mandarin" in str(caught.value)


@pytest.mark.skipif(
    not (registry.WEIGHTS / "models.json").exists(), reason="the weights are not there"
)
class TestShipped:
    def test_files_are_the_ones_on_record(self):
        for model in registry.models():
            assert hashlib.sha256(model.path.read_bytes()).hexdigest() == model.sha256
            assert model.card.is_file()

    def test_nothing_else_is_on_board(self):
        on_record = {f"{model.name}.onnx" for model in registry.models()}
        assert {path.name for path in registry.WEIGHTS.glob("*.onnx")} == on_record

    def test_each_pair_once(self):
        listed = json.loads((registry.WEIGHTS / "models.json").read_text())
        assert len({(m.speech, m.music) for m in registry.models()}) == len(listed)
        for model in registry.models():
            assert registry.find(model.speech, model.music) == model
