"""Log-mel spectrogram of a stream of samples, and its chroma, in numpy alone.

The log-mel equals librosa's `log(melspectrogram(power=1) + eps)` with centred frames and Slaney's
mel scale. Mel bands are too wide to tell major from minor, so a front end may add chroma: the log
energy of each pitch class in half a second. All is computed in short chunks, so memory does not
grow with the length of the audio.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from os import PathLike
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from quadpred.audio import read_blocks

__all__ = [
    "CHUNK",
    "PITCH_CLASSES",
    "FeatureConfig",
    "file_log_mel",
    "log_mel",
    "log_mel_stream",
    "mel_filters",
    "scaled",
]

Array = NDArray[np.float32]

CHUNK = 64
"""Frames per transform, if latency does not matter."""

PITCH_CLASSES = 12

_GROUP = 16  # mel bands per matrix product
_PITCHES = (55.0, 4000.0)  # Hz: the range of chroma
_EPS = float(np.finfo(np.float32).eps)
_CHROMA_EPS = 1e-10  # of the energy of a sine of full scale, about -100 dB


_BOUNDS = (
    ("sample_rate", 1_000, 192_000),
    ("n_fft", 1, 1 << 16),
    ("window", 1, 1 << 16),
    ("hop", 1, 192_000),
    ("mels", 1, 512),
)
_MAX_FRAMES = 500  # per second


@dataclass(frozen=True)
class FeatureConfig:
    """How samples become log-mel frames; stored in every model file and read back to predict.

    `sample_rate`, `fmin` and `fmax` are in Hz; `n_fft`, `window` and `hop` in samples.
    `normalise_peak` divides a clip by its largest absolute sample, for which it is read twice. With
    `chroma`, the log energies of the twelve pitch classes, from C, follow the mel bands of each
    frame. They are those of the half row that the frame is in.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}  # recipes reject unknown keys

    sample_rate: int = 16_000
    n_fft: int = 2048
    window: int = 1024
    hop: int = 500
    mels: int = 128
    fmin: float = 0.0
    fmax: float = 8000.0
    normalise_peak: bool = False
    chroma: bool = False

    def __post_init__(self) -> None:
        # A model file holds these values. Without bounds, a file could claim any amount of memory.
        for name, low, high in _BOUNDS:
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:  # not a bool either
                raise ValueError(f"{name} must be an integer of {low} to {high}, not {value!r}")
        for name in ("normalise_peak", "chroma"):
            if type(getattr(self, name)) is not bool:
                raise ValueError(f"{name} must be true or false, not {getattr(self, name)!r}")
        if not 0 < self.window <= self.n_fft:
            raise ValueError(f"window must be in 1..n_fft ({self.n_fft}), not {self.window}")
        if not self.sample_rate / _MAX_FRAMES <= self.hop <= self.sample_rate:
            raise ValueError(f"hop must give 1 to {_MAX_FRAMES} frames per second, not {self.hop}")
        if not 0 <= self.fmin < self.fmax <= self.sample_rate / 2:
            raise ValueError(f"need 0 <= fmin < fmax <= Nyquist, not {self.fmin}, {self.fmax}")
        if self.chroma and (
            self.sample_rate % (2 * self.hop)
            or 2 * self.hop > self.window
            or self.sample_rate < 8000
        ):
            raise ValueError(
                "chroma needs 8000 Hz or more, an even number of frames per second, and windows of"
                " at least two hops"
            )

    @property
    def width(self) -> int:
        """Number of values per frame."""
        return self.mels + PITCH_CLASSES * self.chroma

    @property
    def frames_per_second(self) -> float:
        """Number of frames per second of audio."""
        return self.sample_rate / self.hop

    @property
    def frames_per_row(self) -> int:
        """Whole frames in one row of one second."""
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
    """Return triangular filters of unit area, float32 of shape (n_fft // 2 + 1, mels)."""
    low, high = _hz_to_mel(np.array([config.fmin, config.fmax]))
    edges = _mel_to_hz(np.linspace(low, high, config.mels + 2))
    bins = np.fft.rfftfreq(config.n_fft, 1 / config.sample_rate)[:, None]
    rising = (bins - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins) / np.diff(edges)[1:]
    triangles = np.maximum(0, np.minimum(rising, falling)) * 2 / (edges[2:] - edges[:-2])
    return triangles.astype(np.float32)


