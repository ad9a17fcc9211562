import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

import quadpred
from helpers.tiny_model import write_weights
from quadpred import registry
from quadpred.predictor import bundled


@pytest.fixture
def clip(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "WEIGHTS", write_weights(tmp_path / "weights"))
    registry.models.cache_clear()
    bundled.cache_clear()
    samples = np.random.default_rng(0).normal(0, 0.1, 40_000)
    soundfile.write(tmp_path / "a.wav", samples, 16_000)
    yield tmp_path / "a.wav"
    registry.models.cache_clear()


def test_predict(clip):
    prediction = quadpred.predict(clip)
    assert isinstance(prediction, quadpred.Prediction)
    assert prediction.quadrant.shape == (3, 4)
    assert prediction.duration == 2.5
    assert prediction.model.name == "english-to-english"
    assert quadpred.predict(str(clip), music="m").model.name == "english-to-mandarin"


def test_a_pair_of_languages_is_loaded_once(clip):
    for speech in ("english", "e", "English"):
        quadpred.predict(clip, speech)
    assert bundled.cache_info().misses == 1
    assert bundled.cache_info().hits == 2


def test_predict_refuses(clip):
    with pytest.raises(ValueError, match="unknown language"):
        quadpred.predict(clip, "latin")
    with pytest.raises(quadpred.AudioError):
        quadpred.predict("missing.wav")


def test_public_names():
    for name in quadpred.__all__:
        assert getattr(quadpred, name) is not None
        assert name in dir(quadpred)
    from quadpred.predictor import Predictor

    assert quadpred.Predictor is Predictor
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = quadpred.nonsense


def test_importing_costs_nothing():
    code = "import sys, quadpred, quadpred.__main__; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    loaded = {name.partition(".")[0] for name in result.stdout.decode().split()}
    assert not loaded & {"numpy", "av", "onnxruntime", "matplotlib", "torch"}


def test_onnx_runtime_gathers_nothing_for_its_makers(tmp_path):
    """It would leave an identifier in the folder for temporary files."""
    code = "import quadpred; quadpred.Predictor.load()"
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    environment["TMPDIR"] = str(tmp_path)
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert not list(tmp_path.iterdir())
