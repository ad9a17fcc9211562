"""`quadpred tag`, `playlist` and `map`: where the moods of a library go."""

import os
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quadpred.cli.console import FAILED, PARTLY, check_output, console, print_line, print_message
from quadpred.files import printable

if TYPE_CHECKING:
    from quadpred.library.moods import Vocabulary
    from quadpred.library.summary import Clip
    from quadpred.predictor import Predictor

_MINUTES = 60.0  # of a way from mood to mood, if nothing else is asked for
_WIDTH = 160  # of a table that goes to a file or a pipe

# What became of a file.
_TAGGED, _SAME = "tagged", "tagged before"
_UNCERTAIN = "left out: uncertain"
_FOREIGN = "left out: has a mood already"
_UNTAGGED, _NOT_OURS = "untagged", "without tags of ours"
_FAILURE = "failed"

_Summary = Annotated[
    Path,
    typer.Argument(
        metavar="SUMMARY",
        help="summary.parquet or summary.csv of a folder that was predicted.",
        show_default=False,
    ),
]
_Words = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.toml",
        help='Words of your own for the quadrants, such as Q2 = "angry"; happy, tense, sad and '
        "relaxed if not given.",
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
            help="Take files and moods from a summary.parquet or .csv, and predict nothing.",
        ),
    ] = None,
    words: _Words = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, and change no file.")
    ] = False,
    uncertain: Annotated[
        bool, typer.Option("--uncertain", help="Tag files whose mood is uncertain, too.")
    ] = False,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Write over moods of others; --undo brings them back."),
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Remove what this command wrote, and nothing else.")
    ] = False,
    speech: Annotated[
        str, typer.Option("-s", "--speech", metavar="e|m|x", help="As of `predict`.")
    ] = "english",
    music: Annotated[
        str, typer.Option("-m", "--music", metavar="e|m", help="As of `predict`.")
    ] = "english",
    model: Annotated[
        str | None, typer.Option("--model", metavar="FILE.onnx", help="As of `predict`.")
    ] = None,
) -> None:
    """Write moods, arousal and valence into music files, in each format's own tags."""
    from quadpred.audio import AudioError
    from quadpred.library.summary import LibraryError, read_library
    from quadpred.library.tags import TagError, remove_mood

    if bool(files) == bool(summary):
        raise LibraryError("tag: name files, or a summary with --from")
    vocabulary = _vocabulary(words)
    clips = {clip.file: clip for clip in read_library(summary)} if summary else {}
    find: Callable[[str], Clip] = clips.__getitem__
    if not (summary or undo):
        find = partial(_predicted, _predictor(speech, music, model))
    counts: Counter[str] = Counter()
    rows = []
    for name in clips if summary else files or ():
        mood: list[str] = []
        try:
            if os.path.isdir(name):
                raise LibraryError(f"{name}: is a folder; predict it, and tag --from its summary")
            if undo:
                outcome = _UNTAGGED if remove_mood(Path(name), dry_run=dry_run) else _NOT_OURS
            else:
                clip = find(name)
                word = vocabulary.word(clip.quadrant)
                mood = [word, *(f"{n:.2f}" for n in (clip.arousal, clip.valence, clip.confidence))]
                outcome = _write(name, word, clip, uncertain, replace, dry_run)
        except (AudioError, LibraryError, OSError, TagError) as error:
            print_message(
                f"{name}: {error.strerror or error}" if isinstance(error, OSError) else str(error)
            )
            outcome = _FAILURE
        counts[outcome] += 1
        if dry_run:
            rows.append([name, *(mood or [""] * 4), outcome])
        elif outcome != _FAILURE:
            print_line(f"{name}: {', '.join([*mood[:1], outcome])}")
    if dry_run:
        _show(["file", "mood", "arousal", "valence", "confidence", "what would be done"], rows)
    total = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    print_line(f"Nothing was changed; it would be: {total}" if dry_run else total)
    if counts[_FAILURE]:
        raise typer.Exit(PARTLY if counts[_FAILURE] < counts.total() else FAILED)


def _write(
    name: str, word: str, clip: "Clip", uncertain: bool, replace: bool, dry_run: bool
) -> str:
    """Tag a file, and say what became of it."""
    from quadpred.library.tags import ForeignMoodError, Mood, write_mood

    if clip.uncertain and not uncertain:
        return _UNCERTAIN
    mood = Mood(word, clip.arousal, clip.valence)
    try:
        written = write_mood(Path(name), mood, replace=replace, dry_run=dry_run)
    except ForeignMoodError:
        return _FOREIGN
    return _TAGGED if written else _SAME


