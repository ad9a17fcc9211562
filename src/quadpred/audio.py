"""Any audio file or array to mono float32 blocks at one sample rate.

Streamed: nothing here holds more than one block of a file.
"""

import math
import os
import warnings
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import ArrayLike, NDArray

from quadpred.sources import AudioError, Source, open_source, printable

__all__ = [
    "AudioError",
    "AudioWarning",
    "SecondLevels",
    "TooLongError",
    "at_most",
    "live_blocks",
    "read_blocks",
    "resample",
    "sample_blocks",
]

Array = NDArray[np.float32]
OnBlock = Callable[[Array, int], None]
"""Called with each decoded block, shape (samples, channels), and its rate in Hz."""

_BLOCK = 1 << 18  # samples, of all channels together, that are decoded at once
_RATES = range(1_000, 1_000_001)  # Hz; a header that says otherwise is damaged
_CHANNELS = 256  # an array with more has its axes exchanged
_SLACK = 0.25  # seconds, more than the delay and padding that an encoder adds and a decoder cuts
_LOUDEST = 1e12  # full scale is 1; floats that hold 32-bit integers reach 2e9, damage 3e38
_SAMPLES = "samples"  # in place of a path

# -60 dBFS, as RMS of a second: below lie the noise of tape and the very end of a fade-out, above it
# the quiet passages of music, which are 40 to 50 dB under its loudest.
_SILENCE = 1e-3


class AudioWarning(UserWarning):
    """A file that could be read in part only."""


class TooLongError(AudioError):
    """Audio that lasts longer than it may."""


def _check_rate(path: str, rate: int) -> None:
    if rate not in _RATES:
        raise AudioError(path, f"a sample rate of {rate} Hz is not supported")


def _mono(block: NDArray[Any], path: str) -> Array:
    """Mix (samples, channels) with equal weights into (samples,); refuse what is no sound."""
    channels = block.shape[1]
    with np.errstate(invalid="ignore", over="ignore"):
        # A dot product is 25 times faster than mean(axis=1) over so short an axis.
        mono = block.astype(np.float32, copy=False) @ np.full(channels, 1 / channels, np.float32)
    peak = float(np.abs(mono).max(initial=0))
    if not math.isfinite(peak):
        raise AudioError(path, "holds samples that are not finite numbers")
    if peak > _LOUDEST:
        raise AudioError(path, f"holds samples as large as {peak:.0e}")
    return mono


def _read(sound: soundfile.SoundFile, buffer: Array) -> tuple[Array, bool]:
    """Fill the buffer as far as possible; the second value is whether damage ended it."""
    buffer.fill(np.nan)
    try:
        return sound.read(out=buffer), False
    except soundfile.LibsndfileError:
        # libsndfile does not say how much it had decoded; what it had not is still NaN.
        return buffer[: np.isnan(buffer[:, 0]).argmax()], True


