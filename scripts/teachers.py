"""What two teachers say of the music that our networks hear, for them to learn.

    pip install tensorflow-cpu
    python scripts/teachers.py DATA RUNS

The teachers are the two networks of musicnn (Pons and Serra 2019, ISC licence; from PyPI), which
learned the tags of a million songs and of MagnaTagATune. RUNS/teachers gets an archive a corpus,
with each clip's 200 penultimate activations and 50 tag probabilities of either, in patches of 3 s.
What DATA holds of the first, heard on the original audio, is taken from there. TensorFlow only
reads musicnn's weights.
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from opinions import archive_of
from torch import Tensor
from torch.nn import functional as F

from quadpred.features import FeatureConfig, mel_filters

MUSICNN = "musicnn==0.1.0"
CORPORA = "MSD", "MTT"  # the Million Song Dataset, MagnaTagATune
FRONT_END = FeatureConfig(sample_rate=16_000, n_fft=512, window=512, hop=256, mels=96)
PATCH = 187  # frames, about 3 s
KNOWN = {"4q": "music_english/4qaed", "emotify": "music_general/emotify"}  # what MSD's says there

Array = NDArray[np.float32]


class Musicnn:
    """One of its networks: samples at 16 kHz to activations and tags of patches of 3 s."""

    def __init__(self, variables: dict[str, Tensor]):
        self.variables = variables
        self.filters = torch.from_numpy(mel_filters(FRONT_END))

    @classmethod
    def download(cls) -> list["Musicnn"]:
        """Take the networks out of the package on PyPI, which cannot be installed any more."""
        import tensorflow

        with tempfile.TemporaryDirectory() as name:
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", MUSICNN]
            subprocess.run(command, cwd=name, check=True)
            (wheel,) = Path(name).glob("*.whl")
            with zipfile.ZipFile(wheel) as files:
                files.extractall(name)
            return [
                cls(
                    {
                        key: torch.as_tensor(reader.get_tensor(key))
                        for key in reader.get_variable_to_shape_map()
                        if "Adam" not in key
                    }
                )
                for reader in (
                    tensorflow.compat.v1.train.NewCheckpointReader(
                        f"{name}/musicnn/{corpus}_musicnn/"
                    )
                    for corpus in CORPORA
                )
            ]

    def __call__(self, samples: Array) -> Array:
        """Values of shape (patches, 250) of samples of shape (samples,)."""
        with torch.inference_mode():
            return self._values(self._patches(torch.from_numpy(samples))).numpy()

    def _patches(self, samples: Tensor) -> Tensor:
        window = torch.hann_window(FRONT_END.window)
        spectrum = torch.stft(
            samples,
            FRONT_END.n_fft,
            FRONT_END.hop,
            window=window,
            pad_mode="constant",
            return_complex=True,
        )
        mel = spectrum.abs().square().T @ self.filters
        whole = torch.log10(10_000 * mel.half().float() + 1)
        count = len(whole) // PATCH
        return whole[: count * PATCH].reshape(count, PATCH, FRONT_END.mels)

    def _values(self, patches: Tensor) -> Tensor:
        """Filters over timbre and over time, three residual layers, pooling, one dense layer."""
        frames = self._norm(patches[:, None], 0)
        maps = []
        for number, (before, after) in enumerate([(3, 3), (3, 3), (63, 64), (31, 32), (15, 16)]):
            kernel, bias = self._layer("conv2d", number)
            wide = F.conv2d(F.pad(frames, (0, 0, before, after)), kernel.permute(3, 2, 0, 1), bias)
            maps.append(self._norm(wide.relu(), number + 1).amax(3))
        front = torch.cat(maps, 1)
        layers = [front]
        for number in (5, 6, 7):
            kernel, bias = self._layer("conv2d", number)
            padded = F.pad(layers[-1], (3, 3))
            deep = F.conv1d(padded, kernel[:, :, 0].permute(2, 1, 0), bias).relu()
            layers.append(self._norm(deep, number + 1) + (layers[-1] if number > 5 else 0))
        series = torch.cat(layers, 1)
        pooled = torch.stack([series.amax(2), series.mean(2)], 2).flatten(1)
        kernel, bias = self._layer("dense", 0)
        penultimate = self._norm((self._norm(pooled, 9) @ kernel + bias).relu(), 10)
        kernel, bias = self._layer("dense", 1)
        return torch.cat([penultimate, (penultimate @ kernel + bias).sigmoid()], 1)

    def _layer(self, kind: str, number: int) -> tuple[Tensor, Tensor]:
        name = f"{kind}_{number}" if number else kind
        return self.variables[f"{name}/kernel"], self.variables[f"{name}/bias"]

    def _norm(self, values: Tensor, number: int) -> Tensor:
        name = f"batch_normalization_{number}" if number else "batch_normalization"
        mean, variance, gamma, beta = (
            self.variables[f"{name}/{part}"]
            for part in ("moving_mean", "moving_variance", "gamma", "beta")
        )
        return F.batch_norm(values, mean, variance, gamma, beta, eps=1e-3)


def said(path: Path, networks: list[Musicnn], known: NDArray[np.float16] | None) -> Array:
    """Values of shape (patches, 500) of a recording, of which the first 250 may be `known`."""
    samples, _ = soundfile.read(path, dtype="float32")
    first, second = networks
    values = [first(samples) if known is None else known, second(samples)]
    patches = min(map(len, values))
    return np.hstack([each[:patches] for each in values])


def main() -> None:
    """Write what is missing."""
    from ship import free_music, manifests

    data, runs = map(Path, sys.argv[1:])
    made = manifests(data, runs) | {"free": free_music(runs)}
    networks = Musicnn.download()
    for name in ("4q", "emotify", "free"):
        archive = archive_of(made[name].sheet, runs / "teachers")
        if archive.exists():
            continue
        archive.parent.mkdir(exist_ok=True)
        known = np.load(data / KNOWN[name] / "teacher.npz") if name in KNOWN else {}
        values = {
            clip.path.stem: said(clip.path, networks, known.get(clip.path.stem)).astype(np.float16)
            for clip in made[name].clips
        }
        part = archive.with_suffix(".part.npz")
        np.savez_compressed(part, **values)
        os.replace(part, archive)


if __name__ == "__main__":
    main()
