"""Linear regressions on the teachers' values, with the same folds as the networks.

Each teacher has a regression of its own on standardised means over a clip, and the regressions are
averaged: probabilities of logistic regressions, standardised estimates of ridge regressions.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from experiments.data import SOUNDFONTS, Bars, emopia_scores
from experiments.scoring import ClipOutputs
from experiments.subjects import SubjectError
from experiments.test_sets import TestSet, class_truth, quadrants
from quadpred.labels import AROUSAL, HEADS, QUADRANT, VALENCE
from quadpred.train.corpora import Clip

__all__ = ["TEACHERS", "TeacherRegression", "fit_classes", "splits"]

Array = NDArray[np.float64]

TEACHERS = ("yam", "mus", "fcn")
"""Keys of the extracted values: YAMNet, musicnn, the two FCN taggers."""

LOGISTIC_C = 0.01
RIDGE_ALPHAS = np.logspace(1, 5, 9)
# Within pieces: musicnn's patches of 2.992 s, averaged over 12 s.
PATCH_SECONDS = 2.992
WINDOW = 12.0  # seconds
DYNAMICS_ALPHA = 3000.0
DYNAMICS_DELAY = 4  # seconds from the music to the ratings that it is fitted to


class TeacherRegression:
    """Regressions on extracted values.

    Args:
        values: the folder that `python -m experiments.teachers` wrote: `SET/CLIP.npz`.
        data: the folder of corpora.
    """

    name = "teachers"
    seeds = (0,)
    trained_on: Sequence[str] = ()

    def __init__(self, values: Path, data: Path):
        self._folder = values
        self._data = data

    def outputs(self, test_set: TestSet) -> ClipOutputs:
        """Predict every clip by regressions on the other folds, or on EMOPIA's `train` split.

        Raises:
            SubjectError: the values of a clip are missing.
        """
        clips = test_set.clips
        features = self._features(test_set.name, [test_set.corpus.name(clip) for clip in clips])
        if test_set.scale is not None:
            ratings = np.array([test_set.corpus.ratings[clip.path] for clip in clips])
            estimates = np.zeros_like(ratings)
            for train, test in splits(clips):
                estimates[test] = _ridge(features, ratings, train, test)
            seconds = self._dynamics(test_set) if test_set.corpus.bars else []
            return ClipOutputs(clips, {}, estimates, seconds)
        probabilities = {head.name: np.zeros((len(clips), len(head.classes))) for head in HEADS}
        if test_set.in_folds:
            truths = class_truth(quadrants(test_set, clips))
            for train, test in splits(clips):
                for head, truth in truths.items():
                    probabilities[head][test] = fit_classes(
                        [features[key][train] for key in TEACHERS],
                        truth[train],
                        [features[key][test] for key in TEACHERS],
                    )
        else:
            train_values, labels = self._emopia_train()
            for head, truth in class_truth(labels).items():
                probabilities[head] = fit_classes(
                    [train_values[key] for key in TEACHERS],
                    truth,
                    [features[key] for key in TEACHERS],
                )
        estimates = np.stack([probabilities[axis.name][:, 1] for axis in (AROUSAL, VALENCE)], -1)
        return ClipOutputs(clips, probabilities, estimates)

    def _read(self, folder: str, name: str, teacher: str) -> Array:
        path = self._folder / folder / f"{name}.npz"
        try:
            with np.load(path) as archive:
                values: Array = archive[teacher].astype(np.float64)
        except (OSError, KeyError) as error:
            raise SubjectError(
                f"{path}: no values of {teacher!r} ({type(error).__name__}); run"
                " python -m experiments.teachers"
            ) from None
        return values

    def _features(self, folder: str, names: Sequence[str]) -> dict[str, Array]:
        """Mean values of clips by teacher, each of shape (clips, values)."""
        return {
            teacher: np.stack([self._read(folder, name, teacher).mean(0) for name in names])
            for teacher in TEACHERS
        }

    def _emopia_train(self) -> tuple[dict[str, Array], NDArray[np.int64]]:
        """Values and quadrants of EMOPIA's `train` split, with each soundfont that has values."""
        quadrant, parts = [], []
        for soundfont in SOUNDFONTS:
            folder = self._folder / f"emopia-{soundfont}"
            clips = [
                clip
                for clip in emopia_scores(self._data, "train")
                if (folder / f"{clip.path.stem}.npz").is_file()
            ]
            if clips:
                quadrant += [QUADRANT.classes.index(clip.quadrant) for clip in clips]
                parts.append(self._features(folder.name, [clip.path.stem for clip in clips]))
        if not parts:
            raise SubjectError(f"{self._folder}: no values of EMOPIA's train split")
        values = {key: np.concatenate([part[key] for part in parts]) for key in TEACHERS}
        return values, np.array(quadrant)

    def _dynamics(self, test_set: TestSet) -> list[Array]:
        """Arousal and valence per second from musicnn's patches, fitted within other pieces."""
        clips, corpus = test_set.clips, test_set.corpus
        pieces = [
            _per_second(self._read(test_set.name, corpus.name(clip), "mus")) for clip in clips
        ]
        pieces = [piece - piece.mean(0) for piece in pieces]
        targets = [
            _ratings_per_second(corpus.bars[clip.path], len(piece))
            for clip, piece in zip(clips, pieces, strict=True)
        ]
        predicted: list[Array] = [np.empty(0)] * len(clips)
        for train, test in splits(clips):
            model = make_pipeline(StandardScaler(), Ridge(DYNAMICS_ALPHA))
            chosen = np.flatnonzero(train)
            model.fit(
                np.concatenate([pieces[k] for k in chosen]),
                np.concatenate([targets[k] for k in chosen]),
            )
            for k in np.flatnonzero(test):
                predicted[k] = model.predict(pieces[k])
        return predicted


