"""A worker process of the server: predicts files and live audio, and draws tag-grams.

It reads tasks from standard input and writes its answers to standard output, as
`quadpred.web.protocol` defines, and ends with the server. Only workers decode uploads: a damaged or
malicious file can crash this process, but not the server.
"""

import base64
import gc
import io
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from queue import Queue
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from quadpred.audio import (
    AudioError,
    AudioReader,
    TooLongError,
    at_most,
    playback_differences,
    probe,
)
from quadpred.formats.documents import json_line, to_json
from quadpred.formats.moments import moment_document
from quadpred.labels import HEADS
from quadpred.library.moments import find_segments, highlights
from quadpred.library.moods import Vocabulary
from quadpred.prediction import Prediction, join
from quadpred.predictor import Predictor
from quadpred.registry import find
from quadpred.waveform import BINS_PER_SECOND, Waveform
from quadpred.web.protocol import Message, pack, read
from quadpred.web.sandbox import die_with_parent, limit_memory

_AHEAD = 4  # messages read before they are needed; further live audio waits in the pipe
_LOW_RATE = 8_000  # Hz, to find out the length of a recording

Send = Callable[..., None]


def main() -> None:
    """Serve tasks until standard input ends."""
    parent, memory = map(int, sys.argv[1:])
    die_with_parent(parent)
    limit_memory(memory)
    output = os.fdopen(os.dup(1), "wb", buffering=0)
    messages: Queue[Message] = Queue(_AHEAD)
    threading.Thread(target=_receive, args=(sys.stdin.buffer, messages), daemon=True).start()

    def send(kind: str, body: bytes = b"", **fields: Any) -> None:
        output.write(pack({"kind": kind, **fields}, body))

    worker = _Worker(messages, send)
    worker.load_default_model()
    # Decoders print about damage: neither between the messages nor into the server's log.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    send("ready")
    while True:
        worker.serve(*messages.get())


def _receive(stream: BinaryIO, messages: "Queue[Message]") -> None:
    """Queue messages; when the server has ended, end this process, whatever it is doing."""
    while message := read(stream):
        messages.put(message)
    os._exit(0)


class _Worker:
    def __init__(self, messages: "Queue[Message]", send: Send):
        self._messages = messages
        self._send = send
        self._predictors: dict[str, Predictor] = {}

    def load_default_model(self) -> None:
        """Import and load what the first task would otherwise wait for."""
        self._predictor("english", "english").predict_samples(np.zeros(16_000), 16_000)

    def _predictor(self, speech: str, music: str) -> Predictor:
        model = find(speech, music)
        if model.name not in self._predictors:
            self._predictors[model.name] = Predictor.load(speech=speech, music=music)
        return self._predictors[model.name]

    def serve(self, task: dict[str, Any], body: bytes) -> None:
        """Do a task. Failures are sent with the name of their type in `quadpred.web.problems`."""
        tasks: dict[str, Callable[..., None]] = {
            "predict": self._predict,
            "listen": self._listen,
            "draw": self._draw,
        }
        try:
            tasks[task.pop("kind")](body, **task)
            return
        except TooLongError as error:
            self._send("failed", problem="recording-too-long", detail=error.reason)
        except AudioError as error:
            self._send("failed", problem="unreadable", detail=error.reason)
        except MemoryError:
            self._send("failed", problem="unreadable", detail="needs too much memory to decode")
        except Exception:
            trace = traceback.format_exc()
            self._send("failed", problem="internal-error", detail="internal error", traceback=trace)
        gc.collect()  # close files that the traceback of a failed task may still refer to

    def _predict(
        self,
        _: bytes,
        path: str,
        source: str,
        speech: str,
        music: str,
        longest: float,
        embeddings: bool,
    ) -> None:
        length = probe(path)
        if length is not None and length > longest:
            # The header may be wrong. To decode takes a fraction of the time of a prediction.
            for _block in at_most(longest, AudioReader(path, _LOW_RATE), _LOW_RATE, path):
                pass
        self._send("progress", seconds=0.0, duration=length)
        waveform = Waveform()
        stream = self._predictor(speech, music).stream(
            path, longest=longest, on_block=waveform.add, embeddings=embeddings
        )
        prediction = replace(self._send_rows(stream, waveform, length), source=source)
        found = [*find_segments(prediction), *highlights(prediction)]
        moments = moment_document(prediction, found, Vocabulary())["moments"]
        more = {
            "damage": prediction.damage,
            "moments": moments,
            "playback": playback_differences(path, prediction.duration),
        }
        self._send("done", json_line(prediction), **more)

    def _listen(self, _: bytes, speech: str, music: str, rate: int, embeddings: bool) -> None:
        waveform, received = Waveform(), 0

        def samples() -> Iterator[NDArray[np.float32]]:
            nonlocal received
            for block in self._samples(waveform, rate):
                received += len(block)
                yield block

        stream = self._predictor(speech, music).listen(samples(), rate, embeddings=embeddings)
        prediction = self._send_rows(stream, waveform, None)
        # The last row does not count a rest that is too short for a row.
        whole = replace(prediction, source="live", duration=received / rate)
        self._send("done", json_line(whole))

    def _samples(self, waveform: Waveform, rate: int) -> Iterator[NDArray[np.float32]]:
        """Yield the samples of live audio, shape (samples,), up to another kind of message."""
        while True:
            header, body = self._messages.get()
            if header["kind"] != "samples":
                return
            samples = np.frombuffer(body, "<f4")
            yield samples  # the predictor refuses invalid ones, before they get any further
            waveform.add(samples[:, None], rate)

    def _send_rows(
        self, parts: Iterator[Prediction], waveform: Waveform, length: float | None
    ) -> Prediction:
        """Send the rows of each part, with the waveform decoded so far, and return the whole."""
        joined, first = [], 0
        for part in parts:
            rows = {"from": first, **_rows(part), "peaks": _peaks(waveform)}
            if part.embedding is not None:
                rows["embeddings"] = _directions(part.embedding)
            self._send("rows", json.dumps(rows).encode())
            self._send("progress", seconds=part.duration, duration=length)
            first += len(part)
            joined.append(part)
        return join(joined)

    def _draw(self, document: bytes) -> None:
        from quadpred.plots.taggram import save_taggram  # slow to import; only drawing needs it

        picture = io.BytesIO()
        save_taggram(Prediction.from_dict(json.loads(document)), picture)
        self._send("done", picture.getvalue())


def _rows(part: Prediction) -> dict[str, Any]:
    """Return the per-second values of a prediction, named as in its JSON document."""
    document = to_json(part)
    rows = {head.name: document[head.name]["rows"] for head in HEADS}
    return {
        **rows,
        "silent": document["silent"],
        "uncertain_seconds": document["uncertain_seconds"],
    }


def _peaks(waveform: Waveform) -> dict[str, Any]:
    first, peaks = waveform.take()
    data = base64.b64encode(peaks.tobytes()).decode()
    return {"per_second": BINS_PER_SECOND, "from": first, "data": data}


def _directions(embeddings: NDArray[np.float32]) -> dict[str, Any]:
    """Return embeddings, shape (rows, width), as signed bytes: each row by its largest value."""
    largest = np.abs(embeddings).max(axis=1, keepdims=True)
    scaled = embeddings * (127 / np.maximum(largest, np.finfo(np.float32).tiny))
    data = base64.b64encode(scaled.round().astype(np.int8).tobytes()).decode()
    return {"width": embeddings.shape[1], "data": data}


if __name__ == "__main__":
    main()
