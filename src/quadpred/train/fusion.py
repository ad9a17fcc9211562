"""Late fusion of the key: a logistic regression on what finished runs predict for other music.

Mel bands are too wide to tell major from minor. So the front end of a trained network is given
chroma. A linear layer adds the evidence of the key, which `Tonality` finds, to the log-odds of
valence. It is fitted on clips that the networks were not trained on, with their log-probabilities
as offset (stacking, Wolpert 1992). On clips of the training, they leave little to explain.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from quadpred.labels import QUADRANT
from quadpred.train.corpora import Manifest
from quadpred.train.data.log_mels import LogMels
from quadpred.train.inference import clip_logits, load_classifier
from quadpred.train.network import Tonality, shifted
from quadpred.train.run import Run

__all__ = ["HeldOut", "Layer", "fuse", "fused_layer", "held_out"]

Layer = tuple[Tensor, Tensor]
"""Weights, shape (1, 14), and bias, shape (1,), of the regression."""

PENALTY = 0.01
"""Of the squared weights of standardised features, relative to the mean loss of a clip."""


@dataclass(frozen=True)
class HeldOut:
    """What runs predict for the clips of the split that each left out.

    Attributes:
        log_probabilities: of the quadrants, shape (clips, 4).
        tonality: means of the features over the seconds of a clip, shape (clips, 14).
        quadrants: indices of the labels, shape (clips,).
        splits: that the clips are in, shape (clips,).
    """

    log_probabilities: Tensor
    tonality: Tensor
    quadrants: Tensor
    splits: NDArray[np.str_]

    def without(self, split: str) -> "HeldOut":
        """Return the clips of other splits."""
        chosen = torch.from_numpy(self.splits != split)
        return HeldOut(
            self.log_probabilities[chosen],
            self.tonality[chosen],
            self.quadrants[chosen],
            self.splits[self.splits != split],
        )

    def fit(self) -> Layer:
        """Fit the regression."""
        mean, deviation = self.tonality.mean(0), self.tonality.std(0)
        features = (self.tonality - mean) / deviation
        weight = torch.zeros(1, Tonality.width, requires_grad=True)
        bias = torch.zeros(1, requires_grad=True)
        optimiser = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimiser.zero_grad()
            logits = shifted(self.log_probabilities, F.linear(features, weight, bias))
            value = F.cross_entropy(logits, self.quadrants) + PENALTY * weight.square().sum()
            value.backward()  # type: ignore[no-untyped-call]
            return value

        optimiser.step(loss)  # type: ignore[no-untyped-call]
        scaled = weight.detach() / deviation
        return scaled, bias.detach() - scaled @ mean


def held_out(
    runs: Sequence[Path], manifests: Sequence[Manifest], cache: Path | None = None
) -> HeldOut:
    """Predict the labelled clips of the split that each run left out.

    Args:
        runs: folders of finished transfers, each with one test split.
        manifests: music with quadrants, in these splits.
        cache: folder of computed log-mels.

    Raises:
        AudioError: a recording cannot be read.
        RunError: a folder holds no finished transfer.
    """
    probabilities, features, quadrants, splits = [], [], [], []
    for run in runs:
        model, recipe = load_classifier(run)
        (split,) = Run.describe(run, "test")["test"]
        clips = [c for m in manifests for c in m.subset([split]) if c.quadrant]
        front_end, mels = replace(recipe.features, chroma=True), recipe.features.mels
        tonality = Tonality(front_end.frames_per_row, recipe.network.level)
        for clip, stored in zip(clips, LogMels(front_end, cache).load(clips), strict=True):
            frames = stored[:]
            rows = clip_logits(model, frames[:, :mels], recipe)[0].softmax(-1)
            chroma = torch.from_numpy(frames[None, :, mels:].astype(np.float32))
            probabilities.append(rows.mean(0))
            features.append(tonality(chroma)[0].mean(0))
            quadrants.append(QUADRANT.classes.index(clip.quadrant))
            splits.append(split)
    return HeldOut(
        torch.stack(probabilities).log(),
        torch.stack(features),
        torch.tensor(quadrants),
        np.array(splits),
    )


def fuse(base: Path, layer: Layer, folder: Path) -> None:
    """Write a run whose network is that of `base`, with chroma and a fitted layer for the key.

    Args:
        base: folder of a finished transfer whose heads are joint.
        layer: from `HeldOut.fit` or `fused_layer`.
        folder: of the new run.

    Raises:
        RunError: `base` holds no finished transfer, or `folder` another run.
    """
    described, saved = Run.describe(base, "recipe"), Run.result(base)
    _, recipe = load_classifier(base)
    fused = replace(recipe, features=replace(recipe.features, chroma=True))
    weight, bias = layer
    values = [round(value, 6) for value in [*weight.flatten().tolist(), *bias.tolist()]]
    run = Run(folder, {**described, "recipe": asdict(fused), "fusion": values})
    state = {**saved["classifier"], "fusion.weight": weight, "fusion.bias": bias}
    run.finish({**saved, "classifier": state})


def fused_layer(folder: Path) -> Layer:
    """Return the layer of a run that `fuse` has written.

    Raises:
        RunError: the folder holds no such run.
    """
    Run.describe(folder, "fusion")
    state = Run.result(folder)["classifier"]
    return state["fusion.weight"], state["fusion.bias"]
