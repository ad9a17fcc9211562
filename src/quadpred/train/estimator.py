"""A scikit-learn classifier of recordings by their embeddings."""

import os
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from quadpred.predictor import Predictor

__all__ = ["RecordingClassifier"]


class RecordingClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # untyped bases
    """Logistic regression on the standardised embeddings of recordings.

    Labels are those of the user: four quadrants, or anything else. Works in scikit-learn's grid
    searches and cross-validation, for which recordings should be grouped by artist.

    Args:
        model: a model file with embeddings, or `None` for the default bundled model.
        C: inverse strength of the regularisation.

    Attributes:
        classes_: the labels, in the order of the columns of `predict_proba`.
    """

    def __init__(self, model: str | os.PathLike[str] | None = None, C: float = 1.0):  # noqa: N803
        self.model = model
        self.C = C

    def fit(self, X: Sequence[str | os.PathLike[str]], y: ArrayLike) -> Self:  # noqa: N803
        """Fit to recordings.

        Args:
            X: paths of audio files.
            y: one label per file.

        Raises:
            AudioError: a file cannot be read.
            ModelError: the model cannot be used, or has no embeddings.
        """
        self.predictor_ = Predictor.load(self.model)
        self.predictor_.check_embedding()
        regression = LogisticRegression(C=self.C, max_iter=1000)
        self.pipeline_: Pipeline = make_pipeline(StandardScaler(), regression)
        self.pipeline_.fit(self._embed(X), y)
        self.classes_ = self.pipeline_.classes_
        return self

    def predict_proba(
        self,
        X: Sequence[str | os.PathLike[str]],  # noqa: N803
    ) -> NDArray[np.float64]:
        """Return the probabilities of the classes, shape (files, classes)."""
        return np.asarray(self.pipeline_.predict_proba(self._embed(X)))

    def predict(self, X: Sequence[str | os.PathLike[str]]) -> NDArray[Any]:  # noqa: N803
        """Return the most probable label of each file, shape (files,)."""
        labels: NDArray[Any] = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return labels

    def _embed(self, paths: Sequence[str | os.PathLike[str]]) -> NDArray[np.float32]:
        return np.stack(
            [self.predictor_.predict(path, embeddings=True).pooled_embedding() for path in paths]
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the session, which cannot be pickled; it is loaded again."""
        return {name: value for name, value in self.__dict__.items() if name != "predictor_"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "pipeline_" in state:
            self.predictor_ = Predictor.load(self.model)
