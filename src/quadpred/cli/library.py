"""`quadpred playlist` and `map`: uses of a predicted library."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quadpred.cli.console import (
    UsageError,
    print_line,
    print_message,
)

if TYPE_CHECKING:
    from quadpred.library.moods import Vocabulary

__all__ = ["Summary", "Words", "draw_map", "load_vocabulary", "playlist"]

_MINUTES = 60.0  # default length of a playlist from one mood to another

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
        help='Your own words for quadrants and places on the plane, such as Q2 = "angry".',
    ),
]


def playlist(
    summary: Summary,
    mood: Annotated[
        str | None,
        typer.Option("--mood", metavar="WORD", help="Songs of this mood, most confident first."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="WORD", help="Start at this mood; needs --to."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="WORD", help="End at this mood; needs --from.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--max-minutes",
            min=0,
            help=f"Maximum length. Default: {_MINUTES:g} with --from, no limit with --mood.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE.m3u8", help="Default: standard output."),
    ] = None,
    words: Words = None,
    uncertain: Annotated[
        bool, typer.Option("--uncertain", help="Include songs whose quadrant is uncertain.")
    ] = False,
) -> None:
    """Make a playlist of one mood, or in small steps from one mood to another."""
    from quadpred.files import add_filename_to_errors, atomic_write
    from quadpred.library.playlist import mood_playlist, path_playlist, to_m3u8
    from quadpred.library.summary import read_summary

    if (mood is None) == (start is None) or (start is None) != (end is None):
        raise UsageError("give either --mood, or both --from and --to")
    vocabulary = load_vocabulary(words)
    rows = read_summary(summary)
    if mood is not None:
        quadrant = vocabulary.quadrant(mood)
        seconds = None if minutes is None else minutes * 60
        songs = mood_playlist(rows, quadrant, seconds=seconds, uncertain=uncertain)
    else:
        ends = [vocabulary.quadrant(word) for word in (start, end) if word is not None]
        seconds = (_MINUTES if minutes is None else minutes) * 60
        songs = path_playlist(rows, *ends, seconds=seconds, uncertain=uncertain)
    folder = output.parent if output else None
    content = to_m3u8(songs, folder, on_message=print_message).encode()
    if output is None:
        sys.stdout.buffer.write(content)
    else:
        with atomic_write(output) as (file,), add_filename_to_errors(output):
            file.write(content)
        total = sum(song.duration for song in songs) / 60
        print_line(f"{output}: {len(songs)} songs, {total:.0f} minutes")


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
    vocabulary = load_vocabulary(words)
    songs = read_summary(summary)
    if not songs:
        raise UsageError(f"{summary}: has no rows")
    with atomic_write(output) as (file,), add_filename_to_errors(output):
        if suffix == ".html":
            from quadpred.library.map_page import map_page

            file.write(map_page(songs, vocabulary).encode())
        else:
            from quadpred.plots.library_map import save_map

            save_map(songs, file, vocabulary)
    print_line(f"{output}: {len(songs)} songs")


def load_vocabulary(words: Path | None) -> "Vocabulary":
    """Read mood words from a file, or return the default ones."""
    from quadpred.library.moods import Vocabulary, read_vocabulary

    return read_vocabulary(words) if words else Vocabulary()
