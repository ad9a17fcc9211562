"""The models on board: which languages they know, their files and their checksums."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["LANGUAGES", "Model", "find", "language", "models"]

LANGUAGES = {"e": "english", "m": "mandarin", "x": "mixed"}
"""The seed's one-letter codes."""

WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Model:
    """A model file.

    `speech` and `music` are the languages of its training; of an `experimental` one, the card says
    why it is not to be trusted.
    """

    name: str
    speech: str
    music: str
    sha256: str
    experimental: bool = False

    @property
    def path(self) -> Path:
        """The ONNX file."""
        return WEIGHTS / f"{self.name}.onnx"

    @property
    def card(self) -> Path:
        """The model card, in Markdown."""
        return WEIGHTS / f"{self.name}.md"


def language(code: str) -> str:
    """Return the language that a code or a name stands for.

    Raises:
        ValueError: there is no such language.

    >>> language("m")
    'mandarin'
    """
    name = LANGUAGES.get(code.lower(), code.lower())
    if name not in LANGUAGES.values():
        known = ", ".join(f"{short} ({long})" for short, long in LANGUAGES.items())
        raise ValueError(f"unknown language {code!r}; choose from {known}")
    return name


@cache
def models() -> tuple[Model, ...]:
    """Every model on board."""
    listed = json.loads((WEIGHTS / "models.json").read_text())
    return tuple(Model(name, **entry) for name, entry in listed.items())


def find(speech: str, music: str) -> Model:
    """Return the model for these languages, given as codes or names.

    Raises:
        ValueError: an unknown language, or no model on board for the pair.
    """
    wanted = language(speech), language(music)
    for model in models():
        if (model.speech, model.music) == wanted:
            return model
    known = ", ".join(_pairs())
    raise ValueError(f"no model for {wanted[0]} speech and {wanted[1]} music; there are: {known}")


def _pairs() -> Iterator[str]:
    return (f"{model.speech}→{model.music}" for model in models())
