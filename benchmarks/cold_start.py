"""Wall time of each part of a cold `quadpred predict` with picture, on a 30-second mp3."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from audio import song

RUNS = 7
PARTS = {
    "Python itself": "",
    "the command line": "import quadpred.cli.app",
    "numpy, PyAV, ONNX Runtime": "import av, numpy, onnxruntime",
    "the model": "from quadpred import Predictor; predictor = Predictor.load()",
    "the prediction": "import sys; prediction = predictor.predict(sys.argv[1])",
    "matplotlib": "from quadpred.plots.taggram import save_taggram",
    "the picture": "save_taggram(prediction, sys.argv[2])",
}


def wall(program: str, *arguments: str) -> float:
    """Seconds of a whole process."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", program, *arguments], check=True)
    return time.perf_counter() - started


def main() -> None:
    names = list(PARTS)
    programs = ["\n".join(list(PARTS.values())[: k + 1]) for k in range(len(names))]
    best = [float("inf")] * len(names)
    with tempfile.TemporaryDirectory() as folder:
        mp3, png = song(Path(folder) / "song.mp3", 30), str(Path(folder) / "out.png")
        for _ in range(RUNS):
            for k, program in enumerate(programs):
                best[k] = min(best[k], wall(program, str(mp3), png))
    print(f"{'':40}{'ms':>8}{'share':>8}")
    for name, before, until in zip(names, [0.0, *best], best, strict=False):
        part = max(0.0, until - before)
        print(f"{name:40}{part * 1000:8.0f}{part / best[-1]:8.2f}")
    print(f"{'all':40}{best[-1] * 1000:8.0f}{1:8.2f}")


if __name__ == "__main__":
    main()
