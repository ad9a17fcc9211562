"""Score a bundled model, an ONNX file, or the runs of a recipe on every set of README.md.

    python -m experiments.evaluate english-to-english DATA
    python -m experiments.evaluate RUNS DATA --sets 4q --sets film --no-robustness
    python -m experiments.evaluate teachers DATA --teachers VALUES
    python -m experiments.evaluate vibenet DATA

Prints tables and writes JSON to experiments/results/. Predictions and rendered recordings stay in
the cache folder, so a second evaluation is quick.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from experiments import results as storage
from experiments.criterion import criterion
from experiments.non_music import score_non_music
from experiments.predictions import CACHE, PredictionStore
from experiments.report import print_report
from experiments.robustness import score_robustness
from experiments.scoring import outputs_of, score_set
from experiments.subjects import ModelSubject, Runs, SubjectError, open_subject
from experiments.teacher_regression import TeacherRegression
from experiments.test_sets import SET_NAMES, TestSet, calibration_sets, load_sets
from experiments.vibenet import VibeNet
from quadpred.errors import QuadpredError

__all__ = ["NON_MUSIC", "evaluate", "main", "permitted"]

NON_MUSIC = "non-music"
"""The name of speech and noise among the sets."""
ROBUSTNESS_SETS = ("4q", "film")
BASELINE = storage.FOLDER / "baseline.json"

Subject = ModelSubject | Runs | TeacherRegression | VibeNet


def evaluate(
    subject: Subject,
    sets: Sequence[TestSet],
    *,
    data: Path,
    robustness: bool = True,
    non_music: bool = True,
    console: Console,
) -> dict[str, Any]:
    """Score a subject on sets.

    Returns:
        "sets": the scores of each set by its name; "criterion": the selection criterion, or none
        if a set is missing; and, for networks, "robustness": differences by set and change,
        "non_music": what is predicted for speech and noise.

    Raises:
        AudioError: a recording cannot be read.
    """
    found: dict[str, Any] = {"subject": subject.name, "seeds": list(subject.seeds), "sets": {}}
    for test_set in sets:
        with console.status(f"{test_set.title}: {len(test_set.clips)} clips"):
            found["sets"][test_set.name] = score_set(
                test_set,
                [
                    outputs_of(list(subject.cases(test_set, seed)))
                    if isinstance(subject, ModelSubject | Runs)
                    else subject.outputs(test_set)
                    for seed in subject.seeds
                ],
            )
    found["criterion"] = criterion(found["sets"])
    if not isinstance(subject, ModelSubject | Runs):
        return found
    if robustness:
        with console.status("robustness"):
            found["robustness"] = {
                test_set.name: score_robustness(subject, test_set)
                for test_set in sets
                if test_set.name in ROBUSTNESS_SETS
            }
    if non_music:
        with console.status("audio that is not music"):
            found["non_music"] = score_non_music(subject, data)
    return found


def permitted(subject: Subject, names: Sequence[str]) -> list[str]:
    """Return the sets to score: those named, or all that the subject was not trained on.

    Raises:
        SubjectError: a set that is named was in the subject's training, or does not exist.
    """
    if unknown := set(names) - {*SET_NAMES, NON_MUSIC}:
        choices = ", ".join([*SET_NAMES, NON_MUSIC])
        raise SubjectError(f"--sets {', '.join(sorted(unknown))}: choose from {choices}")
    if seen := set(names) & set(subject.trained_on):
        raise SubjectError(
            f"--sets {', '.join(sorted(seen))}: {subject.name} was trained on this set; evaluate"
            " the runs of its recipe instead"
        )
    return [name for name in names or (*SET_NAMES, NON_MUSIC) if name not in subject.trained_on]


def _open(
    name: str, data: Path, teachers: Path | None, store: PredictionStore, folder: Path
) -> Subject:
    if name == "vibenet":
        return VibeNet(folder)
    if name != "teachers":
        return open_subject(name, store, lambda: calibration_sets(data, folder))
    if teachers is None:
        raise SubjectError("teachers: name the folder of their values with --teachers")
    return TeacherRegression(teachers, data)


def main(
    subject: Annotated[
        str,
        typer.Argument(
            help="A model's name, an ONNX file, a folder of runs, 'teachers' or 'vibenet'."
        ),
    ],
    data: Annotated[Path, typer.Argument(help="The folder of corpora.", exists=True)],
    sets: Annotated[list[str] | None, typer.Option(help="Only these sets; repeatable.")] = None,
    robustness: Annotated[bool, typer.Option(help="Score changed recordings too.")] = True,
    teachers: Annotated[
        Path | None, typer.Option(help="Values that experiments.teachers extracted.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder for predictions and rendered recordings.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="JSON file to write.")
    ] = None,
) -> None:
    """Score a model, or the runs of a recipe, on every set that it was not trained on."""
    folder = cache or CACHE
    try:
        with PredictionStore.open(folder) as store:
            opened = _open(subject, data, teachers, store, folder)
            names = permitted(opened, sets or [])
            found = evaluate(
                opened,
                load_sets([name for name in names if name != NON_MUSIC], data, folder),
                data=data,
                robustness=robustness,
                non_music=NON_MUSIC in names,
                console=Console(stderr=True),
            )
    except QuadpredError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    path = output or storage.FOLDER / f"{opened.name}.json"
    storage.save({"made_by": storage.provenance(), **found}, path)
    baseline = storage.load(BASELINE) if BASELINE.is_file() and path != BASELINE else None
    print_report(storage.load(path), Console(), baseline)
    typer.echo(f"written to {path}")


if __name__ == "__main__":
    typer.run(main)
