"""Where the CPU time of one 3-minute mp3 goes, against the floor: decoding alone."""

import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

import soundfile
from audio import song

from quadpred import Predictor
from quadpred.audio import read_blocks
from quadpred.features import log_mel_stream

RUNS = 7


def drain(items: Iterable[object]) -> None:
    deque(items, maxlen=0)


def main() -> None:
    os.sched_setaffinity(0, {0})
    predictor = Predictor.load()
    config = predictor.features
    with tempfile.TemporaryDirectory() as folder:
        mp3 = song(Path(folder) / "song.mp3", 180)
        blocks = list(read_blocks(mp3, config.sample_rate))
        frames = list(log_mel_stream(blocks, config))
        stages: dict[str, Callable[[], object]] = {
            "libsndfile alone (the floor)": lambda: soundfile.read(mp3, dtype="float32"),
            "decode, mix, resample": lambda: drain(read_blocks(mp3, config.sample_rate)),
            "log-mel": lambda: drain(log_mel_stream(blocks, config)),
            "network": lambda: predictor.predict_frames(frames),
            "the whole": lambda: predictor.predict(mp3),
        }
        best = {name: float("inf") for name in stages}
        for _ in range(RUNS):
            for name, stage in stages.items():
                started = time.process_time()
                stage()
                best[name] = min(best[name], time.process_time() - started)
    floor = best["libsndfile alone (the floor)"]
    print(f"{'':30}{'CPU ms/min':>12}{'ratio to floor':>16}")
    for name, seconds in best.items():
        print(f"{name:30}{seconds * 1000 / 3:12.1f}{seconds / floor:16.2f}")


if __name__ == "__main__":
    main()
