"""`quadpred train …`: thin commands; PyTorch is imported when one runs."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Train speech encoders and models of music.")

Recipe = Annotated[str, typer.Option(help="A recipe's name (base, seed) or a TOML file.")]
Splits = list[str]
Cache = Annotated[
    Path | None, typer.Option(help="Folder of computed log-mels [default: the user's cache].")
]
Seed = Annotated[int | None, typer.Option(help="Instead of the recipe's seed.")]
Output = Annotated[Path, typer.Option("-o", "--output", help="The run's folder.")]


@app.command()
def manifest(
    folder: Annotated[Path, typer.Argument(help="Folder of recordings.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The manifest, a CSV file.")],
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
    folds: Annotated[int, typer.Option(min=2, help="Parts to split the groups into.")] = 5,
    name: Annotated[str, typer.Option(help="Name of the corpus, for model cards.")] = "",
    language: Annotated[str, typer.Option(help="english, mandarin, …")] = "",
    licence: Annotated[str, typer.Option(help="Terms of the recordings.")] = "unknown",
    note: Annotated[str, typer.Option(help="What a model card must say of the corpus.")] = "",
) -> None:
    """Make a manifest, split by group, of a folder of recordings."""
    from quadpred.train.corpora import DataSheet, from_folder

    sheet = DataSheet(name or folder.name, language, licence, note)
    made = from_folder(folder, sheet, labels=labels, group=group, tags=tags or (), folds=folds)
    made.save(output)
    groups = len({clip.group for clip in made.clips})
    typer.echo(f"{output}: {len(made.clips)} clips, {groups} groups, {folds} folds")


@app.command()
def pretrain(
    manifests: Annotated[list[Path], typer.Argument(help="Manifests of speech.")],
    output: Output,
    recipe: Recipe = "base",
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
    manifest: Annotated[Path, typer.Argument(help="Manifest of labelled music.")],
    output: Output,
    recipe: Recipe = "base",
    start: Annotated[
        Path | None, typer.Option("--from", help="Run to start from; without, random weights.")
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
        Manifest.load(manifest),
        output,
        start=start,
        validation=validation or (),
        test=test or (),
        cache=cache,
    )


def _recipe(name: str, seed: int | None):
    from dataclasses import replace

    from quadpred.train.recipe import Recipe

    recipe = Recipe.load(name)
    return recipe if seed is None else replace(recipe, seed=seed)


if __name__ == "__main__":
    app()
