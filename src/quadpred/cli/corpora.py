"""`quadpred corpora …`: list published corpora, fetch them, and make their manifests."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from quadpred.cli.console import UsageError, make_console, print_line, print_message
from quadpred.cli.train import Dynamics, Teacher, check_manifest, save_manifest

if TYPE_CHECKING:
    from quadpred.train.corpora import Archive, Corpus

__all__ = ["app"]

app = typer.Typer(
    invoke_without_command=True,
    help="List published corpora. With a command, fetch one or make its manifest.",
)

_TABLE_WIDTH = 240  # characters, in a file or a pipe

Name = Annotated[str, typer.Argument(metavar="NAME", help="A corpus of `quadpred corpora`.")]


@app.callback()
def list_corpora(
    context: typer.Context,
    root: Annotated[
        Path | None,
        typer.Option(
            envvar="QUADPRED_CORPORA",
            metavar="FOLDER",
            help="Folder of corpora, to show which exist.",
        ),
    ] = None,
) -> None:
    """List the supported corpora: content, licence, and how to get them."""
    if context.invoked_subcommand:
        return
    from rich.table import Table

    from quadpred.train.corpora import CORPORA

    columns = ("name", "kind", "what", "hours", "language", "labels", "licence", "how to get it")
    table = Table(*columns, "found", title_justify="left")
    for corpus in CORPORA.values():
        folder = corpus.find(root) if root else None
        table.add_row(
            corpus.name,
            corpus.kind,
            f"{corpus.title}: {corpus.what}",
            "" if corpus.hours is None else f"{corpus.hours:g}",
            corpus.language.capitalize() or "many",
            corpus.labels,
            corpus.licence,
            f"{corpus.get}\n{corpus.url}".strip(),
            folder.name if folder else "no",
        )
    make_console(width=_TABLE_WIDTH).print(table)
    if root is None:
        print_line("To see which ones exist, set their folder: --root or QUADPRED_CORPORA.")


@app.command()
def fetch(
    name: Name,
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            envvar="QUADPRED_CORPORA",
            metavar="FOLDER",
            help="Folder of corpora; the corpus becomes a folder in it.",
        ),
    ],
    part: Annotated[
        list[str] | None,
        typer.Option(metavar="PART", help="Part to fetch, instead of the default; repeatable."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="I agree to the licence.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the archives.")] = False,
) -> None:
    """Download and unpack a corpus; an interrupted download is resumed."""
    from quadpred.cli.progress import download_progress
    from quadpred.train.corpora.fetch import fetch as run

    corpus = _corpus(name)
    if not corpus.archives:
        remedy = f"see {corpus.url or 'docs/corpora.md'}"
        raise UsageError(f"{name}: cannot be downloaded directly ({corpus.get}); {remedy}")
    parts = list(_parts(corpus, part or []))
    size = sum(archive.megabytes for archive in parts)
    print_line(f"{corpus.title}: {corpus.what}")
    print_line(f"Licence: {corpus.licence}; read it at {corpus.url}")
    print_line(f"Download: {', '.join(a.part for a in parts)}, about {size:,} MB")
    for archive in parts:
        if not archive.checksum:
            print_line(f"{archive.part}: no checksum is known; only the size is checked.")
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"{name}: add --yes to agree to its licence")
        typer.confirm("Do you agree to the licence?", abort=True)
    with download_progress() as progress:
        folder = run(corpus, output, parts=parts, on_progress=progress, keep=keep)
    print_line(f"{folder}: quadpred corpora manifest {name} {folder} -o {name}.csv")


@app.command()
def manifest(
    name: Name,
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder of the corpus, as published.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE.csv", help="The manifest, a CSV file.")
    ],
    folds: Annotated[
        int | None,
        typer.Option(
            min=2, metavar="N", help="Number of folds. Default: the published splits, or 5 folds."
        ),
    ] = None,
    threshold: Annotated[
        Literal["midpoint", "median"],
        typer.Option(help="For ratings: positive is above the scale's midpoint, or the median."),
    ] = "midpoint",
    dead_zone: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            metavar="SHARE",
            help="For ratings: leave out clips this near the threshold, as a share of half the "
            "scale.",
        ),
    ] = 0.0,
    hours: Annotated[
        float | None,
        typer.Option(min=0, metavar="HOURS", help="Draw a random sample of this many hours."),
    ] = None,
    soundfont: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.sf2", help="For MIDI files: a soundfont. Default: one of the system's."
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder for rendered MIDI files. Default: QUADPRED_CACHE, or the user's cache.",
        ),
    ] = None,
    title: Annotated[
        str,
        typer.Option(
            "--name", metavar="NAME", help="Name for model cards, instead of the corpus's."
        ),
    ] = "",
    language: Annotated[
        str,
        typer.Option(metavar="NAME", help="Language, for corpora of several: english, mandarin, …"),
    ] = "",
    teacher: Teacher = None,
    dynamics: Dynamics = None,
) -> None:
    """Make the manifest of a published corpus, split by group."""

    def warn(line: str) -> None:
        print_message(f"warning: {line}")

    def render(paths: list[Path]) -> dict[Path, Path]:
        from quadpred.cli.progress import step_progress
        from quadpred.train.corpora.render import render as run

        with step_progress("Rendering", len(paths)) as progress:
            return run(paths, on_warning=warn, soundfont=soundfont, cache=cache, progress=progress)

    check_manifest(output, teacher, dynamics)
    manifest = _corpus(name).manifest(
        folder,
        on_warning=warn,
        threshold=threshold,
        dead_zone=dead_zone,
        folds=folds,
        hours=hours,
        render=render,
    )
    save_manifest(
        manifest, output, teacher=teacher, dynamics=dynamics, name=title, language=language
    )


def _corpus(name: str) -> "Corpus":
    from quadpred.train.corpora import CORPORA

    if name not in CORPORA:
        raise UsageError(f"{name}: unknown corpus; choose from {', '.join(CORPORA)}")
    return CORPORA[name]


def _parts(corpus: "Corpus", requested: list[str]) -> Iterator["Archive"]:
    available = {archive.part: archive for archive in corpus.archives}
    if unknown := [part for part in requested if part not in available]:
        raise UsageError(
            f"{corpus.name}: unknown part {unknown[0]}; choose from {', '.join(available)}"
        )
    for archive in corpus.archives:
        if archive.part in requested or not (requested or archive.optional):
            yield archive
