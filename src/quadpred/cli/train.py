"""`quadpred train …` and `quadpred adapt`. PyTorch is imported when a command runs."""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quadpred.cli.console import (
    UsageError,
    check_overwriting,
    make_console,
    print_line,
    print_message,
)
from quadpred.files import check_target

if TYPE_CHECKING:
    from quadpred.predictor import Predictor
    from quadpred.train.corpora import Manifest
    from quadpred.train.recipe import Recipe

__all__ = ["Dynamics", "Teacher", "adapt", "app", "check_manifest", "save_manifest"]

app = typer.Typer(no_args_is_help=True, help="Train speech encoders and models of music.")

_TABLE_WIDTH = 100  # characters, in a file or a pipe

RecipeName = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Settings of network and training: a recipe of docs/training.md, such as base or"
        " eusipco2020, or a TOML file.",
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder for computed log-mels. Default: QUADPRED_CACHE, or the user's cache.",
    ),
]
Seed = Annotated[
    int | None, typer.Option(metavar="N", help="Random seed, instead of the recipe's.")
]
RunFolder = Annotated[
    Path, typer.Option("-o", "--output", metavar="FOLDER", help="Folder of the run.")
]
Start = Annotated[
    Path | None,
    typer.Option(
        "--from", metavar="RUN|FILE", help="Run or encoder to start from. Default: random weights."
    ),
]
Validation = Annotated[
    list[str] | None, typer.Option(metavar="SPLIT", help="Split to validate on; repeatable.")
]
Teacher = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.npz", help="Archive (.npz) of a teacher's values per clip and second."
    ),
]
Dynamics = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.csv", help="CSV of ratings over time: file, start, end, arousal, valence."
    ),
]
Test = Annotated[
    list[str] | None,
    typer.Option(metavar="SPLIT", help="Split to keep for evaluation; repeatable."),
]


@app.command()
def manifest(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of recordings.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE.csv", help="The manifest, a CSV file.")
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv", help="CSV with a column `file` and, for music, a column `quadrant`."
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN|REGEX",
            help="Column of the labels that names the group, or regular expression that finds it "
            "in the path.",
        ),
    ] = None,
    tags: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Column of the labels with tags; repeatable."),
    ] = None,
    folds: Annotated[
        int, typer.Option(min=2, metavar="N", help="Number of folds to split the groups into.")
    ] = 5,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the corpus, for model cards.")
    ] = "",
    language: Annotated[
        str, typer.Option(metavar="NAME", help="Language: english, mandarin, …")
    ] = "",
    licence: Annotated[
        str, typer.Option(metavar="NAME", help="Licence of the recordings.")
    ] = "unknown",
    note: Annotated[
        str, typer.Option(metavar="TEXT", help="Remark on the corpus, for model cards.")
    ] = "",
    teacher: Teacher = None,
    dynamics: Dynamics = None,
) -> None:
    """Make a manifest of your own recordings, split by group.

    For a published corpus, use `quadpred corpora manifest`.
    """
    from quadpred.train.corpora import DataSheet, from_folder

    check_manifest(output, labels, teacher, dynamics)
    manifest = from_folder(
        folder,
        DataSheet(name or folder.name, language=language, licence=licence, note=note),
        labels=labels,
        group=group,
        tags=tags or (),
        folds=folds,
    )
    save_manifest(manifest, output, teacher=teacher, dynamics=dynamics)


def check_manifest(output: Path, *inputs: Path | None) -> None:
    """Check that a manifest and its data sheet would replace none of the inputs.

    Raises:
        UsageError: one would, or the name does not end in `.csv`.
    """
    if output.suffix != ".csv":
        raise UsageError(f"{output}: the name of a manifest must end in .csv")
    for path in output, output.with_suffix(".json"):
        check_overwriting(path, *inputs)


def save_manifest(
    manifest: "Manifest",
    output: Path,
    *,
    teacher: Path | None,
    dynamics: Path | None,
    **sheet: str,
) -> None:
    """Save a manifest whose data sheet names these files and texts, and print its size."""
    files = {"teacher": teacher, "dynamics": dynamics}
    added = {name: str(path.resolve()) for name, path in files.items() if path}
    added |= {name: text for name, text in sheet.items() if text}
    replace(manifest, sheet=replace(manifest.sheet, **added)).save(output)
    groups = len({clip.group for clip in manifest.clips})
    splits = Counter(clip.split for clip in manifest.clips)
    parts = ", ".join(f"{split} {count}" for split, count in sorted(splits.items()))
    print_line(f"{output}: {len(manifest.clips)} clips, {groups} groups; {parts}")


