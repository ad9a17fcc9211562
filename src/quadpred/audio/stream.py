"""Mono blocks at one sample rate, from files, arrays and live audio, by one filter graph."""

import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quadpred.audio.errors import AudioError, AudioWarning, TooLongError
from quadpred.audio.levels import SILENCE
from quadpred.files import printable

# PyAV is slow to import, so only the functions that need it import it.
if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

__all__ = [
    "AudioReader",
    "OnBlock",
    "at_most",
    "live_blocks",
    "probe",
    "read_blocks",
    "sample_blocks",
]

Array = NDArray[np.float32]
OnBlock = Callable[[Array, int], None]
"""Called with each decoded block, shape (samples, channels), and its rate in Hz."""

GROUP = 1 << 18  # samples, of all channels together, that are mixed in one way
_GLANCE = 1 << 9  # samples by which channels are found not to cancel
BLOCK = 1 << 16  # samples of a block that leaves the graph
_RATES = range(1_000, 3_072_001)  # Hz, from the lowest of speech codecs to DSD512
_CHANNELS = 64  # as many can be mixed; an array with more has its axes exchanged
_LOUD = 64  # full scale is 1; neither mastering nor a gain in the header exceeds it so far
_LOUDEST = 1e12  # floats that hold 32-bit integers reach 2e9, damage 3e38
_SAMPLES = "samples"  # in place of a path
_NOT_FINITE = "holds samples that are not finite numbers"
_COHERENCE = 0.01  # power of the mix over its power if channels were independent

_SCALES = (1 << 7, 1 << 15, 1 << 23, 1 << 31)  # of integers

# Below 85 % of the lower Nyquist frequency, the result differs from soxr's by less than 2e-4 of its
# RMS amplitude.
_RESAMPLER = "filter_size=32:phase_shift=10:cutoff=0.97"


class _Graph:
    """A filter graph for frames of one rate, layout and format: mix, resample, cut into blocks.

    Args:
        frame: what all frames are like.
        channel: the channel to take, or None for the mean of all.
        sample_rate: of the blocks, in Hz.
        block: samples of a block, or 0 to let everything out at once.
    """

    def __init__(self, frame: "AudioFrame", channel: int | None, sample_rate: int, block: int):
        from av.filter import Graph

        rate, layout, channels = frame.sample_rate, frame.layout.name, frame.layout.nb_channels
        self.kind, self.channel = _kind(frame), channel
        graph = self._graph = Graph()
        graph.threads = 1
        source = f"sample_rate={rate}:sample_fmt={frame.format.name}:channel_layout={layout}"
        terms = (f"{1 / channels:.9f}*c{k}" for k in range(channels))
        mix = f"c{channel}" if channel is not None else "+".join(terms)
        filters = [
            graph.add("abuffer", f"{source}:time_base=1/{rate}"),
            graph.add("aformat", "sample_fmts=flt|fltp"),  # else `pan` rounds, to 8 bits too
            graph.add("pan", f"mono|c0={mix}"),
            graph.add("aresample", f"{sample_rate}:{_RESAMPLER}"),
            graph.add("aformat", "sample_fmts=flt:channel_layouts=mono"),
            *([graph.add("asetnsamples", f"{block}:pad=0")] if block else []),
            graph.add("abuffersink"),
        ]
        graph.link_nodes(*filters)
        graph.configure()
        self._source, self._sink = filters[0], filters[-1]

    def blocks(self, frames: Iterable["AudioFrame | None"]) -> Iterator[Array]:
        """Push frames, None for the end, and yield what comes out, of shape (samples,)."""
        for frame in frames:
            self._source.push(frame)
        while True:
            try:
                block: Any = self._sink.pull()
            except (BlockingIOError, EOFError):
                return
            yield block.to_ndarray()[0]


def _samples(frame: "AudioFrame", most: int | None = None) -> Array:
    """Return the first samples of a frame, shape (channels, samples)."""
    data = frame.to_ndarray()
    if not frame.format.is_planar:
        data = data.reshape(-1, frame.layout.nb_channels).T
    return _scaled(data[:, :most]).astype(np.float32, copy=False)


@np.errstate(invalid="ignore", over="ignore")  # samples that are not finite are refused later
def _power(pieces: Iterable[Array]) -> NDArray[np.float64]:
    """Return the mean power, less that of the offset, of the mix and of each channel."""
    sums = squares = np.zeros(1)
    count = 0
    for piece in pieces:
        rows = np.concatenate([piece.mean(axis=0, keepdims=True), piece]).astype(np.float64)
        sums = sums + rows.sum(axis=1)
        squares = squares + np.einsum("cn,cn->c", rows, rows)
        count += rows.shape[1]
    return squares / max(count, 1) - (sums / max(count, 1)) ** 2


def _cancels(power: NDArray[np.float64]) -> bool:
    """Return whether channels cancel each other, or only their mean is silent."""
    mix, channels = power[0], power[1:]
    quiet = mix < SILENCE**2 <= channels.max()
    return bool(quiet or mix < _COHERENCE * channels.sum() / len(channels) ** 2)


