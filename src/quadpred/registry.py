"""The models and speech encoders on board: their languages, their files and their checksums."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["LANGUAGES", "Encoder", "Model", "encoder", "encoders", "find", "language", "models"]

LANGUAGES = {"e": "english", "m": "mandarin", "x": "mixed"}
"""The seed's one-letter codes."""

WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Model:
    """A model file.

    `speech` and `music` are the languages of its training; of an `experimental` one, the card says
    why it is not to be trusted. `scores` hold, for each test set of the card, `music` (its name),
    `clips`, and the `accuracy` and macro `f1` of the quadrants of whole clips, with the 95 %
    interval `f1_low` to `f1_high`.
    """

    name: str
    speech: str
    music: str
    sha256: str
    experimental: bool = False
    scores: tuple[dict[str, Any], ...] = field(default=(), compare=False)

    @property
    def path(self) -> Path:
        """The ONNX file."""
        return WEIGHTS / f"{self.name}.onnx"

    @property
    def card(self) -> Path:
        """The model card, in Markdown."""
        return WEIGHTS / f"{self.name}.md"


@dataclass(frozen=True)
class Encoder:
    """A pre-trained speech encoder, from which training on music starts."""

    name: str
    speech: str
    sha256: str

    @property
    def path(self) -> Path:
        """The weights, as `quadpred.train.encoders` writes them."""
        return WEIGHTS / f"{self.name}.safetensors"

    @property
    def card(self) -> Path:
        """What it was trained on, in Markdown."""
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


@cache
def encoders() -> tuple[Encoder, ...]:
    """Every speech encoder on board."""
    listed = WEIGHTS / "encoders.json"
    entries = json.loads(listed.read_text()) if listed.is_file() else {}
    return tuple(Encoder(name, **entry) for name, entry in entries.items())


def encoder(speech: str) -> Encoder:
    """Return the encoder pre-trained on this language, given as a code or a name.

    Raises:
        ValueError: an unknown language, or no encoder on board for it.
    """
    wanted = language(speech)
    for candidate in encoders():
        if candidate.speech == wanted:
            return candidate
    known = ", ".join(candidate.speech for candidate in encoders()) or "none"
    raise ValueError(f"no encoder of {wanted} speech; there are: {known}")


def _pairs() -> Iterator[str]:
    return (f"{model.speech}→{model.music}" for model in models())
