"""Second by second, the emotion perceived in music: Russell's quadrants, arousal and valence.

>>> import quadpred
>>> prediction = quadpred.predict("song.mp3")  # doctest: +SKIP
>>> prediction.winner, prediction.quadrant.shape  # doctest: +SKIP
('Q2', (30, 4))
"""

import os
from functools import lru_cache
from importlib import import_module
from os import PathLike
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quadpred.audio import AudioError
    from quadpred.prediction import Prediction
    from quadpred.predictor import Predictor
    from quadpred.registry import Model

__all__ = ["AudioError", "Prediction", "Predictor", "__version__", "predict"]

__version__ = "0.1.0"

# ONNX Runtime 1.32 gathers telemetry for its makers from its import on, unless it is told not to.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_HOMES = {
    "AudioError": "quadpred.audio",
    "Prediction": "quadpred.prediction",
    "Predictor": "quadpred.predictor",
}
"""Where the public classes live. Imported on use, since NumPy and the decoders take their time."""


def predict(
    path: str | PathLike[str], speech: str = "english", music: str = "english"
) -> "Prediction":
    """Predict the perceived emotion of an audio file, second by second.

    A model is loaded once and kept for further calls.

    Args:
        path: any file with audio, films included.
        speech: language of the speech that the model was pre-trained on: english, mandarin, mixed.
        music: language of the music that it was fine-tuned on: english or mandarin.

    Raises:
        AudioError: the file cannot be read.
        ValueError: an unknown language, or no model on board for the pair.
    """
    from quadpred import registry

    return _predictor(registry.find(speech, music)).predict(path)


@lru_cache(maxsize=8)
def _predictor(model: "Model") -> "Predictor":
    from quadpred.predictor import Predictor

    return Predictor(model.path, sha256=model.sha256)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
