"""Changes of recordings that should not change what is predicted, and what they do to scores."""

import io
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from experiments.metrics import Counts, Score, bootstrap, macro_f1, spearman
from experiments.predictions import RATE, Change
from experiments.scoring import AXES, outputs_of
from experiments.subjects import Case, ModelSubject, Runs
from experiments.test_sets import TestSet, class_truth, quadrants
from quadpred.labels import HEADS, QUADRANT

__all__ = ["CHANGES", "score_robustness"]

Samples = NDArray[np.float32]
Array = NDArray[np.float64]

BITRATE = 64  # kbit/s
TELEPHONE = (300, 3400)  # Hz
SHIFT = RATE // 2


def mp3(samples: Samples) -> Samples:
    """Encode as mp3 of 64 kbit/s and decode."""
    file = io.BytesIO()
    # libsndfile's scale from 0 to 1 spans the bitrates that MPEG-2 has at this rate, 160 to 8.
    level = (160 - BITRATE) / (160 - 8)
    soundfile.write(
        file, samples, RATE, "MPEG_LAYER_III", format="MP3", compression_level=level,
        bitrate_mode="CONSTANT",
    )  # fmt: skip
    file.seek(0)
    decoded: Samples = soundfile.read(file, dtype="float32")[0]
    return decoded


def quieter_12_db(samples: Samples) -> Samples:
    """Reduce the level by 12 dB."""
    return samples * np.float32(10 ** (-12 / 20))


def quieter_24_db(samples: Samples) -> Samples:
    """Reduce the level by 24 dB."""
    return samples * np.float32(10 ** (-24 / 20))


def telephone_steep(samples: Samples) -> Samples:
    """Remove everything outside a telephone's band."""
    spectrum = np.fft.rfft(samples)
    frequencies = np.fft.rfftfreq(len(samples), 1 / RATE)
    spectrum[(frequencies < TELEPHONE[0]) | (frequencies > TELEPHONE[1])] = 0
    return np.fft.irfft(spectrum, len(samples)).astype(np.float32)


def telephone_gentle(samples: Samples) -> Samples:
    """Attenuate by 12 dB per octave outside a telephone's band (Butterworth, second order)."""
    sections = butter(2, TELEPHONE, "bandpass", fs=RATE, output="sos")
    filtered: Samples = sosfilt(sections, samples).astype(np.float32)
    return filtered


def half_second_shift(samples: Samples) -> Samples:
    """Remove the first half second."""
    return samples[SHIFT:]


CHANGES: dict[str, Change] = {
    "mp3, 64 kbit/s": mp3,
    "-12 dB": quieter_12_db,
    "-24 dB": quieter_24_db,
    "telephone, steep": telephone_steep,
    "telephone, gentle": telephone_gentle,
    "half a second later": half_second_shift,
}
"""The changes by the name that tables show."""


def score_robustness(subject: ModelSubject | Runs, test_set: TestSet) -> dict[str, Any]:
    """Differences that changes make, by the name of the change, paired by clip.

    Returns:
        "difference": of Spearman's correlation (sets with ratings) or macro F1, by head;
        "certain_to_other": share of clips that change from one certain quadrant to another;
        "change": mean change of a quadrant's probability; "uncertain" and "confidence": share of
        uncertain clips and mean confidence after the change.

    Raises:
        AudioError: a recording cannot be read.
    """
    plain = [list(subject.cases(test_set, seed)) for seed in subject.seeds]
    table = {"as it is": _compare(test_set, plain, plain)}
    for name, change in CHANGES.items():
        changed = [list(subject.cases(test_set, seed, change)) for seed in subject.seeds]
        table[name] = _compare(test_set, plain, changed)
    return table


def _compare(
    test_set: TestSet, plain: Sequence[list[Case]], changed: Sequence[list[Case]]
) -> dict[str, Any]:
    pairs = [
        (one.prediction, other.prediction)
        for before, after in zip(plain, changed, strict=True)
        for one, other in zip(before, after, strict=True)
    ]
    return {
        "difference": _differences(test_set, plain, changed),
        "certain_to_other": float(
            np.mean([p.winner != q.winner and not (p.uncertain or q.uncertain) for p, q in pairs])
        ),
        "change": float(
            np.mean([np.abs(p.mean(QUADRANT) - q.mean(QUADRANT)).mean() for p, q in pairs])
        ),
        "uncertain": float(np.mean([q.uncertain for _, q in pairs])),
        "confidence": float(np.mean([q.confidence for _, q in pairs])),
    }


def _differences(
    test_set: TestSet, plain: Sequence[list[Case]], changed: Sequence[list[Case]]
) -> dict[str, Score]:
    before, after = [outputs_of(cases) for cases in plain], [outputs_of(c) for c in changed]
    groups = [outputs.groups for outputs in before]
    if test_set.scale is not None:
        ratings = [np.array([test_set.corpus.ratings[c.path] for c in o.clips]) for o in before]
        return {
            axis: bootstrap(
                groups,
                [
                    partial(_spearman_difference, b.estimates[:, k], a.estimates[:, k], r[:, k])
                    for b, a, r in zip(before, after, ratings, strict=True)
                ],
            )
            for k, axis in enumerate(AXES)
        }
    truths = [class_truth(quadrants(test_set, outputs.clips)) for outputs in before]
    return {
        head.name: bootstrap(
            groups,
            [
                partial(
                    _f1_difference,
                    b.probabilities[head.name],
                    a.probabilities[head.name],
                    truth[head.name],
                )
                for b, a, truth in zip(before, after, truths, strict=True)
            ],
        )
        for head in HEADS
    }


def _spearman_difference(before: Array, after: Array, truth: Array, counts: Counts) -> float:
    return spearman(after, truth, counts) - spearman(before, truth, counts)


def _f1_difference(before: Array, after: Array, truth: Counts, counts: Counts) -> float:
    return macro_f1(after, truth, counts) - macro_f1(before, truth, counts)
