"""Predictions of recordings, kept in a database so that none is computed twice."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from quadpred import Prediction, Predictor
from quadpred.audio import read_blocks
from quadpred.errors import QuadpredError
from quadpred.files import sha256_of

__all__ = ["CACHE", "RATE", "Change", "PredictionStore", "StoreError", "unchanged"]

CACHE = user_cache_path("quadpred-experiments")
"""Where predictions and rendered recordings stay by default."""
RATE = 16_000  # Hz: the rate at which recordings are changed

Samples = NDArray[np.float32]
Change = Callable[[Samples], Samples]


def unchanged(samples: Samples) -> Samples:
    """Return the samples: the recording as it is."""
    return samples


class StoreError(QuadpredError):
    """Stored predictions are not those of the present code. One line: the file and the remedy."""


class PredictionStore:
    """Predictions by checksum of the model, checksum of the recording, and name of the change.

    Everything runs in this process: ONNX Runtime has one thread. The first stored prediction of
    each model is computed again, since decoder and front end may have changed.
    """

    def __init__(self, database: sqlite3.Connection, path: Path):
        self._database = database
        self._path = path
        self._checked: set[str] = set()  # checksums of models
        with database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS predictions"
                " (model TEXT, recording TEXT, change TEXT, rows BLOB,"
                " PRIMARY KEY (model, recording, change))"
            )

    @classmethod
    @contextmanager
    def open(cls, folder: Path) -> Iterator["PredictionStore"]:
        """Open or create the database of a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "predictions.sqlite"
        with closing(sqlite3.connect(path, timeout=60)) as database:
            yield cls(database, path)

    def predict(self, predictor: Predictor, path: Path, change: Change = unchanged) -> Prediction:
        """Predict a recording, after a change of its samples.

        Raises:
            AudioError: the recording cannot be read.
            StoreError: other code has made the stored predictions.
        """

        def compute() -> Prediction:
            if change is unchanged:
                return predictor.predict(path)
            samples = np.concatenate(list(read_blocks(path, RATE)))
            return predictor.predict_samples(change(samples), RATE)

        return self._stored(predictor, sha256_of(path), change.__name__, compute)

    def predict_samples(self, predictor: Predictor, name: str, samples: Samples) -> Prediction:
        """Predict samples at 16 kHz that were generated, under a name of their own."""
        return self._stored(
            predictor, name, "generated", lambda: predictor.predict_samples(samples, RATE)
        )

    def _stored(
        self,
        predictor: Predictor,
        recording: str,
        change: str,
        compute: Callable[[], Prediction],
    ) -> Prediction:
        key = (predictor.info.sha256, recording, change)
        found = self._database.execute(
            "SELECT rows FROM predictions WHERE model = ? AND recording = ? AND change = ?", key
        ).fetchone()
        if found:
            rows = np.frombuffer(found[0], np.float32).reshape(-1, 9)
            self._check(key[0], rows, compute)
        else:
            rows = _packed(compute())
            with self._database:
                self._database.execute(
                    "INSERT OR REPLACE INTO predictions VALUES (?, ?, ?, ?)", (*key, rows.tobytes())
                )
        return Prediction(
            quadrant=rows[:, :4],
            arousal=rows[:, 4:6],
            valence=rows[:, 6:8],
            silent=rows[:, 8] > 0,
            duration=float(len(rows)),
            model=predictor.info,
        )

    def _check(
        self, model: str, rows: NDArray[np.float32], compute: Callable[[], Prediction]
    ) -> None:
        if model in self._checked:
            return
        present = _packed(compute())
        if present.shape != rows.shape or not np.allclose(present, rows, atol=1e-4):
            raise StoreError(f"{self._path}: has predictions of other code; remove it")
        self._checked.add(model)


def _packed(prediction: Prediction) -> NDArray[np.float32]:
    """Join probabilities of the three heads and silence, shape (rows, 9)."""
    parts = [
        prediction.quadrant,
        prediction.arousal,
        prediction.valence,
        prediction.silent[:, None],
    ]
    return np.concatenate(parts, 1).astype(np.float32)