def splits(clips: Sequence[Clip]) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Masks of training and test clips for each fold."""
    folds = np.array([clip.split for clip in clips])
    for fold in np.unique(folds):
        yield folds != fold, folds == fold


def _ridge(
    features: dict[str, Array],
    ratings: Array,
    train: NDArray[np.bool_],
    test: NDArray[np.bool_],
) -> Array:
    """Average of the teachers' estimates, in standard deviations of the training clips."""
    total = np.zeros((int(test.sum()), ratings.shape[1]))
    scale = StandardScaler().fit(ratings[train])
    for values in features.values():
        model = make_pipeline(StandardScaler(), RidgeCV(RIDGE_ALPHAS, alpha_per_target=True))
        model.fit(values[train], scale.transform(ratings[train]))
        total += model.predict(values[test])
    return total / len(features)


def fit_classes(train: Sequence[Array], truth: NDArray[np.int64], test: Sequence[Array]) -> Array:
    """Average the probabilities of logistic regressions, one per kind of features.

    Args:
        train: features of the training clips, each of shape (clips, features).
        truth: index of each training clip's class.
        test: features of the test clips, in the same order.
    """
    parts = []
    for train_values, values in zip(train, test, strict=True):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=LOGISTIC_C, max_iter=2000))
        parts.append(model.fit(train_values, truth).predict_proba(values))
    return np.asarray(np.mean(parts, 0))


def _per_second(patches: Array) -> Array:
    """Mean of the patches within 12 s about the middle of each second."""
    centres = (np.arange(len(patches)) + 0.5) * PATCH_SECONDS
    seconds = np.arange(max(1, int(len(patches) * PATCH_SECONDS))) + 0.5
    near = np.abs(seconds[:, None] - centres) <= WINDOW / 2
    near[np.arange(len(seconds)), np.abs(seconds[:, None] - centres).argmin(1)] = True
    weights = near / near.sum(1, keepdims=True)
    means: Array = weights @ patches
    return means


def _ratings_per_second(bars: Bars, seconds: int) -> Array:
    """Ratings of the bar that sounds after the listeners' delay, less their mean per piece."""
    times = np.arange(seconds) + 0.5 + DYNAMICS_DELAY
    bar = np.clip(np.searchsorted(bars.start, times, "right") - 1, 0, len(bars.start) - 1)
    ratings = np.stack([bars.arousal, bars.valence], -1)[bar]
    return np.asarray(ratings - ratings.mean(0))
