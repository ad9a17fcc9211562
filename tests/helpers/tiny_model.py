"""Model files: the real format, with a network of one matrix per head."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from quadpred.features import FeatureConfig
from quadpred.labels import HEADS
from quadpred.predictor import METADATA_KEY


def write_model(
    path: Path,
    *,
    name: str = "tiny",
    speech: str = "english",
    music: str = "english",
    caveat: str = "",
    min_margin: float = 0.0,
    seed: int = 0,
    embedding: bool = False,
) -> str:
    """Write a model that predicts each second by itself, and return its checksum.

    Its embedding is the mean log-mel frame of the second.
    """
    random = np.random.default_rng(seed)
    config = FeatureConfig()
    frames = ["batch", config.frames_per_row, config.mels]
    nodes = [helper.make_node("ReduceMean", ["log_mel"], ["level"], axes=[1], keepdims=1)]
    weights, outputs = [], []
    for head in HEADS:
        classes = len(head.classes)
        matrix = random.normal(0, 0.03, (config.mels, classes)).astype(np.float32)
        weights.append(numpy_helper.from_array(matrix, f"{head.name}_weight"))
        logits = f"{head.name}_logits"
        nodes.append(helper.make_node("MatMul", ["level", f"{head.name}_weight"], [logits]))
        nodes.append(helper.make_node("Softmax", [logits], [head.name], axis=-1))
        shape = ["batch", 1, classes]
        outputs.append(helper.make_tensor_value_info(head.name, TensorProto.FLOAT, shape))
    if embedding:
        nodes.append(helper.make_node("Identity", ["level"], ["embedding"]))
        shape = ["batch", 1, config.mels]
        outputs.append(helper.make_tensor_value_info("embedding", TensorProto.FLOAT, shape))
    inputs = [helper.make_tensor_value_info("log_mel", TensorProto.FLOAT, frames)]
    graph = helper.make_graph(nodes, name, inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    info = {"name": name, "speech": speech, "music": music, "caveat": caveat}
    info |= {"min_margin_second": min_margin, "min_margin_clip": min_margin}
    described = {"features": config.as_dict(), "context": 0, "model": info}
    helper.set_model_props(model, {METADATA_KEY: json.dumps(described)})
    onnx.save(model, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_weights(folder: Path) -> Path:
    """Fill a folder like `quadpred/weights`: one model, and one that is experimental."""
    folder.mkdir()
    listed = {}
    for seed, (speech, music, caveat) in enumerate(
        [("english", "english", ""), ("english", "mandarin", "trained on little music")]
    ):
        name = f"{speech}-to-{music}"
        languages = {"speech": speech, "music": music}
        checksum = write_model(
            folder / f"{name}.onnx", name=name, caveat=caveat, seed=seed, **languages
        )
        listed[name] = {**languages, "sha256": checksum}
    (folder / "models.json").write_text(json.dumps(listed))
    return folder
