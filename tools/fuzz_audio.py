"""Decode damaged recordings in child processes, and keep the files that break a rule.

    python tools/fuzz_audio.py --minutes 20 --output fuzz/

A file may be decoded, or refused with an `AudioError`. It must not end its process by a signal,
raise another error, print anything, take more than 2 GiB, or take more than a minute.
"""

import argparse
import multiprocessing
import os
import random
import sys
import tempfile
import time
import warnings
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

import av
import numpy as np

RATE = 48_000
MEMORY = 2 << 30  # bytes
HANG = 60  # seconds
HEADER = 600  # bytes at the start, where most damage goes
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
SOUNDS = {
    "pcm16.wav": "pcm_s16le",
    "pcm24.wav": "pcm_s24le",
    "float.wav": "pcm_f32le",
    "adpcm.wav": "adpcm_ima_wav",
    "a.w64": "pcm_s16le",
    "a.aiff": "pcm_s16be",
    "a.au": "pcm_s16be",
    "a.caf": "pcm_s16be",
    "alac.caf": "alac",
    "a.flac": "flac",
    "flac.oga": "flac",
    "a.opus": "libopus",
    "a.webm": "libopus",
    "a.mp3": "libmp3lame",
    "a.mp2": "mp2",
    "aac.m4a": "aac",
    "alac.m4a": "alac",
    "a.aac": "aac",
    "a.mka": "aac",
    "a.ts": "mp2",
    "a.avi": "pcm_s16le",
    "a.wma": "wmav2",
    "a.wv": "wavpack",
    "a.tta": "tta",
    "a.ac3": "ac3",
    "a.eac3": "eac3",
}


def recordings(folder: Path) -> dict[str, bytes]:
    """Make a short recording in every format."""
    times = np.arange(int(1.3 * RATE)) / RATE
    noise = 0.01 * np.random.default_rng(0).normal(size=len(times))
    sound = np.repeat(0.3 * np.sin(2 * np.pi * 440 * times) + noise, 2).astype(np.float32)
    samples = {}
    for name, codec in SOUNDS.items():
        path = folder / name
        with av.open(path, "w") as file:
            stream = file.add_stream(codec, RATE, layout="stereo", options={"b": "128k"})
            assert isinstance(stream, av.AudioStream)
            frame = av.AudioFrame.from_ndarray(sound[None], format="flt", layout="stereo")
            frame.sample_rate, frame.pts = RATE, 0
            file.mux(stream.encode(frame) + stream.encode(None))
        samples[name] = path.read_bytes()
    samples["chained.opus"] = 2 * samples["a.opus"]
    return samples


def damaged(content: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """Change a few things, most of them in the header."""
    data = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 3, 8])):
        limit = len(data) if chance.random() < 0.3 else min(HEADER, len(data))
        at = chance.randrange(max(limit, 1))
        match chance.randrange(7):
            case 0:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                if at < len(data):
                    data[at] ^= 1 << chance.randrange(8)
            case 2:
                size, step = chance.choice([1, 2, 4]), chance.choice([-1, 1])  # either byte order
                value = chance.choice(INTERESTING) & ((1 << 8 * size) - 1)
                data[at : at + size] = value.to_bytes(size)[::step]
            case 3:
                del data[at : at + chance.choice([1, 2, 4, 16])]
            case 4:
                data[at:at] = data[at : at + chance.choice([1, 4, 16, 64])]
            case 5:
                del data[chance.randrange(len(data) + 1) :]
            case 6:
                data[:at] = chance.choice(others)[:at]
    return bytes(data) or b"\0"


def decode(tasks: Connection) -> None:
    """Decode the files that are named, one after another, and answer with what came out."""
    from quadpred.audio import AudioError, AudioReader
    from quadpred.web.sandbox import limit_memory

    warnings.simplefilter("error")
    limit_memory(MEMORY)
    with tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), sys.stderr.fileno())
        length = 0
        while path := tasks.recv():
            try:
                reader = AudioReader(path, 16_000)
                samples = sum(map(len, reader))
                outcome = ("damaged" if reader.damage else "whole") if samples else "no samples"
            except AudioError as error:
                outcome = error.reason.partition(" (")[0]
            except MemoryError:
                outcome = "FOUND out of memory"
            except Exception as error:
                outcome = f"FOUND {type(error).__name__}: {error}"
            before, length = length, os.fstat(printed.fileno()).st_size
            tasks.send(outcome if length == before else "FOUND output on standard error")


class Child:
    """A process that decodes, started again when it was lost."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._start()

    def _start(self) -> None:
        self._tasks, theirs = self._context.Pipe()
        self.process = self._context.Process(target=decode, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def answer(self, path: Path) -> str:
        """Return what came of a file."""
        try:
            self._tasks.send(str(path))
            if self._tasks.poll(HANG):
                return str(self._tasks.recv())
            outcome = f"FOUND no answer in {HANG} s"
        except (EOFError, OSError):
            self.process.join()
            outcome = f"FOUND exit code {self.process.exitcode}"
        self.process.kill()
        self.process.join()
        self._start()
        return outcome

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.join()


def main() -> None:
    """Fuzz for a while, and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True, help="folder for what is found")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    chance, counts, findings, slowest = random.Random(arguments.seed), Counter[str](), 0, 0.0
    child = Child()
    with tempfile.TemporaryDirectory() as folder:
        sounds = recordings(Path(folder))
        end = time.monotonic() + 60 * arguments.minutes
        while time.monotonic() < end:
            name = chance.choice(list(sounds))
            path = Path(folder) / name
            path.write_bytes(damaged(sounds[name], list(sounds.values()), chance))
            began = time.monotonic()
            outcome = child.answer(path)
            slowest = max(slowest, time.monotonic() - began)
            counts[outcome] += 1
            if outcome.startswith("FOUND"):
                findings += 1
                os.replace(path, arguments.output / f"{findings:04}-{name}")
                print(outcome, f"{findings:04}-{name}", flush=True)
    child.end()
    print(f"{counts.total()} files, {findings} findings, the slowest took {slowest:.1f} s")
    for outcome, count in counts.most_common():
        print(f"{count:8} {outcome}")
    sys.exit(findings > 0)


if __name__ == "__main__":
    main()
