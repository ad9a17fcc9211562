"""`quadpred train …` and `quadpred adapt`; PyTorch is imported when one runs."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from quadpred.cli.console import UsageError, console, print_message
from quadpred.files import printable

app = typer.Typer(no_args_is_help=True, help="Train speech encoders and models of music.")

if TYPE_CHECKING:
    from quadpred.train import recipe as recipes
    from quadpred.train.corpora import Manifest

RecipeName = Annotated[str, typer.Option(help="Name of a recipe (base, eusipco2020) or a TOML file.")]
Splits = list[str]
Cache = Annotated[
    Path | None, typer.Option(help="Folder of computed log-mels; the user's cache if not given.")
]
Seed = Annotated[int | None, typer.Option(help="Instead of the recipe's seed.")]
Output = Annotated[Path, typer.Option("-o", "--output", help="The run's folder.")]


@app.command()
def manifest(
    folder: Annotated[Path, typer.Argument(help="Folder of recordings.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The manifest, a CSV file.")],
    corpus: Annotated[
        str | None,
        typer.Option(help="Read the folder as this data set of `quadpred corpora` is published."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="CSV with a column `file`, and `quadrant` for music.")
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(help="Column of the labels (or a pattern in the path) that names the group."),
    ] = None,
    tags: Annotated[
        list[str] | None, typer.Option(help="Column of the labels with further words; repeatable.")
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            min=2, help="Parts to split the groups into; if not given, as published, else 5."
        ),
    ] = None,
    about: Annotated[
        Literal["middle", "median"],
        typer.Option(help="A corpus's ratings: signs about the scale's middle or its medians."),
    ] = "middle",
    neutral: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="A corpus's ratings: leave out so wide a band about the centre."
        ),
    ] = 0.0,
    hours: Annotated[
        float | None, typer.Option(min=0, help="Of a corpus, draw so many hours by chance.")
    ] = None,
    soundfont: Annotated[
        Path | None, typer.Option(help="For a corpus of MIDI files, instead of the system's.")
    ] = None,
    cache: Cache = None,
    name: Annotated[str, typer.Option(help="Name of the corpus, for model cards.")] = "",
    language: Annotated[str, typer.Option(help="english, mandarin, …")] = "",
    licence: Annotated[str, typer.Option(help="Terms of the recordings.")] = "",
    note: Annotated[str, typer.Option(help="What a model card must say of the corpus.")] = "",
    teacher: Annotated[
        Path | None, typer.Option(help="Archive (.npz) of a teacher's values per second and clip.")
    ] = None,
    dynamics: Annotated[
        Path | None,
        typer.Option(help="CSV of ratings over time: file, start, end, arousal, valence."),
    ] = None,
) -> None:
    """Make a manifest, split by group, of a folder of recordings."""
    from dataclasses import replace

    from quadpred.train.corpora import DataSheet, ManifestError, from_folder

    if corpus is None:
        sheet = DataSheet(folder.name)
        made = from_folder(
            folder, sheet, labels=labels, group=group, tags=tags or (), folds=folds or 5
        )
    elif labels or group or tags:
        raise ManifestError("--labels, --group and --tags are for recordings without --corpus")
    else:
        made = _of_corpus(
            corpus, folder, about, neutral, folds, hours, soundfont=soundfont, cache=cache
        )
    given = {
        "name": name,
        "language": language,
        "licence": licence,
        "note": note,
        "teacher": str(teacher.resolve()) if teacher else "",
        "dynamics": str(dynamics.resolve()) if dynamics else "",
    }
    sheet = replace(made.sheet, **{key: value for key, value in given.items() if value})
    made = replace(made, sheet=sheet)
    made.save(output)
    groups = len({clip.group for clip in made.clips})
    splits = Counter(clip.split for clip in made.clips)
    parts = ", ".join(f"{split} {count}" for split, count in sorted(splits.items()))
    typer.echo(f"{output}: {len(made.clips)} clips, {groups} groups; {parts}")


def _of_corpus(
    name: str,
    folder: Path,
    about: Literal["middle", "median"],
    neutral: float,
    folds: int | None,
    hours: float | None,
    *,
    soundfont: Path | None,
    cache: Path | None,
) -> "Manifest":
    """Make a corpus's manifest; say what does not fit in one line each on standard error."""
    from rich.console import Console
    from rich.progress import Progress

    from quadpred.train.corpora import CORPORA, ManifestError

    def warn(line: str) -> None:
        print_message(f"warning: {line}")

    def rendered(paths: list[Path]) -> dict[Path, Path]:
        from quadpred.train.corpora.render import render

        console = Console(stderr=True)
        with Progress(console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task("rendering", total=len(paths))
            return render(
                paths,
                warn=warn,
                soundfont=soundfont,
                cache=cache,
                progress=lambda: bar.advance(task),
            )

    if name not in CORPORA:
        raise ManifestError(f"{name}: no corpus of that name; there are {', '.join(CORPORA)}")
    return CORPORA[name].manifest(
        folder, warn=warn, about=about, neutral=neutral, folds=folds, hours=hours, render=rendered
    )


@app.command()
def pretrain(
    manifests: Annotated[list[Path], typer.Argument(help="Manifests of speech.")],
    output: Output,
    recipe: RecipeName = "base",
    validation: Annotated[Splits | None, typer.Option(help="Split to validate on.")] = None,
    cache: Cache = None,
    seed: Seed = None,
) -> None:
    """Train a speech encoder."""
    from quadpred.train.corpora import Manifest
    from quadpred.train.pretrain import pretrain as run

    loaded = [Manifest.load(path) for path in manifests]
    run(_recipe(recipe, seed), loaded, output, validation=validation or (), cache=cache)


@app.command()
def transfer(
    manifests: Annotated[list[Path], typer.Argument(help="Manifests of labelled music.")],
    output: Output,
    recipe: RecipeName = "base",
    outliers: Annotated[
        list[Path] | None,
        typer.Option(help="Manifest of audio that is not music, such as speech; repeatable."),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option("--from", help="Run or encoder to start from; without, random weights."),
    ] = None,
    validation: Annotated[Splits | None, typer.Option(help="Split to validate on.")] = None,
    test: Annotated[Splits | None, typer.Option(help="Split kept for evaluation.")] = None,
    cache: Cache = None,
    seed: Seed = None,
) -> None:
    """Transfer a speech encoder to the emotion of music."""
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
    runs: Annotated[list[Path], typer.Argument(help="Finished transfers, such as all folds.")],
    manifest: Annotated[Path, typer.Option(help="Manifest of the music they were tested on.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="JSON file for every score.")
    ] = None,
    split: Annotated[
        Splits | None, typer.Option(help="Instead of the split each run kept for testing.")
    ] = None,
    plots: Annotated[
        Path | None, typer.Option(help="Folder for pictures of the confusion matrices.")
    ] = None,
    cache: Cache = None,
) -> None:
    """Score runs on groups they have not heard, with bootstrap intervals."""
    from quadpred.train import report
    from quadpred.train.corpora import Manifest
    from quadpred.train.evaluate import evaluate as run

    result = run(runs, Manifest.load(manifest), splits=split or (), cache=cache)
    report.show(report.score_table(result))
    report.show(report.class_table(result))
    typer.echo(f"{result.clips} clips of {result.groups} groups; intervals are 95 %")
    if output:
        result.save(output)
    if plots:
        report.save_confusion_matrices(result, plots)


@app.command()
def tune(
    manifest: Annotated[Path, typer.Argument(help="Manifest of labelled music.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the trials.")],
    recipe: RecipeName = "base",
    start: Annotated[
        Path | None, typer.Option("--from", help="What to start from, as in `transfer`.")
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="How many there shall be in all.")] = 20,
    validation: Annotated[
        str, typer.Option(help="Split whose loss decides; the first if not given.")
    ] = "",
    test: Annotated[Splits | None, typer.Option(help="Split kept apart from all this.")] = None,
    cache: Cache = None,
    seed: Seed = None,
) -> None:
    """Choose learning rates and weight decay by Bayesian optimisation; writes a recipe."""
    import sys

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
        tell=lambda text: typer.echo(text, err=True) if sys.stderr.isatty() else None,
    )
    before = "" if tuned.first is None else f", {tuned.first:.4f} before"
    typer.echo(f"{tuned.recipe}: validation loss {tuned.loss:.4f}{before}; {tuned.trials} trials")


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A finished transfer.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The ONNX file.")],
    speech: Annotated[str, typer.Option("-s", "--speech", help="Language of the speech.")],
    music: Annotated[str, typer.Option("-m", "--music", help="Language of the music.")],
    scores: Annotated[
        list[Path] | None,
        typer.Option(
            help="JSON of `evaluate`, for the card; repeatable. The first calibrates the model."
        ),
    ] = None,
    caveat: Annotated[str, typer.Option(help="Why the model is experimental.")] = "",
    note: Annotated[list[str] | None, typer.Option(help="What else it is bad at.")] = None,
) -> None:
    """Write a model file (ONNX) and its card beside it."""
    import hashlib

    from quadpred.registry import language
    from quadpred.train.card import card
    from quadpred.train.evaluate import Evaluation
    from quadpred.train.export import export as write
    from quadpred.train.run import Run
    from quadpred.train.report import save_reliability_of

    about: dict[str, Any] = {
        "name": output.stem,
        "speech": language(speech),
        "music": language(music),
        "caveat": caveat,
    }
    results = [Evaluation.load(path) for path in scores or ()]
    if results:
        about["calibration"] = results[0].calibration
        save_reliability_of(about["calibration"], output)
    exported = write(run, output, **about)
    text = card(
        Run.describe(run),
        exported,
        **about,
        sha256=hashlib.sha256(output.read_bytes()).hexdigest(),
        scores=[(result.corpus, result) for result in results],
        notes=note or (),
    )
    output.with_suffix(".md").write_text(text)
    typer.echo(f"{output}: {output.stat().st_size / 1e6:.1f} MB; card: {output.with_suffix('.md')}")
    stored = f"{exported.stored:.1e} with weights of 8 and 16 bits"
    typer.echo(f"largest difference from PyTorch: {exported.float32:.1e}, {stored}")


