"""How ratings and words become quadrants: the one place that says so.

Ratings: a clip's arousal and valence each get the sign of their distance from a centre, which is
the middle of the corpus's scale or the median of the corpus. A clip whose arousal or valence lies
no further from its centre than the neutral band reaches has no quadrant; without a band that
concerns only ratings exactly at the centre.

Words: each word below speaks for one quadrant. A clip whose words speak for several, or whose words
are all missing here, has none.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from quadpred.labels import quadrant_of

__all__ = ["QUADRANT_OF_WORD", "Centre", "Scale", "from_ratings", "from_words"]

Centre = Literal["middle", "median"]
Rating = tuple[float, float]
"""(arousal, valence)"""

# Words that state one sign only (dark, deep, positive, epic) or a use (film, advertising) are left
# out on purpose. The choice is ours; no corpus publishes one.
QUADRANT_OF_WORD = {
    word: quadrant
    for quadrant, words in {
        "Q1": "energetic fun groovy happy joy motivational party power surprised upbeat uplifting",
        "Q2": "angry anger disgust dramatic fear fearful heavy horror tension",
        "Q3": "bitter melancholic sad",
        "Q4": "calm dream meditative mellow peace relaxed relaxing romantic soft tender",
    }.items()
    for word in words.split()
}


@dataclass(frozen=True)
class Scale:
    """The range of a corpus's ratings, both ends included."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        """The rating that is neither positive nor negative."""
        return (self.low + self.high) / 2

    def __contains__(self, rating: Rating) -> bool:
        """Tell whether both numbers lie on the scale; what is not a number does not."""
        return all(self.low <= value <= self.high for value in rating)


def from_ratings(
    ratings: Sequence[Rating], scale: Scale, *, about: Centre = "middle", neutral: float = 0.0
) -> list[str]:
    """Name the quadrant of each rating; "" where it is neutral.

    Args:
        ratings: (arousal, valence) of each clip of a corpus.
        scale: their range.
        about: the centre: the scale's middle, or the median of these ratings, taken of arousal and
            of valence on its own.
        neutral: reach of the neutral band on either side of the centre, as a share of half the
            scale.

    >>> from_ratings([(0.9, 0.2), (0.5, 0.8), (0.4, 0.45)], Scale(0, 1))
    ['Q2', '', 'Q3']
    >>> from_ratings([(0.9, 0.2), (0.4, 0.45)], Scale(0, 1), neutral=0.25)
    ['Q2', '']
    """
    if not ratings:
        return []
    centre = (scale.middle, scale.middle)
    if about == "median":
        arousals, valences = zip(*ratings, strict=True)
        centre = (median(arousals), median(valences))
    reach = neutral * (scale.high - scale.low) / 2
    return [
        ""
        if min(abs(arousal - centre[0]), abs(valence - centre[1])) <= reach
        else quadrant_of(arousal > centre[0], valence > centre[1])
        for arousal, valence in ratings
    ]


def from_words(words: Iterable[str]) -> str:
    """Name the quadrant that a clip's words agree on, or "".

    >>> from_words(["film", "calm", "Soft"]), from_words(["happy", "sad"])
    ('Q4', '')
    """
    named = {QUADRANT_OF_WORD[key] for word in words if (key := word.lower()) in QUADRANT_OF_WORD}
    return named.pop() if len(named) == 1 else ""
