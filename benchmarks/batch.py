"""Library runs: speed-up of a second worker, and cost of a file beyond its prediction."""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from audio import song
from commands import cost_of

from quadpred import Predictor

CLIP, SONG = 30, 180  # seconds


def folder_of(folder: Path, count: int, seconds: float) -> Path:
    """Fill a folder with `count` copies of one mp3."""
    folder.mkdir()
    first = song(folder / "0.mp3", seconds)
    for number in range(1, count):
        shutil.copy(first, folder / f"{number}.mp3")
    return folder


def run(folder: Path, output: Path, jobs: int, *options: str) -> tuple[float, float]:
    """Wall and CPU seconds of the whole command, its workers included."""
    command = [sys.executable, "-m", "quadpred", "predict", str(folder), "-o", str(output)]
    cost = cost_of([*command, "--jobs", str(jobs), *options])
    return cost.wall, cost.cpu


def two_workers(folder: Path, songs: int) -> None:
    music = folder_of(folder / "songs", songs, SONG)
    one, two = (run(music, folder / f"songs-{jobs}", jobs) for jobs in (1, 2))
    print(f"{songs} songs of {SONG} s\n{'workers':>8}{'wall s':>10}{'CPU s':>10}{'ratio':>8}")
    for jobs, (wall, cpu) in enumerate((one, two), 1):
        print(f"{jobs:8}{wall:10.2f}{cpu:10.2f}{one[0] / wall:8.2f}")


def overhead(folder: Path, clips: int) -> None:
    music = folder_of(folder / "clips", clips, CLIP)
    single = folder_of(folder / "single", 1, CLIP)
    predictor = Predictor.load()
    files = [str(path) for path in music.iterdir()]
    predictor.predict(files[0])
    started = time.process_time()
    for file in files:
        predictor.predict(file)
    floor = (time.process_time() - started) * 1000 / clips
    print(f"\n{clips} clips of {CLIP} s, one worker")
    print(f"{'':34}{'CPU ms/file':>14}{'ratio':>8}")
    print(f"{'prediction alone (the floor)':34}{floor:14.2f}{1:8.2f}")
    kinds = {
        "tables": (),
        "tables, one row per second": ("--seconds",),
        "tables, json, npy": ("--format", "json,npy"),
    }
    for name, options in kinds.items():
        output = folder / name
        _, start = run(single, output / "single", 1, *options)
        _, whole = run(music, output / "clips", 1, *options)
        each = (whole - start) * 1000 / (clips - 1)
        print(f"{name:34}{each:14.2f}{each / floor:8.2f}")
        print(f"{'  with the start of the run':34}{whole * 1000 / clips:14.2f}")
    _, again = run(music, folder / "tables" / "clips", 1)
    each = again * 1000 / clips
    print(f"{'tables, nothing new':34}{each:14.2f}{each / floor:8.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=2000, help=f"of {CLIP} s, at least 2")
    parser.add_argument("--songs", type=int, default=80, help=f"of {SONG} s")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        two_workers(Path(folder), arguments.songs)
        overhead(Path(folder), arguments.clips)


if __name__ == "__main__":
    main()
