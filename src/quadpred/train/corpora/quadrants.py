"""Rules that derive quadrants from ratings and from mood words.

Ratings: arousal and valence are each compared with a threshold, which is the midpoint of the
corpus's scale or the median over the corpus. A clip has no quadrant if its arousal or valence is
within the dead zone around its threshold. With a dead zone of 0, only ratings equal to the
threshold have none.

Words: each word below stands for one quadrant. A clip has no quadrant if its words stand for
several, or if none of them is listed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from quadpred.labels import quadrant_of

__all__ = ["QUADRANT_OF_WORD", "Scale", "Threshold", "from_ratings", "from_words"]

Threshold = Literal["midpoint", "median"]
Rating = tuple[float, float]
"""(arousal, valence)"""

# Words that determine only arousal or only valence (dark, deep, positive, epic), and words for uses
# (film, advertising), are left out. The choice is this project's: no corpus publishes such a table.
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
    def midpoint(self) -> float:
        """The mean of `low` and `high`."""
        return (self.low + self.high) / 2

    def __contains__(self, rating: Rating) -> bool:
        """Return whether both values are within the range; NaN is not."""
        return all(self.low <= value <= self.high for value in rating)


def from_ratings(
    ratings: Sequence[Rating],
    scale: Scale,
    *,
    threshold: Threshold = "midpoint",
    dead_zone: float = 0.0,
) -> list[str]:
    """Return the quadrant of each rating; "" within the dead zone.

    Args:
        ratings: (arousal, valence) of each clip of a corpus.
        scale: their range.
        threshold: the midpoint of the scale, or the medians of arousal and valence over `ratings`.
        dead_zone: half-width of the band around the threshold, as a share of half the scale.

    >>> from_ratings([(0.9, 0.2), (0.5, 0.8), (0.4, 0.45)], Scale(0, 1))
    ['Q2', '', 'Q3']
    >>> from_ratings([(0.9, 0.2), (0.4, 0.45)], Scale(0, 1), dead_zone=0.25)
    ['Q2', '']
    """
    if not ratings:
        return []
    centre = (scale.midpoint, scale.midpoint)
    if threshold == "median":
        arousals, valences = zip(*ratings, strict=True)
        centre = (median(arousals), median(valences))
    margin = dead_zone * (scale.high - scale.low) / 2
    return [
        ""
        if min(abs(arousal - centre[0]), abs(valence - centre[1])) <= margin
        else quadrant_of(arousal > centre[0], valence > centre[1])
        for arousal, valence in ratings
    ]


def from_words(words: Iterable[str]) -> str:
    """Return the quadrant that all listed words of a clip stand for, or "".

    >>> from_words(["film", "calm", "Soft"]), from_words(["happy", "sad"])
    ('Q4', '')
    """
    quadrants = {
        QUADRANT_OF_WORD[key] for word in words if (key := word.lower()) in QUADRANT_OF_WORD
    }
    return quadrants.pop() if len(quadrants) == 1 else ""
