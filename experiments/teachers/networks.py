"""The teachers, as ONNX files, with the front end that each was trained with.

The front ends follow the publications: YAMNet (Plakal and Ellis 2020, Apache 2.0), musicnn (Pons
and Serra 2019, ISC), and the FCN taggers (Choi et al. 2016) as in Won et al. 2020 (MIT).
All take mono samples at 16 kHz.
"""

from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from scipy.signal import get_window

from quadpred.features import FeatureConfig, mel_filters

__all__ = ["RATE", "FcnTagger", "Musicnn", "Yamnet"]

RATE = 16_000  # Hz
BINS = np.linspace(0, RATE / 2, 257)
"""Frequencies of a spectrum of 512 samples."""

Array = NDArray[np.float32]


def open_network(path: Path) -> onnxruntime.InferenceSession:
    """Open an ONNX file on one thread; denormal weights, which are slow, count as zero."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def power_spectrogram(samples: Array, padding: Literal["constant", "reflect"]) -> Array:
    """Power spectrogram of shape (frames, 257): window of 512 samples, hop of 256, centred."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, 256, padding), 512)[::256]
    spectrum = np.fft.rfft(frames * get_window("hann", 512).astype(np.float32))
    power: Array = (np.abs(spectrum) ** 2).astype(np.float32)
    return power


class Yamnet:
    """YAMNet's embedding once per second, each of a patch of 0.96 s.

    Args:
        folder: that holds yamnet.onnx.
    """

    PATCH = 96  # frames of 10 ms
    BATCH = 16  # patches per call

    def __init__(self, folder: Path):
        self._network = open_network(folder / "yamnet.onnx")
        low, high = _htk_mels(np.array([125.0, 7500.0]))
        self._bands = _triangles(_htk_mels(BINS), np.linspace(low, high, 64 + 2))
        self._bands[0] = 0  # no constant

    def __call__(self, samples: Array) -> Array:
        """Embeddings of shape (patches, 1024); patch k begins at second k."""
        shortest = 400 + 160 * (self.PATCH - 1)
        samples = np.pad(samples, (0, max(0, shortest - len(samples))))
        frames = np.lib.stride_tricks.sliding_window_view(samples, 400)[::160]
        window = get_window("hann", 400)
        magnitude = np.abs(np.fft.rfft(frames * window, 512)).astype(np.float32)
        log_mel = np.log(magnitude @ self._bands + 0.001, dtype=np.float32)
        starts = range(0, len(log_mel) - self.PATCH + 1, 100)
        patches = np.stack([log_mel[start : start + self.PATCH] for start in starts])
        parts = [
            self._network.run(["emb"], {"p": patches[k : k + self.BATCH]})[0]
            for k in range(0, len(patches), self.BATCH)
        ]
        return np.concatenate(parts)


class Musicnn:
    """musicnn trained on the Million Song Dataset: values of patches of 2.992 s.

    Args:
        folder: that holds MSD_musicnn.onnx.
    """

    PATCH = 187  # frames

    def __init__(self, folder: Path):
        self._network = open_network(folder / "MSD_musicnn.onnx")
        self._bands = mel_filters(FeatureConfig(n_fft=512, window=512, mels=96))

    def __call__(self, samples: Array) -> Array:
        """Values of shape (patches, 250): 200 hidden units, then the probabilities of 50 tags.

        Patch k begins at 2.992 k seconds; an incomplete patch counts only if it is the first.
        """
        mel = power_spectrogram(samples, "constant") @ self._bands
        log_mel = np.log10(10_000 * mel + 1).astype(np.float32)
        log_mel = np.pad(log_mel, ((0, max(0, self.PATCH - len(log_mel))), (0, 0)))
        count = len(log_mel) // self.PATCH
        rows = []
        for patch in np.split(log_mel[: count * self.PATCH], count):
            hidden, logits = self._network.run(None, {"p": patch[None]})
            rows.append(np.concatenate([hidden[0], 1 / (1 + np.exp(-logits[0]))]))
        return np.stack(rows)


class FcnTagger:
    """A fully convolutional tagger: values of excerpts of 29 s.

    Args:
        path: jamendo_fcn.onnx or msd_fcn.onnx.
    """

    LENGTH = 29 * RATE

    def __init__(self, path: Path):
        self._network = open_network(path)
        mels = np.linspace(0, _htk_mels(np.array(RATE / 2)), 96 + 2)
        self._bands = _triangles(BINS, 700 * (10 ** (mels / 2595) - 1))

    def __call__(self, samples: Array) -> Array:
        """Values of shape (excerpts, 114): 64 hidden units, then the probabilities of 50 tags.

        Excerpts follow each other in the middle of the recording; a shorter one is repeated.
        """
        if len(samples) < self.LENGTH:
            samples = np.resize(samples, self.LENGTH)
        count = len(samples) // self.LENGTH
        first = (len(samples) - count * self.LENGTH) // 2
        rows = []
        for part in np.split(samples[first : first + count * self.LENGTH], count):
            mel = power_spectrogram(part, "reflect") @ self._bands
            decibels = 10 * np.log10(np.maximum(mel, 1e-10))
            hidden, tags = self._network.run(None, {"mel": decibels.T[None].astype(np.float32)})
            rows.append(np.concatenate([hidden[0], tags[0]]))
        return np.stack(rows)


def _htk_mels(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert frequencies to the mel scale of HTK."""
    return np.asarray(2595 * np.log10(1 + hertz / 700))


def _triangles(bins: NDArray[np.float64], edges: NDArray[np.float64]) -> Array:
    """Filters that rise and fall linearly from each edge to the next, shape (bins, edges - 2)."""
    rising = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    filters: Array = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    return filters
