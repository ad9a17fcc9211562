"""Add the key to the runs of a recipe: one layer per fold, fitted on the clips of the other folds.

    python -m experiments.fuse DATA RUNS --speech english

reads RUNS/english/fold-K-seed-S and all-seed-S, and writes RUNS/english-key/ with the same names.
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
    music = [with_quadrants(each) for each in calibration_sets(data, CACHE)]
    finished = [path.parent for path in sorted((runs / speech).glob("*-seed-*/model.pt"))]
    by_seed: dict[str, list[Path]] = {}
    for run in finished:
        by_seed.setdefault(run.name.split("-seed-")[1], []).append(run)
    for members in by_seed.values():
        left_out = {run: Run.describe(run, "test")["test"] for run in members}
        found = held_out([run for run in members if left_out[run]], music)
        for run in members:
            clips = found.without(left_out[run][0]) if left_out[run] else found
            folder = output / run.name
            fuse(run, clips.fit(), folder)
            export(folder, folder / "model.onnx", name=run.name, speech=speech, music="english")
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
