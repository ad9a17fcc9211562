"""Predict the emotion perceived in music, second by second: quadrant, arousal and valence.

>>> import quadpred
>>> prediction = quadpred.predict("song.mp3")  # doctest: +SKIP
>>> prediction.winner, prediction.quadrant.shape  # doctest: +SKIP
('Q2', (30, 4))
"""

import os
from importlib import import_module
from os import PathLike

TYPE_CHECKING = False  # that of `typing`, which takes longer to import than all of this
if TYPE_CHECKING:
    from typing import Any

    from quadpred.audio import AudioError
    from quadpred.errors import QuadpredError
    from quadpred.prediction import Prediction
    from quadpred.predictor import Predictor

__all__ = ["AudioError", "Prediction", "Predictor", "QuadpredError", "__version__", "predict"]

__version__ = "0.1.0"

# On POSIX, ONNX Runtime collects telemetry since 1.29, from its import on. This has no effect if
# the caller imported it before.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_MODULES = {
    "AudioError": "quadpred.audio",
    "Prediction": "quadpred.prediction",
    "Predictor": "quadpred.predictor",
    "QuadpredError": "quadpred.errors",
}
"""Modules of the public classes. They are imported on use, because NumPy and decoders are slow."""


def predict(
    path: str | PathLike[str], speech: str = "english", music: str = "english"
) -> "Prediction":
    """Predict the perceived emotion of an audio file, second by second.

    The model is loaded by the first call and used again by later ones. If a part of the file is
    damaged or missing, one `AudioWarning` says so.

    Args:
        path: any file with audio, videos included.
        speech: language of the speech that the model was pre-trained on: english, mandarin or
            mixed.
        music: language of the music that it was fine-tuned on: english or mandarin.

    Raises:
        AudioError: the file cannot be read.
        LanguageError: an unknown language, or no model for the pair.
    """
    from quadpred import predictor, registry

    return predictor.bundled(registry.find(speech, music)).predict(path)


def __getattr__(name: str) -> "Any":
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
