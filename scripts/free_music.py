"""Music that anyone may have, and what musicnn hears in it: for distillation alone, no labels.

    pip install tensorflow-cpu
    python scripts/free_music.py FOLDER

Takes the music of free games (the Debian 12 packages of free_music.txt; each names its licences in
its copyright file) by `apt-get`, keeps excerpts of 30 s as FOLDER/*.ogg, and writes in teacher.npz
for each the 200 penultimate activations and 50 tag probabilities of musicnn (Pons and Serra
2019, ISC licence; from PyPI) in patches of 3 s. TensorFlow only reads musicnn's weights. What is
finished is not done again; several GB pass through a temporary folder.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from quadpred.features import FeatureConfig, mel_filters

PACKAGES = Path(__file__).with_suffix(".txt").read_text().split()
SUFFIXES = {".ogg", ".mp3", ".flac", ".opus", ".oga"}
SECONDS = 30
SHORTEST = 40  # seconds: shorter files are sounds, not music
QUIET = 0.003  # root mean square below which an excerpt is left out
RATE = 16_000
MUSICNN = "musicnn==0.1.0"
FRONT_END = FeatureConfig(sample_rate=RATE, n_fft=512, window=512, hop=256, mels=96)
PATCH = 187  # frames, about 3 s

Array = NDArray[np.float32]


def fetch(package: str, folder: Path) -> None:
    """Keep excerpts of a package's music."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        command = ["apt-get", "-q", "download", package]
        subprocess.run(command, cwd=place, check=True, capture_output=True)
        (archive,) = place.glob("*.deb")
        unpacked = place / "unpacked.tar"
        with unpacked.open("wb") as file:
            subprocess.run(["dpkg-deb", "--fsys-tarfile", archive], check=True, stdout=file)
        with tarfile.open(unpacked) as files:
            for member in files:
                path = Path(member.name)
                if member.isfile() and path.suffix.lower() in SUFFIXES:
                    (place / "track").write_bytes(files.extractfile(member).read())
                    # What libsndfile cannot read, or not to its end, is left out.
                    with suppress(soundfile.LibsndfileError):
                        keep(place / "track", folder, f"{package}--{path.stem.replace(' ', '_')}")


def keep(track: Path, folder: Path, name: str) -> None:
    """Write one to three excerpts of a track, spread evenly."""
    with soundfile.SoundFile(track) as sound:
        seconds = sound.frames / sound.samplerate
        if seconds < SHORTEST:
            return
        count = 1 if seconds < 75 else 2 if seconds < 180 else 3
        for number in range(count):
            sound.seek(int((seconds - SECONDS) * (number + 0.5) / count * sound.samplerate))
            samples = sound.read(SECONDS * sound.samplerate, dtype="float32", always_2d=True)
            mono = soxr.resample(samples.mean(1), sound.samplerate, RATE)
            if len(mono) > (SECONDS - 1) * RATE and np.sqrt(np.mean(mono**2)) > QUIET:
                output = folder / f"{name}--{number}.ogg"
                soundfile.write(output, mono.clip(-1, 1), RATE, format="OGG", subtype="OPUS")


class Musicnn:
    """The network MSD_musicnn: samples at 16 kHz to activations and tags of patches of 3 s."""

    def __init__(self, variables: dict[str, Tensor]):
        self.variables = variables
        self.filters = torch.from_numpy(mel_filters(FRONT_END))

    @classmethod
    def download(cls) -> "Musicnn":
        """Take the weights out of the package on PyPI, which cannot be installed any more."""
        import tensorflow

        with tempfile.TemporaryDirectory() as name:
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", MUSICNN]
            subprocess.run(command, cwd=name, check=True)
            (wheel,) = Path(name).glob("*.whl")
            with zipfile.ZipFile(wheel) as files:
                files.extractall(name)
            reader = tensorflow.compat.v1.train.NewCheckpointReader(f"{name}/musicnn/MSD_musicnn/")
            names = [key for key in reader.get_variable_to_shape_map() if "Adam" not in key]
            return cls({key: torch.as_tensor(reader.get_tensor(key)) for key in names})

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


def taught(folder: Path, musicnn: Musicnn) -> Iterator[tuple[str, NDArray[np.float16]]]:
    """Yield the teacher's values of each excerpt, by its name without ending."""
    for path in sorted(folder.glob("*.ogg")):
        samples, _ = soundfile.read(path, dtype="float32")
        yield path.stem, musicnn(samples).astype(np.float16)


def main() -> None:
    """Fetch what is missing, then teach."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        done = folder / f"{package}.done"
        if not done.exists():
            fetch(package, folder)
            done.touch()
    if not (folder / "teacher.npz").exists():
        part = folder / "teacher.part.npz"
        np.savez_compressed(part, **dict(taught(folder, Musicnn.download())))
        os.replace(part, folder / "teacher.npz")


if __name__ == "__main__":
    main()
