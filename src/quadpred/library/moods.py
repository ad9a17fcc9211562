"""Words for the quadrants, as people write them in their music files; a person can change them."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from quadpred.errors import QuadpredError
from quadpred.labels import QUADRANT

__all__ = ["WORDS", "MoodError", "Vocabulary", "read_vocabulary"]

WORDS = {"Q1": "happy", "Q2": "tense", "Q3": "sad", "Q4": "relaxed"}
"""What a quadrant is called where nothing else is asked for."""


class MoodError(QuadpredError):
    """Words that cannot be used, or a mood that is none of them. One line."""


@dataclass(frozen=True)
class Vocabulary:
    """One word a quadrant.

    >>> Vocabulary().quadrant("Relaxed")
    'Q4'
    """

    words: Mapping[str, str] = field(default_factory=lambda: WORDS)

    def word(self, quadrant: str) -> str:
        """Return the word of Q1..Q4."""
        return self.words[quadrant]

    def quadrant(self, mood: str) -> str:
        """Return the quadrant of a word, in capitals or not; Q1..Q4 are words too.

        Raises:
            MoodError: no quadrant is called that.
        """
        for quadrant, word in self.words.items():
            if mood.casefold() in (word.casefold(), quadrant.casefold()):
                return quadrant
        raise MoodError(f"{mood}: no such mood; there are {', '.join(self.words.values())}")


def read_vocabulary(path: Path) -> Vocabulary:
    """Read words from a TOML file, such as `Q2 = "angry"`; the default stays for the others.

    Raises:
        MoodError: not TOML, other names than Q1 to Q4, or a word that is none or there twice.
        OSError: the file cannot be read.
    """
    try:
        given = tomllib.loads(path.read_text("utf-8"))
    except ValueError as error:  # not UTF-8, or not TOML
        raise MoodError(f"{path}: not TOML ({error})") from None
    for quadrant, word in given.items():
        if quadrant not in QUADRANT.classes:
            raise MoodError(f"{path}: {quadrant}: not one of {', '.join(QUADRANT.classes)}")
        if not isinstance(word, str) or not word.strip() or not word.isprintable():
            raise MoodError(f"{path}: {quadrant}: must be a word in quotation marks")
    words = {**WORDS, **{quadrant: word.strip() for quadrant, word in given.items()}}
    names = [name.casefold() for name in (*words.values(), *words)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise MoodError(f"{path}: {twice[0]}: is there twice")
    return Vocabulary(words)
