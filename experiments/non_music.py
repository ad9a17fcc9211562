"""What models predict for audio that is not music: acted speech and noise."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from experiments.data import LabelledCorpus, acted_speech
from experiments.predictions import RATE
from experiments.subjects import Case, ModelSubject, Runs
from experiments.test_sets import TestSet
from quadpred import Prediction
from quadpred.train.corpora import Manifest
from quadpred.train.data.noise import noise

__all__ = ["score_non_music"]

RECORDINGS = 100  # of each kind
NOISE_SECONDS = 20


def score_non_music(subject: ModelSubject | Runs, data: Path) -> dict[str, dict[str, float]]:
    """Share of uncertain clips and seconds, and mean confidence, by kind of audio.

    Every model of a recipe predicts every recording.
    """
    speech = [case.prediction for seed in subject.seeds for case in _speech(subject, data, seed)]
    sounds = [prediction for seed in subject.seeds for prediction in _noise(subject, seed)]
    return {"acted speech": _summary(speech), "noise": _summary(sounds)}


def _speech(subject: ModelSubject | Runs, data: Path, seed: int) -> Iterator[Case]:
    manifest = acted_speech(data).manifest
    step = max(1, len(manifest.clips) // RECORDINGS)
    # No run was trained on any fold of it, so every run predicts every clip.
    chosen = tuple(replace(clip, split="") for clip in manifest.clips[::step][:RECORDINGS])
    corpus = LabelledCorpus(Manifest(chosen, manifest.sheet))
    yield from subject.cases(TestSet("speech", "acted speech", corpus), seed)


def _noise(subject: ModelSubject | Runs, seed: int) -> Iterator[Prediction]:
    rng = np.random.default_rng(1)
    for number in range(RECORDINGS):
        samples = noise(NOISE_SECONDS * RATE, RATE, rng)
        yield from subject.generated(seed, f"noise {number}", samples)


def _summary(predictions: list[Prediction]) -> dict[str, float]:
    return {
        "recordings": RECORDINGS,
        "uncertain": float(np.mean([prediction.uncertain for prediction in predictions])),
        "uncertain_seconds": float(
            np.concatenate([prediction.uncertain_seconds for prediction in predictions]).mean()
        ),
        "confidence": float(np.mean([prediction.confidence for prediction in predictions])),
    }
