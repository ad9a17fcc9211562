"""The sets on which models are scored, with the truth of each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments import data as corpora
from experiments.data import LabelledCorpus
from quadpred.labels import HEADS, QUADRANT, quadrant_of, signs_of
from quadpred.train.corpora import Clip, Manifest
from quadpred.train.corpora.quadrants import Scale

__all__ = [
    "DEAD_ZONE",
    "NO_QUADRANT",
    "SET_NAMES",
    "TestSet",
    "calibration_sets",
    "class_truth",
    "load_sets",
    "quadrants",
    "with_quadrants",
]

DEAD_ZONE = 0.03
"""Clips whose rating is this near to the centre have no quadrant: a share of half the scale."""

NO_QUADRANT = -1


@dataclass(frozen=True)
class TestSet:
    """A corpus to be scored.

    Attributes:
        name: of the set, such as "vgmidi-fluid".
        title: what tables show.
        corpus: its clips and labels.
        scale: the range of its ratings, or none where quadrants are the labels.
        about_median: whether the quadrants of its ratings are taken about medians, not about the
            midpoint of the scale.
        remark: a limit that tables must state, or empty.
    """

    __test__ = False  # pytest: this is not a test

    name: str
    title: str
    corpus: LabelledCorpus
    scale: Scale | None = None
    about_median: bool = False
    remark: str = ""

    @property
    def clips(self) -> tuple[Clip, ...]:
        """All clips of the set."""
        return self.corpus.manifest.clips

    @property
    def in_folds(self) -> bool:
        """Whether its clips are in folds, so that each run scores those it left out."""
        return all(clip.split.isdigit() for clip in self.clips)


def _vgmidi(data: Path, cache: Path | None) -> list[TestSet]:
    return [
        TestSet(
            f"vgmidi-{soundfont}",
            f"VGMIDI ({soundfont})",
            corpora.vgmidi(data, soundfont, cache),
            Scale(-1, 1),
        )
        for soundfont in corpora.SOUNDFONTS
    ]


def _emopia(data: Path, cache: Path | None) -> list[TestSet]:
    return [
        TestSet(
            f"emopia-{soundfont}",
            f"EMOPIA val ({soundfont})",
            corpora.emopia(data, soundfont, cache),
        )
        for soundfont in corpora.SOUNDFONTS
    ]


_READERS: dict[str, Callable[[Path, Path | None], list[TestSet]]] = {
    "4q": lambda data, _: [TestSet("4q", "4Q", corpora.four_quadrants(data))],
    "film": lambda data, _: [
        TestSet("film", "film", corpora.film(data), Scale(1, 7), about_median=True)
    ],
    "vgmidi": _vgmidi,
    "emopia": _emopia,
    "emotify": lambda data, _: [
        TestSet("emotify", "Emotify", corpora.emotify(data), Scale(-3, 3), about_median=True)
    ],
    "mandarin": lambda data, _: [
        TestSet("mandarin", "Mandarin", corpora.mandarin(data), remark="weak labels")
    ],
}
SET_NAMES = tuple(_READERS)


def load_sets(names: Sequence[str], data: Path, cache: Path | None) -> list[TestSet]:
    """Read sets; "vgmidi" and "emopia" are two each, one per soundfont.

    Raises:
        ManifestError: labels or recordings are missing.
    """
    return [test_set for name in names for test_set in _READERS[name](data, cache)]


def quadrants(test_set: TestSet, clips: Sequence[Clip]) -> NDArray[np.int64]:
    """Index of each clip's quadrant, or -1 for none, shape (clips,).

    The centre of ratings is 0, or the median of the clips in other folds.
    """
    if test_set.scale is None:
        return np.array([QUADRANT.classes.index(clip.quadrant) for clip in clips])
    ratings = np.array([test_set.corpus.ratings[clip.path] for clip in test_set.clips])
    splits = np.array([clip.split for clip in test_set.clips])
    half = (test_set.scale.high - test_set.scale.low) / 2
    dead_zone = DEAD_ZONE * half if test_set.about_median else 0.0
    centres = {
        split: np.median(ratings[splits != split], 0)
        if test_set.about_median
        else np.full(2, test_set.scale.midpoint)
        for split in np.unique(splits)
    }
    found = []
    for clip in clips:
        distance = np.array(test_set.corpus.ratings[clip.path]) - centres[clip.split]
        if np.abs(distance).min() <= dead_zone:
            found.append(NO_QUADRANT)
        else:
            found.append(QUADRANT.classes.index(quadrant_of(*(distance > 0).tolist())))
    return np.array(found)


def calibration_sets(data: Path, cache: Path | None) -> list[TestSet]:
    """Read the sets in folds whose quadrants are not weak labels.

    Raises:
        ManifestError: labels or recordings are missing.
    """
    return load_sets(["4q", "film", "vgmidi", "emotify"], data, cache)


def with_quadrants(test_set: TestSet) -> Manifest:
    """The clips of a set that have a quadrant, with it as their label."""
    pairs = zip(test_set.clips, quadrants(test_set, test_set.clips), strict=True)
    clips = (replace(c, quadrant=QUADRANT.classes[k]) for c, k in pairs if k != NO_QUADRANT)
    return Manifest(tuple(clips), test_set.corpus.manifest.sheet)


def class_truth(quadrant: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """Index of the true class for every head, given quadrants of shape (clips,)."""
    signs = np.array([signs_of(name) for name in QUADRANT.classes], np.int64)
    truth = (quadrant, *signs[quadrant].T)
    return dict(zip((head.name for head in HEADS), truth, strict=True))
