"""`quadpred tag`: predictions in the tags of music files."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from quadpred.cli.console import (
    FAILED,
    PARTLY,
    UsageError,
    make_console,
    print_line,
    print_message,
    refuse_options,
)
from quadpred.cli.library import Words, load_vocabulary
from quadpred.cli.library_run import LibraryOptions, find_recordings, run_library
from quadpred.cli.models import ModelFile, Music, Speech, load_predictor, predict_file
from quadpred.files import printable, reason_of

if TYPE_CHECKING:
    from quadpred.library.moods import Vocabulary
    from quadpred.library.summary import SummaryRow
    from quadpred.library.tag_fields import Layout
    from quadpred.predictor import Predictor

__all__ = ["tag"]

_TABLE_WIDTH = 160  # characters, in a file or a pipe

# Outcomes of tagging a file.
_TAGGED, _UNCHANGED = "tagged", "already tagged"
_UNCERTAIN = "left out: uncertain"
_REPLACED = "left out: its audio changed"
_REMOVED, _NO_TAGS = "untagged", "no quadpred tags"
_FAILURE = "failed"
_PLANNED = {_TAGGED: "would be tagged", _REMOVED: "would be untagged"}  # with --dry-run


# Parameters that --undo ignores; --summary and single files ignore some of them, too.
_LIBRARY = ("output", "jobs")
_PREDICTING = (*_LIBRARY, "speech", "music", "model")
_WRITING = ("words", "numbers", "scale", "comment", "percentiles", "uncertain", "replace")


def tag(
    context: typer.Context,
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH", help="Music files, folders and playlists.", show_default=False
        ),
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option(
            "--summary",
            metavar="SUMMARY",
            help="Read files and moods from a summary.parquet or .csv instead of predicting.",
        ),
    ] = None,
    words: Words = None,
    numbers: Annotated[
        Literal["quadpred", "energy-valence", "both"],
        typer.Option(help="QUADPRED_AROUSAL and QUADPRED_VALENCE; ENERGY and VALENCE; or both."),
    ] = "quadpred",
    scale: Annotated[
        Literal["1", "10"],
        typer.Option(help="ENERGY and VALENCE from 0 to 1, or from 1 to 10."),
    ] = "1",
    comment: Annotated[
        bool, typer.Option("--comment", help="Also write a comment, for DJ programs.")
    ] = False,
    percentiles: Annotated[
        bool,
        typer.Option(
            "--percentiles",
            help="Also write percentiles within the library; needs a folder or --summary.",
        ),
    ] = False,
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
        bool,
        typer.Option(
            "--undo",
            help="Remove the tags that `quadpred tag` wrote, and restore what they replaced.",
        ),
    ] = False,
    touch: Annotated[
        bool,
        typer.Option(
            "--touch", help="Set the time of changed files to now, so that servers read them."
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Where the predictions of folders are kept. Default: the user's quadpred folder.",
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Worker processes. Default: one per core."),
    ] = None,
    speech: Speech = None,
    music: Music = None,
    model: ModelFile = None,
) -> None:
    """Write mood, arousal and valence into music files, in each format's own tags.

    A folder is predicted first. Run it again, and only new and changed files are predicted.
    """
    from quadpred.batch.discovery import is_collection
    from quadpred.library.summary import read_summary
    from quadpred.library.tag_fields import Layout

    if bool(paths) == bool(summary):
        raise UsageError("name either files or folders, or a summary with --summary")
    if undo:
        refuse_options(context, "--undo", (*_PREDICTING, *_WRITING))
    if summary:
        refuse_options(context, "--summary", _PREDICTING)
    library = bool(summary) or any(map(is_collection, paths or ()))
    if not library:
        refuse_options(context, "single files", _LIBRARY)
    if numbers == "quadpred":
        refuse_options(context, "--numbers quadpred", ("scale",))
    if percentiles and not library:
        raise UsageError("--percentiles needs a folder, or a summary with --summary")
    vocabulary = load_vocabulary(words)
    failed: dict[str, str] = {}
    if undo:
        remove = partial(_remove, dry_run=dry_run, touch=touch)
        names = _names(summary, paths or (), failed)
        tasks = [(name, partial(remove, name)) for name in names]
        _report(tasks, failed=failed, dry_run=dry_run)
        return
    rows: Sequence[SummaryRow] = ()
    if summary:
        rows = read_summary(summary)
    else:
        predictor = load_predictor(speech, music, model)
        if library:
            rows = _predict_library(paths or (), predictor, output, jobs, failed)
    find: dict[str, Callable[[], SummaryRow | None]]
    if library:
        find = {row.file: partial(_if_unchanged, row) for row in rows}
    else:
        find = {name: partial(_predicted, predictor, name) for name in paths or ()}
    ranks = _ranks(rows) if percentiles else {}
    layout = Layout(numbers, 10 if scale == "10" else 1, comment)
    write = partial(
        _write,
        vocabulary=vocabulary,
        layout=layout,
        uncertain=uncertain,
        replace=replace,
        dry_run=dry_run,
        touch=touch,
    )
    tasks = [(name, partial(write, name, get, ranks.get(name))) for name, get in find.items()]
    _report(tasks, failed=failed, dry_run=dry_run)


@dataclass(frozen=True)
class _Outcome:
    """Outcome of a file; `mood` has its words, arousal, valence and confidence, if predicted."""

    what: str
    mood: Sequence[str] = ()


def _report(
    tasks: Iterable[tuple[str, Callable[[], _Outcome]]],
    *,
    failed: Mapping[str, str] | None = None,
    dry_run: bool = False,
) -> None:
    """Run one task per file; print each outcome, and their counts."""
    from quadpred.errors import QuadpredError

    counts: Counter[str] = Counter()
    if failed:
        counts[_FAILURE] = len(failed)
    rows = []
    for name, task in tasks:
        try:
            outcome = task()
        except (KeyboardInterrupt, SystemExit) as error:
            for note in getattr(error, "__notes__", ()):
                print_message(f"{name}: {note}")
            if total := _total(counts):
                print_message(f"{total}; run the same command again to go on")
            raise
        except (QuadpredError, OSError) as error:
            print_message(
                f"{name}: {reason_of(error)}" if isinstance(error, OSError) else str(error)
            )
            outcome = _Outcome(_FAILURE)
        what = _PLANNED.get(outcome.what, outcome.what) if dry_run else outcome.what
        counts[what] += 1
        if dry_run:
            rows.append([name, *(outcome.mood or [""] * 4), what])
        elif what != _FAILURE:
            print_line(f"{name}: {', '.join([*outcome.mood[:1], what])}")
    if dry_run:
        _print_table(rows)
    print_line(f"No file was changed: {_total(counts)}" if dry_run else _total(counts))
    if counts[_FAILURE]:
        raise typer.Exit(PARTLY if counts[_FAILURE] < counts.total() else FAILED)


def _total(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.items())


def _names(summary: Path | None, paths: Sequence[str], failed: dict[str, str]) -> Iterable[str]:
    """Return the files of a summary, or those that paths name; report the others as failed."""
    from quadpred.batch.discovery import is_collection
    from quadpred.library.summary import read_summary

    if summary:
        return dict.fromkeys(row.file for row in read_summary(summary))
    if not any(map(is_collection, paths)):
        return dict.fromkeys(paths)
    found = find_recordings(paths)
    for each, reason in found.errors.items():
        print_message(f"{each.path}: {reason}")
        failed[each.name] = reason
    return [recording.path for recording in found.recordings]


def _remove(name: str, *, dry_run: bool, touch: bool) -> _Outcome:
    from quadpred.library.tags import remove_tags

    removed = remove_tags(Path(name), dry_run=dry_run, touch=touch)
    return _Outcome(_REMOVED if removed else _NO_TAGS)


def _predict_library(
    paths: Sequence[str],
    predictor: "Predictor",
    output: Path | None,
    jobs: int | None,
    failed: dict[str, str],
) -> "Sequence[SummaryRow]":
    """Predict the new and changed recordings of folders, and return the rows of all.

    Args:
        paths: folders, playlists and files.
        predictor: the model.
        output: folder of the run; by default one of the user's, which depends on the paths.
        jobs: worker processes; by default one per core.
        failed: is filled with the reason of each failure.
    """
    from quadpred.library.summary import read_summary

    if output is None:
        key = "\0".join(map(os.path.abspath, paths)).encode(errors="surrogateescape")
        folder = hashlib.sha256(key).hexdigest()[:16]
        output = Path(typer.get_app_dir("quadpred")) / "libraries" / folder
    found = find_recordings(paths)
    report = run_library(found, predictor, output, LibraryOptions(jobs=jobs))
    failed.update(report.errors)
    return read_summary(output / "summary.csv")


def _predicted(predictor: "Predictor", name: str) -> "SummaryRow":
    from quadpred.library.summary import SummaryRow

    return SummaryRow.of(predict_file(predictor, name))


def _if_unchanged(row: "SummaryRow") -> "SummaryRow | None":
    """Return the row, or `None` if the audio of its file has changed since the prediction."""
    from quadpred.library.fingerprint import audio_sha256

    return row if audio_sha256(row.file) == row.sha256 else None


def _ranks(rows: "Sequence[SummaryRow]") -> dict[str, tuple[int, int]]:
    """Return percentiles of arousal and valence by file."""
    from quadpred.library.tag_fields import percentiles

    arousal = percentiles([row.arousal for row in rows])
    valence = percentiles([row.valence for row in rows])
    return {
        row.file: ranks for row, ranks in zip(rows, zip(arousal, valence, strict=True), strict=True)
    }


def _write(
    name: str,
    find: "Callable[[], SummaryRow | None]",
    ranks: tuple[int, int] | None,
    *,
    vocabulary: "Vocabulary",
    layout: "Layout",
    uncertain: bool,
    replace: bool,
    dry_run: bool,
    touch: bool,
) -> _Outcome:
    """Tag a file."""
    from quadpred.library.tag_fields import tag_fields
    from quadpred.library.tags import ExistingTagError, write_tags

    row = find()
    if row is None:
        return _Outcome(_REPLACED)
    words = vocabulary.words_of(row.quadrant, arousal=row.arousal, valence=row.valence)
    numbers = (f"{value:.2f}" for value in (row.arousal, row.valence, row.confidence))
    mood = ["; ".join(words), *numbers]
    if row.uncertain and not uncertain:
        return _Outcome(_UNCERTAIN, mood)
    fields = tag_fields(words, row.arousal, row.valence, layout, ranks)
    try:
        written = write_tags(Path(name), fields, replace=replace, dry_run=dry_run, touch=touch)
    except ExistingTagError as error:
        return _Outcome(f"left out: it has another {error.field}", mood)
    return _Outcome(_TAGGED if written else _UNCHANGED, mood)


def _print_table(rows: list[list[str]]) -> None:
    from rich.table import Table

    table = Table("file", "mood", "arousal", "valence", "confidence", "outcome")
    for row in rows:
        table.add_row(*map(printable, row))
    make_console(width=_TABLE_WIDTH).print(table)
