"""Log-mel spectrogram of a stream of samples, in numpy alone.

Equal to librosa's `log(melspectrogram(power=1) + eps)` with centred frames and Slaney's mel scale,
but computed in short chunks, so memory does not grow with the length of the audio.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quadpred.audio import read_blocks

__all__ = ["FeatureConfig", "file_log_mel", "log_mel", "log_mel_stream"]

Array = NDArray[np.float32]

_CHUNK = 64  # frames an FFT call: the fastest measured, its workspace stays in the L2 cache
_EPS = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class FeatureConfig:
    """How samples become log-mel frames; stored in every model file and read back to predict.

    `sample_rate`, `fmin`, `fmax` are in Hz; `n_fft`, `window` and `hop` in samples. `normalise_peak`
    divides a clip by its largest absolute sample, which takes a second reading of the file.
    """

    sample_rate: int = 16_000
    n_fft: int = 2048
    window: int = 1024
    hop: int = 500
    mels: int = 128
    fmin: float = 0.0
    fmax: float = 8000.0
    normalise_peak: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.window <= self.n_fft:
            raise ValueError(f"window must be in 1..n_fft ({self.n_fft}), not {self.window}")
        if not 0 < self.hop <= self.sample_rate:
            raise ValueError(f"hop must be in 1..sample_rate, not {self.hop}")
        if not 0 <= self.fmin < self.fmax <= self.sample_rate / 2:
            raise ValueError(f"need 0 <= fmin < fmax <= Nyquist, not {self.fmin}, {self.fmax}")

    @property
    def frames_per_second(self) -> float:
        """Frames in a second of audio."""
        return self.sample_rate / self.hop

    @property
    def frames_per_row(self) -> int:
        """Whole frames in one row, which speaks of one second."""
        return int(self.frames_per_second)

    def row_start(self, row: int) -> int:
        """Index of the first frame of the second [row, row + 1)."""
        return -(-row * self.sample_rate // self.hop)

    @cached_property
    def silence(self) -> float:
        """The log-mel value of digital silence."""
        return float(np.log(np.float32(_EPS)))

    def as_dict(self) -> dict[str, Any]:
        """Return the plain values, for a model's metadata."""
        return asdict(self)


def _hz_to_mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slaney's Auditory Toolbox (1998) scale: linear below 1 kHz, logarithmic above."""
    return np.where(
        hz < 1000.0, hz * 3 / 200, 15 + 27 * np.log(np.maximum(hz, 1e-9) / 1000) / np.log(6.4)
    )


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mel < 15.0, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


@lru_cache(maxsize=8)
def mel_filters(config: FeatureConfig) -> Array:
    """Return triangular filters of unit area, shape (n_fft // 2 + 1, mels)."""
    low, high = _hz_to_mel(np.array([config.fmin, config.fmax]))
    edges = _mel_to_hz(np.linspace(low, high, config.mels + 2))
    bins = np.fft.rfftfreq(config.n_fft, 1 / config.sample_rate)[:, None]
    rising = (bins - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins) / np.diff(edges)[1:]
    triangles = np.maximum(0, np.minimum(rising, falling)) * 2 / (edges[2:] - edges[:-2])
    return triangles.astype(np.float32)


@lru_cache(maxsize=8)
def _hann(length: int) -> Array:
    """Periodic Hann window."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)).astype(np.float32)


def _frames(samples: Array, config: FeatureConfig, count: int) -> Array:
    """Log-mel of the first `count` windows of `samples`, shape (count, mels)."""
    windows = np.lib.stride_tricks.sliding_window_view(samples, config.window)[:: config.hop]
    # The window sits in the middle of n_fft samples in librosa; at the start, as here, the
    # magnitude is the same, since a shift only turns the phase.
    spectrum = np.fft.rfft(windows[:count] * _hann(config.window), config.n_fft)
    # One square root of |z|^2 is several times faster than np.abs, which guards against overflow.
    magnitude = np.sqrt(spectrum.real**2 + spectrum.imag**2)
    return np.log(magnitude @ mel_filters(config) + np.float32(_EPS))


def log_mel_stream(blocks: Iterable[Array], config: FeatureConfig) -> Iterator[Array]:
    """Turn consecutive blocks of mono samples at `config.sample_rate` into log-mel frames.

    Frame k is centred on sample k * hop; samples before the start and after the end count as zero.
    N samples give 1 + N // hop frames however they are cut into blocks.

    Args:
        blocks: float32 arrays of shape (samples,), of any lengths.
        config: the front end.

    Yields:
        float32 arrays of shape (frames, mels), at most 64 frames each.

    """
    span = config.window + (_CHUNK - 1) * config.hop  # samples that a chunk of frames covers
    step = _CHUNK * config.hop
    pending = [np.zeros(config.window // 2, np.float32)]
    held, total = config.window // 2, 0
    for block in blocks:
        pending.append(block)
        held += len(block)
        total += len(block)
        if held < span:
            continue
        samples = np.concatenate(pending)
        start = 0
        while len(samples) - start >= span:
            yield _frames(samples[start : start + span], config, _CHUNK)
            start += step
        pending, held = [samples[start:].copy()], len(samples) - start
    if not total:
        return
    samples = np.concatenate([*pending, np.zeros(config.window, np.float32)])
    left = (held - config.window // 2) // config.hop + 1
    for first in range(0, left, _CHUNK):
        yield _frames(samples[first * config.hop :], config, min(_CHUNK, left - first))


def log_mel(samples: Array, config: FeatureConfig | None = None) -> Array:
    """Log-mel spectrogram of mono samples at `config.sample_rate`, shape (1 + samples // hop, mels).

    >>> log_mel(np.zeros(16_000, np.float32)).shape
    (33, 128)
    """
    config = config or FeatureConfig()
    chunks = list(log_mel_stream([np.asarray(samples, np.float32)], config))
    return np.concatenate(chunks) if chunks else np.empty((0, config.mels), np.float32)


def file_log_mel(path: str | PathLike[str], config: FeatureConfig) -> Iterator[Array]:
    """Log-mel frames of a file, streamed; see `log_mel_stream`.

    Raises:
        AudioError: the file cannot be read.

    """
    blocks = read_blocks(path, config.sample_rate)
    if config.normalise_peak:
        blocks = at_peak(blocks, peak(read_blocks(path, config.sample_rate)))
    return log_mel_stream(blocks, config)


def peak(blocks: Iterable[Array]) -> float:
    """Largest absolute sample of a stream, 0 if it has none."""
    return max((float(np.abs(block).max()) for block in blocks if len(block)), default=0.0)


def at_peak(blocks: Iterable[Array], peak: float) -> Iterator[Array]:
    """Divide a stream by its peak; silence stays as it is."""
    return (block / np.float32(peak or 1.0) for block in blocks)
