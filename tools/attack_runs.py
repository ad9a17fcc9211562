"""Kill, suspend and interrupt library runs at random times; results must be complete and right.

    python tools/attack_runs.py --rounds 20

Each round predicts a small library with the command line and attacks it once, at a random time:

- kill: SIGKILL to the run, or to it and its workers. Every line of its ledger must hold.
- worker: SIGKILL to one worker. The run must go on.
- suspend: SIGSTOP, and SIGCONT after two seconds, as Ctrl-Z and `fg` do. The run must go on.
- interrupt: SIGINT to the process group, as Ctrl-C does. It prints how many recordings are kept, if
  any, and that it was interrupted.
- remove: the folder .quadpred disappears. The run prints one line on standard error, or goes on.

After each round the run is started again and must end well, with the tables and files of a run that
nobody attacked. The exit code is 1 if any round does not end so.
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import soundfile

RATE = 16_000
CLIPS = 12
SECONDS = 20
PYTHON_LOADS = 0.15  # seconds in which Python itself reports an interrupt, before any of our code
TIMEOUT = 600
INTERRUPTED = re.compile(
    r"(quadpred: \d+ recordings? predicted and kept; .*\n)?quadpred: interrupted\n"
)
ATTACKS = ("kill", "worker", "suspend", "interrupt", "remove")


def write_library(folder: Path) -> None:
    """Write recordings that differ."""
    folder.mkdir()
    time = np.arange(SECONDS * RATE) / RATE
    for number in range(CLIPS):
        pitch = 200 * (number + 2) * (1 + 0.2 * np.sin(2 * np.pi * time / 3))
        soundfile.write(folder / f"{number}.wav", 0.3 * np.sin(pitch * time), RATE)


def command(music: Path, output: Path) -> list[str]:
    """Return the command line of a run."""
    start = [sys.executable, "-m", "quadpred", "predict", str(music), "-o", str(output)]
    return [*start, "--format", "json,npy", "--seconds", "--jobs", "2"]


def results(output: Path) -> dict[str, bytes]:
    """Return every file below an output folder but those of the run itself."""
    files = (path for path in output.rglob("*") if path.is_file())
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in files
        if ".quadpred" not in path.parts
    }


def workers(pid: int) -> list[int]:
    """Return the worker processes of a run."""
    with suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [
            int(child)
            for child in children
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
        ]
    return []


def attack(kind: str, process: subprocess.Popen[str], output: Path, chance: random.Random) -> None:
    """Do it; a run that is over already takes no notice."""
    with suppress(ProcessLookupError):
        if kind == "kill":
            chance.choice([os.kill, os.killpg])(process.pid, signal.SIGKILL)
        elif kind == "worker":
            for worker in workers(process.pid)[:1]:
                os.kill(worker, signal.SIGKILL)
        elif kind == "suspend":
            os.killpg(process.pid, signal.SIGSTOP)
            time.sleep(2)
            os.killpg(process.pid, signal.SIGCONT)
        elif kind == "interrupt":
            os.killpg(process.pid, signal.SIGINT)
        elif kind == "remove":
            shutil.rmtree(output / ".quadpred", ignore_errors=True)


EXPECTED: dict[str, Callable[[int, str], bool]] = {
    "kill": lambda code, errors: code in (0, -signal.SIGKILL) and not errors,
    "worker": lambda code, errors: code == 0 and not errors,
    "suspend": lambda code, errors: code == 0 and not errors,
    "interrupt": lambda code, errors: (
        (code == 0 and not errors)
        or (code in (130, -signal.SIGINT) and INTERRUPTED.fullmatch(errors) is not None)
    ),
    "remove": lambda code, errors: (
        (code == 0 and not errors) or (code == 2 and errors.count("\n") == 1)
    ),
}
"""What a run may end with, by attack: exit code and standard error."""


def play_round(kind: str, folder: Path, lasts: float, chance: random.Random) -> str:
    """Attack a run, start it again, and say what came of it."""
    output = folder / "attacked"
    shutil.rmtree(output, ignore_errors=True)
    process = subprocess.Popen(
        command(folder / "music", output),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    time.sleep(chance.uniform(PYTHON_LOADS, lasts))
    attack(kind, process, output, chance)
    errors = process.communicate(timeout=TIMEOUT)[1]
    if not EXPECTED[kind](process.returncode, errors):
        return f"exit code {process.returncode}: {errors[-300:]}"
    again = subprocess.run(
        command(folder / "music", output), capture_output=True, text=True, timeout=TIMEOUT
    )
    if again.returncode or again.stderr:
        return f"again: exit code {again.returncode}: {again.stderr[-300:]}"
    if results(output) != results(folder / "whole"):
        return "other results"
    return f"well, exit code {process.returncode}"


def main() -> None:
    """Attack, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_library(folder / "music")
        started = time.monotonic()
        subprocess.run(
            command(folder / "music", folder / "whole"), check=True, stdout=subprocess.DEVNULL
        )
        lasts = time.monotonic() - started
        for number in range(options.rounds):
            kind = ATTACKS[number % len(ATTACKS)]
            counts[f"{kind}: {play_round(kind, folder, lasts, chance)}"] += 1
    for outcome, count in sorted(counts.items()):
        print(f"{count} {outcome}")
    sys.exit(any(": well, " not in outcome for outcome in counts))


if __name__ == "__main__":
    main()
