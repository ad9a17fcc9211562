"""A worker process of the server: predicts files, listens to samples, draws.

It reads its tasks from standard input and answers on standard output, as `quadpred.web.wire` says,
and ends when the server does. Decoders meet what strangers send here, and may crash here.
"""

import gc
import io
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from queue import Queue
from typing import Any, BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from quadpred.audio import AudioError, TooLongError
from quadpred.confine import die_with_parent, limit_memory
from quadpred.formats.documents import json_line, to_json
from quadpred.labels import HEADS
from quadpred.mpeg import find_frames
from quadpred.prediction import Prediction, join
from quadpred.predictor import Predictor
from quadpred.registry import find
from quadpred.web.wire import Message, pack, read

_AHEAD = 4  # messages read before they are needed; live audio waits in the pipe beyond
_UNREADABLE, _TOO_LONG, _BUG = 422, 413, 500  # of HTTP

Tell = Callable[..., None]


def main() -> None:
    """Serve tasks until there are no more."""
    parent, memory = map(int, sys.argv[1:])
    die_with_parent(parent)
    limit_memory(memory)
    output = os.fdopen(os.dup(1), "wb", buffering=0)
    messages: Queue[Message] = Queue(_AHEAD)
    threading.Thread(target=_receive, args=(sys.stdin.buffer, messages), daemon=True).start()

    def tell(kind: str, body: bytes = b"", **more: Any) -> None:
        output.write(pack({"kind": kind, **more}, body))

    worker = _Worker(messages, tell)
    worker.warm()
    # What decoders print of damage must not come between the messages, nor fill the server's log.
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    tell("ready")
    while True:
        worker.serve(*messages.get())


def _receive(stream: BinaryIO, messages: "Queue[Message]") -> None:
    """Pass messages on; when the server has gone, so does this process, whatever it is doing."""
    while message := read(stream):
        messages.put(message)
    os._exit(0)


class _Worker:
    def __init__(self, messages: "Queue[Message]", tell: Tell):
        self._messages = messages
        self._tell = tell
        self._predictors: dict[str, Predictor] = {}

    def warm(self) -> None:
        """Load the default model and whatever predicting imports, before anybody waits for it."""
        self._predictor("english", "english").predict_samples(np.zeros(16_000), 16_000)

    def _predictor(self, speech: str, music: str) -> Predictor:
        model = find(speech, music)
        if model.name not in self._predictors:
            self._predictors[model.name] = Predictor.load(speech=speech, music=music)
        return self._predictors[model.name]

    def serve(self, task: dict[str, Any], body: bytes) -> None:
        """Do a task, and say how it ended."""
        tasks: dict[str, Callable[..., None]] = {
            "predict": self._predict,
            "listen": self._listen,
            "draw": self._draw,
        }
        try:
            tasks[task.pop("kind")](body, **task)
            return
        except AudioError as error:
            status = _TOO_LONG if isinstance(error, TooLongError) else _UNREADABLE
            self._tell("failed", status=status, detail=error.reason)
        except MemoryError:
            self._tell("failed", status=_UNREADABLE, detail="needs too much memory to decode")
        except Exception:
            trace = traceback.format_exc()
            self._tell("failed", status=_BUG, detail="a bug in quadpred", trace=trace)
        gc.collect()  # files of a failed task, which its traceback may have kept open

    def _predict(
        self, _: bytes, path: str, source: str, speech: str, music: str, longest: float
    ) -> None:
        length = _announced(path)
        self._tell("progress", seconds=0.0, duration=length)
        stream = self._predictor(speech, music).stream(path, longest=longest)
        prediction = self._passed_on(stream, source, length)
        self._done(prediction, warning=prediction.damage)

    def _listen(self, _: bytes, speech: str, music: str, rate: int) -> None:
        predictor = self._predictor(speech, music)
        self._done(self._passed_on(predictor.listen(self._samples(), rate), "live", None))

    def _samples(self) -> Iterator[NDArray[np.float32]]:
        """Samples as they come, until a message is another."""
        while True:
            head, body = self._messages.get()
            if head["kind"] != "samples":
                return
            yield np.frombuffer(body, "<f4")

    def _passed_on(
        self, parts: Iterator[Prediction], source: str, length: float | None
    ) -> Prediction:
        """Tell every part as it comes, and return the whole."""
        heard, first = [], 0
        for part in parts:
            self._tell("rows", json.dumps({"from": first, **_rows(part)}).encode())
            self._tell("progress", seconds=part.duration, duration=length)
            first += len(part)
            heard.append(part)
        return replace(join(heard), source=source)

    def _done(self, prediction: Prediction, **more: Any) -> None:
        self._tell("done", json_line(prediction), **more)

    def _draw(self, prediction: bytes) -> None:
        from quadpred.plots.taggram import save_taggram  # half a second that others need not wait

        picture = io.BytesIO()
        save_taggram(Prediction.from_dict(json.loads(prediction)), picture)
        self._tell("done", picture.getvalue())


def _rows(part: Prediction) -> dict[str, Any]:
    """What of a prediction there is one of a second."""
    whole = to_json(part)
    rows = {head.name: whole[head.name]["rows"] for head in HEADS}
    return {**rows, "silent": whole["silent"], "uncertain_seconds": whole["uncertain_seconds"]}


def _announced(path: str) -> float | None:
    """The length in seconds that a header speaks of, for a progress bar; it may lie."""
    with suppress(soundfile.LibsndfileError), open(path, "rb", buffering=0) as file:
        if find_frames(file):  # it may say what it likes, and often does
            return None
        info = soundfile.info(path)
        if info.frames < 1 << 40:  # a stream that does not know its length
            return float(info.duration)
    return None


if __name__ == "__main__":
    main()
