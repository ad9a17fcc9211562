"""Convert the Keras models of the paper's repository to model files of quadpred.

A model is a JSON file with its layers, and an HDF5 file with their weights. Both are read without
TensorFlow. The network takes the log-mel of 31 frames, and the front end is the paper's.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from quadpred.features import FeatureConfig, file_log_mel
from quadpred.files import atomic_write
from quadpred.labels import HEADS, QUADRANT, membership
from quadpred.predictor import METADATA_KEY
from quadpred.train.keras import FRAMES, KerasNetwork, PaperModelError

__all__ = ["Converted", "PaperModelError", "convert_paper_models"]

Array = NDArray[np.float32]

FEATURES = FeatureConfig(hop=512, normalise_peak=True)
"""Front end of the paper: windows of 1024 samples, every 512, at 16 kHz; 128 mel bands."""
WARNING, REFUSAL = 0.02, 0.1
"""Differences in probability from the saved example; another mp3 decoder causes small ones."""

_EXAMPLE = ("audio/anger_1.mp3", "audio/anger_1.npy")
_OPSET = 13
_WEIGHTS = (".h5", ".hdf5")


@dataclass(frozen=True)
class Converted:
    """A model that was written.

    Attributes:
        path: the ONNX file.
        difference: largest difference in probability from the checkout's example, or `None` if the
            example is of another model.
        parameters: number of weights.
    """

    path: Path
    difference: float | None
    parameters: int


def convert_paper_models(
    checkout: Path, output: Path, *, speech: str = "english", music: str = "english"
) -> list[Converted]:
    """Convert every model of a checkout.

    One of them must agree with the checkout's example: the rows of `audio/anger_1.npy` for
    `audio/anger_1.mp3`, in the paper's windows (31 frames each, the incomplete last one dropped).
    Nothing is written otherwise.

    Args:
        checkout: folder of the paper's repository, with weights.
        output: folder of the ONNX files.
        speech: language of the speech that the models were pre-trained on.
        music: language of the music that they were fine-tuned on.

    Raises:
        PaperModelError: there is no model, one has an unsupported layer, or none agrees with the
            example.
        AudioError: the example cannot be read.
        OSError: a file cannot be read or written.
    """
    windows, expected = _example(checkout)
    found = []
    for description, weights in _model_files(checkout):
        network = _Network.read(description, weights)
        name = ".".join(description.relative_to(checkout).with_suffix("").parts)
        info = {"name": name, "speech": speech, "music": music}
        model = network.to_onnx(windows, info)
        found.append(
            (output / f"{name}.onnx", model, network, _difference(model, windows, expected))
        )
    if not found:
        kinds = " or ".join(_WEIGHTS)
        raise PaperModelError(
            f"{checkout}: has no Keras model, a .json beside a {kinds} of weights"
        )
    if all(difference is None or difference > REFUSAL for *_, difference in found):
        differences = [difference for *_, difference in found if difference is not None]
        how = (
            f"the largest difference is {min(differences):.3f}"
            if differences
            else "winning quadrants differ"
        )
        raise PaperModelError(f"{checkout / _EXAMPLE[1]}: no model reproduces it: {how}")
    converted = []
    for path, model, network, difference in found:
        with atomic_write(path) as (file,):
            file.write(model.SerializeToString())
        agrees = difference is not None and difference <= REFUSAL
        converted.append(Converted(path, difference if agrees else None, network.parameters))
    return converted


def _example(checkout: Path) -> tuple[Array, Array]:
    """Return the example's windows, shape (windows, frames, mels), and its saved quadrants."""
    audio, rows = (checkout / name for name in _EXAMPLE)
    for path in (audio, rows):
        if not path.is_file():
            raise PaperModelError(f"{path}: is missing; give a checkout of the paper's repository")
    frames = np.concatenate(list(file_log_mel(audio, FEATURES)))
    count = len(frames) // FRAMES
    windows = frames[: count * FRAMES].reshape(count, FRAMES, FEATURES.mels)
    try:
        expected = np.load(rows, allow_pickle=False)
    except (ValueError, EOFError):
        expected = np.empty(0)
    if expected.ndim != 2 or expected.shape[1] != len(QUADRANT.classes):
        raise PaperModelError(f"{rows}: is not an array of rows with four quadrants")
    if abs(len(expected) - count) > 1:
        raise PaperModelError(f"{rows}: has {len(expected)} rows, but {audio.name} {count} windows")
    count = min(count, len(expected))
    return windows[:count], np.asarray(expected[:count], np.float32)


def _difference(model: onnx.ModelProto, windows: Array, expected: Array) -> float | None:
    """Return the largest difference in probability; `None` if a winning quadrant differs."""
    quadrants = _run(model, windows, QUADRANT.name)
    if (quadrants.argmax(axis=1) != expected.argmax(axis=1)).any():
        return None
    return float(np.abs(quadrants - expected).max())


