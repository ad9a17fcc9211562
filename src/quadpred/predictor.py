"""Audio to a `Prediction`, through a model file.

A model file describes itself: front end, context, languages and margins are in its metadata.
"""

import hashlib
import json
import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quadpred import registry
from quadpred.audio import (
    AudioReader,
    AudioWarning,
    OnBlock,
    SecondLevels,
    at_most,
    live_blocks,
    sample_blocks,
)
from quadpred.errors import QuadpredError
from quadpred.features import CHUNK, FeatureConfig, log_mel_stream, scaled
from quadpred.files import printable
from quadpred.labels import HEADS
from quadpred.prediction import ModelInfo, Prediction, join

__all__ = ["EMBEDDING", "METADATA_KEY", "ModelError", "Predictor", "bundled"]

Array = NDArray[np.float32]

EMBEDDING = "embedding"
"""Optional output of a model file: its last hidden layer, one row per second."""

METADATA_KEY = "quadpred"
"""Key of a model file's metadata under which its description is, as JSON."""

_OUTPUTS = [head.name for head in HEADS]

_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"

BLOCK_ROWS = 180
"""Rows per call of the network: many more than the context that each call computes again. They are
few enough that memory is small, whatever the length of the audio."""

_MAX_CONTEXT = 300  # rows
_MAX_WIDTH = 4096  # values of an embedding
_TOLERANCE = 1e-3  # of a probability


class ModelError(QuadpredError):
    """A model file, or a device, that cannot be used."""


