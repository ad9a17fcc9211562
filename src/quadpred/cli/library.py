"""`quadpred map`, and what all uses of a library have in common."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quadpred.cli.console import UsageError, check_overwriting, counted, print_line

if TYPE_CHECKING:
    from quadpred.library.moods import Vocabulary

__all__ = ["Summary", "Words", "draw_map", "load_vocabulary"]

Summary = Annotated[
    Path,
    typer.Argument(
        metavar="SUMMARY",
        help="summary.parquet or summary.csv of a predicted library.",
        show_default=False,
    ),
]
Words = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.toml",
        help='Your own words for quadrants and places on the plane, such as Q2 = "agitated".',
    ),
]


def draw_map(
    summary: Summary,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE.png|FILE.html", help="The file.")
    ],
    words: Words = None,
) -> None:
    """Draw a library in the plane of arousal and valence: a picture, or a page that plays it."""
    from quadpred.files import add_filename_to_errors, atomic_write
    from quadpred.library.summary import read_summary

    suffix = output.suffix.lower()
    if suffix not in (".png", ".html"):
        raise UsageError(f"-o {output}: must end in .png or .html")
    check_overwriting(output, summary, words)
    vocabulary = load_vocabulary(words)
    songs = read_summary(summary)
    if not songs:
        raise UsageError(f"{summary}: has no rows; predict a folder with songs")
    with atomic_write(output) as (file,), add_filename_to_errors(output):
        if suffix == ".html":
            from quadpred.library.map_page import map_page

            file.write(map_page(songs, vocabulary).encode())
        else:
            from quadpred.plots.library_map import save_map

            save_map(songs, file, vocabulary)
    print_line(f"{output}: {counted(len(songs), 'song')}")


def load_vocabulary(words: Path | None) -> "Vocabulary":
    """Read mood words from a file, or return the default ones."""
    from quadpred.library.moods import Vocabulary, read_vocabulary

    return read_vocabulary(words) if words else Vocabulary()