@app.command()
def pretrain(
    manifests: Annotated[
        list[Path], typer.Argument(metavar="MANIFEST", help="Manifests of speech.")
    ],
    output: RunFolder,
    recipe: RecipeName = "base",
    validation: Validation = None,
    cache: Cache = None,
    seed: Seed = None,
) -> None:
    """Pre-train an encoder on speech."""
    from quadpred.train.corpora import Manifest
    from quadpred.train.pretrain import pretrain as run

    loaded = [Manifest.load(path) for path in manifests]
    run(_recipe(recipe, seed), loaded, output, validation=validation or (), cache=cache)


@app.command()
def transfer(
    manifests: Annotated[
        list[Path], typer.Argument(metavar="MANIFEST", help="Manifests of labelled music.")
    ],
    output: RunFolder,
    recipe: RecipeName = "base",
    outliers: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="MANIFEST",
            help="Manifest of audio that is not music, such as speech: the model learns to be"
            " uncertain about it (outlier exposure). Repeatable.",
        ),
    ] = None,
    start: Start = None,
    validation: Validation = None,
    test: Test = None,
    cache: Cache = None,
    seed: Seed = None,
) -> None:
    """Transfer a speech encoder to music emotion."""
    from quadpred.train.corpora import Manifest
    from quadpred.train.transfer import transfer as run

    run(
        _recipe(recipe, seed),
        [Manifest.load(path) for path in manifests],
        output,
        outliers=[Manifest.load(path) for path in outliers or ()],
        start=start,
        validation=validation or (),
        test=test or (),
        cache=cache,
    )


@app.command()
def evaluate(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN", help="Finished transfers, such as all folds.")
    ],
    manifest: Annotated[
        Path, typer.Option(metavar="MANIFEST", help="Manifest of the music to score them on.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE.json", help="JSON file for all scores."),
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SPLIT", help="Split to score, instead of each run's test split; repeatable."
        ),
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder for pictures of the confusion matrices."),
    ] = None,
    cache: Cache = None,
) -> None:
    """Score runs on groups that they were not trained on, with bootstrap intervals."""
    from quadpred.train import report
    from quadpred.train.corpora import Manifest
    from quadpred.train.evaluate import evaluate as run

    if output:
        _check_run_inputs(output, runs, manifest, manifest.with_suffix(".json"))
        check_target(output)
    scores = run(runs, Manifest.load(manifest), splits=split or (), cache=cache)
    console = make_console(width=_TABLE_WIDTH)
    console.print(report.score_table(scores), report.class_table(scores))
    print_line(f"{scores.clips} clips of {scores.groups} groups; 95 % confidence intervals")
    if output:
        scores.save(output)
    if plots:
        report.save_confusion_matrices(scores, plots)


@app.command()
def tune(
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="Manifest of labelled music.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="Folder of the trials.")
    ],
    recipe: RecipeName = "base",
    start: Start = None,
    trials: Annotated[int, typer.Option(min=1, metavar="N", help="Total number of trials.")] = 20,
    validation: Annotated[
        str,
        typer.Option(
            metavar="SPLIT", help="Split whose loss is minimised. Default: the first not in --test."
        ),
    ] = "",
    test: Test = None,
    cache: Cache = None,
    seed: Seed = None,
) -> None:
    """Choose learning rates and weight decay by Bayesian optimisation, and write a recipe."""
    from quadpred.train.corpora import Manifest
    from quadpred.train.tune import tune as run

    tuned = run(
        recipe,
        Manifest.load(manifest),
        output,
        start=start,
        trials=trials,
        validation=validation,
        test=tuple(test or ()),
        seed=seed,
        cache=cache,
        on_progress=lambda text: typer.echo(text, err=True) if sys.stderr.isatty() else None,
    )
    before = "" if tuned.first is None else f" (before tuning: {tuned.first:.4f})"
    print_line(f"{tuned.recipe}: validation loss {tuned.loss:.4f}{before}; {tuned.trials} trials")