@lru_cache(maxsize=8)
def _bands(config: FeatureConfig) -> list[tuple[slice, slice, Array]]:
    """Cut the filters into groups of bands, each with the bins that it covers.

    Returns:
        Bins, bands, and the filters between them, per group.
    """
    groups = []
    for first in range(0, config.mels, _GROUP):
        bands = slice(first, first + _GROUP)
        filters = mel_filters(config)[:, bands]
        used = np.flatnonzero(filters.any(axis=1))
        bins = slice(used[0], used[-1] + 1) if len(used) else slice(0)
        groups.append((bins, bands, np.ascontiguousarray(filters[bins])))
    return groups


@lru_cache(maxsize=8)
def chroma_filters(sample_rate: int, n_fft: int) -> tuple[slice, Array]:
    """Return the bins of a power spectrum from 55 to 4,000 Hz, and their weights in pitch classes.

    A bin belongs to classes by a Gaussian of its distance in pitch, with a deviation of half a
    semitone. Octaves are weighted by a Gaussian around 880 Hz, with a deviation of two octaves
    (Ellis 2007, "Chroma feature analysis and synthesis"). Tuning is A4 = 440 Hz.

    Returns:
        The bins, and their weights, shape (bins, 12), from C.
    """
    hertz = np.fft.rfftfreq(n_fft, 1 / sample_rate)
    low, high = np.searchsorted(hertz, _PITCHES)
    octaves = np.log2(hertz[low:high, None] / 440)
    # The nearest semitone of each class, on a circle of twelve.
    distance = (12 * octaves + 9 - np.arange(PITCH_CLASSES) + 6) % 12 - 6
    classes = np.exp(-0.5 * (distance / 0.5) ** 2)
    classes /= np.linalg.norm(classes, axis=1, keepdims=True)
    filters = classes * np.exp(-0.5 * ((octaves - 1) / 2) ** 2)
    return slice(int(low), int(high)), filters.astype(np.float32)


