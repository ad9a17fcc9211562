"""VibeNet 0.1.0 (GPL) as a peer: its energy and valence, and a classifier on its seven outputs.

pip install vibenet && pip install -U typer    # vibenet brings a typer that is too old
python -m experiments.evaluate vibenet DATA --sets 4q --sets film --sets vgmidi --sets emotify
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.scoring import ClipOutputs
from experiments.subjects import SubjectError
from experiments.teacher_regression import fit_classes, splits
from experiments.test_sets import TestSet, class_truth, quadrants
from quadpred.files import atomic_write, sha256_of
from quadpred.labels import HEADS

__all__ = ["VibeNet"]

AXES = ("energy", "valence")

Array = NDArray[np.float64]


class VibeNet:
    """VibeNet's outputs, computed once per recording.

    Args:
        folder: for the file of outputs.

    Raises:
        SubjectError: VibeNet is not installed.
    """

    name = "vibenet"
    seeds = (0,)
    trained_on: Sequence[str] = ()

    def __init__(self, folder: Path):
        try:
            from vibenet import labels, load_model
        except ImportError:
            raise SubjectError("vibenet: not installed; see experiments/vibenet.py") from None
        self._labels: list[str] = list(labels)
        self._model: Any = load_model()
        self._file = folder / "vibenet.json"
        self._known: dict[str, list[float]] = (
            json.loads(self._file.read_text()) if self._file.is_file() else {}
        )

    def outputs(self, test_set: TestSet) -> ClipOutputs:
        """Predict the clips of a set in folds, whose classifier is fitted on the other folds.

        Raises:
            SubjectError: the set has no folds.
        """
        if not test_set.in_folds:
            raise SubjectError(f"{test_set.title}: has no folds; choose other sets with --sets")
        clips = test_set.clips
        values = self._values(test_set)
        estimates = values[:, [self._labels.index(axis) for axis in AXES]]
        if test_set.scale is not None:
            return ClipOutputs(clips, {}, estimates)
        probabilities = {head.name: np.zeros((len(clips), len(head.classes))) for head in HEADS}
        truths = class_truth(quadrants(test_set, clips))
        for train, test in splits(clips):
            for head, truth in truths.items():
                probabilities[head][test] = fit_classes(
                    [values[train]], truth[train], [values[test]]
                )
        return ClipOutputs(clips, probabilities, estimates)

    def _values(self, test_set: TestSet) -> Array:
        """VibeNet's outputs for whole recordings, shape (clips, 7)."""
        rows = []
        for clip in test_set.clips:
            key = sha256_of(clip.path)
            if key not in self._known:
                (result,) = self._model.predict(str(clip.path))
                found = result.to_dict()
                self._known[key] = [float(found[name]) for name in self._labels]
            rows.append(self._known[key])
        with atomic_write(self._file) as (file,):
            file.write(json.dumps(self._known).encode())
        return np.array(rows)
