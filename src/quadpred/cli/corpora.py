"""`quadpred corpora …`: which data sets there are, and fetching them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from quadpred.train.corpora import Archive, Corpus
    from quadpred.train.corpora.fetch import Progress

app = typer.Typer(
    invoke_without_command=True,
    help="Data sets that manifests can be made of: list them, and fetch them.",
)

_WIDE = 240  # characters a line of the table, where no terminal limits it


@app.callback()
def list_corpora(
    context: typer.Context,
    root: Annotated[
        Path | None,
        typer.Option(
            envvar="QUADPRED_CORPORA", help="Folder of corpora, to see which are there already."
        ),
    ] = None,
) -> None:
    """List the data sets that have an adapter: what they hold, on what terms, how to get them."""
    if context.invoked_subcommand:
        return
    from rich.console import Console
    from rich.table import Table

    from quadpred.train.corpora import CORPORA

    columns = ("name", "what", "hours", "language", "labels", "licence", "how to get it", "found")
    table = Table(*columns, title_justify="left")
    for corpus in CORPORA.values():
        place = corpus.find(root) if root else None
        table.add_row(
            corpus.name,
            f"{corpus.title}: {corpus.what}",
            "" if corpus.hours is None else f"{corpus.hours:g}",
            corpus.language.capitalize() or "many",
            corpus.labels,
            corpus.licence,
            f"{corpus.get}\n{corpus.url}".strip(),
            place.name if place else "no",
        )
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console = Console(markup=False, highlight=False, width=_WIDE)
    console.print(table)
    if root is None:
        typer.echo("To see which are there, name their folder: --root or QUADPRED_CORPORA.")


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A corpus's name in `quadpred corpora`.")],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            envvar="QUADPRED_CORPORA",
            help="Folder of corpora; it gets a new one.",
        ),
    ],
    part: Annotated[
        list[str] | None, typer.Option(help="Instead of the usual parts; repeatable.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="I agree to the licence.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the archives.")] = False,
) -> None:
    """Download a corpus and unpack it; a download that was cut off goes on where it stopped."""
    from quadpred.train.corpora import CORPORA
    from quadpred.train.corpora.fetch import FetchError
    from quadpred.train.corpora.fetch import fetch as run

    corpus = CORPORA.get(name)
    if corpus is None:
        raise FetchError(f"{name}: no corpus of that name; there are {', '.join(CORPORA)}")
    if not corpus.archives:
        raise FetchError(
            f"{name}: no plain download ({corpus.get}); see {corpus.url or 'the docs'}"
        )
    parts = list(_parts(corpus, part or []))
    size = sum(archive.megabytes for archive in parts)
    typer.echo(f"{corpus.title}: {corpus.what}")
    typer.echo(f"Licence: {corpus.licence}; read it at {corpus.url}")
    typer.echo(f"Download: {', '.join(a.part for a in parts)}, about {size:,} MB")
    for archive in parts:
        if not archive.checksum:
            typer.echo(f"No checksum of {archive.part} is known: only its size is checked.")
    if not yes:
        if not sys.stdin.isatty():
            raise FetchError(f"{name}: agree to its licence with --yes")
        typer.confirm("Do you agree to the licence?", abort=True)
    with _shown() as progress:
        folder = run(corpus, output, parts=parts, progress=progress, keep=keep)
    typer.echo(f"{folder}: quadpred train manifest --corpus {name} {folder} -o {name}.csv")


def _parts(corpus: "Corpus", wanted: list[str]) -> Iterator["Archive"]:
    from quadpred.train.corpora.fetch import FetchError

    known = {archive.part: archive for archive in corpus.archives}
    if unknown := [part for part in wanted if part not in known]:
        raise FetchError(f"{corpus.name}: no part {unknown[0]}; there are {', '.join(known)}")
    for archive in corpus.archives:
        if archive.part in wanted or not (wanted or archive.optional):
            yield archive


@contextmanager
def _shown() -> Iterator["Progress"]:
    """Show progress on a terminal's standard error, nothing in a pipe."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        tasks = {}

        def progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what)
            bar.update(tasks[what], completed=done, total=total or None)

        yield progress
