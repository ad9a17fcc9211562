"""The models and speech encoders in the package: their languages, files and checksums."""

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from quadpred.errors import QuadpredError

__all__ = [
    "LANGUAGES",
    "LanguageError",
    "Model",
    "SpeechEncoder",
    "encoder",
    "encoders",
    "find",
    "language",
    "models",
]

LANGUAGES = {"e": "english", "m": "mandarin", "x": "mixed"}
"""One-letter codes of the paper's command line."""

WEIGHTS = Path(__file__).parent / "weights"


class LanguageError(QuadpredError):
    """An unknown language, or a pair of languages without a model."""


@dataclass(frozen=True)
class _Weights:
    """A file of weights in the package, with its card."""

    suffix: ClassVar[str]

    name: str
    speech: str
    sha256: str

    @property
    def path(self) -> Path:
        """The file."""
        return WEIGHTS / f"{self.name}{self.suffix}"

    @property
    def card(self) -> Path:
        """The card: training data and scores, in Markdown."""
        return WEIGHTS / f"{self.name}.md"


@dataclass(frozen=True)
class Model(_Weights):
    """A model, as an ONNX file.

    Attributes:
        name: such as "english-to-mandarin".
        speech: language of the speech that it was pre-trained on.
        music: language of the music that it was fine-tuned on.
        sha256: checksum of the file.
        experimental: whether its card says why not to rely on it.
        scores: for each test set of the card, `music` (its name), `clips`, and the `accuracy` and
            macro `f1` of quadrants by clip, with the 95 % interval `f1_low` to `f1_high`.
    """

    suffix = ".onnx"

    music: str
    experimental: bool = False
    scores: tuple[dict[str, Any], ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class SpeechEncoder(_Weights):
    """A pre-trained speech encoder, as `quadpred.train.encoders` writes it.

    Training on music starts from it.

    Attributes:
        name: such as "speech-english".
        speech: language of the speech that it was pre-trained on.
        sha256: checksum of the file.
    """

    suffix = ".safetensors"


def language(code: str) -> str:
    """Return the language that a one-letter code or a name stands for.

    Raises:
        LanguageError: there is no such language.

    >>> language("m")
    'mandarin'
    """
    name = LANGUAGES.get(code.lower(), code.lower())
    if name not in LANGUAGES.values():
        choices = ", ".join(f"{short} ({long})" for short, long in LANGUAGES.items())
        raise LanguageError(f"unknown language {code!r}; choose from {choices}")
    return name


@cache
def models() -> tuple[Model, ...]:
    """Return every model in the package."""
    listed = json.loads((WEIGHTS / "models.json").read_text())
    return tuple(Model(name, **entry) for name, entry in listed.items())


def find(speech: str, music: str) -> Model:
    """Return the model for these languages, given as codes or names.

    Raises:
        LanguageError: an unknown language, or no model for the pair.
    """
    pair = language(speech), language(music)
    for model in models():
        if (model.speech, model.music) == pair:
            return model
    choices = ", ".join(f"{model.speech} to {model.music}" for model in models())
    raise LanguageError(f"no model for {pair[0]} speech to {pair[1]} music; choose from {choices}")


@cache
def encoders() -> tuple[SpeechEncoder, ...]:
    """Return every speech encoder in the package."""
    listed = WEIGHTS / "encoders.json"
    entries = json.loads(listed.read_text()) if listed.is_file() else {}
    return tuple(SpeechEncoder(name, **entry) for name, entry in entries.items())


def encoder(speech: str) -> SpeechEncoder:
    """Return the encoder pre-trained on this language, given as a code or a name.

    Raises:
        LanguageError: an unknown language, or no encoder for it.
    """
    name = language(speech)
    for candidate in encoders():
        if candidate.speech == name:
            return candidate
    choices = ", ".join(candidate.speech for candidate in encoders()) or "none"
    raise LanguageError(f"no encoder of {name} speech; choose from {choices}")
