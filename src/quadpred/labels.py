"""The three heads: their classes in order, titles and colours. Defined here only.

Quadrants follow Russell's circumplex (J. A. Russell, "A circumplex model of affect", 1980): arousal
is the vertical axis, valence the horizontal one, and Q1 to Q4 run counter-clockwise from the top
right. Binary heads put the negative class first, so column 1 is the probability of "positive".
"""

from dataclasses import dataclass

__all__ = [
    "AROUSAL",
    "HEADS",
    "QUADRANT",
    "VALENCE",
    "Head",
    "membership",
    "quadrant_of",
    "signs_of",
]


@dataclass(frozen=True)
class Head:
    """One output of the network: a distribution over `classes`, in this order."""

    name: str
    classes: tuple[str, ...]
    titles: tuple[str, ...]
    """Name of each class in reports."""
    colours: tuple[str, ...]
    """One colour per class. Colour-blind readers can distinguish them; each has a contrast of at
    least 3:1 to white and to near black (WCAG 2.2, 1.4.11)."""


QUADRANT = Head(
    "quadrant",
    ("Q1", "Q2", "Q3", "Q4"),
    (
        "Quadrant 1 (positive arousal, positive valence)",
        "Quadrant 2 (positive arousal, negative valence)",
        "Quadrant 3 (negative arousal, negative valence)",
        "Quadrant 4 (negative arousal, positive valence)",
    ),
    ("#BC8B00", "#BE444A", "#3966E5", "#04A492"),
)
AROUSAL = Head(
    "arousal",
    ("negative", "positive"),
    ("Negative arousal", "Positive arousal"),
    ("#7D93A6", "#8B4FC4"),
)
VALENCE = Head(
    "valence",
    ("negative", "positive"),
    ("Negative valence", "Positive valence"),
    ("#7D93A6", "#8B4FC4"),
)
HEADS = (QUADRANT, AROUSAL, VALENCE)

_SIGNS = {(1, 1): "Q1", (1, 0): "Q2", (0, 0): "Q3", (0, 1): "Q4"}


def quadrant_of(arousal: bool, valence: bool) -> str:
    """Return the quadrant with these signs; `True` is positive.

    >>> quadrant_of(arousal=True, valence=False)
    'Q2'
    """
    return _SIGNS[int(arousal), int(valence)]


def signs_of(quadrant: str) -> tuple[bool, bool]:
    """Return (arousal, valence) of a quadrant, `True` for positive.

    >>> signs_of("Q4")
    (False, True)
    """
    return next(
        (bool(arousal), bool(valence))
        for (arousal, valence), name in _SIGNS.items()
        if name == quadrant
    )


def membership(head: Head) -> list[list[float]]:
    """Return a matrix (quadrants, classes) that sums the quadrants of each class of a head.

    >>> membership(AROUSAL)
    [[0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]
    """
    axis = HEADS.index(head) - 1
    members = [
        name if head is QUADRANT else head.classes[signs_of(name)[axis]]
        for name in QUADRANT.classes
    ]
    return [[float(name == member) for name in head.classes] for member in members]
