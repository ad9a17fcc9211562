"""`quadpred tag`, `playlist` and `map`: uses of a predicted library."""

import os
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quadpred.cli.console import (
    FAILED,
    PARTLY,
    UsageError,
    check_output,
    make_console,
    print_line,
    print_message,
)
from quadpred.cli.predict import ModelFile, Music, Speech, load_predictor
from quadpred.files import printable

if TYPE_CHECKING:
    from quadpred.library.moods import Vocabulary
    from quadpred.library.summary import SummaryRow
    from quadpred.predictor import Predictor

__all__ = ["draw_map", "playlist", "tag"]

_MINUTES = 60.0  # default length of a playlist from one mood to another
_TABLE_WIDTH = 160  # characters, in a file or a pipe

# Outcomes of tagging a file.
_TAGGED, _UNCHANGED = "tagged", "already tagged"
_UNCERTAIN = "left out: uncertain"
_FOREIGN = "left out: it has another mood"
_UNTAGGED, _NO_TAGS = "untagged", "no quadpred tags"
_FAILURE = "failed"

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
        help='Your own words for the quadrants, such as Q2 = "angry". Default: happy, tense, sad '
        "and calm.",
    ),
]


def tag(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE", help="Music files.", show_default=False),
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="SUMMARY",
            help="Read files and moods from a summary.parquet or .csv instead of predicting.",
        ),
    ] = None,
    words: Words = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done; change no file.")
    ] = False,
    uncertain: Annotated[
        bool, typer.Option("--uncertain", help="Also tag files whose quadrant is uncertain.")
    ] = False,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Replace moods of other programs; --undo restores them."),
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Remove the tags that this command wrote.")
    ] = False,
    speech: Speech = None,
    music: Music = None,
    model: ModelFile = None,
) -> None:
    """Write mood, arousal and valence into music files, in each format's own tags."""
    from quadpred.audio import AudioError
    from quadpred.library.summary import read_summary
    from quadpred.library.tags import TagError, remove_mood

    if bool(files) == bool(summary):
        raise UsageError("name either files, or a summary with --from")
    vocabulary = _vocabulary(words)
    rows = {row.file: row for row in read_summary(summary)} if summary else {}
    find: Callable[[str], SummaryRow] = rows.__getitem__
    if not (summary or undo):
        find = partial(_predict, load_predictor(speech, music, model))
    counts: Counter[str] = Counter()
    table = []
    for name in rows if summary else files or ():
        cells: list[str] = []
        try:
            if os.path.isdir(name):
                remedy = "run quadpred predict on it, then tag --from its summary"
                raise UsageError(f"{name}: is a folder; {remedy}")
            if undo:
                outcome = _UNTAGGED if remove_mood(Path(name), dry_run=dry_run) else _NO_TAGS
            else:
                row = find(name)
                word = vocabulary.word(row.quadrant)
                numbers = (row.arousal, row.valence, row.confidence)
                cells = [word, *(f"{number:.2f}" for number in numbers)]
                outcome = _write(name, word, row, uncertain, replace, dry_run)
        except (AudioError, OSError, TagError, UsageError) as error:
            reason = f"{name}: {error.strerror or error}" if isinstance(error, OSError) else error
            print_message(str(reason))
            outcome = _FAILURE
        counts[outcome] += 1
        if dry_run:
            table.append([name, *(cells or [""] * 4), outcome])
        elif outcome != _FAILURE:
            print_line(f"{name}: {', '.join([*cells[:1], outcome])}")
    if dry_run:
        _print_table(table)
    total = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    print_line(f"Nothing was changed. It would be: {total}" if dry_run else total)
    if counts[_FAILURE]:
        raise typer.Exit(PARTLY if counts[_FAILURE] < counts.total() else FAILED)


def _predict(predictor: "Predictor", name: str) -> "SummaryRow":
    """Predict a file, and print a warning if it is damaged."""
    from quadpred.library.summary import SummaryRow
    from quadpred.prediction import join

    prediction = join(predictor.stream(name))
    if prediction.damage:
        print_message(f"warning: {name}: {prediction.damage}")
    return SummaryRow.of(prediction)


def _write(
    name: str, word: str, row: "SummaryRow", uncertain: bool, replace: bool, dry_run: bool
) -> str:
    """Tag a file, and return the outcome."""
    from quadpred.library.tags import ForeignMoodError, Mood, write_mood

    if row.uncertain and not uncertain:
        return _UNCERTAIN
    mood = Mood(word, row.arousal, row.valence)
    try:
        written = write_mood(Path(name), mood, replace=replace, dry_run=dry_run)
    except ForeignMoodError:
        return _FOREIGN
    return _TAGGED if written else _UNCHANGED


def _print_table(rows: list[list[str]]) -> None:
    from rich.table import Table

    table = Table("file", "mood", "arousal", "valence", "confidence", "outcome")
    for row in rows:
        table.add_row(*map(printable, row))
    make_console(width=_TABLE_WIDTH).print(table)


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
    if output is None:
        check_output()
    vocabulary = _vocabulary(words)
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
    content = to_m3u8(songs, folder, on_message=print_message)
    if output is None and sys.stdout.isatty():
        for line in content.splitlines():
            print_line(line)
    elif output is None:
        sys.stdout.buffer.write(content.encode())
    else:
        with atomic_write(output) as (file,), add_filename_to_errors(output):
            file.write(content.encode())
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
    vocabulary = _vocabulary(words)
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


def _vocabulary(words: Path | None) -> "Vocabulary":
    from quadpred.library.moods import Vocabulary, read_vocabulary

    return read_vocabulary(words) if words else Vocabulary()
