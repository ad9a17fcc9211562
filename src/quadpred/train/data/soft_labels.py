"""Soft labels: quadrants that a regression on the teacher's values predicts for unlabelled clips.

The regression is fitted on the labelled clips of the same run, so a test split stays unseen. Its
probabilities are targets of the heads (Hinton et al. 2015, arXiv:1503.02531).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from quadpred.labels import QUADRANT
from quadpred.train.corpora import ManifestError

if TYPE_CHECKING:
    from quadpred.train.data.assembly import Example

__all__ = ["soft_labels"]

INVERSE_PENALTY = 0.03  # C of the logistic regression; the mean variance of the values is 1

Array = NDArray[np.float32]


def soft_labels(examples: Sequence["Example"], scale: float) -> dict[int, Array]:
    """Predict quadrants for clips whose corpus names a source of soft labels.

    Args:
        examples: labelled and unlabelled ones.
        scale: factor of the teacher's values.

    Returns:
        Log-odds of the quadrants, shape (seconds, 4), by the number of the example. They are linear
        in the teacher's values, so the mean over seconds is the prediction for the mean values.

    Raises:
        ManifestError: a source lacks labelled clips with values of the teacher.
    """
    predicted: dict[int, Array] = {}
    for source in sorted({e.corpus.soft_labels for e in examples} - {""}):
        weights, offsets = _regression(examples, source, scale)
        for number, example in enumerate(examples):
            if example.corpus.soft_labels == source and example.teacher is not None:
                predicted[number] = example.teacher.astype(np.float32) @ weights + offsets
    return predicted


def _regression(examples: Sequence["Example"], source: str, scale: float) -> tuple[Array, Array]:
    """Fit quadrants to the mean values of a corpus; return (values, 4) weights and (4,) offsets."""
    known = [
        (example.teacher.mean(0, dtype=np.float32) * scale, example.clip.quadrant)
        for example in examples
        if example.corpus.name == source and example.teacher is not None and example.clip.quadrant
    ]
    if {quadrant for _, quadrant in known} != set(QUADRANT.classes):
        raise ManifestError(
            f"{source}: soft labels need clips of all four quadrants with a teacher's values"
        )
    means, quadrants = zip(*known, strict=True)
    model = LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced", max_iter=1000)
    model.fit(np.stack(means), quadrants)  # sorted classes, as in labels.QUADRANT
    return (model.coef_.T * scale).astype(np.float32), model.intercept_.astype(np.float32)
