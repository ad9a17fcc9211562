"""Soft labels: what a regression on the teacher's values predicts for clips without labels.

The regression is fitted on the labelled clips of the same run, so a test split stays unseen. Its
estimates are targets of the heads (Hinton et al. 2015, arXiv:1503.02531).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quadpred.labels import QUADRANT
from quadpred.train.corpora import ManifestError

if TYPE_CHECKING:
    from quadpred.train.data.assembly import Example

__all__ = ["soft_labels"]

# The values have a mean variance of 1.
INVERSE_PENALTY = 0.03  # C of the logistic regression
PENALTIES = tuple(np.logspace(0, 4, 9))  # of the ridge regression, chosen by leave-one-out

Array = NDArray[np.float32]


def soft_labels(examples: Sequence["Example"], ratings: Array, scale: float) -> dict[int, Array]:
    """Estimate labels of the clips whose corpus names a source of soft labels.

    Args:
        examples: labelled and unlabelled ones.
        ratings: arousal and valence, standardised, (examples, 2); NaN where unknown.
        scale: factor of the teacher's values.

    Returns:
        By the number of the example, log-odds of the quadrants (seconds, 4), or ratings (seconds,
        2) where the source has no quadrants. Both are linear in the teacher's values, so the mean
        over seconds is the estimate from the mean values.

    Raises:
        ManifestError: a source lacks labelled clips with values of the teacher.
    """
    estimated: dict[int, Array] = {}
    for source in sorted({e.corpus.soft_labels for e in examples} - {""}):
        labelled = [n for n, e in enumerate(examples) if e.corpus.name == source and e.labelled]
        labelled = [n for n in labelled if examples[n].teacher is not None]
        weights, offsets = _regression(
            source, [examples[n] for n in labelled], ratings[labelled], scale
        )
        for number, example in enumerate(examples):
            if example.corpus.soft_labels == source and example.teacher is not None:
                estimated[number] = example.teacher.astype(np.float32) @ weights + offsets
    return estimated


def _regression(
    source: str, labelled: Sequence["Example"], ratings: Array, scale: float
) -> tuple[Array, Array]:
    """Fit labels to mean values; return weights (values, labels) and offsets (labels,)."""
    from sklearn.linear_model import LogisticRegression, RidgeCV  # takes 180 MB of memory

    means = [e.teacher.mean(0, dtype=np.float32) for e in labelled if e.teacher is not None]
    quadrants = [example.clip.quadrant for example in labelled]
    if set(quadrants) == set(QUADRANT.classes):
        model = LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced", max_iter=1000)
        model.fit(scale * np.stack(means), quadrants)  # sorted classes, as in labels.QUADRANT
    elif labelled and not np.isnan(ratings).any():
        model = RidgeCV(PENALTIES).fit(scale * np.stack(means), ratings)
    else:
        raise ManifestError(
            f"{source}: soft labels need clips with a teacher's values and all four quadrants, or"
            " with ratings"
        )
    return (scale * model.coef_.T).astype(np.float32), model.intercept_.astype(np.float32)
