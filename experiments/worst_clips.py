"""List the clips of each set on which the runs of a recipe are furthest from the labels.

    python -m experiments.worst_clips RUNS DATA --sets 4q --sets film --count 5

Each clip is predicted by the run that left it out, as `experiments.evaluate` does. Labelled sets
are sorted by the probability of the true quadrant. Rated sets are sorted by the difference of two
ranks, of the rating and of the prediction, each from 0 to 1 within the set.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import rankdata

from experiments.evaluate import NON_MUSIC, permitted
from experiments.predictions import CACHE, PredictionStore
from experiments.scoring import AXES, ClipOutputs, outputs_of
from experiments.subjects import open_subject
from experiments.test_sets import TestSet, calibration_sets, load_sets
from quadpred.errors import QuadpredError
from quadpred.files import printable
from quadpred.labels import QUADRANT

SETS = ("4q", "film", "emotify")
Row = tuple[float, Sequence[str]]


def main(
    runs: Annotated[str, typer.Argument(help="A folder of runs, or a model.")],
    data: Annotated[Path, typer.Argument(help="The folder of corpora.", exists=True)],
    sets: Annotated[list[str] | None, typer.Option(help="Only these sets; repeatable.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Clips per set and axis.")] = 5,
    cache: Annotated[
        Path, typer.Option(help="Folder for predictions and rendered recordings.")
    ] = CACHE,
) -> None:
    """Print one table per set, of the first seed."""
    try:
        with PredictionStore.open(cache) as store:
            subject = open_subject(runs, store, lambda: calibration_sets(data, cache))
            names = [name for name in permitted(subject, sets or SETS) if name != NON_MUSIC]
            for test_set in load_sets(names, data, cache):
                outputs = outputs_of(list(subject.cases(test_set, subject.seeds[0])))
                Console().print(_table(test_set, outputs, count))
    except QuadpredError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def _table(test_set: TestSet, outputs: ClipOutputs, count: int) -> Table:
    columns = ("label", "truth", "prediction", "group", "clip")
    table = Table(*columns, title=f"{test_set.title}: furthest from the labels")
    parts = _classes(outputs) if test_set.scale is None else _ratings(test_set, outputs)
    for rows in parts:
        for _, cells in sorted(rows, key=lambda row: -row[0])[:count]:
            table.add_row(*map(printable, cells))
        table.add_section()
    return table


def _classes(outputs: ClipOutputs) -> Iterator[list[Row]]:
    names = QUADRANT.classes
    rows: list[Row] = []
    by_clip = defaultdict(list)  # all runs predict the clips of EMOPIA
    for clip, values in zip(outputs.clips, outputs.probabilities[QUADRANT.name], strict=True):
        by_clip[clip].append(values)
    for clip, runs in by_clip.items():
        values = np.mean(runs, axis=0)
        best, true = int(values.argmax()), float(values[names.index(clip.quadrant)])
        predicted = f"{names[best]} {values[best]:.2f}, {clip.quadrant} {true:.2f}"
        rows.append((1 - true, ["quadrant", clip.quadrant, predicted, clip.group, clip.path.stem]))
    yield rows


def _ratings(test_set: TestSet, outputs: ClipOutputs) -> Iterator[list[Row]]:
    ratings = np.array([test_set.corpus.ratings[clip.path] for clip in outputs.clips], float)
    for index, axis in enumerate(AXES):
        truth, estimate = _ranks(ratings[:, index]), _ranks(outputs.estimates[:, index])
        yield [
            (abs(t - e), [axis, f"rank {t:.2f}", f"rank {e:.2f}", clip.group, clip.path.stem])
            for clip, t, e in zip(outputs.clips, truth, estimate, strict=True)
        ]


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    ranks: NDArray[np.float64] = (rankdata(values) - 1) / max(1, len(values) - 1)
    return ranks


if __name__ == "__main__":
    typer.run(main)
