"""Generated speech and music, small enough to train on in seconds."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.corpora import MUSIC, RATE, music, speech

torch = pytest.importorskip("torch")

# Networks this small spend more time waiting for a second thread than computing.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"


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
    """Both recipes of the package, with tiny networks and short schedules."""
    folder = tmp_path_factory.mktemp("recipes")
    tiny = {
        "base": TINY.format(
            base="base",
            blocks="[{ channels = 8, pool = [2, 2] }, { channels = 16, pool = [2, 4] }]",
            head="context = 1\ntemporal = [16]",
            epochs=8,
            schedule="one-cycle",
        )
        + "crop = 4\naugment = { gain = 6.0, masks = 1 }\n",
        "eusipco2020": TINY.format(
            base="eusipco2020",
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