def _run(model: onnx.ModelProto, windows: Array, output: str) -> Array:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    (rows,) = session.run([output], {"log_mel": windows})
    return np.asarray(rows)[:, 0]


def _model_files(checkout: Path) -> Iterator[tuple[Path, Path]]:
    """Yield each description of a Keras model, and its weights."""
    for description in sorted(checkout.rglob("*.json")):
        try:
            document = json.loads(description.read_text("utf-8"))
        except ValueError:
            continue
        if not isinstance(document, dict) or not {"class_name", "config"} <= set(document):
            continue
        siblings = [
            path for path in sorted(description.parent.iterdir()) if path.suffix in _WEIGHTS
        ]
        own = [path for path in siblings if path.stem == description.stem] or siblings
        if len(own) != 1:
            raise PaperModelError(f"{description}: needs one file of weights beside it")
        yield description, own[0]


class _Network(KerasNetwork):
    """A model of the paper, with one head or three."""

    def to_onnx(self, windows: Array, info: Mapping[str, str]) -> onnx.ModelProto:
        """Return the model; the example's windows tell which column of a binary head is which."""
        self.nodes, self.constants, self.ranks = [], [], {}
        try:
            outputs = self.add_model(self.config, [self._input()])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            if isinstance(error, PaperModelError):
                raise
            reason = f"{type(error).__name__}: {error}"
            raise PaperModelError(f"{self.path}: not a supported Keras model ({reason})") from error
        heads = self._heads(outputs)
        model = self._finished(heads, info)
        if len(heads) == len(HEADS):
            flipped = self._flipped(model, windows)
            if flipped:
                heads = {
                    name: self.node("Gather", [head, self.constant([1, 0])], axis=-1)
                    if name in flipped
                    else head
                    for name, head in heads.items()
                }
                model = self._finished(heads, info)
        return model

    def _heads(self, outputs: Sequence[str]) -> dict[str, str]:
        """Return the graph's name of each head, whose size or name tells which it is."""
        named: dict[str, str] = {}
        rest = []
        for output in outputs:
            name = next((head.name for head in HEADS if head.name in output.lower()), None)
            if len(outputs) == 1:
                name = QUADRANT.name
            if name and name not in named:
                named[name] = output
            else:
                rest.append(output)
        for head in HEADS:
            if head.name not in named and rest:
                named[head.name] = rest.pop(0)
        if set(named) == {QUADRANT.name}:
            return named
        if len(named) != len(HEADS) or rest:
            raise PaperModelError(f"{self.path}: has {len(outputs)} outputs, not one or three")
        return named

    def _finished(self, heads: Mapping[str, str], info: Mapping[str, str]) -> onnx.ModelProto:
        """Return the graph with its outputs, each of shape (windows, 1, classes)."""
        nodes, outputs = list(self.nodes), []
        axes = numpy_helper.from_array(np.array([1]), "rows_axis")
        constants = [*self.constants, axes]
        for head in HEADS:
            source = heads.get(head.name)
            if source is None:  # of an older model: quadrants add up to arousal and valence
                sums = np.array(membership(head), np.float32)
                constants.append(numpy_helper.from_array(sums, f"{head.name}_sums"))
                source = f"{head.name}_of_quadrants"
                inputs = [heads[QUADRANT.name], f"{head.name}_sums"]
                nodes.append(helper.make_node("MatMul", inputs, [source]))
            nodes.append(helper.make_node("Unsqueeze", [source, "rows_axis"], [head.name]))
            shape: list[str | int | None] = ["windows", 1, len(head.classes)]
            outputs.append(helper.make_tensor_value_info(head.name, TensorProto.FLOAT, shape))
        shape = ["windows", FRAMES, FEATURES.mels]
        log_mel = [helper.make_tensor_value_info("log_mel", TensorProto.FLOAT, shape)]
        graph = helper.make_graph(nodes, info["name"], log_mel, outputs, constants)
        imports = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(graph, opset_imports=imports, ir_version=8)
        described = {
            "features": FEATURES.as_dict(),
            "context": 0,
            "labels": {head.name: head.classes for head in HEADS},
            "model": dict(info),
        }
        helper.set_model_props(model, {METADATA_KEY: json.dumps(described)})
        return model

    def _flipped(self, model: onnx.ModelProto, windows: Array) -> set[str]:
        """Return the binary heads whose first column is "positive".

        The file does not name its classes. On the example, a head must agree with the sums of the
        quadrants rather than contradict them.
        """
        quadrants = _run(model, windows, QUADRANT.name)
        flipped = set()
        for head in HEADS[1:]:
            positive = quadrants @ np.array(membership(head))[:, 1]
            rows = _run(model, windows, head.name)
            if np.abs(rows[:, 0] - positive).mean() < np.abs(rows[:, 1] - positive).mean():
                flipped.add(head.name)
        return flipped

    def _input(self) -> str:
        """Return the input in the order of Keras: mel bands before frames."""
        return self.node("Transpose", ["log_mel"], perm=[0, 2, 1])