class _Chroma:
    """Log energy of pitch classes, one window of half a row after the other."""

    def __init__(self, config: FeatureConfig, chunk: int):
        self._frames = config.frames_per_row // 2
        self._size = self._frames * config.hop
        n_fft = 1 << (self._size - 1).bit_length()
        self._bins, self._filters = chroma_filters(config.sample_rate, n_fft)
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self._size) / self._size)
        self._hann = (hann / hann.sum()).astype(np.float32)
        self._padded = np.zeros((chunk // self._frames, n_fft), np.float32)
        self._spectrum = np.empty((chunk // self._frames, n_fft // 2 + 1), np.complex64)

    def __call__(self, samples: Array, count: int) -> Array:
        """Chroma of `count` frames, the first of which begins with `samples`; (count, 12)."""
        groups = -(-count // self._frames)
        samples = samples[: groups * self._size]
        missing = groups * self._size - len(samples)  # at the end
        windows = (np.pad(samples, (0, missing)) if missing else samples).reshape(groups, -1)
        np.multiply(windows, self._hann, out=self._padded[:groups, : self._size])
        # The type stubs of numpy know no single precision.
        np.fft.rfft(self._padded[:groups], out=self._spectrum[:groups])  # type: ignore[arg-type]
        spectrum = self._spectrum[:groups, self._bins]
        energies = (spectrum.real**2 + spectrum.imag**2) @ self._filters
        energies = np.repeat(energies, self._frames, axis=0)[:count]
        energies += np.float32(_CHROMA_EPS)
        return np.log(energies, out=energies)


class _FrontEnd:
    """Turn up to `chunk` windows at a time into log-mel, in memory that is allocated once.

    numpy transforms float32 in double precision. To allocate memory for the conversion can take
    four times as long as the transform. Hence double throughout.
    """

    def __init__(self, config: FeatureConfig, chunk: int):
        self._config = config
        self._chroma = _Chroma(config, chunk) if config.chroma else None
        turns = np.arange(config.window) / config.window
        self._hann = 0.5 - 0.5 * np.cos(2 * np.pi * turns)  # periodic
        bins = config.n_fft // 2 + 1
        self._padded = np.zeros((chunk, config.n_fft))
        self._spectrum = np.empty((chunk, bins), np.complex128)
        self._magnitude = np.empty((chunk, bins), np.float32)

    def __call__(self, samples: Array, count: int) -> Array:
        """Log-mel of the first `count` windows of `samples`, shape (count, values per frame)."""
        config, magnitude = self._config, self._magnitude[:count]
        windows = np.lib.stride_tricks.sliding_window_view(samples, config.window)[:: config.hop]
        # librosa puts the window in the middle of n_fft samples. At their start, as here, it gives
        # the same magnitude, since a shift changes the phase only.
        np.multiply(windows[:count], self._hann, out=self._padded[:count, : config.window])
        np.fft.rfft(self._padded[:count], out=self._spectrum[:count])
        np.abs(self._spectrum[:count], out=magnitude)
        mel = np.empty((count, config.mels), np.float32)
        for bins, bands, filters in _bands(config):
            np.matmul(magnitude[:, bins], filters, out=mel[:, bands])
        mel += np.float32(_EPS)
        np.log(mel, out=mel)
        if self._chroma is None:
            return mel
        return np.concatenate([mel, self._chroma(samples[config.window // 2 :], count)], 1)


def log_mel_stream(
    blocks: Iterable[Array], config: FeatureConfig, chunk: int = CHUNK
) -> Iterator[Array]:
    """Turn consecutive blocks of mono samples at `config.sample_rate` into log-mel frames.

    Frame k is centred on sample k * hop; samples before the start and after the end count as zero.
    N samples give 1 + N // hop frames however they are cut into blocks.

    Args:
        blocks: float32 arrays of shape (samples,), of any lengths.
        config: the front end.
        chunk: frames per transform; fewer have less latency and cost more. With chroma it is
            rounded up to half rows.

    Yields:
        float32 arrays of shape (frames, values per frame), at most `chunk` frames each.

    """
    if config.chroma:
        half = config.frames_per_row // 2
        chunk = -(-chunk // half) * half
    front_end = _FrontEnd(config, chunk)
    span = config.window + (chunk - 1) * config.hop  # samples that a chunk of frames covers
    step = chunk * config.hop
    before = config.n_fft // 2 - (config.n_fft - config.window) // 2  # samples of a frame
    pending = [np.zeros(before, np.float32)]
    held, total = before, 0
    for block in blocks:
        pending.append(block)
        held += len(block)
        total += len(block)
        if held < span:
            continue
        samples = np.concatenate(pending)
        start = 0
        while len(samples) - start >= span:
            yield front_end(samples[start : start + span], chunk)
            start += step
        pending, held = [samples[start:].copy()], len(samples) - start
    if not total:
        return
    samples = np.concatenate([*pending, np.zeros(config.window, np.float32)])
    left = (held - before) // config.hop + 1
    for first in range(0, left, chunk):
        yield front_end(samples[first * config.hop :], min(chunk, left - first))


def log_mel(samples: Array, config: FeatureConfig | None = None) -> Array:
    """Frames of mono samples at `config.sample_rate`, shape (1 + samples // hop, values per frame).

    >>> log_mel(np.zeros(16_000, np.float32)).shape
    (33, 128)
    """
    config = config or FeatureConfig()
    chunks = list(log_mel_stream([np.asarray(samples, np.float32)], config))
    return np.concatenate(chunks) if chunks else np.empty((0, config.width), np.float32)


def file_log_mel(path: str | PathLike[str], config: FeatureConfig) -> Iterator[Array]:
    """Log-mel frames of a file, streamed; see `log_mel_stream`.

    Raises:
        AudioError: the file cannot be read.

    """

    def read() -> Iterator[Array]:
        return read_blocks(path, config.sample_rate)

    return log_mel_stream(scaled(read(), read, config), config)


def scaled(
    blocks: Iterable[Array], again: Callable[[], Iterable[Array]], config: FeatureConfig
) -> Iterable[Array]:
    """Divide a stream of samples by its peak if the front end requires it.

    Args:
        blocks: float32 arrays of shape (samples,), of any lengths.
        again: returns the same stream from its beginning, to find the peak.
        config: the front end.

    Returns:
        Blocks of the same shapes; of digital silence, as they are.
    """
    if not config.normalise_peak:
        return blocks
    peak = max((float(np.abs(block).max()) for block in again() if len(block)), default=0.0)
    return (block / np.float32(peak or 1.0) for block in blocks)
