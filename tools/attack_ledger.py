"""Flip random bits of a run's ledger and per-second rows; no run may fail or write a wrong value.

    python tools/attack_ledger.py --flips 3000 --runs 20

Each flip damages one bit of a small ledger, which is then read back: every record and block must
be as it was written or count as missing. Each run damages a predicted library in the same way,
predicts it again with the command line, and compares all tables. Exit code 1: something differs.
"""

import argparse
import random
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import soundfile

from quadpred.batch.discovery import WHOLE
from quadpred.batch.ledger import FOLDER, ROW, Ledger, Record

RATE = 16_000
RECORDS = 40
CLIPS = 6
COLUMNS = 8
VALUES = {float: 0.123456, str: "Q1", bool: True}


def flip(path: Path, random: random.Random) -> None:
    """Flip one bit of a file, without changing its length."""
    content = bytearray(path.read_bytes())
    bit = random.randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def files(output: Path) -> list[Path]:
    """Return the files of an output folder's ledger that a flip may damage."""
    return sorted(each for each in (output / FOLDER).iterdir() if each.suffix in (".jsonl", ".f32"))


def attack_records(output: Path, flips: int, random: random.Random) -> Counter[str]:
    """Damage a ledger again and again, and read it back."""
    rows = np.random.default_rng(0).random((RECORDS, 5, COLUMNS), np.float32)
    names = [f"folder/clip {number}.mp3" for number in range(RECORDS)]
    row = {name: VALUES[kind] for name, kind in ROW.items()}
    with Ledger(output, WHOLE, names, COLUMNS) as ledger:
        ledger.append(
            Record(name, "ab" * 32, "cd" * 32, (1, 2, 3, 4), 1e9, row, {"json": (7, 8)},
                   ledger.add_seconds(rows[number]))
            for number, name in enumerate(names)
        )  # fmt: skip
        written = [ledger.get(name) for name in names]
    whole = {path: path.read_bytes() for path in files(output)}
    counts: Counter[str] = Counter()
    for _ in range(flips):
        path = random.choice([*whole])
        flip(path, random)
        try:
            with Ledger(output, WHOLE, names, COLUMNS) as ledger:
                counts[_judge(ledger, names, written, rows)] += 1
        except Exception as error:
            counts[f"{type(error).__name__}: {error}"] += 1
        for path, content in whole.items():
            path.write_bytes(content)
    return counts


def _judge(ledger: Ledger, names: list[str], written: list[Record | None], rows: np.ndarray) -> str:
    missing = 0
    for number, name in enumerate(names):
        record = ledger.get(name)
        seconds = ledger.seconds(record) if record else None
        if seconds is None:
            missing += 1
        elif record != written[number] or not np.array_equal(seconds, rows[number]):
            return "wrong value"
    return "found" if missing else "not found"


def attack_runs(folder: Path, runs: int, random: random.Random) -> Counter[str]:
    """Damage a library's ledger and predict the library again."""
    music, output = folder / "music", folder / "out"
    music.mkdir()
    for number in range(CLIPS):
        time = np.arange(2 * RATE) / RATE
        soundfile.write(music / f"{number}.wav", 0.3 * np.sin(time * 400 * (number + 2)), RATE)
    command = [sys.executable, "-m", "quadpred", "predict", str(music), "-o", str(output)]
    command += ["--seconds", "--format", "csv", "--jobs", "1"]
    subprocess.run(command, check=True, capture_output=True)
    tables = {path: path.read_bytes() for path in output.iterdir() if path.is_file()}
    counts: Counter[str] = Counter()
    for _ in range(runs):
        flip(random.choice(files(output)), random)
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode or done.stderr:
            counts[f"exit code {done.returncode}: {done.stderr[-200:]}"] += 1
        elif any(path.read_bytes() != content for path, content in tables.items()):
            counts["wrong table"] += 1
        else:
            counts["same tables"] += 1
    return counts


def main() -> None:
    """Attack, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--flips", type=int, default=3000)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        flips = attack_records(Path(name) / "flips", options.flips, chance)
        runs = attack_runs(Path(name), options.runs, chance)
    for what, counts in ("flips", flips), ("runs", runs):
        for outcome, count in counts.most_common():
            print(f"{what}: {count} {outcome}")
    sys.exit(bool(set(flips) - {"found"} or set(runs) - {"same tables"}))


if __name__ == "__main__":
    main()
