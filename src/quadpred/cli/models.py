"""`quadpred models`, and the options that choose a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quadpred.cli.console import UsageError, print_line, print_message

if TYPE_CHECKING:
    from quadpred.prediction import Prediction
    from quadpred.predictor import Predictor

__all__ = [
    "ModelFile",
    "Music",
    "Speech",
    "describe_languages",
    "list_models",
    "load_predictor",
    "predict_file",
]

_TRAINING = {"mixed": "English and Mandarin", "custom": "custom"}

Speech = Annotated[
    str | None,
    typer.Option(
        "-s",
        "--speech",
        metavar="e|m|x",
        help="Speech that the model was pre-trained on: english, mandarin or mixed. "
        "Default: english.",
    ),
]
Music = Annotated[
    str | None,
    typer.Option(
        "-m",
        "--music",
        metavar="e|m",
        help="Music that it was fine-tuned on: english or mandarin. Default: english.",
    ),
]
ModelFile = Annotated[
    str | None,
    typer.Option("--model", metavar="FILE.onnx", help="A model file, instead of -s and -m."),
]


def load_predictor(
    speech: str | None, music: str | None, model: str | None, device: str = "cpu"
) -> "Predictor":
    """Load the model that the options name.

    Raises:
        UsageError: a model file together with languages.
        LanguageError: an unknown language, or no model for the pair.
        ModelError: the model or the device cannot be used.
    """
    if model is not None and (speech or music):
        raise UsageError("--model cannot be combined with -s or -m")
    from quadpred.predictor import Predictor

    return Predictor.load(
        model, speech=speech or "english", music=music or "english", device=device
    )


def predict_file(
    predictor: "Predictor", path: str | Path, *, embeddings: bool = False
) -> "Prediction":
    """Predict a file, and print a warning if it is damaged."""
    from quadpred.prediction import join

    prediction = join(predictor.stream(path, embeddings=embeddings))
    if prediction.damage:
        print_message(f"warning: {path}: {prediction.damage}")
    return prediction


def list_models() -> None:
    """List the models in the package."""
    from quadpred import registry

    models = registry.models()
    width = max(len(model.name) for model in models)
    for model in models:
        size = f"{model.path.stat().st_size / 1e6:.1f} MB"
        languages = describe_languages(model.speech, model.music)
        mark = " (experimental)" if model.experimental else ""
        print_line(f"{model.name:<{width}}  {size:>8}  {languages}{mark}  {model.card}")


def describe_languages(speech: str, music: str) -> str:
    """Return the languages of a model's training, for display."""
    speech, music = (_TRAINING.get(name, name.capitalize()) for name in (speech, music))
    return f"{speech} speech → {music} music"