@app.command()
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished transfer.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE.onnx", help="The ONNX file.")
    ],
    speech: Annotated[
        str, typer.Option("-s", "--speech", metavar="NAME", help="Language of the speech.")
    ],
    music: Annotated[
        str, typer.Option("-m", "--music", metavar="NAME", help="Language of the music.")
    ],
    scores: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE.json",
            help="JSON file of `evaluate`, for the card; repeatable. The first one calibrates the "
            "model.",
        ),
    ] = None,
    caveat: Annotated[
        str, typer.Option(metavar="TEXT", help="Why not to rely on the model, in one line.")
    ] = "",
    note: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Another known weakness, for the card; repeatable."),
    ] = None,
) -> None:
    """Write a model file (ONNX), and its card beside it."""
    from quadpred.registry import language
    from quadpred.train.card import export_with_card
    from quadpred.train.evaluate import Evaluation

    _check_run_inputs(output, [run], *(scores or ()))
    results = [Evaluation.load(path) for path in scores or ()]
    exported = export_with_card(
        run,
        output,
        speech=language(speech),
        music=language(music),
        caveat=caveat,
        calibration=results[0].calibration if results else None,
        scores=[(result.corpus, result) for result in results],
        notes=note or (),
    )
    print_line(f"{output}: {output.stat().st_size / 1e6:.1f} MB; card: {output.with_suffix('.md')}")
    stored = f"{exported.stored:.1e} with 8-bit and 16-bit weights"
    print_line(f"Largest difference from PyTorch: {exported.float32:.1e}, {stored}")


def adapt(
    songs: Annotated[
        Path,
        typer.Argument(
            metavar="SONGS",
            help="CSV with columns file, quadrant and, for scores, group (the artist); or a folder"
            " with folders Q1 to Q4.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE.onnx", help="The model file.")
    ],
    speech: Annotated[
        str,
        typer.Option(
            "-s",
            "--speech",
            metavar="e|m|x",
            help="Speech that the encoder was pre-trained on: english, mandarin or mixed (both).",
        ),
    ] = "mixed",
    full: Annotated[
        bool,
        typer.Option("--full", help="Train the whole network: better with many songs, and slow."),
    ] = False,
    recipe: RecipeName = "adapt",
    cache: Cache = None,
) -> None:
    """Adapt a model to your own labelled songs, and score it on artists that were left out.

    It fits new heads in seconds; with --full, it also trains the whole network, to which --recipe
    and --cache apply.
    """
    if not full and (recipe != "adapt" or cache):
        raise UsageError("--recipe and --cache need --full")
    from quadpred import registry
    from quadpred.predictor import Predictor
    from quadpred.train import report
    from quadpred.train.adapt import adapt as run

    base = Predictor.load(speech=registry.encoder(speech).speech)
    _adapt_heads(songs, output, base, save=not full)
    if not full:
        print_line(f"Use it: quadpred predict --model {output} SONG")
        return
    progress = make_console(stderr=True)
    adapted = run(
        songs,
        output,
        speech=registry.encoder(speech).speech,
        recipe=recipe,
        cache=cache,
        on_warning=lambda text: print_message(f"warning: {text}"),
        on_progress=lambda text: progress.print(text) if progress.is_terminal else None,
    )
    scores = adapted.scores
    size = adapted.model.stat().st_size / 1e6
    scored = f"{scores.clips} clips of {scores.groups} groups"
    print_line(f"{scored}, each scored by a network not trained on its group; 95 % intervals:")
    make_console(width=_TABLE_WIDTH).print(report.score_table(scores))
    verdict = "no better than chance" if adapted.uncertain else "better than chance"
    print_line(f"Quadrants are {verdict}, a macro F1 of {adapted.chance:.3f}.")
    print_line(f"{adapted.model}: {size:.1f} MB; card: {adapted.card}")
    print_line(f"Runs and scores: {adapted.folder}")
    print_line(f"Use it: quadpred predict --model {adapted.model} SONG")


def _adapt_heads(songs: Path, output: Path, base: "Predictor", *, save: bool) -> None:
    """Fit new heads, and print their scores."""
    from quadpred.train.heads import adapt_heads

    scores = adapt_heads(
        songs, output, base, save=save, on_warning=lambda text: print_message(f"warning: {text}")
    )
    interval = f"95 % CI [{scores.low:.3f}, {scores.high:.3f}]"
    print_line(
        f"New heads: macro F1 {scores.macro_f1:.3f}, {interval}, chance {scores.chance:.3f}, on "
        f"{scores.clips} clips of {scores.groups} groups, each left out once"
    )
    if scores.uncertain:
        print_line("The new heads are no better than chance.")


def _check_run_inputs(output: Path, runs: Sequence[Path], *inputs: Path) -> None:
    """Check that an output would replace neither an input nor a file of a run.

    Raises:
        UsageError: it would.
    """
    from quadpred.train.run import Run

    check_overwriting(output, *inputs, *(path for run in runs for path in Run.files(run)))


def _recipe(name: str, seed: int | None) -> "Recipe":
    from quadpred.train.recipe import Recipe

    recipe = Recipe.load(name)
    return recipe if seed is None else replace(recipe, seed=seed)