def _channel(frames: list["AudioFrame"], previous: int | None) -> int | None:
    """Choose the channel that stands for all, if they cancel; None for their mean.

    If a few samples in the middle neither cancel nor are silent, the others are not examined.
    """
    if frames[0].layout.nb_channels == 1:
        return None
    try:
        power = _power([_samples(frames[len(frames) // 2], _GLANCE)])
        if previous is None and power[0] >= SILENCE**2 and not _cancels(power):
            return None
        power = _power(map(_samples, frames))
    except ValueError:  # a format that numpy does not know
        return None
    if not power[1:].max() >= SILENCE**2:  # all silent, or not finite
        return previous
    if not _cancels(power):
        return None
    return int(power[1:].argmax()) if previous is None else previous


def _kind(frame: "AudioFrame") -> tuple[int, str, str]:
    return frame.sample_rate, frame.layout.name, frame.format.name


def _groups(frames: Iterable["AudioFrame"], name: str) -> Iterator[list["AudioFrame"]]:
    """Gather consecutive frames of one kind, up to a second."""
    group: list[AudioFrame] = []
    kind, left = None, 0
    for frame in frames:
        if group and (left <= 0 or _kind(frame) != kind):
            yield group
            group = []
        if not group:
            kind, channels = _kind(frame), frame.layout.nb_channels
            _check(name, frame.sample_rate, channels)
            left = min(GROUP // channels, frame.sample_rate)
        frame.pts = None  # times play no part
        group.append(frame)
        left -= frame.samples
    if group:
        yield group


def _mono(
    frames: Iterable["AudioFrame"], sample_rate: int, name: str, on_block: OnBlock | None = None
) -> Iterator[Array]:
    """Mix and resample frames, whose kind may change."""
    graph: _Graph | None = None
    for group in _groups(frames, name):
        same = graph if graph and graph.kind == _kind(group[0]) else None
        channel = _channel(group, same.channel if same else None)
        if graph is None or same is None or channel != graph.channel:
            if graph is not None:
                yield from graph.blocks([None])
            try:
                graph = _Graph(group[0], channel, sample_rate, BLOCK)
            except (OSError, ValueError):  # as which PyAV's errors come
                layout = group[0].layout.name
                raise AudioError(
                    name, f"its channels cannot be mixed ({layout}); convert it to stereo"
                ) from None
        if on_block:
            block = np.concatenate([_samples(frame) for frame in group], axis=1)
            on_block(block.T, group[0].sample_rate)
        yield from graph.blocks(group)
    if graph is not None:
        yield from graph.blocks([None])


def _check(name: str, rate: int, channels: int) -> None:
    if rate not in _RATES:
        raise AudioError(
            name, f"a sample rate of {rate} Hz is not supported; convert it to 44100 Hz"
        )
    if not 1 <= channels <= _CHANNELS:
        raise AudioError(
            name,
            f"{channels} channels are not supported, 1 to {_CHANNELS} are; convert it to stereo",
        )


class _Scale:
    """Refuses blocks with samples that are not finite, and finds samples far above full scale.

    Attributes:
        warning: one phrase that names the likely cause, or None.
    """

    def __init__(self, name: str):
        self._name = name
        self._peak = 0.0
        self._empty = True

    def watch(self, blocks: Iterable[Array]) -> Iterator[Array]:
        for block in blocks:
            if not len(block):
                continue
            peak = float(max(block.max(), -block.min()))
            if not math.isfinite(peak):
                raise AudioError(self._name, _NOT_FINITE)
            if peak > _LOUDEST:
                reason = (
                    f"holds samples as large as {peak:.0e}, where 1 is full scale; export it again"
                )
                raise AudioError(self._name, reason)
            self._peak = max(self._peak, peak)
            self._empty = False
            yield block
        if self._empty:
            raise AudioError(self._name, "too short: not one sample after resampling")

    @property
    def warning(self) -> str | None:
        if self._peak <= _LOUD:
            return None
        scale = next((scale for scale in _SCALES if self._peak <= scale), _SCALES[-1])
        cause = f"integers stored as floats? Divide them by {scale}"
        return f"samples reach {self._peak:.0f}, full scale is 1; {cause}"


class AudioReader:
    """A file as mono blocks at `sample_rate` Hz; can be iterated more than once.

    Iterating yields float32 arrays of shape (samples,). It raises an `AudioError` if the file
    cannot be read, holds no audio, or holds samples that are not finite.

    Args:
        path: the file.
        sample_rate: of the blocks, in Hz.
        on_block: called with all channels of each decoded block, at the file's own rate.

    Attributes:
        damage: after an iteration, one phrase on what of the file is missing or unlikely, or None.
    """

    def __init__(
        self, path: str | os.PathLike[str], sample_rate: int, on_block: OnBlock | None = None
    ):
        self.path = os.fspath(path)
        self.damage: str | None = None
        self._sample_rate, self._on_block = sample_rate, on_block

    def __iter__(self) -> Iterator[Array]:
        from quadpred.audio.decode import FileDecoder

        decoder, scale = FileDecoder(self.path), _Scale(self.path)
        frames = decoder.frames()
        yield from scale.watch(_mono(frames, self._sample_rate, self.path, self._on_block))
        self.damage = "; ".join(filter(None, (decoder.damage, scale.warning))) or None


def read_blocks(path: str | os.PathLike[str], sample_rate: int) -> Iterator[Array]:
    """Decode a file to mono at `sample_rate` Hz.

    Of a damaged file, what can be decoded is decoded, and one `AudioWarning` says how much it was.

    Yields:
        float32 arrays of shape (samples,).

    Raises:
        AudioError: the file cannot be read, holds no audio, or holds samples that are not finite.
    """
    reader = AudioReader(path, sample_rate)
    yield from reader
    if reader.damage:
        text = f"{printable(reader.path)}: {reader.damage}"
        warnings.warn(text, AudioWarning, stacklevel=2)


def probe(path: str | os.PathLike[str]) -> float | None:
    """Return the duration in seconds that a file's header states or suggests; it may be wrong.

    Raises:
        AudioError: the file cannot be read or has no audio track.
    """
    from quadpred.audio.decode import announced_seconds

    return announced_seconds(path)


def playback_differences(path: str | os.PathLike[str], seconds: float) -> list[str]:
    """Name what makes a browser play another second or track than was decoded.

    Args:
        path: of a recording that was decoded.
        seconds: that were decoded.

    Returns:
        Any of "tracks": it has several audio tracks; "late": its audio does not begin at 0, and a
        browser waits for it; "header": the header of an mp3 states another length, as of joined
        files, and a browser jumps by it; "variable": it is an mp3 of variable bit rate, in which
        a browser jumps by a coarse table.

    Raises:
        AudioError: the file cannot be read or has no audio track.
    """
    from quadpred.audio import decode

    return decode.playback_differences(path, seconds)


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


def _scaled(block: NDArray[Any]) -> NDArray[Any]:
    """Scale integers of any width to [-1, 1); leave floats."""
    if block.dtype.kind == "f":
        return block
    half = 2.0 ** (8 * block.dtype.itemsize - 1)
    return block / half - (block.dtype.kind == "u")


def _frame(samples: NDArray[Any], rate: int) -> "AudioFrame":
    """Make a frame of samples of shape (samples, channels)."""
    from av.audio.frame import AudioFrame

    with np.errstate(over="ignore"):
        data = np.ascontiguousarray(_scaled(samples), np.float32)
    layout = f"{samples.shape[1]} channels"
    frame = AudioFrame.from_ndarray(data.reshape(1, -1), format="flt", layout=layout)
    frame.sample_rate = rate
    return frame


def sample_blocks(samples: ArrayLike, rate: int, sample_rate: int) -> Iterator[Array]:
    """Turn samples at `rate` Hz into mono blocks at `sample_rate` Hz.

    Floats far above full scale give one `AudioWarning`.

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
        expected = f"(samples,) or (samples, channels), channels at most {_CHANNELS}"
        raise AudioError(_SAMPLES, f"must have the shape {expected}, not {data.shape}")
    if not data.size:
        raise AudioError(_SAMPLES, "the array is empty")
    _check(_SAMPLES, rate, 1)
    data = data.reshape(len(data), -1)
    step = GROUP // data.shape[1]
    frames = (_frame(data[at : at + step], rate) for at in range(0, len(data), step))
    scale = _Scale(_SAMPLES)
    yield from scale.watch(_mono(frames, sample_rate, _SAMPLES))
    if scale.warning:
        warnings.warn(f"{_SAMPLES}: {scale.warning}", AudioWarning, stacklevel=2)


def live_blocks(blocks: Iterable[Array], rate: int, sample_rate: int) -> Iterator[Array]:
    """Resample mono float32 blocks of shape (samples,) as they arrive.

    Args:
        blocks: consecutive, of any lengths.
        rate: in Hz.
        sample_rate: in Hz.

    Yields:
        float32 arrays of shape (samples,).

    Raises:
        AudioError: the rate is not supported, there are no samples, or some are not finite.
    """
    _check(_SAMPLES, rate, 1)
    yield from _Scale(_SAMPLES).watch(_live(blocks, rate, sample_rate))


def _live(blocks: Iterable[Array], rate: int, sample_rate: int) -> Iterator[Array]:
    graph: _Graph | None = None
    for block in blocks:
        if len(block):
            if not np.isfinite(block).all():  # the resampler would hold it back
                raise AudioError(_SAMPLES, _NOT_FINITE)
            frame = _frame(block[:, None], rate)
            graph = graph or _Graph(frame, None, sample_rate, 0)
            yield from graph.blocks([frame])
    if graph is None:
        raise AudioError(_SAMPLES, "none were received")
    yield from graph.blocks([None])
