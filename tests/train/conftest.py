"""Generated speech and music, small enough to train on in seconds."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch")

# Networks this small spend more time waiting for a second thread than computing.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"

RATE = 16_000
# Loud and busy for positive arousal, major for positive valence: a network must learn both.
MUSIC = {
    "Q1": (8.0, (0, 4, 7)),
    "Q2": (8.0, (0, 3, 6)),
    "Q3": (1.0, (0, 3, 6)),
    "Q4": (1.0, (0, 4, 7)),
}


def music(quadrant: str, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Repeated broken chords of a quadrant's pace and mode."""
    pace, chord = MUSIC[quadrant]
    times = np.arange(int(seconds * RATE)) / RATE
    beat = np.floor(times * pace).astype(int)
    notes = np.array(chord)[beat % 3]
    pitch = 220 * 2 ** (notes / 12) * 2 ** (rng.integers(-2, 3) / 12)
    decay = np.exp(-4 * (times * pace % 1))
    tone = np.sin(2 * np.pi * np.cumsum(pitch) / RATE) * decay
    return (0.4 * tone + 0.01 * rng.standard_normal(len(times))).astype(np.float32)


def speech(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Noise that comes and goes at the pace of syllables."""
    times = np.arange(int(seconds * RATE)) / RATE
    syllables = np.clip(np.sin(2 * np.pi * 4 * times + rng.uniform(0, 6)), 0, 1)
    return (0.2 * syllables * rng.standard_normal(len(times))).astype(np.float32)


@pytest.fixture(scope="session")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `speech` and `music`, the latter with labels.csv: 4 clips of 5 artists a quadrant."""
    root = tmp_path_factory.mktemp("corpora")
    rng = np.random.default_rng(0)
    (root / "speech").mkdir()
    for speaker in range(3):
        soundfile.write(root / "speech" / f"speaker{speaker}_0.wav", speech(8, rng), RATE)
    (root / "music").mkdir()
    rows = []
    for quadrant in MUSIC:
        for number in range(10):
            name = f"{quadrant}_{number}.flac"
            soundfile.write(root / "music" / name, music(quadrant, 8, rng), RATE)
            mood = "lively" if quadrant in ("Q1", "Q2") else "calm"
            rows.append([name, quadrant, f"{quadrant} artist {number // 2}", f"{mood}; pop"])
    with (root / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", "quadrant", "artist", "moods"], *rows])
    return root


TINY = """
base = "{base}"
name = "tiny"
precision = "float32"

[features]
mels = 32

[network]
dropout = 0.0
blocks = {blocks}

[network.head]
trunk = [32]
dropout = 0.0
{head}

[pretrain]
epochs = 2
batch = 8
coverage = 1.0

[transfer]
batch = 16
coverage = 2.0
stages = [
    {{ frozen = true, epochs = 1, learning_rate = 1e-2 }},
    {{ epochs = {epochs}, learning_rate = 1e-2, schedule = "{schedule}" }},
]
"""


@pytest.fixture(scope="session")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both recipes of the package, with networks and schedules of a toy's size."""
    folder = tmp_path_factory.mktemp("recipes")
    tiny = {
        "base": TINY.format(
            base="base",
            blocks="[{ channels = 8, pool = [2, 2] }, { channels = 16, pool = [2, 4] }]",
            head="context = 1",
            epochs=8,
            schedule="one-cycle",
        )
        + "crop = 4\ntags = 1.0\naugment = { gain = 6.0, masks = 1 }\n",
        "seed": TINY.format(
            base="seed",
            blocks="[{ channels = 8, convolutions = 2, pool = [1, 4] },"
            " { channels = 8, convolutions = 2, pool = [1, 4] }]",
            head="branch = [16]",
            epochs=6,
            schedule="plateau",
        ),
    }
    for name, text in tiny.items():
        (folder / f"tiny-{name}.toml").write_text(text)
    return {name: folder / f"tiny-{name}.toml" for name in tiny}
