"""Add the key to the runs of a recipe: one layer per fold, fitted on the clips of the other folds.

    python -m experiments.fuse DATA RUNS --speech english

reads RUNS/english/fold-K-seed-S and all-seed-0, and writes RUNS/english-key/ with the same names.
"""

import argparse
from pathlib import Path

from experiments.evaluate import CACHE
from experiments.test_sets import calibration_sets, with_quadrants
from experiments.train_models import SPEECH
from quadpred.train.export import export
from quadpred.train.fusion import fuse, held_out
from quadpred.train.run import Run


def fuse_runs(data: Path, runs: Path, speech: str) -> Path:
    """Fuse every finished run of a speech encoder; return the folder of the new runs."""
    output = runs / f"{speech}-key"
    folds = sorted(path.parent for path in (runs / speech).glob("fold-*-seed-0/model.pt"))
    found = held_out(folds, [with_quadrants(each) for each in calibration_sets(data, CACHE)])
    for base in [*folds, runs / speech / "all-seed-0"]:
        if not (base / "model.pt").is_file():
            continue
        folder = output / base.name
        test = Run.describe(base, "test")["test"]
        fuse(base, (found.without(test[0]) if test else found).fit(), folder)
        export(folder, folder / "model.onnx", name=base.name, speech=speech, music="english")
    return output


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--speech", choices=SPEECH, default="english")
    options = parser.parse_args()
    print(fuse_runs(options.data, options.runs, options.speech))


if __name__ == "__main__":
    main()
