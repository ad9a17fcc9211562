"""Model files from elsewhere: what they claim is bounded, and what they return is checked."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.sounds import music
from helpers.tiny_model import write_model
from quadpred.predictor import METADATA_KEY, ModelError, Predictor

onnx = pytest.importorskip("onnx")

RATE = 16_000


def changed(
    path: Path,
    change: Callable[[dict[str, Any]], object] = lambda _: None,
    operation: str = "Softmax",
) -> Path:
    """Write a model with other metadata, and another operation in place of softmax."""
    write_model(path)
    model = onnx.load(path)
    for node in model.graph.node:
        if node.op_type == "Softmax":
            node.op_type = operation
            if operation != "Softmax":
                del node.attribute[:]
    described = json.loads(model.metadata_props[0].value)
    change(described)
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(described)})
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("features", {"sample_rate": 1_000_000_000}),
        ("features", {"sample_rate": 16_000.0}),
        ("features", {"sample_rate": "16000"}),
        ("features", {"n_fft": 1 << 30}),
        ("features", {"window": -5}),
        ("features", {"hop": 1}),
        ("features", {"hop": 1_000_000}),
        ("features", {"mels": 1_000_000}),
        ("features", {"mels": True}),
        ("features", {"chroma": 1}),
        ("features", {"fmin": float("nan")}),
        ("features", {"fmax": float("inf")}),
        ("features", {"unknown": 1}),
        ("model", {"name": 5}),
        ("model", {"name": "two\nlines"}),
        ("model", {"caveat": 100_000 * "long "}),
        ("model", {"min_margin_second": float("nan")}),
        ("model", {"min_margin_clip": -1}),
        ("model", {"min_margin_clip": "0.5"}),
    ],
)
def test_claims_out_of_bounds(tmp_path: Path, part: str, values: dict[str, Any]) -> None:
    path = changed(tmp_path / "m.onnx", lambda described: described[part].update(values))
    with pytest.raises(ModelError) as caught:
        Predictor(path)
    assert str(caught.value).startswith(f"{path}: not a quadpred model")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 200


@pytest.mark.parametrize("context", [-1, 10_000, 1e9, "3", None, [1]])
def test_context_out_of_bounds(tmp_path: Path, context: object) -> None:
    path = changed(tmp_path / "m.onnx", lambda described: described.update(context=context))
    with pytest.raises(ModelError, match="context must be an integer from 0 to 300"):
        Predictor(path)


@pytest.mark.parametrize("operation", ["Identity", "Exp", "Log", "Sigmoid"])
def test_outputs_that_are_not_probabilities(tmp_path: Path, operation: str) -> None:
    predictor = Predictor(changed(tmp_path / "m.onnx", operation=operation))
    with pytest.raises(ModelError, match=r"m\.onnx: its outputs for \w+ are not probabilities$"):
        predictor.predict_samples(music(3, RATE), RATE)


@pytest.mark.parametrize(
    ("operation", "width", "message"),
    [
        ("Log", 128, r"its embeddings are not finite numbers$"),  # of negative levels
        ("Identity", "wide", r"its embedding must have a width from 1 to 4096$"),
        ("Identity", 1_000_000, r"its embedding must have a width from 1 to 4096$"),
    ],
)
def test_embeddings_that_are_none(
    tmp_path: Path, operation: str, width: int | str, message: str
) -> None:
    path = tmp_path / "m.onnx"
    write_model(path, embedding=True)
    model = onnx.load(path)
    model.graph.node[-1].op_type = operation
    size = model.graph.output[-1].type.tensor_type.shape.dim[-1]
    if isinstance(width, str):
        size.dim_param = width
        # ONNX Runtime derives the size of the output from that of the input.
        model.graph.input[0].type.tensor_type.shape.dim[-1].dim_param = width
    else:
        size.dim_value = width
    onnx.save(model, path)
    with pytest.raises(ModelError, match=message):
        Predictor(path).predict_samples(music(3, RATE), RATE, embeddings=True)


def test_front_end_that_the_network_does_not_fit(tmp_path: Path) -> None:
    path = changed(tmp_path / "m.onnx", lambda described: described["features"].update(mels=64))
    with pytest.raises(ModelError, match=r"m\.onnx: the network failed \(\w+\)$"):
        Predictor(path).predict_samples(music(3, RATE), RATE)


def test_an_unchanged_model(tmp_path: Path) -> None:
    prediction = Predictor(changed(tmp_path / "m.onnx")).predict_samples(music(3, RATE), RATE)
    np.testing.assert_allclose(prediction.quadrant.sum(axis=1), 1, atol=1e-5)
