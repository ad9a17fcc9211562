"""The selection criterion of README.md."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from experiments.data import SOUNDFONTS
from experiments.scoring import AXES
from quadpred.labels import HEADS

__all__ = ["criterion"]

Scores = dict[str, Any]


def criterion(sets: Scores) -> dict[str, Any] | None:
    """Mean of the normalised losses, or none if a set is missing.

    Args:
        sets: by name of a set, its scores from `scoring.score_set`.

    Returns:
        "value": the mean over seeds; "seeds": the criterion of each; "losses": by set, the
        normalised loss of each seed.
    """
    terms: dict[str, tuple[Callable[[Scores], list[float]], Sequence[str]]] = {
        "4q": (_class_loss, ["4q"]),
        "emopia": (_class_loss, [f"emopia-{name}" for name in SOUNDFONTS]),
        "film": (_rating_loss, ["film"]),
        "vgmidi between pieces": (_rating_loss, [f"vgmidi-{name}" for name in SOUNDFONTS]),
        "vgmidi within pieces": (_dynamics_loss, [f"vgmidi-{name}" for name in SOUNDFONTS]),
        "emotify": (_rating_loss, ["emotify"]),
    }
    if not {name for _, names in terms.values() for name in names} <= sets.keys():
        return None
    if any("within_piece" not in sets[name] for name in terms["vgmidi within pieces"][1]):
        return None
    losses = {
        term: np.mean([loss(sets[name]) for name in names], 0)
        for term, (loss, names) in terms.items()
    }
    seeds = np.mean(list(losses.values()), 0)
    return {
        "value": float(seeds.mean()),
        "seeds": seeds.tolist(),
        "losses": {term: loss.tolist() for term, loss in losses.items()},
    }


def _class_loss(scores: Scores) -> list[float]:
    """Log loss relative to that of a uniform guess, averaged over the heads."""
    losses = [
        np.array(scores["classes"]["log_loss"][head.name].seeds) / np.log(len(head.classes))
        for head in HEADS
    ]
    return list(np.mean(losses, 0))


def _rating_loss(scores: Scores) -> list[float]:
    correlations = [scores["ratings"]["spearman"][axis].seeds for axis in AXES]
    return list(1 - np.mean(correlations, 0))


def _dynamics_loss(scores: Scores) -> list[float]:
    correlations = [scores["within_piece"]["correlation"][axis].seeds for axis in AXES]
    return list(1 - np.mean(correlations, 0))