class Predictor:
    """A loaded model. One session predicts any number of recordings.

    Choose the method by the input: `predict` takes a file, `predict_samples` an array and
    `predict_frames` log-mel frames. `stream` yields a file's rows while it is read, `listen` those
    of live audio.

    >>> Predictor.load().predict("song.mp3").winner  # doctest: +SKIP
    'Q2'

    Args:
        model: an ONNX file that `quadpred train export` or `quadpred adapt` wrote.
        sha256: the checksum that the file must have, if it is known.
        device: where the network runs: "cpu", "cuda", or "auto" for CUDA if it is available.

    Attributes:
        path: the model file.
        info: name, languages and margins of the model.
        features: the front end.
        context: rows on either side that the network reads for a row; 0 if it reads each by itself.
        has_embedding: whether the model file has the output `EMBEDDING`.
        embedding_width: values of an embedding; 0 if there is none.

    Raises:
        ModelError: the file is missing, damaged or not a quadpred model, or the device is missing.
    """

    def __init__(
        self, model: str | os.PathLike[str], *, sha256: str | None = None, device: str = "cpu"
    ):
        import onnxruntime  # slow, so only predictions import it

        self.path = path = Path(model)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ModelError(f"{path}: {error.strerror}") from error
        checksum = hashlib.sha256(content).hexdigest()
        if sha256 not in (None, checksum):
            raise ModelError(f"{path}: damaged (wrong checksum); reinstall quadpred")
        providers = _providers(device)
        options = onnxruntime.SessionOptions()
        # The network is a small part of the work. One thread leaves the cores to other files, and
        # adds in the same order on every machine.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=providers)
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            raise ModelError(f"{path}: not an ONNX model ({type(error).__name__})") from error
        try:
            described = json.loads(self._session.get_modelmeta().custom_metadata_map[METADATA_KEY])
            self.features = FeatureConfig(**described["features"])
            self.context = _checked_context(described["context"])
            self.info = ModelInfo(**described["model"], sha256=checksum)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            reason = (
                str(error) if type(error) is ValueError else "its metadata is missing or damaged"
            )
            raise ModelError(f"{path}: not a quadpred model: {reason}") from error
        outputs = [output.name for output in self._session.get_outputs()]
        if outputs[: len(HEADS)] != _OUTPUTS or outputs[len(HEADS) :] not in ([], [EMBEDDING]):
            names = ", ".join(_OUTPUTS)
            raise ModelError(f"{path}: not a quadpred model: its outputs must be {names}")
        self.has_embedding = EMBEDDING in outputs
        self.embedding_width = 0
        if self.has_embedding:
            width = self._session.get_outputs()[-1].shape[-1:]
            if not _is_width(width):
                limit = f"a width from 1 to {_MAX_WIDTH}"
                raise ModelError(f"{path}: not a quadpred model: its {EMBEDDING} must have {limit}")
            self.embedding_width = width[0]
        if device == "cuda" and _CUDA not in self._session.get_providers():
            raise ModelError("device cuda: ONNX Runtime finds no usable GPU; use device cpu")

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str] | None = None,
        *,
        speech: str = "english",
        music: str = "english",
        device: str = "cpu",
    ) -> "Predictor":
        """Load a model file or, without one, the bundled model of two languages.

        Args:
            model: an ONNX file, for which `speech` and `music` are not used.
            speech: language of the speech that the model was pre-trained on: english, mandarin or
                mixed, or a one-letter code.
            music: language of the music that it was fine-tuned on: english or mandarin.
            device: where the network runs: "cpu", "cuda", or "auto" for CUDA if it is available.

        Raises:
            LanguageError: an unknown language, or no model for the pair.
            ModelError: the model or the device cannot be used.
        """
        if model is not None:
            return cls(model, device=device)
        found = registry.find(speech, music)
        return cls(found.path, sha256=found.sha256, device=device)

    def predict(self, path: str | os.PathLike[str], *, embeddings: bool = False) -> Prediction:
        """Predict a file. It is streamed: memory does not grow with its length.

        If a part of it is damaged or missing, one `AudioWarning` and the result's `damage` say so.

        Args:
            path: the file.
            embeddings: whether the prediction carries embeddings.

        Raises:
            AudioError: the file cannot be read.
            ModelError: the network fails, or embeddings are requested and it has none.
        """
        prediction = join(self.stream(path, embeddings=embeddings))
        if prediction.damage:
            text = f"{printable(prediction.source)}: {prediction.damage}"
            warnings.warn(text, AudioWarning, stacklevel=2)
        return prediction

    def stream(
        self,
        path: str | os.PathLike[str],
        *,
        longest: float | None = None,
        on_block: OnBlock | None = None,
        embeddings: bool = False,
    ) -> Iterator[Prediction]:
        """Predict a file in blocks of seconds, each as soon as it is computed.

        `quadpred.prediction.join` joins them to what `predict` returns. Closing the iterator ends
        the work.

        Args:
            path: the file.
            longest: in seconds; longer audio is refused once that much has been decoded, whatever
                its header says.
            on_block: is called with all channels of each decoded block, at the file's own rate.
            embeddings: whether the predictions carry embeddings.

        Yields:
            Predictions of consecutive seconds. Their `duration` is the part that has been read;
            the last one has the `damage`.

        Raises:
            AudioError: the file cannot be read; `TooLongError`: it is too long.
        """
        readers: list[AudioReader] = []

        def read() -> Iterator[Array]:
            # A front end that needs the peak reads the file once more, without the callback.
            callback = None if readers else on_block
            readers.append(AudioReader(path, self.features.sample_rate, callback))
            if longest is None:
                return iter(readers[-1])
            return at_most(longest, readers[-1], self.features.sample_rate, os.fspath(path))

        return self._stream(
            read, os.fspath(path), damage=lambda: readers[0].damage, embeddings=embeddings
        )

    def embed(self, path: str | os.PathLike[str]) -> Array:
        """Return the embeddings of a file, one per second, shape (rows, width), float32.

        `predict(path, embeddings=True)` returns them with the prediction, of which
        `pooled_embedding` gives one embedding of the recording.

        Raises:
            AudioError: the file cannot be read.
            ModelError: the model file has no embeddings.
        """
        embedding = self.predict(path, embeddings=True).embedding
        assert embedding is not None
        return embedding

    def check_embedding(self) -> None:
        """Check that the model file has embeddings.

        Raises:
            ModelError: it has none.
        """
        if not self.has_embedding:
            raise ModelError(f"{self.path}: has no output {EMBEDDING!r}; export the model again")

    def predict_samples(
        self, samples: ArrayLike, sample_rate: int, *, embeddings: bool = False
    ) -> Prediction:
        """Predict samples in memory.

        Args:
            samples: shape (samples,) or (samples, channels); floats with full scale 1, or integers,
                which are scaled from their full range.
            sample_rate: in Hz.
            embeddings: whether the prediction carries embeddings.

        Raises:
            AudioError: the samples are empty, of another shape or type, or not finite.
            ModelError: the network fails, or embeddings are requested and it has none.
        """

        def read() -> Iterator[Array]:
            return sample_blocks(samples, sample_rate, self.features.sample_rate)

        return join(self._stream(read, "", embeddings=embeddings))

    def listen(
        self, blocks: Iterable[Array], sample_rate: int, *, embeddings: bool = False
    ) -> Iterator[Prediction]:
        """Predict live audio, each second as soon as it is over.

        Unlike those of `predict`, a row depends on its own second and earlier ones only.

        Args:
            blocks: consecutive mono float32 arrays of shape (samples,), of any lengths.
            sample_rate: in Hz.
            embeddings: whether the predictions carry embeddings.

        Yields:
            Predictions of one second each; their `duration` is the length so far.

        Raises:
            AudioError: samples that are not finite, an unsupported rate, or no samples.
            ModelError: the model needs the peak of the whole recording, or embeddings are requested
                and it has none.
        """
        if self.features.normalise_peak:
            raise ModelError(f"{self.info.name}: needs whole recordings; live audio is unsupported")

        def read() -> Iterator[Array]:
            return live_blocks(blocks, sample_rate, self.features.sample_rate)

        return self._stream(read, "", live=True, embeddings=embeddings)

    def predict_frames(self, frames: Iterable[Array]) -> tuple[Array, ...]:
        """Predict log-mel frames.

        Args:
            frames: consecutive float32 arrays of shape (frames, values per frame).

        Returns:
            Probabilities of shape (rows, classes), one array per head, in the order of `HEADS`: one
            row per whole second of frames, at least one.
        """
        parts = list(self._blocks(iter(frames), None, _OUTPUTS))
        return tuple(np.concatenate(head) for head in zip(*parts, strict=True))

    def _stream(
        self,
        read: Callable[[], Iterator[Array]],
        source: str,
        damage: Callable[[], str | None] = lambda: None,
        *,
        live: bool = False,
        embeddings: bool = False,
    ) -> Iterator[Prediction]:
        outputs = [*_OUTPUTS, EMBEDDING] if embeddings else _OUTPUTS
        if embeddings:
            self.check_embedding()
        levels = SecondLevels(self.features.sample_rate)
        blocks = scaled(levels.watch(read()), read, self.features)

        def rows() -> int:
            # An incomplete last second has a row if at least half of it is there.
            return max(1, math.floor(levels.samples / self.features.sample_rate + 0.5))

        frames = log_mel_stream(
            blocks, self.features, self.features.frames_per_row if live else CHUNK
        )
        first = 0
        for quadrant, arousal, valence, *embedding in self._blocks(
            frames, rows, outputs, live=live
        ):
            last = first + len(quadrant)
            yield Prediction(
                quadrant=quadrant,
                arousal=arousal,
                valence=valence,
                silent=levels.silent(last)[first:],
                duration=levels.samples / self.features.sample_rate,
                model=self.info,
                source=source,
                damage=damage(),
                embedding=embedding[0] if embedding else None,
            )
            first = last

    def _blocks(
        self,
        frames: Iterator[Array],
        rows: Callable[[], int] | None,
        outputs: Sequence[str],
        *,
        live: bool = False,
    ) -> Iterator[tuple[Array, ...]]:
        """Run the network on blocks of rows, each with context on both sides.

        In live audio, every row is a block and has context before it only.
        """
        start, context = self.features.row_start, self.context
        size = self.features.frames_per_row
        block, ahead = (1, 0) if live else (BLOCK_ROWS, context)
        # One more row, so that the end of the audio is always in the last block; live audio cannot
        # wait for it.
        needed = block + ahead + (not live)
        first, held_from = 0, 0  # next row to predict; row at which `held` begins
        held = np.empty((0, self.features.width), np.float32)
        pending: list[Array] = []
        count = 0
        while True:
            chunk = next(frames, None)
            if chunk is not None:
                pending.append(chunk)
                count += len(chunk)
                if start(held_from) + len(held) + count < start(first + needed):
                    continue
            held = np.concatenate([held, *pending])
            pending, count = [], 0
            if chunk is None:
                break
            last = first + block
            yield self._run(outputs, held, held_from, first, last, last + ahead)
            first = last
            keep = max(0, first - context)
            held, held_from = held[start(keep) - start(held_from) :], keep
        whole = start(held_from) + len(held)
        total = rows() if rows else max(1, whole * self.features.hop // self.features.sample_rate)
        if not len(held):
            return
        missing = start(total - 1) + size - whole
        if missing > 0:
            # Complete the last second by repeating its last frame.
            held = np.pad(held, ((0, missing), (0, 0)), "edge")
        while first < total:
            last = min(first + block, total)
            yield self._run(outputs, held, held_from, first, last, min(last + ahead, total))
            first = last

    def _run(
        self,
        outputs: Sequence[str],
        held: Array,
        held_from: int,
        first: int,
        last: int,
        until: int,
    ) -> tuple[Array, ...]:
        """Return outputs for rows first to last, from frames that begin at row `held_from`.

        A network with context reads consecutive frames, from the context before `first` to row
        `until`. A network without context reads every row by itself.
        """
        start, size = self.features.row_start, self.features.frames_per_row
        origin = start(held_from)
        if self.context:
            begin = max(0, first - self.context)
            frames = held[start(begin) - origin : start(until) - origin]
            heads = self._outputs(outputs, frames[None])
            rows = slice(first - begin, last - begin)
            return tuple(head[0, rows] for head in heads)
        starts = [start(row) - origin for row in range(first, last)]
        windows = np.stack([held[at : at + size] for at in starts])
        return tuple(head[:, 0] for head in self._outputs(outputs, windows))

    def _outputs(self, names: Sequence[str], log_mel: Array) -> list[Array]:
        """Run the network on frames of shape (batch, frames, mels).

        Returns:
            One array per output, shape (batch, rows, classes) for heads.

        Raises:
            ModelError: the network fails, or its outputs are not probabilities, or its embeddings
                are not finite.
        """
        try:
            outputs: list[Array] = self._session.run(names, {"log_mel": log_mel})
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            reason = type(error).__name__
            raise ModelError(f"{self.path}: the network failed ({reason})") from error
        for head, output in zip(HEADS, outputs, strict=False):
            if not _are_probabilities(output, len(log_mel), len(head.classes)):
                raise ModelError(f"{self.path}: its outputs for {head.name} are not probabilities")
        if EMBEDDING in names:
            shape = (*outputs[0].shape[:2], self.embedding_width)
            embedding = outputs[-1]
            if embedding.shape != shape or not np.isfinite(embedding).all():
                raise ModelError(f"{self.path}: its embeddings are not finite numbers")
        return outputs


def _is_width(shape: list[Any]) -> bool:
    """Return whether the last size of an output, which may be a name, is a valid width."""
    return len(shape) == 1 and isinstance(shape[0], int) and 1 <= shape[0] <= _MAX_WIDTH


@lru_cache(maxsize=8)
def bundled(model: registry.Model) -> Predictor:
    """Return the predictor of a bundled model, loaded by the first call.

    Raises:
        ModelError: the model cannot be used.
    """
    return Predictor(model.path, sha256=model.sha256)


def _checked_context(rows: Any) -> int:
    if type(rows) is not int or not 0 <= rows <= _MAX_CONTEXT:
        raise ValueError(f"context must be an integer from 0 to {_MAX_CONTEXT} rows, not {rows!r}")
    return rows


def _are_probabilities(output: Array, batch: int, classes: int) -> bool:
    """Return whether an array of shape (batch, rows, classes) holds distributions over classes."""
    if output.dtype != np.float32 or output.ndim != 3:
        return False
    if (output.shape[0], output.shape[2]) != (batch, classes):
        return False
    total = output.sum(axis=2)
    return bool((output >= -_TOLERANCE).all() and (np.abs(total - 1) <= _TOLERANCE).all())


def _providers(device: str) -> list[str]:
    """Return the execution providers of ONNX Runtime to try, best first."""
    import onnxruntime

    available = onnxruntime.get_available_providers()
    if device == "cuda" and _CUDA not in available:
        remedy = "install onnxruntime-gpu instead"
        raise ModelError(f"device cuda: the installed onnxruntime has no CUDA support; {remedy}")
    return [_CUDA, _CPU] if device != "cpu" and _CUDA in available else [_CPU]
