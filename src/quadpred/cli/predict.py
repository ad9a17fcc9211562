"""`quadpred predict`."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.text import Text

from quadpred.cli.console import (
    FAILED,
    PARTLY,
    UsageError,
    check_output,
    make_console,
    print_line,
    print_message,
)
from quadpred.cli.library_run import LibraryOptions, find_recordings, run_library
from quadpred.cli.models import ModelFile, Music, Speech, describe_languages, load_predictor
from quadpred.files import printable
from quadpred.labels import HEADS, Head

if TYPE_CHECKING:
    from quadpred.prediction import ModelInfo, Prediction
    from quadpred.predictor import Predictor

__all__ = ["predict"]

_BAR = 20  # terminal cells
_LIBRARY = "Folders, playlists and lists"


@dataclass(frozen=True)
class _FileOptions:
    """Options for single files."""

    output: str | None
    no_plot: bool
    winner: bool
    json: str | None


def predict(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH",
            help="Audio files, folders, playlists (.m3u8), or - for a list on standard input.",
            show_default=False,
        ),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("-i", "--input", metavar="FILE", help="Another path; repeatable."),
    ] = None,
    speech: Speech = None,
    music: Music = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help="Save rows (.npy, .json) and their picture, the tag-gram (.png), here: a folder, "
            "or NAME.npy. For a library, the folder of its tables.",
        ),
    ] = None,
    no_plot: Annotated[bool, typer.Option("--no-plot", help="Save no tag-gram (.png).")] = False,
    winner: Annotated[
        bool,
        typer.Option(
            "--winner",
            help="Keep the probability of each second's most probable class, and set the others to "
            "0, in all outputs.",
        ),
    ] = False,
    json: Annotated[
        str | None,
        typer.Option(
            "--json",
            metavar="PATH",
            help="Write one line of JSON per file to this file, or to standard output for -.",
        ),
    ] = None,
    model: ModelFile = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="Device that runs the network.")
    ] = "auto",
    formats: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAMES",
            help="Save each recording as json, csv, parquet, npy, png, jams, audacity, textgrid, "
            "elan, sonic-visualiser, moodbar or embedding; several are separated by commas.",
            rich_help_panel=_LIBRARY,
        ),
    ] = None,
    seconds: Annotated[
        bool,
        typer.Option(
            "--seconds",
            help="Write a table with one row per second too.",
            rich_help_panel=_LIBRARY,
        ),
    ] = False,
    bom: Annotated[
        bool,
        typer.Option(
            "--bom",
            help="Begin CSV tables with a byte order mark, so that Excel shows names correctly.",
            rich_help_panel=_LIBRARY,
        ),
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            min=1,
            metavar="N",
            help="Number of worker processes. Default: one per core.",
            rich_help_panel=_LIBRARY,
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            metavar="I/N",
            help="Predict only the share of machine I of N.",
            rich_help_panel=_LIBRARY,
        ),
    ] = None,
    engine: Annotated[
        Literal["local", "ray"] | None,
        typer.Option(
            help="Use processes of this machine, or a Ray cluster. Default: local.",
            rich_help_panel=_LIBRARY,
        ),
    ] = None,
) -> None:
    """Predict the perceived emotion of audio files, one row per second.

    A folder, a playlist, a list or an option of the last panel starts a library run, which needs
    -o FOLDER.
    """
    paths = [*(files or ()), *(inputs or ())]
    if not paths:
        raise UsageError("no audio file given; see quadpred predict --help")
    file_options = _FileOptions(output, no_plot, winner, json)
    library_options = LibraryOptions(formats, seconds, bom, jobs, shard, engine)
    if reason := _library_reason(paths, library_options):
        _refuse_with_library(reason, file_options)
        _predict_library(paths, speech, music, model, device, str(output), library_options)
    else:
        _predict_files(paths, speech, music, model, device, file_options)


def _library_reason(paths: Sequence[str], options: LibraryOptions) -> str | None:
    """Return the path or option that starts a library run, if there is one."""
    from quadpred.batch.discovery import is_collection

    if path := next((path for path in paths if is_collection(path)), None):
        return path
    flags = {
        "--format": options.formats,
        "--seconds": options.seconds,
        "--bom": options.bom,
        "--jobs": options.jobs,
        "--shard": options.shard,
        "--engine": options.engine,
    }
    return next((flag for flag, value in flags.items() if value), None)


def _refuse_with_library(reason: str, options: _FileOptions) -> None:
    flags = {"--json": options.json, "--winner": options.winner, "--no-plot": options.no_plot}
    for flag, value in flags.items():
        if value:
            remedy = "use --format, or name single files"
            raise UsageError(f"{flag} cannot be used in a library run ({reason}); {remedy}")
    if options.output is None:
        raise UsageError(f"a library run ({reason}) needs -o FOLDER")


def _predict_library(
    paths: Sequence[str],
    speech: str | None,
    music: str | None,
    model: str | None,
    device: str,
    output: str,
    options: LibraryOptions,
) -> None:
    predictor = load_predictor(speech, music, model, device)
    if "embedding" in options.parse_formats():
        predictor.check_embedding()
    found = find_recordings(paths, options)
    _introduce(make_console(), predictor.info)
    report = run_library(found, predictor, Path(output), options, device=device)
    counts = report.progress
    print_line(
        f"{counts.predicted} predicted ({counts.hours:.2f} hours), {counts.unchanged} unchanged, "
        f"{counts.failed} failed"
    )
    print_line(f"Saved {', '.join(map(str, report.tables))}")
    if counts.failed:
        raise typer.Exit(PARTLY)


def _predict_files(
    paths: Sequence[str],
    speech: str | None,
    music: str | None,
    model: str | None,
    device: str,
    options: _FileOptions,
) -> None:
    from quadpred.batch.targets import check_file_targets, file_targets

    targets: Mapping[str, Mapping[str, Path]] = {path: {} for path in paths}
    if options.output is not None:
        formats = ("npy", "json") if options.no_plot else ("npy", "json", "png")
        targets = file_targets(paths, options.output, formats)
    written = [(path, target) for path in paths for target in targets[path].values()]
    if options.json not in (None, "-"):
        written.append(("--json", Path(str(options.json))))
    check_file_targets(written, [*paths, *([model] if model else [])])
    predictor = load_predictor(speech, music, model, device)
    console = make_console(stderr=options.json == "-")
    _introduce(console, predictor.info)
    predicted = 0
    with _json_lines(options.json) as write_line:
        for path in _with_bar(paths, console, quiet=options.json == "-"):
            prediction = _predict_file(path, predictor, targets[path], winner=options.winner)
            if prediction is not None:
                predicted += 1
                write_line(prediction)
                _report(console, prediction, targets[path].values())
        if not predicted:
            raise typer.Exit(FAILED)
    if options.output is None and options.json is None:
        hint = "Nothing was saved. Use -o FOLDER to save rows (.npy, .json) and tag-gram (.png)"
        console.print(Text(f"\n{hint}.", "dim"))
    if predicted < len(paths):
        raise typer.Exit(PARTLY)


def _predict_file(
    path: str, predictor: "Predictor", targets: Mapping[str, Path], *, winner: bool
) -> "Prediction | None":
    """Predict a file and save it; print a failure, and return `None`."""
    from quadpred.audio import AudioError
    from quadpred.batch.discovery import Recording
    from quadpred.batch.recording import failure, predict_and_save

    recording = Recording(path, path)
    try:
        prediction = predict_and_save(recording, predictor, targets, winners_only=winner)
    except (AudioError, OSError) as error:
        print_message(f"{path}: {failure(recording, error).reason}")
        return None
    if prediction.damage:
        print_message(f"warning: {path}: {prediction.damage}")
    return prediction


@contextmanager
def _json_lines(path: str | None) -> Iterator[Callable[["Prediction"], None]]:
    """Yield a function that writes a prediction as a line of JSON: to a file, stdout, or nowhere.

    The file appears at the end of the block, if nothing was raised.
    """
    from quadpred.files import add_filename_to_errors, atomic_write
    from quadpred.formats.documents import json_line

    def print_json(prediction: "Prediction") -> None:
        sys.stdout.buffer.write(json_line(prediction))
        sys.stdout.buffer.flush()

    if path is None:
        yield lambda prediction: None
    elif path == "-":
        check_output()
        yield print_json
    else:
        target = Path(path)
        with atomic_write(target) as (file,):

            def write_json(prediction: "Prediction") -> None:
                with add_filename_to_errors(target):
                    file.write(json_line(prediction))

            try:
                yield write_json
            except KeyboardInterrupt:
                print_message(f"{target}: not written; a library run (--jobs 1) keeps what is done")
                raise


def _with_bar(paths: Sequence[str], console: Console, *, quiet: bool) -> Iterable[str]:
    """Iterate with a progress bar if there are several files and a terminal."""
    if len(paths) == 1 or quiet or not console.is_terminal:
        return paths
    from rich.progress import track

    return track(paths, "Predicting", console=console, transient=True)


def _introduce(console: Console, model: "ModelInfo") -> None:
    setting = model.transfer_setting.capitalize()
    console.print(printable(f"{setting}: {describe_languages(model.speech, model.music)}"))
    console.print(printable(f"Model: {model.name}"))
    if model.caveat:
        print_message(f"{model.name} is experimental: {model.caveat}")


def _report(console: Console, prediction: "Prediction", saved: Iterable[Path]) -> None:
    """Print what was predicted, and the files in which it is."""
    lines = [Text(), Text(printable(prediction.source), "bold")]
    if prediction.silent.all():
        lines.append(Text("The recording is silent: there is no emotion to predict", "yellow"))
    else:
        lines += _result(prediction, bars=console.is_terminal)
    if files := ", ".join(map(str, saved)):
        lines.append(Text(printable(f"Saved {files}")))
    console.print(Text("\n").join(lines))


def _result(prediction: "Prediction", *, bars: bool) -> Iterator[Text]:
    """Yield what is uncertain, and the means; the most probable class is bold."""
    silent = int(prediction.silent.sum())
    if uncertain := int(prediction.uncertain_seconds.sum()):
        what = "is uncertain" if uncertain == 1 else "are uncertain"
        if silent:
            what += " (silent)" if silent == uncertain else f", {silent} of them silent"
        yield Text(f"{uncertain} of {len(prediction)} seconds {what}")
    if prediction.uncertain:
        yield Text("The quadrant of this recording is uncertain", "yellow")
    for head in HEADS:
        yield from _means(head, prediction.mean(head).tolist(), bars=bars)


def _means(head: Head, means: Sequence[float], *, bars: bool) -> Iterator[Text]:
    """Yield one line per class: title, probability and bar."""
    width = max(len(title) for other in HEADS for title in other.titles)
    for title, colour, mean in zip(head.titles, head.colours, means, strict=True):
        line = Text(f"{title + ':':<{width + 1}} {mean:.3f}")
        if mean == max(means):
            line.stylize("bold")
        if bars:
            eighths = round(mean * _BAR * 8)
            line.append("  " + "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8], colour)
        yield line
