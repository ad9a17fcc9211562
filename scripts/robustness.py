"""Whether scores survive what is done to recordings, and what is said of sounds that are no music.

    python scripts/robustness.py DATA RUNS

DATA and RUNS are those of `ship.py`, which must have run. Every English clip is heard by the
network of seed 0 that has not heard its artist: as it is, as mp3 of 64 kbit/s, 12 dB quieter,
through a telephone's band, and half a second later. Held-out speech and noise are heard by the
model on board. Prints tables in Markdown.
"""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from quadpred.train.dataset import Targets
from quadpred.train.foreign import noise
from ship import FOLDS, manifests
from transfer_grid import emotional_speech

from quadpred import Prediction, Predictor
from quadpred.audio import read_blocks
from quadpred.features import log_mel
from quadpred.labels import HEADS
from quadpred.train.corpora import Clip
from quadpred.train.evaluate import confusion, macro_f1
from quadpred.train.transfer import clip_logits, load_classifier

Samples = NDArray[np.float32]

RATE = 16_000
BITRATE = 64  # kbit/s
TELEPHONE = 300, 3400  # Hz
SHIFT = RATE // 2
STRANGERS = 100  # clips of each kind that is no music


def as_mp3(samples: Samples) -> Samples:
    """Through a lossy codec."""
    file = io.BytesIO()
    # libsndfile's scale from 0 to 1 spans the bitrates that MPEG-2 has at this rate, 160 to 8.
    level = (160 - BITRATE) / (160 - 8)
    soundfile.write(
        file, samples, RATE, "MPEG_LAYER_III", format="MP3", compression_level=level,
        bitrate_mode="CONSTANT",
    )  # fmt: skip
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


def by_telephone(samples: Samples) -> Samples:
    """Nothing outside a telephone's band."""
    spectrum = np.fft.rfft(samples)
    frequencies = np.fft.rfftfreq(len(samples), 1 / RATE)
    spectrum[(frequencies < TELEPHONE[0]) | (frequencies > TELEPHONE[1])] = 0
    return np.fft.irfft(spectrum, len(samples)).astype(np.float32)


CONDITIONS: dict[str, Callable[[Samples], Samples]] = {
    "as it is": lambda samples: samples,
    f"mp3, {BITRATE} kbit/s": as_mp3,
    "12 dB quieter": lambda samples: samples * np.float32(10 ** (-12 / 20)),
    "telephone band": by_telephone,
    "half a second later": lambda samples: samples[SHIFT:],
}


def main() -> None:
    """Measure and print."""
    data, runs = map(Path, sys.argv[1:])
    made = manifests(data, runs) | {"ravdess": emotional_speech(data)}
    clips: list[Clip] = []
    said: dict[str, list[list[NDArray[np.float32]]]] = {name: [] for name in CONDITIONS}
    for fold in range(FOLDS):
        model, recipe = load_classifier(runs / f"english-to-english-{fold}-0")
        for clip in made["4q"].subset([str(fold)]):
            samples = np.concatenate(list(read_blocks(clip.path, RATE)))
            clips.append(clip)
            for name, change in CONDITIONS.items():
                frames = log_mel(change(samples), recipe.features).astype(np.float16)
                logits = clip_logits(model, frames, recipe)
                said[name].append([head.softmax(-1).mean(0).numpy() for head in logits])
    targets = Targets.of(clips)
    print(f"{len(clips)} clips, macro F1 a clip; change of the clip's probabilities, on average\n")
    print("| | quadrant | arousal | valence | change |\n| --- | --- | --- | --- | --- |")
    for name, heard in said.items():
        cells = []
        for index, head in enumerate(HEADS):
            guess = np.array([clip[index].argmax() for clip in heard])
            truth = targets.heads[index].argmax(1).numpy()
            cells.append(macro_f1(confusion(truth, guess, len(head.classes))))
        change = np.mean(
            [np.abs(a[0] - b[0]).mean() for a, b in zip(heard, said["as it is"], strict=True)]
        )
        print(f"| {name} | {' | '.join(f'{cell:.3f}' for cell in cells)} | {change:.3f} |")
    predictor = Predictor.load()
    actors = made["ravdess"].clips[:: len(made["ravdess"].clips) // STRANGERS][:STRANGERS]
    rng = np.random.default_rng(1)
    sounds = [noise(20 * RATE, RATE, rng) for _ in range(STRANGERS)]
    print("\n| what is no music | clips | unsure | uncertain seconds | confidence |")
    print("| --- | --- | --- | --- | --- |")
    report("acted speech", [predictor.predict(clip.path) for clip in actors])
    report("noise", [predictor.predict_samples(sound, RATE) for sound in sounds])
    report("English music, heard while training", [predictor.predict(c.path) for c in clips[::5]])


def report(name: str, predictions: list[Prediction]) -> None:
    """Print a row."""
    unsure = np.mean([p.unsure for p in predictions])
    uncertain = np.concatenate([p.uncertain for p in predictions]).mean()
    confidence = np.mean([p.confidence for p in predictions])
    print(f"| {name} | {len(predictions)} | {unsure:.0%} | {uncertain:.0%} | {confidence:.2f} |")


if __name__ == "__main__":
    main()
