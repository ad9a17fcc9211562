"""Mood words: one per quadrant, with defaults that a TOML file can replace."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from quadpred.errors import QuadpredError
from quadpred.labels import QUADRANT

__all__ = ["WORDS", "MoodError", "Vocabulary", "read_vocabulary"]

WORDS = {"Q1": "happy", "Q2": "tense", "Q3": "sad", "Q4": "calm"}
"""The default words."""


class MoodError(QuadpredError):
    """Mood words that cannot be used, or a mood that is not one of them."""


@dataclass(frozen=True)
class Vocabulary:
    """One word per quadrant.

    >>> Vocabulary().quadrant("Calm")
    'Q4'
    """

    words: Mapping[str, str] = field(default_factory=lambda: WORDS)

    def word(self, quadrant: str) -> str:
        """Return the word for Q1 to Q4."""
        return self.words[quadrant]

    def quadrant(self, mood: str) -> str:
        """Return the quadrant of a word, or of its own name, in upper or lower case.

        Raises:
            MoodError: no quadrant has this word.
        """
        for quadrant, word in self.words.items():
            if mood.casefold() in (word.casefold(), quadrant.casefold()):
                return quadrant
        raise MoodError(f"{mood}: unknown mood; choose from {', '.join(self.words.values())}")


def read_vocabulary(path: Path) -> Vocabulary:
    """Read words from a TOML file, such as `Q2 = "angry"`; other quadrants keep the default.

    Raises:
        MoodError: not TOML, a key that is not a quadrant, an empty word, or a word used twice.
        OSError: the file cannot be read.
    """
    try:
        entries = tomllib.loads(path.read_text("utf-8"))
    except ValueError as error:  # not UTF-8, or not TOML
        raise MoodError(f"{path}: not TOML ({error})") from None
    for quadrant, word in entries.items():
        if quadrant not in QUADRANT.classes:
            choices = ", ".join(QUADRANT.classes)
            raise MoodError(f"{path}: unknown quadrant {quadrant!r}; choose from {choices}")
        if not isinstance(word, str) or not word.strip() or not word.isprintable():
            raise MoodError(f"{path}: {quadrant}: must be a non-empty string of one line")
    words = {**WORDS, **{quadrant: word.strip() for quadrant, word in entries.items()}}
    names = [name.casefold() for name in (*words.values(), *words)]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise MoodError(f"{path}: {repeated[0]!r} stands for two quadrants")
    return Vocabulary(words)
