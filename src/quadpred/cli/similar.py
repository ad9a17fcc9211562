"""`quadpred similar`: songs of a library that are like one song."""

import os
from pathlib import Path
from typing import Annotated

import typer

from quadpred.cli.console import make_console, print_message
from quadpred.cli.models import ModelFile, Music, Speech, load_predictor, predict_file
from quadpred.files import printable

__all__ = ["similar"]

_TABLE_WIDTH = 160  # characters, in a file or a pipe


def similar(
    song: Annotated[str, typer.Argument(metavar="SONG", help="An audio file.")],
    summary: Annotated[
        Path,
        typer.Option(
            "--summary",
            metavar="SUMMARY",
            help="summary.parquet or .csv of a library predicted with --format embedding.",
        ),
    ],
    count: Annotated[
        int, typer.Option("--count", "-n", min=1, metavar="N", help="How many to list.")
    ] = 10,
    speech: Speech = None,
    music: Music = None,
    model: ModelFile = None,
) -> None:
    """List the songs of a library whose embeddings are most similar to those of a song."""
    from rich.table import Table

    from quadpred.batch.similar import read_embeddings
    from quadpred.batch.similar import similar as find_similar
    from quadpred.library.summary import read_summary

    predictor = load_predictor(speech, music, model)
    predictor.check_embedding()
    rows = [row for row in read_summary(summary) if row.file != os.path.abspath(song)]
    songs, embeddings = read_embeddings(rows, summary.parent, predictor.info.sha256)
    if missing := len(rows) - len(songs):
        left_out = f"{missing} of {len(rows)} songs have no embeddings and are left out"
        print_message(f"{left_out}; run quadpred predict --format embedding again")
    embedding = predict_file(predictor, song, embeddings=True).pooled_embedding()
    table = Table("similarity", "song", "quadrant", "arousal", "valence")
    for each in find_similar(embedding, songs, embeddings, count):
        row = each.song
        numbers = (f"{row.arousal:.2f}", f"{row.valence:.2f}")
        table.add_row(f"{each.similarity:.3f}", printable(row.path), row.quadrant, *numbers)
    make_console(width=_TABLE_WIDTH).print(table)
