"""Export a finished run to one ONNX file, with all metadata that prediction needs."""

import json
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from quadpred import __version__
from quadpred.errors import QuadpredError
from quadpred.files import atomic_write
from quadpred.labels import HEADS
from quadpred.predictor import EMBEDDING, METADATA_KEY
from quadpred.train.evaluate import Calibration
from quadpred.train.inference import load_classifier
from quadpred.train.network import Classifier, marginals

__all__ = ["ExportError", "Exported", "export"]

TOLERANCE = 1e-5  # largest difference in probability between ONNX Runtime and PyTorch, in float32
SMALL = 64  # constants with fewer values stay float32
LARGE = 2**16  # matrices with at least this many values are stored as int8
ROWS = 60  # length of the comparison in rows: more than any receptive field


class ExportError(QuadpredError):
    """The exported network gives other results than the trained one."""


@dataclass(frozen=True)
class Exported:
    """Largest differences in probability from PyTorch: in float32, and with the stored weights."""

    float32: float
    stored: float


class _Probabilities(nn.Module):
    """The exported module: calibrated probabilities, and the embedding of each row."""

    def __init__(self, classifier: Classifier, temperatures: Sequence[float]):
        super().__init__()
        self.classifier = classifier
        self.temperatures = temperatures

    def forward(self, log_mel: Tensor) -> tuple[Tensor, ...]:
        outputs = self.classifier.outputs(self.classifier.levelled(log_mel))
        if self.classifier.joint:
            joint = marginals(outputs.logits[0] / self.temperatures[0])
            return *(rows.exp() for rows in joint), outputs.embedding
        pairs = zip(outputs.logits, self.temperatures, strict=True)
        return *((rows / temperature).softmax(-1) for rows, temperature in pairs), outputs.embedding


def export(
    run: Path,
    output: Path,
    *,
    name: str,
    speech: str,
    music: str,
    caveat: str = "",
    calibration: Calibration | None = None,
    trained_on: Sequence[str] = (),
) -> Exported:
    """Write a run's network as ONNX, with weights of 8 and 16 bits.

    Weights are stored as float16 or int8 and converted to float32 when the model is loaded, so all
    computation is in float32.

    Args:
        run: folder of a finished transfer.
        output: the ONNX file.
        name: of the model.
        speech: language of the speech it was pre-trained on.
        music: language of the music.
        caveat: one line on why the model is experimental, or empty.
        trained_on: names of the test sets whose music was used in training.
        calibration: from the folds of the recipe. By default, probabilities are not calibrated, and
            nothing is flagged uncertain.

    Raises:
        RunError: the folder holds no finished transfer.
        ExportError: ONNX Runtime's result differs from PyTorch's by more than 1e-5.
        OSError: the file cannot be written.
    """
    classifier, recipe = load_classifier(run)
    temperatures = [
        calibration.heads[head.name].temperature if calibration else 1.0 for head in HEADS
    ]
    network = _Probabilities(classifier, temperatures).eval()
    features = recipe.features
    size = features.frames_per_row
    # A network with context takes one sequence of any length, one without a batch of single rows.
    torch.manual_seed(0)
    noise = torch.randn(ROWS, size, features.width) * 2 - 5
    log_mel = noise.reshape(1, -1, features.width) if classifier.context else noise
    rows = torch.export.Dim("rows", min=2, max=2**16)
    model = _to_onnx(network, log_mel, {1: size * rows} if classifier.context else {0: rows})
    metadata = {
        "features": features.as_dict(),
        "context": classifier.context,
        "labels": {head.name: head.classes for head in HEADS},
        "model": {
            "name": name,
            "speech": speech,
            "music": music,
            "caveat": caveat,
            "min_margin_second": calibration.min_margin_second if calibration else 0.0,
            "min_margin_clip": calibration.min_margin_clip if calibration else 0.0,
        },
        "recipe": recipe.name,
        **({"trained_on": list(trained_on)} if trained_on else {}),
        "quadpred": __version__,
    }
    helper.set_model_props(model, {METADATA_KEY: json.dumps(metadata)})
    full = _difference(network, model, log_mel)
    if full > TOLERANCE:
        raise ExportError(
            f"{output}: probabilities differ from PyTorch's by {full:.1e}, more than {TOLERANCE}"
        )
    _shrink_weights(model)
    with atomic_write(output) as (file,):
        file.write(model.SerializeToString())
    return Exported(full, _difference(network, model, log_mel))


def _to_onnx(network: nn.Module, log_mel: Tensor, dynamic: dict[int, object]) -> onnx.ModelProto:
    # The exporter logs its internals, and packages that are not needed here.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (log_mel,),
            input_names=["log_mel"],
            output_names=[*(head.name for head in HEADS), EMBEDDING],
            dynamic_shapes=(dynamic,),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    # Module names and lines of code: half a megabyte that prediction does not need.
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    return model


def _shrink_weights(model: onnx.ModelProto) -> None:
    """Store large float32 constants in fewer bits, followed by nodes that restore float32.

    The matrices of dense layers and the kernels over time, which hold most weights, become int8
    with one scale per output; all others become float16.
    """
    graph = model.graph
    restoring: list[onnx.NodeProto] = []

    def store(tensor: TensorProto, values: NDArray[Any], result: str) -> None:
        tensor.CopyFrom(numpy_helper.from_array(values, f"{result}.stored"))
        cast = helper.make_node("Cast", [tensor.name], [result], to=TensorProto.FLOAT)
        restoring.append(cast)

    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < SMALL:
            continue
        name, values = tensor.name, numpy_helper.to_array(tensor)
        inputs = {2: (0,), 3: (1, 2)}.get(values.ndim)  # axes; a kernel is (outputs, inputs, time)
        if inputs and values.size >= LARGE:
            scale = np.maximum(np.abs(values).max(inputs, keepdims=True), 1e-12) / 127
            store(tensor, np.rint(values / scale).astype(np.int8), f"{name}.steps")
            graph.initializer.append(numpy_helper.from_array(scale, f"{name}.scale"))
            restoring.append(helper.make_node("Mul", [f"{name}.steps", f"{name}.scale"], [name]))
        else:
            store(tensor, values.astype(np.float16), name)
    nodes = [*restoring, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _difference(network: nn.Module, model: onnx.ModelProto, log_mel: Tensor) -> float:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names = [head.name for head in HEADS]
    outputs = session.run(names, {"log_mel": log_mel.numpy()})
    with torch.inference_mode():
        expected = network(log_mel)[: len(names)]
    pairs = zip(outputs, expected, strict=True)
    return max(float(np.abs(a - b.numpy()).max()) for a, b in pairs)
