"""Embeddings of one recording as npz: of each second, and of the recording."""

from io import BytesIO
from typing import BinaryIO

import numpy as np

from quadpred.prediction import Prediction

__all__ = ["write_embedding"]


def write_embedding(prediction: Prediction, file: BinaryIO) -> None:
    """Write embeddings as npz to an open file.

    It has the arrays `seconds`, shape (rows, width), `recording`, shape (width,), both float32, and
    `model`, the checksum of the model file, as text.

    Raises:
        ValueError: the model has no embeddings.
    """
    content = BytesIO()  # np.savez cannot write to a pipe, and its errors give no reason
    recording = prediction.pooled_embedding()
    assert prediction.embedding is not None
    np.savez(
        content,
        seconds=prediction.embedding,
        recording=recording,
        model=np.array(prediction.model.sha256),
    )
    file.write(content.getbuffer())
