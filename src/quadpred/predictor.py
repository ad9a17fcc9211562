"""Audio to a `Prediction`, through a model file.

The file says everything that is needed to use it: front end, context, languages and classes are
read from its metadata.
"""

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quadpred import registry
from quadpred.audio import OnBlock, SecondLevels, at_most, live_blocks, read_blocks, sample_blocks
from quadpred.errors import QuadpredError
from quadpred.features import CHUNK, FeatureConfig, log_mel_stream, scaled
from quadpred.labels import HEADS
from quadpred.prediction import Origin, Prediction, join

__all__ = ["EMBEDDING", "METADATA_KEY", "ModelError", "Predictor"]

Array = NDArray[np.float32]

EMBEDDING = "embedding"
"""Output of a model file with the activations of its last hidden layer, one row per second."""

METADATA_KEY = "quadpred"
"""Where a model file keeps its description, as JSON."""

_OUTPUTS = [head.name for head in HEADS]

_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"

_BLOCK_ROWS = 180
"""Rows a call of the network: many beside the context that each call computes anew, and few
enough for a small memory, which is the same for every length."""


_MAX_CONTEXT = 300  # rows
_TOLERANCE = 1e-3  # of a probability


class ModelError(QuadpredError):
    """A model file that cannot be used. One line: the file and the reason."""