def _decode(path: str, source: Source, on_block: OnBlock | None) -> Iterator[Array]:
    """Yield mono blocks at the file's own rate, and warn of what is missing."""
    announced, rate = source.announced, source.sound.samplerate
    channels = source.sound.channels
    buffer = np.empty((_BLOCK // channels, channels), np.float32)
    samples, broken = 0, False
    while not broken:
        block, broken = _read(source.sound, buffer)
        if not len(block):
            break
        samples += len(block)
        mono = _mono(block, path)
        if on_block:
            on_block(block, rate)
        yield mono
    if not samples:
        raise AudioError(path, "holds no samples")
    seconds = samples / rate
    short = announced is not None and announced - seconds > _SLACK
    if broken or short or source.lossy():
        what = f"{seconds:.1f} of {announced:.1f} seconds" if short else f"{seconds:.1f} seconds"
        text = f"{printable(path)}: decoded {what}, others are damaged or missing"
        warnings.warn(text, AudioWarning, stacklevel=4)


def resample(blocks: Iterable[Array], rate: int, target: int) -> Iterator[Array]:
    """Resample consecutive mono blocks of shape (samples,) from `rate` to `target`, both in Hz."""
    if rate == target:
        yield from blocks
        return
    stream = soxr.ResampleStream(rate, target, 1, dtype="float32")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.empty(0, np.float32), last=True)


def read_blocks(
    path: str | os.PathLike[str], sample_rate: int, on_block: OnBlock | None = None
) -> Iterator[Array]:
    """Decode a file to mono at `sample_rate` Hz; `on_block` gets all channels at the file's rate.

    Of a damaged file, what can be decoded is decoded, and an `AudioWarning` says how much that was.

    Yields:
        float32 arrays of shape (samples,).

    Raises:
        AudioError: the file cannot be read, holds no audio, or holds samples that are not finite.
    """
    path = os.fspath(path)
    with ExitStack() as stack:
        source = open_source(path, stack)
        _check_rate(path, source.sound.samplerate)
        yield from resample(_decode(path, source, on_block), source.sound.samplerate, sample_rate)


def at_most(
    seconds: float, blocks: Iterable[Array], sample_rate: int, path: str
) -> Iterator[Array]:
    """Pass blocks of shape (samples,) at `sample_rate` Hz through, until they are too many.

    Raises:
        TooLongError: they last longer than `seconds`.
    """
    left = seconds * sample_rate
    for block in blocks:
        left -= len(block)
        if left < 0:
            raise TooLongError(path, f"lasts longer than {seconds:g} seconds")
        yield block


def _scale(block: NDArray[Any]) -> NDArray[Any]:
    """Scale integers of any width to [-1, 1); leave floats."""
    if block.dtype.kind == "f":
        return block
    half = 2.0 ** (8 * block.dtype.itemsize - 1)
    return block / half - (block.dtype.kind == "u")


def sample_blocks(samples: ArrayLike, rate: int, sample_rate: int) -> Iterator[Array]:
    """Turn samples at `rate` Hz into mono blocks at `sample_rate` Hz.

    Args:
        samples: shape (samples,) or (samples, channels); floats, or integers, which are scaled from
            their full range to [-1, 1).
        rate: in Hz.
        sample_rate: in Hz.

    Yields:
        float32 arrays of shape (samples,).

    Raises:
        AudioError: no samples, another shape or type, or samples that are not finite.
    """
    data = np.asarray(samples)
    if data.dtype.kind not in "fiu":
        raise AudioError(_SAMPLES, f"must be floats or integers, not {data.dtype}")
    if data.ndim not in (1, 2) or data.shape[1:] > (_CHANNELS,):
        expected = "(samples,) or (samples, channels)"
        raise AudioError(_SAMPLES, f"must have the shape {expected}, not {data.shape}")
    if not data.size:
        raise AudioError(_SAMPLES, "there are none")
    _check_rate(_SAMPLES, rate)
    data = data.reshape(len(data), -1)
    step = _BLOCK // data.shape[1]
    pieces = (data[start : start + step] for start in range(0, len(data), step))
    yield from resample((_mono(_scale(piece), _SAMPLES) for piece in pieces), rate, sample_rate)


def live_blocks(blocks: Iterable[Array], rate: int, sample_rate: int) -> Iterator[Array]:
    """Resample mono float32 blocks of shape (samples,) that come one by one.

    Args:
        blocks: consecutive, of any lengths.
        rate: in Hz.
        sample_rate: in Hz.

    Yields:
        float32 arrays of shape (samples,).

    Raises:
        AudioError: the rate is not supported, there are no samples, or some are not finite.
    """
    _check_rate(_SAMPLES, rate)
    heard = False
    for block in resample((_mono(block[:, None], _SAMPLES) for block in blocks), rate, sample_rate):
        heard = heard or bool(len(block))
        yield block
    if not heard:
        raise AudioError(_SAMPLES, "there are none")


class SecondLevels:
    """How loud every second is of the blocks that pass by.

    >>> levels = SecondLevels(8_000)
    >>> sum(len(block) for block in levels.watch([np.zeros(8_000, np.float32)] * 3))
    24000
    >>> levels.silent(3)
    array([ True,  True,  True])

    Attributes:
        samples: how many have passed.
    """

    def __init__(self, sample_rate: int):
        self.samples = 0
        self._rate = sample_rate
        self._moments = np.zeros(3)  # count, sum, sum of squares of the current second
        self._power = array("d")  # mean square around the mean, a second

    def watch(self, blocks: Iterable[Array]) -> Iterator[Array]:
        """Pass consecutive mono blocks of shape (samples,) through."""
        for block in blocks:
            self._add(block)
            yield block

    def _add(self, block: Array) -> None:
        start = 0
        while start < len(block):
            past = self.samples % self._rate
            if not past:
                self._moments = np.zeros(3)
                self._power.append(0)
            piece = block[start : start + self._rate - past].astype(np.float64)
            # Not piece @ piece: BLAS would wake its threads for it, which costs ten times the rest.
            squares = np.einsum("i,i", piece, piece)
            self._moments += np.array([len(piece), piece.sum(), squares])
            _, mean, square = self._moments / self._moments[0]
            self._power[-1] = square - mean**2
            start += len(piece)
            self.samples += len(piece)

    def silent(self, rows: int) -> NDArray[np.bool_]:
        """Tell for each second [k, k + 1) whether there is nothing to hear, shape (rows,).

        A second counts by its RMS around its mean, for an offset is not heard. The last one counts
        by the samples it has; what lies after the end is silent.
        """
        power = np.zeros(rows)
        power[: len(self._power)] = self._power[:rows]
        return power < _SILENCE**2
