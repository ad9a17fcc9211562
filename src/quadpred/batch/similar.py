"""The songs of a library that are most similar to one song, by their embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quadpred.batch.targets import library_target
from quadpred.formats import FORMATS
from quadpred.library.summary import SummaryError, SummaryRow

__all__ = ["Neighbour", "read_embeddings", "similar"]

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Neighbour:
    """A song, and the cosine of the angle between its embedding and the other's, -1 to 1."""

    song: SummaryRow
    similarity: float


def read_embeddings(
    songs: Sequence[SummaryRow], folder: Path, model: str
) -> tuple[list[SummaryRow], Array]:
    """Read the embeddings that a library run with `--format embedding` saved.

    Args:
        songs: rows of its summary.
        folder: its output folder.
        model: checksum of the model that the embeddings must be of.

    Returns:
        The songs that have embeddings of this model, and these, shape (songs, width).

    Raises:
        SummaryError: no song has.
    """
    found, vectors = [], []
    for song in songs:
        path = library_target(folder, song.path, FORMATS["embedding"].suffix)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
                if str(saved["model"]) == model:
                    vectors.append(saved["recording"])
                    found.append(song)
        except Exception:  # a damaged file raises errors of zip, zlib, NumPy and more
            continue
    if not found:
        remedy = "run quadpred predict --format embedding with the same model"
        raise SummaryError(f"{folder}: has no embeddings of this model; {remedy}")
    return found, np.stack(vectors)


def similar(
    embedding: Array, songs: Sequence[SummaryRow], embeddings: Array, count: int
) -> list[Neighbour]:
    """Return the most similar songs, best first.

    Args:
        embedding: shape (width,).
        songs: of a library.
        embeddings: theirs, shape (songs, width). The library's mean is subtracted from all, since
            embeddings of one model share a large common part.
        count: how many to return.
    """
    mean = embeddings.mean(axis=0)
    library, query = embeddings - mean, embedding - mean
    norms = np.linalg.norm(library, axis=1) * np.linalg.norm(query)
    cosines = library @ query / np.maximum(norms, np.finfo(np.float32).tiny)
    best = np.argsort(-cosines, kind="stable")[:count]
    return [Neighbour(songs[index], float(cosines[index])) for index in best]
