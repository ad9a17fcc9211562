"""What is evaluated: one model, or the runs of a recipe, each on the clips that it left out."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from experiments.metrics import SMALLEST
from experiments.predictions import Change, PredictionStore, unchanged
from experiments.test_sets import NO_QUADRANT, TestSet, quadrants
from quadpred import Prediction, Predictor, registry
from quadpred.errors import QuadpredError
from quadpred.labels import AROUSAL, VALENCE, membership
from quadpred.predictor import METADATA_KEY
from quadpred.train.calibration import (
    apply_temperature,
    fit_temperature,
    min_margin,
    risk_coverage,
)
from quadpred.train.corpora import Clip

__all__ = ["Case", "ModelSubject", "Runs", "SubjectError", "open_subject"]

Samples = NDArray[np.float32]

TRAINED_ON = ("4q", "emotify", "mandarin")
"""The sets that a model was trained on, if its file does not list them."""


class SubjectError(QuadpredError):
    """A model or folder of runs that cannot be evaluated. One line: the path and the reason."""


@dataclass(frozen=True, eq=False)
class Case:
    """A clip and its prediction by a model that was not trained on it."""

    clip: Clip
    prediction: Prediction


class ModelSubject:
    """One model file, scored as it is.

    Args:
        path: the ONNX file.
        name: of the results.
        store: where predictions are kept.
    """

    seeds = (0,)

    def __init__(self, path: Path, name: str, store: PredictionStore):
        self.name = name
        self._predictor = Predictor(path)
        self._store = store
        self.trained_on: Sequence[str] = _metadata(path).get("trained_on", TRAINED_ON)

    def cases(self, test_set: TestSet, seed: int, change: Change = unchanged) -> Iterator[Case]:
        """Predict the clips of a set."""
        for clip in test_set.clips:
            yield Case(clip, self._store.predict(self._predictor, clip.path, change))

    def generated(self, seed: int, name: str, samples: Samples) -> Iterator[Prediction]:
        """Predict generated samples."""
        yield self._store.predict_samples(self._predictor, name, samples)


@dataclass(frozen=True)
class _Calibration:
    """Temperature of the quadrants, and the margins below which a prediction is uncertain."""

    temperature: float
    second: float
    clip: float

    @classmethod
    def fit(
        cls, predictions: Sequence[Prediction], truth: NDArray[np.int64], songs: NDArray[np.bool_]
    ) -> "_Calibration":
        """Fit the temperature on all predictions, the margins on those of songs alone."""
        rows = [_log_rows(prediction) for prediction in predictions]
        found = fit_temperature(rows, truth)
        calibrated = [apply_temperature(rows[k], found) for k in np.flatnonzero(songs)]
        lengths = [len(part) for part in calibrated]
        clips = np.stack([part.mean(0) for part in calibrated])
        return cls(
            found,
            min_margin(risk_coverage(np.concatenate(calibrated), np.repeat(truth[songs], lengths))),
            min_margin(risk_coverage(clips, truth[songs])),
        )

    def apply(self, prediction: Prediction) -> Prediction:
        """Divide the log-probabilities; arousal and valence are sums over quadrants."""
        quadrant = apply_temperature(
            np.log(np.maximum(prediction.quadrant, SMALLEST)), self.temperature
        )
        return replace(
            prediction,
            quadrant=quadrant.astype(np.float32),
            arousal=(quadrant @ np.array(membership(AROUSAL))).astype(np.float32),
            valence=(quadrant @ np.array(membership(VALENCE))).astype(np.float32),
            model=replace(
                prediction.model, min_margin_second=self.second, min_margin_clip=self.clip
            ),
        )


class Runs:
    """The runs of one recipe: `fold-K-seed-S/model.onnx`, not calibrated.

    Args:
        folder: that holds them.
        calibration_sets: the sets on whose other folds each run is calibrated, songs first.
        store: where predictions are kept.

    Raises:
        SubjectError: the folder holds no runs.
    """

    trained_on: Sequence[str] = ()

    def __init__(self, folder: Path, calibration_sets: Sequence[TestSet], store: PredictionStore):
        self.name = folder.resolve().name
        self._store = store
        self._sets = calibration_sets
        self._models: dict[tuple[int, str], Predictor] = {}
        for path in sorted(folder.glob("fold-*-seed-*/model.onnx")):
            if found := re.fullmatch(r"fold-(\d+)-seed-(\d+)", path.parent.name):
                self._models[int(found[2]), found[1]] = Predictor(path)
        if not self._models:
            raise SubjectError(f"{folder}: no runs (fold-K-seed-S/model.onnx)")
        self.seeds = sorted({seed for seed, _ in self._models})

    def cases(self, test_set: TestSet, seed: int, change: Change = unchanged) -> Iterator[Case]:
        """Predict each clip by the run that left out its fold, or by every run if it has none."""
        for case_fold, predictor in self._of_seed(seed):
            calibration = self._calibrations[seed, case_fold]
            for clip in test_set.clips:
                if not test_set.in_folds or clip.split == case_fold:
                    prediction = self._store.predict(predictor, clip.path, change)
                    yield Case(clip, calibration.apply(prediction))

    def generated(self, seed: int, name: str, samples: Samples) -> Iterator[Prediction]:
        """Predict generated samples by every run."""
        for fold, predictor in self._of_seed(seed):
            prediction = self._store.predict_samples(predictor, name, samples)
            yield self._calibrations[seed, fold].apply(prediction)

    def _of_seed(self, seed: int) -> list[tuple[str, Predictor]]:
        return [(fold, model) for (number, fold), model in self._models.items() if number == seed]

    @cached_property
    def _calibrations(self) -> dict[tuple[int, str], _Calibration]:
        """Fit each run's calibration on what the other runs of its seed predict.

        A single run of a seed is calibrated on its own fold, for want of another.
        """
        fitted = {}
        for seed in self.seeds:
            cases: list[Case] = []
            truth: list[int] = []
            songs: list[bool] = []
            for test_set in self._sets:
                for fold, predictor in self._of_seed(seed):
                    clips = [clip for clip in test_set.clips if clip.split == fold]
                    for clip, quadrant in zip(clips, quadrants(test_set, clips), strict=True):
                        if quadrant != NO_QUADRANT:
                            cases.append(Case(clip, self._store.predict(predictor, clip.path)))
                            truth.append(quadrant)
                            songs.append(test_set is self._sets[0])
            folds = np.array([case.clip.split for case in cases])
            for fold, _ in self._of_seed(seed):
                others = folds != fold
                chosen = np.flatnonzero(others if others.any() else ~others)
                fitted[seed, fold] = _Calibration.fit(
                    [cases[k].prediction for k in chosen],
                    np.array(truth)[chosen],
                    np.array(songs)[chosen],
                )
        return fitted


def open_subject(
    name: str, store: PredictionStore, calibration: Callable[[], Sequence[TestSet]]
) -> ModelSubject | Runs:
    """Open a bundled model by its name, an ONNX file, or a folder of runs.

    Raises:
        ModelError: the file is not a model.
        SubjectError: there is no such model, file or folder, or no runs in it.
    """
    shipped = {model.name: model.path for model in registry.models()}
    path = shipped.get(name, Path(name))
    if path.is_dir():
        return Runs(path, calibration(), store)
    if not path.is_file():
        names = ", ".join(shipped)
        raise SubjectError(f"{name}: no such file or folder, nor one of the models {names}")
    return ModelSubject(path, path.stem, store)


def _metadata(path: Path) -> dict[str, list[str]]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = json.loads(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
    assert isinstance(found, dict)
    return found


def _log_rows(prediction: Prediction) -> NDArray[np.float64]:
    """Log-probabilities of the quadrants in the seconds that count for the clip."""
    rows = prediction.quadrant[prediction.counted_seconds].astype(np.float64)
    return np.log(np.maximum(rows, SMALLEST))
