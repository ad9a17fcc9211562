"""The fields that `quadpred tag` writes for a recording."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from quadpred.library.rawtags.items import COMMENT, MOOD

__all__ = ["AROUSAL", "VALENCE", "Layout", "Numbers", "percentiles", "tag_fields"]

AROUSAL, VALENCE = "QUADPRED_AROUSAL", "QUADPRED_VALENCE"
"""Probabilities of positive arousal and valence, 0 to 1, with three digits."""
Numbers = Literal["quadpred", "energy-valence", "both"]


@dataclass(frozen=True)
class Layout:
    """Which fields to write.

    Attributes:
        numbers: `QUADPRED_AROUSAL` and `QUADPRED_VALENCE`, or `ENERGY` and `VALENCE`, or both.
        scale: the largest value of `ENERGY` and `VALENCE`: 1 (from 0, three digits) or 10 (from 1,
            whole numbers).
        comment: also write a comment with the words and numbers, for DJ programs.
    """

    numbers: Numbers = "quadpred"
    scale: Literal[1, 10] = 1
    comment: bool = False


def tag_fields(
    words: Sequence[str],
    arousal: float,
    valence: float,
    layout: Layout,
    ranks: tuple[int, int] | None = None,
) -> dict[str, list[str]]:
    """Return values by the name of the field, as `write_tags` takes them.

    Args:
        words: mood words.
        arousal: probability of positive arousal, 0 to 1.
        valence: probability of positive valence, 0 to 1.
        layout: which fields.
        ranks: percentiles of arousal and valence within the library, 0 to 100.
    """
    fields = {MOOD: list(words)}
    if layout.numbers != "energy-valence":
        fields |= {AROUSAL: [f"{arousal:.3f}"], VALENCE: [f"{valence:.3f}"]}
    if layout.numbers != "quadpred":
        for name, value in (("ENERGY", arousal), ("VALENCE", valence)):
            fields[name] = [f"{value:.3f}" if layout.scale == 1 else _of_ten(value)]
    if ranks:
        for name, rank in zip((AROUSAL, VALENCE), ranks, strict=True):
            fields[f"{name}_PERCENTILE"] = [str(rank)]
    if layout.comment:
        numbers = f"Energy {_of_ten(arousal)} - Valence {_of_ten(valence)}"
        fields[COMMENT] = [f"{numbers} - {', '.join(words)}"]
    return fields


def _of_ten(value: float) -> str:
    return str(round(1 + 9 * value))


def percentiles(values: Sequence[float]) -> list[int]:
    """Return for each value the percentage of all values below it; equal ones count half.

    >>> percentiles([0.1, 0.4, 0.4, 0.9])
    [12, 50, 50, 88]
    """
    ordered = sorted(values)
    return [
        round(50 * (bisect_left(ordered, value) + bisect_right(ordered, value)) / len(ordered))
        for value in values
    ]
