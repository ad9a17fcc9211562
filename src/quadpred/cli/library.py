"""`quadpred map`, and what all uses of a library have in common."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quadpred.cli.console import UsageError, print_line, print_message

if TYPE_CHECKING:
    from quadpred.batch.discovery import DiscoveryResult, Shard
    from quadpred.library.moods import Vocabulary

__all__ = ["Summary", "Words", "draw_map", "find_recordings", "load_vocabulary"]

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


def find_recordings(paths: Sequence[str], shard: "Shard | None" = None) -> "DiscoveryResult":
    """List the recordings of files, folders, playlists and standard input.

    Args:
        paths: what was given.
        shard: the share of this machine, which may be without recordings; by default, all.

    Raises:
        UsageError: there are none, or standard input is closed. Of several reasons, all but the
            last are printed.
        BatchError: two recordings would share a name.
    """
    from quadpred.batch.discovery import LIST, WHOLE, discover

    if LIST in paths and sys.stdin is None:
        raise UsageError("-: standard input is closed")
    shard = shard or WHOLE
    found = discover(paths, sys.stdin.buffer.read() if LIST in paths else b"", shard)
    if found.recordings or shard.count > 1:
        return found
    errors = [f"{each.path}: {reason}" for each, reason in found.errors.items()]
    for line in (*found.notes, *errors[:-1]):
        print_message(line)
    raise UsageError(errors[-1] if errors else f"{', '.join(paths)}: no audio files found")
