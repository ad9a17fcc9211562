"""Adapt a model to labelled songs in seconds: new heads on the embeddings of its file.

The heads are a logistic regression on the standardised embeddings of recordings. Its scores are of
songs whose groups (artists) were left out. Arousal and valence are sums of quadrants.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression

from quadpred.audio import AudioError
from quadpred.files import atomic_write
from quadpred.labels import HEADS, QUADRANT, membership
from quadpred.prediction import join, margin
from quadpred.predictor import EMBEDDING, METADATA_KEY, Predictor
from quadpred.train.adapt import check_labels, check_output, folds_to_score, without_copies
from quadpred.train.calibration import TARGET_COVERAGE
from quadpred.train.card import remove_card
from quadpred.train.corpora import Clip
from quadpred.train.corpora.labelled import read_labelled
from quadpred.train.evaluate import class_report
from quadpred.train.loop import progress_bar

__all__ = ["HeldOutScores", "adapt_heads"]

Array = NDArray[np.float32]

_STRENGTH = 0.1  # C of the regression: few songs, many values
_MAX_SECONDS = 60  # of a song, evenly spaced, to estimate the margin of seconds
_FLOOR = 0.1  # smallest deviation of a value, as a share of the largest
_ABSENT = -30.0  # logit of a quadrant without songs


@dataclass(frozen=True)
class HeldOutScores:
    """What the heads score on songs of groups that they were not fitted on.

    Attributes:
        macro_f1: of the quadrants that there are.
        low: lower end of its 95 % interval, by resampling groups.
        high: upper end.
        chance: macro F1 of guessing.
        clips: number of songs.
        groups: number of groups.
    """

    macro_f1: float
    low: float
    high: float
    chance: float
    clips: int
    groups: int

    @property
    def uncertain(self) -> bool:
        """Whether chance is within the interval."""
        return self.low <= self.chance


@dataclass(frozen=True)
class _Head:
    """Logits of the quadrants: `embedding @ weights + bias`."""

    weights: Array
    bias: Array

    @classmethod
    def fit(cls, embeddings: Array, quadrants: Sequence[str]) -> "_Head":
        values = embeddings.astype(np.float64)
        mean, deviation = values.mean(axis=0), values.std(axis=0)
        # Division by a small deviation would amplify values that hardly differ between songs.
        scale = np.maximum(deviation, max(_FLOOR * deviation.max(), np.finfo(np.float32).tiny))
        regression = LogisticRegression(C=_STRENGTH, class_weight="balanced", max_iter=5000)
        regression.fit((values - mean) / scale, quadrants)
        slopes, offsets = regression.coef_, regression.intercept_
        if len(regression.classes_) == 2:  # scikit-learn keeps the second class alone
            slopes = np.concatenate([np.zeros_like(slopes), slopes])
            offsets = np.concatenate([np.zeros_like(offsets), offsets])
        weights = np.zeros((embeddings.shape[1], len(QUADRANT.classes)))
        bias = np.full(len(QUADRANT.classes), _ABSENT)
        for name, slope, offset in zip(regression.classes_, slopes, offsets, strict=True):
            column = QUADRANT.classes.index(name)
            weights[:, column] = slope / scale
            bias[column] = offset - (slope / scale) @ mean
        return cls(weights.astype(np.float32), bias.astype(np.float32))

    def predict(self, embeddings: Array) -> Array:
        """Return probabilities of the quadrants, shape (rows, 4)."""
        logits = embeddings @ self.weights + self.bias
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), np.float32)


def adapt_heads(
    source: Path,
    output: Path,
    predictor: Predictor,
    *,
    save: bool = True,
    on_warning: Callable[[str], None] = lambda text: None,
) -> HeldOutScores:
    """Fit new heads to labelled songs, score them, and write the model file.

    It has no card; that of an older model of the same name is removed.

    Args:
        source: labelled songs, in any form that `read_labelled` reads.
        output: the ONNX file.
        predictor: the model whose embeddings are used.
        save: write the file; otherwise, only score the heads.
        on_warning: is called with one line per song that is left out.

    Raises:
        AdaptError: too few songs to fit or to score, or a name that does not end in `.onnx`.
        ExportError: the card of the model would replace another document.
        ManifestError: the list of songs cannot be read.
        ModelError: the model has no embeddings.
        OSError: the output cannot be written.
    """
    predictor.check_embedding()
    check_output(output)
    manifest = read_labelled(source)
    check_labels(manifest, source)
    clips, pooled, seconds = _embed(manifest.clips, predictor, on_warning)
    manifest = replace(manifest, clips=tuple(clips))
    check_labels(manifest, source)
    clips = list(folds_to_score(clips, seed=0))
    quadrants = [clip.quadrant for clip in clips]
    probabilities, margins = _held_out(clips, pooled, seconds)
    scores = _score(clips, probabilities)
    if not save:
        return scores
    info = {
        "name": output.stem,
        "speech": predictor.info.speech,
        "music": "custom",
        "caveat": "no better than chance on groups that were left out" if scores.uncertain else "",
        "min_margin_clip": float(np.quantile(margin(probabilities), 1 - TARGET_COVERAGE)),
        "min_margin_second": float(np.quantile(margins, 1 - TARGET_COVERAGE)),
    }
    model = _with_head(onnx.load(predictor.path), _Head.fit(pooled, quadrants), info)
    with atomic_write(output) as (file,):
        file.write(model.SerializeToString())
    remove_card(output)
    return scores


def _embed(
    clips: Sequence[Clip], predictor: Predictor, on_warning: Callable[[str], None]
) -> tuple[list[Clip], Array, list[Array]]:
    """Return the readable clips, their pooled embeddings, and those of some audible seconds."""
    usable, pooled, seconds = [], [], []
    with progress_bar() as bar:
        task = bar.add_task("reading", total=len(clips), note="")
        for clip in without_copies(bar.track(clips, task_id=task), on_warning):
            try:
                prediction = join(predictor.stream(clip.path, embeddings=True))
            except AudioError as error:
                on_warning(f"{error}; left out")
                continue
            if prediction.silent.all():
                on_warning(f"{clip.path}: is silent; left out")
                continue
            if prediction.damage:
                on_warning(f"{clip.path}: {prediction.damage}")
            assert prediction.embedding is not None
            usable.append(clip)
            pooled.append(prediction.pooled_embedding())
            audible = prediction.embedding[~prediction.silent]
            seconds.append(audible[:: -(-len(audible) // _MAX_SECONDS)].copy())
    return usable, np.stack(pooled) if pooled else np.empty((0, 0), np.float32), seconds


def _held_out(
    clips: Sequence[Clip], pooled: Array, seconds: Sequence[Array]
) -> tuple[Array, Array]:
    """Return quadrants of clips and margins of seconds, by heads fitted without their fold."""
    probabilities = np.zeros((len(clips), len(QUADRANT.classes)), np.float32)
    margins = []
    for fold in sorted({clip.split for clip in clips}):
        inside = np.array([clip.split == fold for clip in clips])
        head = _Head.fit(pooled[~inside], [c.quadrant for c in clips if c.split != fold])
        probabilities[inside] = head.predict(pooled[inside])
        for index in np.flatnonzero(inside):
            margins.append(margin(head.predict(seconds[int(index)])))
    return probabilities, np.concatenate(margins)


def _score(clips: Sequence[Clip], probabilities: Array) -> HeldOutScores:
    truth = np.array([QUADRANT.classes.index(clip.quadrant) for clip in clips])
    groups = np.array([clip.group for clip in clips])
    macro_f1 = class_report(truth, probabilities.argmax(axis=1), groups, QUADRANT).macro_f1
    return HeldOutScores(
        macro_f1=macro_f1.value,
        low=macro_f1.low,
        high=macro_f1.high,
        chance=1 / len(set(truth.tolist())),
        clips=len(clips),
        groups=len(set(groups)),
    )


def _with_head(
    model: onnx.ModelProto, head: _Head, info: dict[str, str | float]
) -> onnx.ModelProto:
    """Return the model up to its embedding, with a new head in the place of its own."""
    graph = model.graph
    needed, nodes = {EMBEDDING}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            nodes.append(node)
            needed |= set(node.input)
    constants = [tensor for tensor in graph.initializer if tensor.name in needed]
    constants.append(numpy_helper.from_array(head.weights, "head_weights"))
    constants.append(numpy_helper.from_array(head.bias, "head_bias"))
    added = [
        helper.make_node("MatMul", [EMBEDDING, "head_weights"], ["head_products"]),
        helper.make_node("Add", ["head_products", "head_bias"], ["head_logits"]),
        helper.make_node("Softmax", ["head_logits"], [QUADRANT.name], axis=-1),
    ]
    for binary in HEADS[1:]:
        sums = np.array(membership(binary), np.float32)
        constants.append(numpy_helper.from_array(sums, f"{binary.name}_sums"))
        added.append(
            helper.make_node("MatMul", [QUADRANT.name, f"{binary.name}_sums"], [binary.name])
        )
    embedding = next(output for output in graph.output if output.name == EMBEDDING)
    sizes = [size.dim_param or size.dim_value for size in embedding.type.tensor_type.shape.dim]
    outputs = [
        helper.make_tensor_value_info(
            each.name, TensorProto.FLOAT, [*sizes[:-1], len(each.classes)]
        )
        for each in HEADS
    ]
    adapted = helper.make_graph(
        [*reversed(nodes), *added], graph.name, graph.input, [*outputs, embedding], constants
    )
    described = json.loads({each.key: each.value for each in model.metadata_props}[METADATA_KEY])
    described["model"] = info
    result = helper.make_model(
        adapted, opset_imports=model.opset_import, ir_version=model.ir_version
    )
    helper.set_model_props(result, {METADATA_KEY: json.dumps(described)})
    return result
