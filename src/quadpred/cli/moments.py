"""`quadpred moments`: segments and highlights of one recording, or its means over intervals."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from quadpred.cli.console import (
    OutputFile,
    UsageError,
    check_overwriting,
    make_console,
    refuse_options,
)
from quadpred.cli.library import Words, load_vocabulary
from quadpred.cli.models import ModelFile, Music, Speech, load_predictor, predict_file
from quadpred.files import printable

if TYPE_CHECKING:
    from quadpred.library.moments import Moment
    from quadpred.library.moods import Vocabulary

__all__ = ["moments"]

_FORMS: dict[str, Literal["json", "csv", "audacity"]] = {
    ".json": "json",
    ".csv": "csv",
    ".txt": "audacity",
}
_TABLE_WIDTH = 120  # characters, in a file or a pipe


def moments(
    context: typer.Context,
    song: Annotated[str, typer.Argument(metavar="SONG", help="An audio file.")],
    intervals: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Means over the intervals of a .csv, .srt, .vtt or .TextGrid file instead.",
        ),
    ] = None,
    shortest: Annotated[
        int, typer.Option(min=1, metavar="SECONDS", help="Minimum length of a segment.")
    ] = 10,
    highlight: Annotated[
        int, typer.Option(min=1, metavar="SECONDS", help="Length of a highlight.")
    ] = 30,
    form: Annotated[
        Literal["table", "json", "csv", "audacity"] | None,
        typer.Option(
            "--format",
            help="What to write; audacity is a label track. Default: by the extension of -o (.json,"
            " .csv, .txt for audacity), or table.",
        ),
    ] = None,
    output: OutputFile = None,
    words: Words = None,
    speech: Speech = None,
    music: Music = None,
    model: ModelFile = None,
) -> None:
    """List the segments and highlights of a recording.

    Highlights are the parts with the highest and lowest arousal, the happiest and the calmest.
    """
    from quadpred.files import add_filename_to_errors, atomic_write
    from quadpred.formats.intervals import read_intervals
    from quadpred.formats.moments import MOMENT_FORMATS
    from quadpred.library.moments import (
        IntervalError,
        find_segments,
        highlights,
        interval_means,
    )

    if intervals:
        refuse_options(context, "--intervals", ("shortest", "highlight"))
    if form is None and output:
        form = _FORMS.get(output.suffix.lower())
    if output and form in (None, "table"):
        raise UsageError(f"{output}: choose .json, .csv or .txt, or --format json, csv or audacity")
    vocabulary = load_vocabulary(words)
    asked = read_intervals(intervals) if intervals else None
    if output:
        check_overwriting(output, Path(song), intervals, words, Path(model) if model else None)
    prediction = predict_file(load_predictor(speech, music, model), song)
    if asked is not None:
        try:
            found = interval_means(prediction, asked)
        except IntervalError as error:
            raise IntervalError(f"{intervals}: {error}") from None
    else:
        found = find_segments(prediction, shortest=shortest)
        found += highlights(prediction, length=highlight)
    if form in (None, "table"):
        _print_table(found, vocabulary)
    elif output is None:
        MOMENT_FORMATS[form](prediction, found, vocabulary, sys.stdout.buffer)
    else:
        with atomic_write(output) as (file,), add_filename_to_errors(output):
            MOMENT_FORMATS[form](prediction, found, vocabulary, file)


def _print_table(moments: "list[Moment]", vocabulary: "Vocabulary") -> None:
    from rich.table import Table

    table = Table("what", "start", "end", "mood", "arousal", "valence", "confidence")
    for moment in moments:
        mood = vocabulary.word(moment.quadrant) + (" (uncertain)" if moment.uncertain else "")
        numbers = (moment.arousal, moment.valence, moment.confidence)
        table.add_row(
            printable(moment.label or moment.kind),
            *(_clock(time) for time in (moment.start, moment.end)),
            printable(mood),
            *(f"{number:.2f}" for number in numbers),
        )
    make_console(width=_TABLE_WIDTH).print(table)


def _clock(seconds: float) -> str:
    """Write a time as minutes and seconds.

    >>> _clock(83.6)
    '1:23.6'
    """
    minutes, rest = divmod(round(seconds * 10), 600)
    return f"{minutes}:{rest / 10:04.1f}"
