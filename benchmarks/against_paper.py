"""Speed and memory against the paper's pipeline, on one 3-minute mp3, cold and warm.

Cold: wall time of a whole command that also draws a picture. Warm: CPU time for one file in a
running process on one core, without a picture. Runs alternate; each figure is the best.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from audio import song
from commands import cost_of

HERE = Path(__file__).parent
COLD, WARM = 5, 5


def warm(predict: Callable[[], object]) -> float:
    """CPU milliseconds for one file after warm-up."""
    started = time.process_time()
    predict()
    return (time.process_time() - started) * 1000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        mp3 = song(Path(folder) / "song.mp3", 180)
        out = Path(folder) / "out.npy"
        pipeline = str(HERE / "paper_pipeline.py")
        quadpred = [sys.executable, "-m", "quadpred", "predict", str(mp3), "-o", str(out)]
        commands = {
            "paper's pipeline": [sys.executable, pipeline, str(mp3), str(out)],
            "quadpred": quadpred,
            "quadpred, no plot": [*quadpred, "--no-plot"],
        }
        best = {name: (float("inf"), 0.0) for name in commands}
        for _ in range(COLD):
            for name, command in commands.items():
                cost = cost_of(command)
                best[name] = min(best[name], (cost.wall, cost.peak))
        print(f"{'cold, wall s':22}{'s':>8}{'ratio':>8}{'peak MB':>10}")
        slowest = best["paper's pipeline"][0]
        for name, (seconds, megabytes) in best.items():
            print(f"{name:22}{seconds:8.2f}{slowest / seconds:8.1f}{megabytes:10.0f}")

        os.sched_setaffinity(0, {0})
        import paper_pipeline

        from quadpred import Predictor

        model, predictor = paper_pipeline.network(), Predictor.load()
        programs: dict[str, Callable[[], object]] = {
            "paper's pipeline": lambda: paper_pipeline.predict(model, str(mp3)),
            "quadpred": lambda: predictor.predict(mp3),
        }
        spent = {name: float("inf") for name in programs}
        for program in programs.values():
            program()
        for _ in range(WARM):
            for name, program in programs.items():
                spent[name] = min(spent[name], warm(program))
        print(f"\n{'warm, one core':22}{'ms/min':>8}{'ratio':>8}")
        for name, milliseconds in spent.items():
            ratio = spent["paper's pipeline"] / milliseconds
            print(f"{name:22}{milliseconds / 3:8.0f}{ratio:8.1f}")


if __name__ == "__main__":
    main()
