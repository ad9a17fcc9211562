"""Embeddings for the HEAR benchmark (J. Turian et al., 2022), through its common interface.

`hear-eval` imports this module and calls `load_model` with the path of a model file.
"""

import numpy as np
import torch
from torch import Tensor

from quadpred.prediction import Prediction
from quadpred.predictor import Predictor

__all__ = ["HearModel", "get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


class HearModel(torch.nn.Module):
    """A model file with embeddings.

    Attributes:
        sample_rate: in Hz, of the audio that the functions take.
        scene_embedding_size: width of an embedding.
        timestamp_embedding_size: the same.
    """

    def __init__(self, predictor: Predictor):
        super().__init__()
        predictor.check_embedding()
        self.predictor = predictor
        self.sample_rate = predictor.features.sample_rate
        width = predictor.embedding_width
        self.scene_embedding_size = self.timestamp_embedding_size = width


def load_model(model_file_path: str = "") -> HearModel:
    """Load a model file or, without one, the default bundled model.

    Raises:
        ModelError: it cannot be used, or has no embeddings.
    """
    return HearModel(Predictor.load(model_file_path or None))


def get_scene_embeddings(audio: Tensor, model: HearModel) -> Tensor:
    """Return one embedding per sound, shape (sounds, width).

    Args:
        audio: shape (sounds, samples), at `model.sample_rate`, from -1 to 1.
        model: of `load_model`.
    """
    pooled = [prediction.pooled_embedding() for prediction in _predict(audio, model)]
    return torch.from_numpy(np.stack(pooled)).to(audio.device)


def get_timestamp_embeddings(audio: Tensor, model: HearModel) -> tuple[Tensor, Tensor]:
    """Return one embedding per second, shape (sounds, seconds, width), and the seconds' centres.

    Args:
        audio: as of `get_scene_embeddings`.
        model: of `load_model`.

    Returns:
        Embeddings, and times in milliseconds, shape (sounds, seconds).
    """
    rows = [prediction.embedding for prediction in _predict(audio, model)]
    embeddings = np.stack([each for each in rows if each is not None])
    times = 1000 * torch.arange(embeddings.shape[1], dtype=torch.float32) + 500
    sounds = torch.from_numpy(embeddings)
    return sounds.to(audio.device), times.repeat(len(sounds), 1).to(audio.device)


def _predict(audio: Tensor, model: HearModel) -> list[Prediction]:
    sounds = audio.detach().cpu().numpy()
    predict, rate = model.predictor.predict_samples, model.sample_rate
    return [predict(sound, rate, embeddings=True) for sound in sounds]
