"""How much faster than the paper's way, on one 3-minute mp3: cold and warm, memory too.

Cold is a whole command, wall time, as a person waits for it, with its picture. Warm is CPU time of
one more file in a process on one core, without a picture. Runs alternate; each figure is the best.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from audio import song

HERE = Path(__file__).parent
COLD, WARM = 5, 5


def cold(command: list[str]) -> tuple[float, float]:
    """Wall seconds and peak megabytes of a command."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"failed: {' '.join(command)}")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def warm(predict: Callable[[], object]) -> float:
    """CPU milliseconds of one more file."""
    started = time.process_time()
    predict()
    return (time.process_time() - started) * 1000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        mp3 = song(Path(folder) / "song.mp3", 180)
        out = Path(folder) / "out.npy"
        quadpred = [sys.executable, "-m", "quadpred", "predict", str(mp3), "-o", str(out)]
        commands = {
            "seed's way": [sys.executable, str(HERE / "seed_way.py"), str(mp3), str(out)],
            "quadpred": quadpred,
            "quadpred, no plot": [*quadpred, "--no-plot"],
        }
        best = {name: (float("inf"), 0.0) for name in commands}
        for _ in range(COLD):
            for name, command in commands.items():
                best[name] = min(best[name], cold(command))
        print(f"{'cold, wall s':22}{'s':>8}{'ratio':>8}{'peak MB':>10}")
        seed = best["seed's way"][0]
        for name, (seconds, megabytes) in best.items():
            print(f"{name:22}{seconds:8.2f}{seed / seconds:8.1f}{megabytes:10.0f}")

        os.sched_setaffinity(0, {0})
        import seed_way

        from quadpred import Predictor

        model, predictor = seed_way.network(), Predictor.load()
        ways: dict[str, Callable[[], object]] = {
            "seed's way": lambda: seed_way.predict(model, str(mp3)),
            "quadpred": lambda: predictor.predict(mp3),
        }
        spent = {name: float("inf") for name in ways}
        for way in ways.values():
            way()
        for _ in range(WARM):
            for name, way in ways.items():
                spent[name] = min(spent[name], warm(way))
        print(f"\n{'warm, one core':22}{'ms/min':>8}{'ratio':>8}")
        for name, milliseconds in spent.items():
            ratio = spent["seed's way"] / milliseconds
            print(f"{name:22}{milliseconds / 3:8.0f}{ratio:8.1f}")


if __name__ == "__main__":
    main()