def playlist(
    summary: _Summary,
    mood: Annotated[
        str | None,
        typer.Option(
            "--mood", metavar="WORD", help="Songs of this mood, those the model is surest of first."
        ),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="WORD", help="A way that begins at this mood,")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="WORD", help="and ends at this one.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--max-minutes",
            min=0,
            help=f"How long at most; if not given, {_MINUTES:g} for a way, any for a mood.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE.m3u8", help="Standard output if not given."),
    ] = None,
    words: _Words = None,
    uncertain: Annotated[
        bool, typer.Option("--uncertain", help="Take songs whose mood is uncertain, too.")
    ] = False,
) -> None:
    """Make a playlist of one mood, or of small steps from one mood to another."""
    from quadpred.files import add_filename_to_errors, atomic_write
    from quadpred.library.playlist import mood_playlist, path_playlist, to_m3u8
    from quadpred.library.summary import LibraryError, read_library

    if (mood is None) == (start is None) or (start is None) != (end is None):
        raise LibraryError("playlist: say either --mood, or both --from and --to")
    if output is None:
        check_output()
    vocabulary = _vocabulary(words)
    clips = read_library(summary)
    if mood is not None:
        quadrant = vocabulary.quadrant(mood)
        seconds = None if minutes is None else minutes * 60
        chosen = mood_playlist(clips, quadrant, seconds=seconds, uncertain=uncertain)
    else:
        ends = [vocabulary.quadrant(word) for word in (start, end) if word is not None]
        seconds = (_MINUTES if minutes is None else minutes) * 60
        chosen = path_playlist(clips, ends[0], ends[1], seconds=seconds, uncertain=uncertain)
    content = to_m3u8(chosen, output.parent if output else None, warn=print_message)
    if output is None and sys.stdout.isatty():
        for line in content.splitlines():
            print_line(line)
    elif output is None:
        sys.stdout.buffer.write(content.encode())
    else:
        with atomic_write(output) as (file,), add_filename_to_errors(output):
            file.write(content.encode())
        total = sum(clip.duration for clip in chosen) / 60
        print_line(f"{output}: {len(chosen)} songs, {total:.0f} minutes")


def draw_map(
    summary: _Summary,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE.png|FILE.html", help="The picture.")
    ],
    words: _Words = None,
) -> None:
    """Draw a library in the plane of arousal and valence: a picture, or a page that plays it."""
    from quadpred.files import add_filename_to_errors, atomic_write
    from quadpred.library.summary import LibraryError, read_library

    suffix = output.suffix.lower()
    if suffix not in (".png", ".html"):
        raise LibraryError(f"{output}: a map is a .png or a .html")
    vocabulary = _vocabulary(words)
    clips = read_library(summary)
    if not clips:
        raise LibraryError(f"{summary}: there is no clip in it")
    with atomic_write(output) as (file,), add_filename_to_errors(output):
        if suffix == ".html":
            from quadpred.library.map_page import map_page

            file.write(map_page(clips, vocabulary).encode())
        else:
            from quadpred.plots.library_map import save_map

            save_map(clips, file, vocabulary)
    print_line(f"{output}: {len(clips)} clips")


def _vocabulary(words: Path | None) -> "Vocabulary":
    from quadpred.library.moods import Vocabulary, read_vocabulary

    return read_vocabulary(words) if words else Vocabulary()


def _predictor(speech: str, music: str, model: str | None) -> "Predictor":
    from quadpred.library.summary import LibraryError
    from quadpred.predictor import Predictor

    try:
        return Predictor(model) if model else Predictor.of_languages(speech, music)
    except ValueError as error:  # unknown languages, and ModelError
        raise LibraryError(str(error)) from None


def _predicted(predictor: "Predictor", name: str) -> "Clip":
    """Predict a file; say in one line each what it warns of."""
    from quadpred.audio import AudioWarning
    from quadpred.library.summary import clip_of

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AudioWarning)
        clip = clip_of(predictor.predict(name))
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        print_message(f"warning: {text}")
    return clip


def _show(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.table import Table

    table = Table(*columns)
    for row in rows:
        table.add_row(*map(printable, row))
    console(width=_WIDTH).print(table)