def _recipe(name: str, seed: int | None) -> "recipes.Recipe":
    from dataclasses import replace

    from quadpred.train.recipe import Recipe

    recipe = Recipe.load(name)
    return recipe if seed is None else replace(recipe, seed=seed)


def adapt(
    songs: Annotated[
        Path,
        typer.Argument(help="CSV with columns file, quadrant and group; or folders Q1 to Q4."),
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
            help="Language of the speech to start from: english, mandarin or mixed.",
        ),
    ] = "mixed",
    recipe: Annotated[str, typer.Option(help="A recipe's name or a TOML file.")] = "adapt",
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder of computed log-mels; the user's cache if not given."),
    ] = None,
) -> None:
    """Make a model of your own labelled songs, and score it on artists it has not heard."""
    from quadpred.train import report
    from quadpred.train.adapt import adapt as run

    progress = console(stderr=True)
    adapted = run(
        songs,
        output,
        speech=_spoken(speech),
        recipe=recipe,
        cache=cache,
        warn=lambda text: print_message(f"warning: {text}"),
        tell=lambda text: progress.print(text) if progress.is_terminal else None,
    )
    scores = adapted.scores
    size = adapted.model.stat().st_size / 1e6
    screen = console()
    screen.print(
        f"{scores.clips} clips of {scores.groups} groups, each scored by a network that was not"
        " trained on its group; 95 % intervals:"
    )
    report.show(report.score_table(scores))
    verdict = "no better than chance" if adapted.uncertain else "better than chance"
    screen.print(f"Quadrants are {verdict}, a macro F1 of {adapted.chance:.2f}.")
    screen.print(printable(f"{adapted.model}: {size:.1f} MB; card: {adapted.card}"))
    screen.print(printable(f"Runs and scores: {adapted.folder}"))
    screen.print(printable(f"Use it: quadpred predict --model {adapted.model} SONG"))


def _spoken(code: str) -> str:
    """Return the language of a speech encoder on board."""
    from quadpred import registry

    try:
        return registry.encoder(code).speech
    except ValueError as error:
        raise UsageError(str(error)) from None
