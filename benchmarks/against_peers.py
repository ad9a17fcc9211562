"""CPU time per minute of a 3-minute mp3, warm, against VibeNet and Essentia's MusicExtractor.

    python benchmarks/against_peers.py PYTHON

PYTHON is an interpreter with `pip install vibenet essentia`. All run on one core, in turn, several
times; each figure is the best.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from audio import song

MINUTES = 3
ROUNDS = 3

TIMED = """
import json, os, sys, time
os.sched_setaffinity(0, {0})
path = sys.argv[1]
%s
spent = []
for _ in range(3):
    started = time.process_time()
    run()
    spent.append(time.process_time() - started)
print(json.dumps(min(spent)))
"""
PROGRAMS = {
    "quadpred": """
from quadpred import Predictor
predictor = Predictor.load()
run = lambda: predictor.predict(path)
""",
    "VibeNet": """
import vibenet
model = vibenet.load_model()
run = lambda: model.predict(path)
""",
    "Essentia MusicExtractor": """
import essentia
essentia.log.infoActive = essentia.log.warningActive = False
from essentia.standard import MusicExtractor
run = lambda: MusicExtractor()(path)
""",
}


def timed(python: str, program: str, path: Path) -> float:
    """CPU seconds for one file after warm-up."""
    command = [python, "-c", TIMED % program, str(path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    (peers,) = sys.argv[1:]
    best = dict.fromkeys(PROGRAMS, float("inf"))
    with tempfile.TemporaryDirectory() as folder:
        mp3 = song(Path(folder) / "song.mp3", 60 * MINUTES)
        for _ in range(ROUNDS):
            for name, program in PROGRAMS.items():
                python = sys.executable if name == "quadpred" else peers
                best[name] = min(best[name], timed(python, program, mp3))
    print("| | CPU ms per minute | times quadpred's |\n| --- | --- | --- |")
    for name, seconds in best.items():
        print(f"| {name} | {seconds * 1000 / MINUTES:.0f} | {seconds / best['quadpred']:.1f} |")


if __name__ == "__main__":
    main()
