"""Keras models as nodes of ONNX graphs, read without TensorFlow."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from quadpred.errors import QuadpredError

__all__ = ["FRAMES", "MELS", "KerasNetwork", "PaperModelError"]

Array = NDArray[np.float32]

FRAMES, MELS = 31, 128
"""Size of the paper's input: frames of one window, and mel bands."""

_IDENTITIES = {
    "ActivityRegularization",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout2D",
}
_ACTIVATIONS = {
    "elu": "Elu",
    "relu": "Relu",
    "selu": "Selu",
    "sigmoid": "Sigmoid",
    "softplus": "Softplus",
    "tanh": "Tanh",
}


class PaperModelError(QuadpredError):
    """A checkout without models, or a model that cannot be converted."""


@dataclass
class KerasNetwork:
    """A Keras model, whose layers become nodes of an ONNX graph.

    Attributes:
        path: the JSON file of its layers.
        config: its content.
        weights: arrays by names of layer and weight.
        nodes: of the graph.
        constants: of the graph.
        ranks: number of dimensions of each tensor.
    """

    path: Path
    config: Mapping[str, Any]
    weights: Mapping[tuple[str, str], Array]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)
    ranks: dict[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, description: Path, weights: Path) -> Self:
        """Read a JSON file with the layers, and an HDF5 file with their weights.

        Raises:
            PaperModelError: the second is not an HDF5 file.
            OSError: the first cannot be read.
        """
        document = json.loads(description.read_text("utf-8"))
        arrays: dict[tuple[str, str], Array] = {}

        def collect(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset) and "optimizer_weights" not in name:
                layer, weight = name.split("/")[-2:] if "/" in name else ("", name)
                arrays[layer, weight.split(":")[0]] = np.asarray(item, np.float32)

        try:
            with h5py.File(weights, "r") as file:
                file.visititems(collect)
        except OSError as error:
            raise PaperModelError(f"{weights}: not an HDF5 file") from error
        return cls(description, document, arrays)

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(array.size for array in self.weights.values())

    def add_model(self, model: Mapping[str, Any], inputs: Sequence[str]) -> list[str]:
        """Add a model's layers, and return the names of its outputs.

        Raises:
            PaperModelError: a layer or its activation is not supported, or lacks weights.
        """
        config = model["config"]
        layers = config if isinstance(config, list) else config["layers"]
        if model["class_name"] == "Sequential":
            tensor = inputs[0]
            for layer in layers:
                shape = layer["config"].get("batch_input_shape")
                if shape and tensor == inputs[0]:
                    tensor = self._shaped(tensor, shape)
                tensor = self._layer(layer, [tensor])
            return [tensor]
        tensors: dict[str, list[str]] = {}
        remaining = iter(inputs)
        for layer in layers:
            name = layer.get("name") or layer["config"]["name"]
            if layer["class_name"] == "InputLayer":
                shape = layer["config"].get("batch_input_shape") or layer["config"]["batch_shape"]
                tensors[name] = [self._shaped(next(remaining), shape)]
                continue
            sources = [tensors[source][index] for source, index in _sources(layer)]
            if "layers" in layer["config"]:
                tensors[name] = self.add_model(layer, sources)
            else:
                tensors[name] = [self._layer(layer, sources)]
        return [tensors[name][index] for name, _, index in _triples(config["output_layers"])]

    def _shaped(self, tensor: str, shape: Sequence[int | None]) -> str:
        sizes = [size or -1 for size in shape]
        if tensor in self.ranks:  # a model inside a model
            return tensor
        if int(np.prod(sizes[1:])) != FRAMES * MELS:
            size = " x ".join(str(size) for size in shape[1:])
            raise PaperModelError(f"{self.path}: takes {size} values, not 1 x {MELS} x {FRAMES}")
        reshaped = self.node("Reshape", [tensor, self.constant([-1, *sizes[1:]])])
        self.ranks[reshaped] = len(sizes)
        return reshaped

    def _layer(self, layer: Mapping[str, Any], inputs: Sequence[str]) -> str:
        """Add one layer, and return its output."""
        kind, config = layer["class_name"], layer["config"]
        tensor = inputs[0]
        rank = self.ranks[tensor]
        builders: dict[str, Callable[[Mapping[str, Any], str], str]] = {
            "Activation": lambda config, tensor: tensor,
            "AveragePooling2D": self._pool,
            "BatchNormalization": self._normalise,
            "Conv2D": self._convolve,
            "Dense": self._dense,
            "Flatten": self._flatten,
            "MaxPooling2D": self._pool,
        }
        if kind in _IDENTITIES or kind == "InputLayer":
            return tensor
        if kind in ("ReLU", "ELU", "Softmax"):
            config = {**config, "activation": kind.lower()}
            kind = "Activation"
        if kind not in builders:
            raise PaperModelError(f"{self.path}: layer {config['name']} is an unsupported {kind}")
        if kind == "AveragePooling2D":
            config = {**config, "average": True}
        result = builders[kind](config, tensor)
        self.ranks[result] = 2 if kind == "Flatten" else rank
        activated = self._activate(config.get("activation", "linear"), result, config["name"])
        self.ranks[activated] = self.ranks[result]
        return activated

    def _activate(self, name: str, tensor: str, layer: str) -> str:
        if name == "linear":
            return tensor
        if name == "softmax":
            return self.node("Softmax", [tensor], f"{layer}_probabilities", axis=-1)
        if name not in _ACTIVATIONS:
            raise PaperModelError(
                f"{self.path}: layer {layer} has an unsupported activation {name}"
            )
        return self.node(_ACTIVATIONS[name], [tensor])

    def _normalise(self, config: Mapping[str, Any], tensor: str) -> str:
        """Normalise over the axis that the layer names; the paper's is time, the last one."""
        axis = config.get("axis", -1)
        axis = axis[0] if isinstance(axis, list) else axis
        mean = self._weight(config, "moving_mean")
        scale = 1 / np.sqrt(self._weight(config, "moving_variance") + config.get("epsilon", 1e-3))
        if config.get("scale", True):
            scale = scale * self._weight(config, "gamma")
        shift = -mean * scale
        if config.get("center", True):
            shift = shift + self._weight(config, "beta")
        shape = [1] * self.ranks[tensor]
        shape[axis] = len(mean)
        scaled = self.node("Mul", [tensor, self.constant(scale.reshape(shape))])
        return self.node("Add", [scaled, self.constant(shift.reshape(shape))])

    def _convolve(self, config: Mapping[str, Any], tensor: str) -> str:
        kernel = self._weight(config, "kernel").transpose(3, 2, 0, 1)
        inputs = [self.constant(kernel)]
        if config.get("use_bias", True):
            inputs.append(self.constant(self._weight(config, "bias")))
        return self._on_channels(
            config,
            tensor,
            lambda channels: self.node(
                "Conv",
                [channels, *inputs],
                strides=list(config.get("strides", (1, 1))),
                dilations=list(config.get("dilation_rate", (1, 1))),
                auto_pad=_padding(config),
            ),
        )

    def _pool(self, config: Mapping[str, Any], tensor: str) -> str:
        size = list(config["pool_size"])
        return self._on_channels(
            config,
            tensor,
            lambda channels: self.node(
                "AveragePool" if config.get("average") else "MaxPool",
                [channels],
                kernel_shape=size,
                strides=list(config.get("strides") or size),
                auto_pad=_padding(config),
            ),
        )

    def _on_channels(
        self, config: Mapping[str, Any], tensor: str, add: Callable[[str], str]
    ) -> str:
        """Add a node that wants channels first, whatever the layer's order is."""
        if config["data_format"] == "channels_first":
            return add(tensor)
        first = self.node("Transpose", [tensor], perm=[0, 3, 1, 2])
        return self.node("Transpose", [add(first)], perm=[0, 2, 3, 1])

    def _flatten(self, config: Mapping[str, Any], tensor: str) -> str:
        rank = self.ranks[tensor]
        if config.get("data_format") == "channels_first" and rank > 2:  # Keras puts them last
            tensor = self.node("Transpose", [tensor], perm=[0, *range(2, rank), 1])
        return self.node("Flatten", [tensor])

    def _dense(self, config: Mapping[str, Any], tensor: str) -> str:
        product = self.node("MatMul", [tensor, self.constant(self._weight(config, "kernel"))])
        if not config.get("use_bias", True):
            return product
        return self.node("Add", [product, self.constant(self._weight(config, "bias"))])

    def _weight(self, config: Mapping[str, Any], name: str) -> Array:
        try:
            return self.weights[config["name"], name]
        except KeyError:
            what = f"layer {config['name']} has no weights {name!r}"
            raise PaperModelError(f"{self.path}: {what}") from None

    def constant(self, values: Sequence[int] | Array) -> str:
        """Add a constant, and return its name."""
        array = np.asarray(values)
        kind = np.int64 if array.dtype.kind == "i" else np.float32
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array.astype(kind), name))
        return name

    def node(self, kind: str, inputs: Sequence[str], name: str = "", **attributes: Any) -> str:
        """Add a node with one output, and return the output's name."""
        output = name or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output


def _padding(config: Mapping[str, Any]) -> str:
    return "SAME_UPPER" if config.get("padding") == "same" else "VALID"


def _sources(layer: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield layer and output index of each input; the formats of Keras 2 and 3 differ."""
    (node,) = layer["inbound_nodes"]
    if isinstance(node, list):
        yield from ((name, index) for name, _, index, *_ in node)
        return
    for tensor in node["args"] if isinstance(node["args"][0], dict) else node["args"][0]:
        name, _, index = tensor["config"]["keras_history"]
        yield name, index


def _triples(outputs: Sequence[Any]) -> list[tuple[str, int, int]]:
    """Return the outputs as a list; Keras writes a single one without it."""
    return [tuple(outputs)] if isinstance(outputs[0], str) else [tuple(each) for each in outputs]