class Predictor:
    """A model, ready to predict; keeps its session, so many files cost one start.

    Enter where your data is: `predict` takes a file, `predict_samples` an array, `predict_frames`
    log-mels. `stream` gives the rows of a file while it is read, `listen` those of live audio.

    Args:
        model: an ONNX file that `quadpred train export` wrote.
        sha256: the checksum it must have, if known.
        device: where the network runs: "cpu", "cuda", or "auto" for cuda where it is to be had.

    Raises:
        ModelError: missing, not a model of this package, not the one expected, or its device is
            not to be had.
    """

    def __init__(
        self, model: str | os.PathLike[str], *, sha256: str | None = None, device: str = "cpu"
    ):
        import onnxruntime  # a fifth of a second, which only predicting should cost

        self.path = path = Path(model)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ModelError(f"{path}: {error.strerror}") from None
        checksum = hashlib.sha256(content).hexdigest()
        if sha256 not in (None, checksum):
            raise ModelError(f"{path}: damaged: its checksum is not the one on record")
        providers = _providers(device)
        options = onnxruntime.SessionOptions()
        # The network is a small part of the whole; one thread leaves the cores to other files,
        # and sums in one order, whatever the machine.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=providers)
            described = json.loads(self._session.get_modelmeta().custom_metadata_map[METADATA_KEY])
            self.features = FeatureConfig(**described["features"])
            self.context = _checked_context(described["context"])
            self.origin = Origin(**described.get("model", described.get("origin")), sha256=checksum)
            names = [output.name for output in self._session.get_outputs()]
            if names[: len(HEADS)] != _OUTPUTS or names[len(HEADS) :] not in ([], [EMBEDDING]):
                raise ValueError(f"its outputs must be {', '.join(_OUTPUTS)}")
        except Exception as error:  # ONNX Runtime raises classes of its own that share no base
            reason = str(error) if type(error) is ValueError else type(error).__name__
            raise ModelError(f"{path}: not a quadpred model ({reason})") from None
        if device == "cuda" and _CUDA not in self._session.get_providers():
            raise ModelError("device cuda: ONNX Runtime finds no GPU that it can use")

    @classmethod
    def of_languages(
        cls, speech: str = "english", music: str = "english", *, device: str = "cpu"
    ) -> "Predictor":
        """Load the model on board for these languages, given as names or one-letter codes.

        Raises:
            ValueError: an unknown language, or no model on board for the pair.
        """
        model = registry.find(speech, music)
        return cls(model.path, sha256=model.sha256, device=device)

    def predict(self, path: str | os.PathLike[str]) -> Prediction:
        """Predict a file, streamed: memory does not grow with its length.

        Raises:
            AudioError: the file cannot be read.
        """
        return join(self.stream(path))

    def stream(
        self,
        path: str | os.PathLike[str],
        *,
        longest: float | None = None,
        on_block: OnBlock | None = None,
    ) -> Iterator[Prediction]:
        """Predict a file in blocks of seconds, each as soon as it is computed.

        `quadpred.prediction.join` makes of them what `predict` returns. Closing the iterator ends
        the work.

        Args:
            path: the file.
            longest: in seconds; audio that turns out to be longer, whatever its header says, is
                refused when so much has been decoded.
            on_block: is called with all channels of each decoded block, at the file's own rate.

        Yields:
            Predictions of consecutive seconds; their `duration` is what of the clip has been read.

        Raises:
            AudioError: the file cannot be read; `TooLongError`: it is too long.
        """
        # A front end that needs the peak reads the file once more, without the callback.
        callbacks = iter([on_block])

        def read() -> Iterator[Array]:
            blocks = read_blocks(path, self.features.sample_rate, next(callbacks, None))
            if longest is None:
                return blocks
            return at_most(longest, blocks, self.features.sample_rate, os.fspath(path))

        return self._stream(read, os.fspath(path))

    def predict_samples(self, samples: ArrayLike, sample_rate: int) -> Prediction:
        """Predict samples of shape (samples,) or (samples, channels), at `sample_rate` Hz.

        Raises:
            ValueError: empty, of another shape, or not finite.
        """

        def read() -> Iterator[Array]:
            return sample_blocks(samples, sample_rate, self.features.sample_rate)

        return join(self._stream(read, ""))

    def listen(self, blocks: Iterable[Array], sample_rate: int) -> Iterator[Prediction]:
        """Predict audio while it is played, each second as soon as it is over.

        Unlike `predict`, this cannot know what follows: a row rests on its own second and on those
        before it.

        Args:
            blocks: consecutive mono float32 arrays of shape (samples,), of any lengths.
            sample_rate: in Hz.

        Yields:
            Predictions of one second; their `duration` is what has been heard.

        Raises:
            AudioError: samples that are not finite, an unsupported rate, or no samples.
            ValueError: the model needs the peak of the whole clip.
        """
        if self.features.normalise_peak:
            raise ValueError(f"{self.origin.name} needs a whole clip, it cannot listen")

        def read() -> Iterator[Array]:
            return live_blocks(blocks, sample_rate, self.features.sample_rate)

        return self._stream(read, "", live=True)

    def predict_frames(
        self, frames: Iterable[Array], rows: Callable[[], int] | None = None
    ) -> tuple[Array, ...]:
        """Predict log-mel frames.

        Args:
            frames: consecutive float32 arrays of shape (frames, mels).
            rows: says, once `frames` are exhausted, how many rows the clip has; by default as many
                as there are whole seconds of frames, and at least one.

        Returns:
            Probabilities of shape (rows, classes), one array a head, in the order of `HEADS`.
        """
        parts = list(self._blocks(iter(frames), rows))
        return tuple(np.concatenate(head) for head in zip(*parts, strict=True))

    def _stream(
        self, read: Callable[[], Iterator[Array]], source: str, *, live: bool = False
    ) -> Iterator[Prediction]:
        levels = SecondLevels(self.features.sample_rate)
        blocks = scaled(levels.watch(read()), read, self.features)

        def rows() -> int:
            # A last second counts when at least half of it is there.
            return max(1, math.floor(levels.samples / self.features.sample_rate + 0.5))

        frames = log_mel_stream(
            blocks, self.features, self.features.frames_per_row if live else CHUNK
        )
        first = 0
        for quadrant, arousal, valence in self._blocks(frames, rows, live=live):
            last = first + len(quadrant)
            yield Prediction(
                quadrant=quadrant,
                arousal=arousal,
                valence=valence,
                silent=levels.silent(last)[first:],
                duration=levels.samples / self.features.sample_rate,
                model=self.origin,
                source=source,
            )
            first = last

    def _blocks(
        self,
        frames: Iterator[Array],
        rows: Callable[[], int] | None,
        *,
        live: bool = False,
    ) -> Iterator[tuple[Array, ...]]:
        """Run the network over blocks of rows, each with its context on both sides.

        Live, every row is a block, with its context before it alone.
        """
        start, context = self.features.row_start, self.context
        size = self.features.frames_per_row
        block, ahead = (1, 0) if live else (_BLOCK_ROWS, context)
        # A row more, so that the clip's end is always among the last rows; live, it cannot wait.
        wanted = block + ahead + (not live)
        first, held_from = 0, 0  # next row to predict; row at which `held` begins
        held = np.empty((0, self.features.mels), np.float32)
        pending: list[Array] = []
        count = 0
        while True:
            chunk = next(frames, None)
            if chunk is not None:
                pending.append(chunk)
                count += len(chunk)
                if start(held_from) + len(held) + count < start(first + wanted):
                    continue
            held = np.concatenate([held, *pending])
            pending, count = [], 0
            if chunk is None:
                break
            last = first + block
            yield self._run(held, held_from, first, last, last + ahead)
            first = last
            keep = max(0, first - context)
            held, held_from = held[start(keep) - start(held_from) :], keep
        whole = start(held_from) + len(held)
        total = rows() if rows else max(1, whole * self.features.hop // self.features.sample_rate)
        if not len(held):
            return
        missing = start(total - 1) + size - whole
        if missing > 0:
            # The part of the last second that is not there sounds as its last frame does.
            held = np.pad(held, ((0, missing), (0, 0)), "edge")
        while first < total:
            last = min(first + block, total)
            yield self._run(held, held_from, first, last, min(last + ahead, total))
            first = last

    def _run(
        self, held: Array, held_from: int, first: int, last: int, until: int
    ) -> tuple[Array, ...]:
        """Probabilities of rows first..last, of frames that begin at row `held_from`.

        A network with context reads one stretch, from its context before `first` to row `until`;
        one without reads each row by itself.
        """
        start, size = self.features.row_start, self.features.frames_per_row
        origin = start(held_from)
        if self.context:
            begin = max(0, first - self.context)
            stretch = held[start(begin) - origin : start(until) - origin]
            heads = self._probabilities(stretch[None])
            rows = slice(first - begin, last - begin)
            return tuple(head[0, rows] for head in heads)
        starts = [start(row) - origin for row in range(first, last)]
        windows = np.stack([held[at : at + size] for at in starts])
        return tuple(head[:, 0] for head in self._probabilities(windows))

    def _probabilities(self, log_mel: Array) -> list[Array]:
        """Run the network on frames of shape (batch, frames, mels).

        Returns:
            One array per head, shape (batch, rows, classes).

        Raises:
            ModelError: the network fails, or its outputs are not probabilities.
        """
        try:
            outputs = self._session.run(_OUTPUTS, {"log_mel": log_mel})
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            reason = type(error).__name__
            raise ModelError(f"{self.path}: the network failed ({reason})") from error
        for head, output in zip(HEADS, outputs, strict=True):
            if not _are_probabilities(output, len(log_mel), len(head.classes)):
                raise ModelError(f"{self.path}: its outputs for {head.name} are not probabilities")
        return outputs


def _checked_context(rows: Any) -> int:
    if type(rows) is not int or not 0 <= rows <= _MAX_CONTEXT:
        raise ValueError(f"context must be an integer of 0 to {_MAX_CONTEXT} rows, not {rows!r}")
    return rows


def _are_probabilities(output: Array, batch: int, classes: int) -> bool:
    """Tell whether an array of shape (batch, rows, classes) holds distributions over classes."""
    if output.dtype != np.float32 or output.ndim != 3:
        return False
    if (output.shape[0], output.shape[2]) != (batch, classes):
        return False
    total = output.sum(axis=2)
    return bool((output >= -_TOLERANCE).all() and (np.abs(total - 1) <= _TOLERANCE).all())


def _providers(device: str) -> list[str]:
    """Name what ONNX Runtime is to compute with, the first that it can use."""
    import onnxruntime

    known = onnxruntime.get_available_providers()
    if device == "cuda" and _CUDA not in known:
        has = ", ".join(name.removesuffix("ExecutionProvider") for name in known)
        wheel = f"the installed ONNX Runtime is built for {has} only"
        raise ModelError(f"device cuda: {wheel}; put onnxruntime-gpu in the place of onnxruntime")
    return [_CUDA, _CPU] if device != "cpu" and _CUDA in known else [_CPU]
