"""Mood words: one for each quadrant, and finer ones for places on the plane.

The plane has valence to the right and arousal upwards, each from -1 to 1. Within `NEUTRAL` of its
centre the fine word is *neutral*. Elsewhere the direction decides, in eight sectors of 45 degrees,
clockwise from straight up: excited, happy, serene, calm, sad, gloomy, tense, angry. Words and their
order follow Russell's circumplex (J. A. Russell, 1980).
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from quadpred.errors import QuadpredError
from quadpred.labels import QUADRANT

__all__ = ["NEUTRAL", "PLACES", "WORDS", "MoodError", "Vocabulary", "place_of", "read_vocabulary"]

WORDS = {"Q1": "happy", "Q2": "tense", "Q3": "sad", "Q4": "calm"}
"""Default word of each quadrant."""

_SECTORS = ("excited", "happy", "serene", "calm", "sad", "gloomy", "tense", "angry")
_CENTRE = "neutral"

PLACES = (*_SECTORS, _CENTRE)
"""Names of the places on the plane."""

NEUTRAL = 0.2
"""Radius of the neutral centre, where the plane reaches from -1 to 1."""


class MoodError(QuadpredError):
    """Words that cannot be used, or a mood that is not one of them."""


def place_of(arousal: float, valence: float) -> str:
    """Return the name of a place on the plane, one of `PLACES`.

    Args:
        arousal: probability of positive arousal, 0 to 1.
        valence: probability of positive valence, 0 to 1.

    >>> place_of(0.95, 0.6), place_of(0.3, 0.05), place_of(0.5, 0.55)
    ('excited', 'gloomy', 'neutral')
    """
    right, up = 2 * valence - 1, 2 * arousal - 1
    if math.hypot(right, up) < NEUTRAL:
        return _CENTRE
    clockwise = math.degrees(math.atan2(right, up)) % 360  # from straight up
    return _SECTORS[int(clockwise // 45) % len(_SECTORS)]


@dataclass(frozen=True)
class Vocabulary:
    """Words for quadrants and places.

    >>> Vocabulary().quadrant("Calm")
    'Q4'
    >>> Vocabulary().words_of("Q1", arousal=0.9, valence=0.6)
    ('happy', 'excited')
    """

    words: Mapping[str, str] = field(default_factory=lambda: WORDS)
    places: Mapping[str, str] = field(default_factory=lambda: {name: name for name in PLACES})

    def word(self, quadrant: str) -> str:
        """Return the word of Q1..Q4."""
        return self.words[quadrant]

    def words_of(self, quadrant: str, *, arousal: float, valence: float) -> tuple[str, ...]:
        """Return the words of a recording: its quadrant's, and its place's if that is another.

        In the neutral centre, the place's word stands alone.

        Args:
            quadrant: Q1..Q4.
            arousal: probability of positive arousal, 0 to 1.
            valence: probability of positive valence, 0 to 1.
        """
        place = place_of(arousal, valence)
        words = (self.places[place],)
        return words if place == _CENTRE else tuple(dict.fromkeys((self.word(quadrant), *words)))

    def quadrant(self, mood: str) -> str:
        """Return the quadrant of a word, in any case; Q1..Q4 are words too.

        Raises:
            MoodError: no quadrant has this word.
        """
        for quadrant, word in self.words.items():
            if mood.casefold() in (word.casefold(), quadrant.casefold()):
                return quadrant
        *others, last = self.words.values()
        choices = f"{', '.join(others)} or {last}"
        raise MoodError(f"{mood}: --from and --to take a quadrant: {choices}")

    def has_word(self, mood: str, quadrant: str, *, arousal: float, valence: float) -> bool:
        """Return whether a word, or Q1..Q4, is the mood of a recording.

        Raises:
            MoodError: it is not a word of this vocabulary.
        """
        moods = dict.fromkeys((*self.words.values(), *self.places.values()))
        asked = mood.casefold()
        if asked not in {word.casefold() for word in (*moods, *self.words)}:
            raise MoodError(f"{mood}: unknown mood; choose from {', '.join(moods)}")
        words = self.words_of(quadrant, arousal=arousal, valence=valence)
        # A quadrant's own word includes the whole quadrant.
        return asked in {word.casefold() for word in (*words, quadrant, self.word(quadrant))}


def read_vocabulary(path: Path) -> Vocabulary:
    """Read words from a TOML file, such as `Q2 = "agitated"`; other words keep their defaults.

    A quadrant's new word is also that of the place with the quadrant's default word.

    Raises:
        MoodError: not TOML, an unknown name, or a word that is empty or used twice.
        OSError: the file cannot be read.
    """
    try:
        entries = tomllib.loads(path.read_text("utf-8"))
    except ValueError as error:  # not UTF-8, or not TOML
        raise MoodError(f"{path}: not TOML ({error})") from None
    for name, word in entries.items():
        if name not in (*QUADRANT.classes, *PLACES):
            names = ", ".join((*QUADRANT.classes, *PLACES))
            raise MoodError(f"{path}: unknown name {name!r}; choose from {names}")
        if not isinstance(word, str) or not word.strip() or not word.isprintable():
            raise MoodError(f"{path}: {name}: must be a non-empty string of one line")
    own = {name: word.strip() for name, word in entries.items()}
    words = {name: own.get(name, word) for name, word in WORDS.items()}
    renamed = {WORDS[name]: words[name] for name in WORDS}
    places = {name: own.get(name, renamed.get(name, name)) for name in PLACES}
    for group in (*words.values(), *words), tuple(places.values()):
        folded = [name.casefold() for name in group]
        if twice := sorted({name for name in folded if folded.count(name) > 1}):
            raise MoodError(f"{path}: {twice[0]!r} is used twice")
    return Vocabulary(words, places)
