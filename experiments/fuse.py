"""Add the key to the runs of a recipe: one layer per fold, fitted on the clips of the other folds.

    python -m experiments.fuse DATA RUNS
    python -m experiments.fuse DATA RUNS --speech mandarin

reads RUNS/english/fold-K-seed-S and all-seed-S, and writes RUNS/english-key/ with the same names.
Runs of other speech get the layers of the English runs of the same name.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from experiments.predictions import CACHE
from experiments.test_sets import calibration_sets, with_quadrants
from experiments.train_models import SPEECH
from quadpred.train.export import export
from quadpred.train.fusion import Layer, fuse, fused_layer, held_out
from quadpred.train.run import Run


def fuse_runs(data: Path, runs: Path, speech: str) -> Path:
    """Fuse every finished run of a speech encoder; return the folder of the new runs."""
    english = runs / "english-key"
    output = runs / f"{speech}-key"
    finished = [path.parent for path in sorted((runs / speech).glob("*-seed-*/model.pt"))]
    if output == english:
        layers = dict(_fit(data, finished))
    else:
        layers = {run: fused_layer(english / run.name) for run in finished}
    for run, layer in layers.items():
        folder = output / run.name
        fuse(run, layer, folder)
        export(folder, folder / "model.onnx", name=run.name, speech=speech, music="english")
    return output


def _fit(data: Path, finished: list[Path]) -> Iterator[tuple[Path, Layer]]:
    """Fit the layer of each run on what the runs of its seed predict for clips they left out."""
    music = [with_quadrants(each) for each in calibration_sets(data, CACHE)]
    by_seed: dict[str, list[Path]] = {}
    for run in finished:
        by_seed.setdefault(run.name.split("-seed-")[1], []).append(run)
    for members in by_seed.values():
        left_out = {run: Run.describe(run, "test")["test"] for run in members}
        found = held_out([run for run in members if left_out[run]], music)
        for run in members:
            clips = found.without(left_out[run][0]) if left_out[run] else found
            yield run, clips.fit()


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
