"""Networks of finished runs, and their outputs for whole clips."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from quadpred.train.data.log_mels import Frames
from quadpred.train.network import Classifier
from quadpred.train.recipe import Recipe
from quadpred.train.run import Run, RunError

__all__ = ["clip_logits", "load_classifier"]


def load_classifier(folder: Path) -> tuple[Classifier, Recipe]:
    """Return the network of a finished transfer run, in evaluation mode, and its recipe.

    Raises:
        RunError: the folder holds no finished transfer.

    """
    described = Run.describe(folder, "kind", "recipe")
    if described["kind"] != "transfer":
        raise RunError(f"{folder}: holds a speech encoder, not a model of music")
    recipe = Recipe.from_dict(described["recipe"], str(folder))
    saved = Run.result(folder)
    features = recipe.features
    model = Classifier(recipe.network, features, **saved["sizes"])
    model.load_state_dict(saved["classifier"])
    return model.eval(), recipe


def clip_logits(model: Classifier, frames: Frames, recipe: Recipe) -> tuple[Tensor, ...]:
    """Logits of every whole second of a clip, shape (rows, classes) per head."""
    features = recipe.features
    rows = max(1, len(frames) // features.frames_per_row)
    whole = np.pad(frames[:], ((0, max(0, features.frames_per_row - len(frames))), (0, 0)), "edge")
    size = features.frames_per_row
    if model.context:
        windows = whole[None, : rows * size]
    else:
        starts = [min(features.row_start(k), len(whole) - size) for k in range(rows)]
        windows = np.stack([whole[start : start + size] for start in starts])
    place = next(model.parameters()).device
    with torch.inference_mode():
        logits = model(torch.from_numpy(windows.astype(np.float32)).to(place))
    return tuple(head.flatten(0, 1).float().cpu() for head in logits)
