"""CPU time of decoding, mixing and resampling to 16 kHz, against libsndfile with soxr."""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import soundfile
import soxr
from audio import song

from quadpred.audio import AudioReader

SECONDS, RUNS, RATE, BLOCK, SMALL = 60, 5, 16_000, 1 << 17, 1 << 12
FORMATS = {
    "mp3": ("a.mp3", {}),
    "wav 16 bit": ("a.wav", {}),
    "wav 24 bit": ("b.wav", {"subtype": "PCM_24"}),
    "flac": ("a.flac", {}),
    "ogg": ("a.ogg", {}),
    "opus": ("a.opus", {"format": "OGG", "subtype": "OPUS"}),
}


def by_libsndfile(path: Path) -> None:
    with soundfile.SoundFile(path) as file:
        stream = soxr.ResampleStream(file.samplerate, RATE, 1, dtype="float32")
        for block in file.blocks(BLOCK, dtype="float32", always_2d=True):
            stream.resample_chunk(block.mean(axis=1))


def by_quadpred(path: Path) -> None:
    for _ in AudioReader(path, RATE):
        pass


def cpu(task: Callable[[Path], None], path: Path) -> float:
    times = []
    for _ in range(RUNS):
        started = time.process_time()
        task(path)
        times.append(time.process_time() - started)
    return 1000 * min(times)


def main() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {0})
    print("CPU ms per minute of audio, the best of", RUNS)
    print(f"{'':12}{'libsndfile, soxr':>18}{'quadpred':>10}{'ratio':>8}")
    with tempfile.TemporaryDirectory() as folder:
        wav = song(Path(folder) / "song.wav", SECONDS, 48_000)
        samples, rate = soundfile.read(wav, dtype="float32")
        for name, (file, options) in FORMATS.items():
            path = Path(folder) / file
            with soundfile.SoundFile(path, "w", rate, 2, **options) as out:
                for start in range(0, len(samples), SMALL):  # long blocks crash its encoders
                    out.write(samples[start : start + SMALL])
            theirs, ours = cpu(by_libsndfile, path), cpu(by_quadpred, path)
            print(f"{name:12}{theirs:18.1f}{ours:10.1f}{ours / theirs:8.2f}")


if __name__ == "__main__":
    main()
