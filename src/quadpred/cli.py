"""The command line: parses, calls, prints. What is slow to import is imported inside commands."""

import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal, NoReturn, TextIO

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from quadpred import __version__, library_cli
from quadpred.labels import HEADS, Head
from quadpred.train.cli import app as train
from quadpred.train.corpora_cli import app as corpora
from quadpred.web.cli import serve

if TYPE_CHECKING:
    from quadpred.prediction import Origin, Prediction
    from quadpred.predictor import Predictor

_PARTLY, _FAILED, _INTERRUPTED, _TERMINATED = 1, 2, 130, 143  # exit codes
_SPOKEN = {"mixed": "English and Mandarin", "own": "your own"}
_EXTRAS = {  # packages that may be missing: what needs them, and the extra that brings them
    **dict.fromkeys(
        ("onnx", "onnxscript", "optuna", "platformdirs", "torch"), ("training", "train")
    ),
    **dict.fromkeys(("fastapi", "python_multipart", "starlette", "uvicorn"), ("serving", "web")),
    "mutagen": ("tagging", "tags"),
    "pyarrow": ("Parquet", "parquet"),
    "ray": ("--engine ray", "ray"),
}
_BAR = 20  # terminal cells
_LIBRARY = "Libraries"


class _Group(TyperGroup):
    """Takes what is no command for the arguments of `predict`; reports errors in one line."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, "--help", "-h", "--version"}:
            args = ["predict", *args]
        return super().parse_args(ctx, args)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            try:
                return super().main(*args, **kwargs)
            finally:
                sys.stdout.flush()
        except SystemExit as leaving:
            if leaving.code == _INTERRUPTED:
                _say("interrupted")
            raise
        except BrokenPipeError:
            code = 1  # as typer does: whoever reads the output has seen enough
        except Exception as error:
            _say(_reason(error))
            code = _FAILED
        _drop_unwritten()
        sys.exit(code)


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(train, name="train")
app.add_typer(corpora, name="corpora")
app.command()(serve)


def main() -> None:
    """Run the command line."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started this
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    for stream in sys.stdout, sys.stderr:
        with suppress(AttributeError):  # not a stream of characters
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    # An exception, unlike the default, lets temporary files be removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    app(prog_name="quadpred")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"quadpred {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version."),
    ] = False,
) -> None:
    """Second by second, the emotion perceived in music.

    `quadpred song.mp3` is short for `quadpred predict song.mp3`.
    """


@app.command()
def predict(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH",
            help="Audio files; folders, playlists (.m3u8), and - for a list on standard input.",
            show_default=False,
        ),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("-i", "--input", metavar="FILE", help="An audio file too; repeatable."),
    ] = None,
    speech: Annotated[
        str | None,
        typer.Option(
            "-s",
            "--speech",
            metavar="e|m|x",
            help="Language of the speech the model learnt from: english, mandarin or mixed; "
            "english if not given.",
        ),
    ] = None,
    music: Annotated[
        str | None,
        typer.Option(
            "-m",
            "--music",
            metavar="e|m",
            help="Language of the music it learnt from: english or mandarin; english if not given.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help="Where to save rows (.npy, .json) and tag-gram (.png): a folder, or NAME.npy. "
            "Of a library: the folder of its tables.",
        ),
    ] = None,
    no_plot: Annotated[bool, typer.Option("--no-plot", help="Save no tag-gram.")] = False,
    winner: Annotated[
        bool,
        typer.Option(
            "--winner",
            help="In the .npy, 1 for each second's most probable quadrant and 0 for the others.",
        ),
    ] = False,
    json: Annotated[
        str | None,
        typer.Option(
            "--json", metavar="PATH", help="Write a line of JSON a file here; - is the output."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="FILE.onnx", help="A model file of your own."),
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="Where the network runs.")
    ] = "auto",
    formats: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAMES",
            help="Files to write for each recording: any of json, csv, parquet, npy, png, jams and "
            "audacity, separated by commas.",
            rich_help_panel=_LIBRARY,
        ),
    ] = None,
    seconds: Annotated[
        bool,
        typer.Option(
            "--seconds", help="A table with a row a second too.", rich_help_panel=_LIBRARY
        ),
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            min=1,
            metavar="N",
            help="Worker processes; as many as cores if not given.",
            rich_help_panel=_LIBRARY,
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            metavar="I/N",
            help="Only the share of machine I among N.",
            rich_help_panel=_LIBRARY,
        ),
    ] = None,
    engine: Annotated[
        Literal["local", "ray"] | None,
        typer.Option(
            help="Processes of this machine (local, if not given), or a Ray cluster.",
            rich_help_panel=_LIBRARY,
        ),
    ] = None,
) -> None:
    """Predict the perceived emotion of audio files, a row a second.

    A folder, a playlist, a list or an option for libraries makes it a library run: docs/batch.md.
    """
    paths = [*(files or ()), *(inputs or ())]
    if not paths:
        _fail("no audio file is given; see quadpred --help")
    options = {
        "--format": formats,
        "--seconds": seconds,
        "--jobs": jobs,
        "--shard": shard,
        "--engine": engine,
    }
    library = _library(paths, options)
    if library:
        without = {"--json": json, "--winner": winner, "--no-plot": no_plot}
        for option in (name for name, value in without.items() if value):
            _fail(f"{library}: makes this a library run, which takes --format and not {option}")
        if output is None:
            _fail(f"{library}: makes this a library run, which needs -o FOLDER")
        _predict_library(
            paths,
            _predictor(speech, music, model, device),
            Path(output),
            formats=formats or "",
            seconds=seconds,
            jobs=jobs,
            shard=shard or "1/1",
            device=device,
            on_ray=engine == "ray",
        )
        return
    targets = _targets(paths, output, plot=not no_plot)
    wanted = [(path, target) for path in paths for target in targets[path]]
    if json is not None and json != "-":
        wanted.append(("--json", Path(json)))
    _check(wanted, [*paths, *([model] if model else [])])
    predictor = _predictor(speech, music, model, device)
    console = _console(stderr=json == "-")
    _introduce(console, predictor.origin)
    with _sink(json) as sink:
        done = 0
        for path in _tracked(paths, console, quiet=json == "-"):
            prediction = _save(predictor, path, targets[path], winner=winner)
            if prediction is not None:
                done += 1
                sink(prediction)
                _report(console, prediction, targets[path])
        if not done:
            raise typer.Exit(_FAILED)
    if output is None and json is None:
        hint = "Nothing is saved without -o: -o FOLDER saves rows (.npy, .json) and tag-gram (.png)"
        console.print(Text(f"\n{hint}.", "dim"))
    if done < len(paths):
        raise typer.Exit(_PARTLY)


@app.command()
def adapt(
    songs: Annotated[
        Path,
        typer.Argument(help="CSV with columns file, quadrant and group; or folders Q1 to Q4."),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE.onnx", help="The model file.")
    ],
    speech: Annotated[
        str,
        typer.Option(
            "-s",
            "--speech",
            metavar="e|m|x",
            help="Language of the speech to start from: english, mandarin or mixed.",
        ),
    ] = "mixed",
    recipe: Annotated[str, typer.Option(help="A recipe's name or a TOML file.")] = "adapt",
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder of computed log-mels; the user's cache if not given."),
    ] = None,
) -> None:
    """Make a model of your own labelled songs, and score it on artists it has not heard."""
    from quadpred.train import report
    from quadpred.train.adapt import adapt as run

    progress = _console(stderr=True)
    adapted = run(
        songs,
        output,
        speech=_spoken(speech),
        recipe=recipe,
        cache=cache,
        warn=lambda text: _say(f"warning: {text}"),
        tell=lambda text: progress.print(text) if progress.is_terminal else None,
    )
    scores = adapted.scores
    size = adapted.model.stat().st_size / 1e6
    console = _console()
    heading = f"{scores['clips']} clips of {scores['groups']} groups, none by a network that heard"
    console.print(f"{heading} its group; 95 % intervals:")
    report.show(report.score_table(scores))
    verdict = "no better than chance" if adapted.unsure else "better than chance"
    console.print(f"Quadrants are {verdict}, a macro F1 of {adapted.chance:.2f}.")
    console.print(_printable(f"{adapted.model}: {size:.1f} MB; card: {adapted.card}"))
    console.print(_printable(f"Runs and scores: {adapted.folder}"))
    console.print(_printable(f"Use it: quadpred predict --model {adapted.model} SONG"))


def _spoken(code: str) -> str:
    """Return the language of a speech encoder on board."""
    from quadpred import registry

    try:
        return registry.encoder(code).speech
    except ValueError as error:
        _fail(str(error))


@app.command("models")
def list_models() -> None:
    """List the models on board."""
    from quadpred import registry

    console = _console()
    known = registry.models()
    width = max(len(model.name) for model in known)
    for model in known:
        size = f"{model.path.stat().st_size / 1e6:.1f} MB"
        languages = _languages(model.speech, model.music)
        mark = " (experimental)" if model.experimental else ""
        console.print(f"{model.name:<{width}}  {size:>8}  {languages}{mark}  {model.card}")


app.command()(library_cli.tag)
app.command()(library_cli.playlist)
app.command("map")(library_cli.draw_map)


def _console(*, stderr: bool = False) -> Console:
    """Plain text, never wrapped or cut; colours where a terminal shows them."""
    return Console(stderr=stderr, soft_wrap=True, markup=False, emoji=False, highlight=False)


def _say(text: str) -> None:
    """Print one line to standard error, whatever is in the text."""
    print(f"quadpred: {_printable(text)}", file=sys.stderr, flush=True)


def _printable(text: str) -> str:
    """Escape what would break a line, such as line feeds in the names of files."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _fail(text: str) -> NoReturn:
    _say(text)
    raise typer.Exit(_FAILED)


def _reason(error: Exception) -> str:
    """Say in words what a person can do something about; raise the error again if it is a bug."""
    if isinstance(error, OSError):
        name = error.filename2 or error.filename
        reason = error.strerror or str(error)
        return f"{name}: {reason}" if name else reason
    if isinstance(error, ModuleNotFoundError) and error.name in _EXTRAS:
        what, extra = _EXTRAS[error.name]
        return f'{what} needs the extra: pip install "quadpred[{extra}]"'
    if type(error).__module__.partition(".")[0] == __package__:
        return str(error)
    raise error


def _drop_unwritten() -> None:
    """Give up what standard output did not take, before the interpreter tries again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _targets(paths: Sequence[str], output: str | None, *, plot: bool) -> dict[str, list[Path]]:
    """Name the files to write for each input: rows as npy, all as JSON, and the picture."""
    if output is None:
        return {path: [] for path in paths}
    suffixes = [".json", ".png"] if plot else [".json"]
    given = Path(output)
    if output.endswith((os.sep, os.altsep or os.sep)) or given.is_dir() or not given.suffix:
        rows = {path: given / f"{Path(path).stem}.npy" for path in paths}
    elif given.suffix.lower() != ".npy":
        _fail(f"{output}: neither a folder nor a .npy file; end a new folder's name in {os.sep}")
    elif len(paths) > 1:
        _fail(f"{output}: one file cannot hold several clips; give a folder")
    else:
        rows = {path: given for path in paths}
    return {
        path: [npy, *(npy.parent / (npy.stem + suffix) for suffix in suffixes)]
        for path, npy in rows.items()
    }


def _check(wanted: Iterable[tuple[str, Path]], inputs: Iterable[str]) -> None:
    """Refuse, before any work is done, what could not be written or would destroy something.

    Args:
        wanted: what asks for a file, and the file.
        inputs: files that must stay as they are.

    Raises:
        OSError: a file could not be written.
    """
    from quadpred.formats import check_target

    read = {os.path.realpath(path) for path in inputs}
    writers: dict[str, str] = {}
    for source, target in wanted:
        real = os.path.realpath(target)
        if real in read:
            _fail(f"{target}: is an input, and would be overwritten")
        if real in writers:
            _fail(f"{source}: would write {target}, and so would {writers[real]}")
        writers[real] = source
        check_target(target)


def _predictor(
    speech: str | None, music: str | None, model: str | None, device: str
) -> "Predictor":
    if model is not None and (speech or music):
        _fail(f"{model}: knows its languages; leave out -s and -m")
    from quadpred.predictor import Predictor

    try:
        if model is not None:
            return Predictor(model, device=device)
        return Predictor.of_languages(speech or "english", music or "english", device=device)
    except ValueError as error:  # unknown languages, and ModelError
        _fail(str(error))


def _library(paths: Sequence[str], options: Mapping[str, object]) -> str | None:
    """Return what makes this a library run: a path or an option, if any does."""
    from quadpred.batch.discovery import is_collection

    given = (option for option, value in options.items() if value)
    return next((path for path in paths if is_collection(path)), None) or next(given, None)


def _predict_library(
    paths: Sequence[str],
    predictor: "Predictor",
    output: Path,
    *,
    formats: str,
    seconds: bool,
    jobs: int | None,
    shard: str,
    device: str,
    on_ray: bool,
) -> None:
    """Predict a library, with a progress bar on a terminal; say what came of it."""
    from quadpred.batch import discovery, run
    from quadpred.batch.clip import Settings, formats_of
    from quadpred.batch.progress import bar

    share = discovery.Shard.parse(shard)
    settings = Settings(
        model=str(predictor.path.absolute()),
        sha256=predictor.origin.sha256,
        device=device,
        output=output.absolute(),
        scratch=run.scratch(output.absolute(), share),
        formats=formats_of(formats),
        seconds=seconds,
    )
    listed = sys.stdin.buffer.read() if discovery.LIST in paths else b""
    found = discovery.discover(paths, listed, share)
    if not found.recordings and share.count == 1:
        _fail(f"{paths[0]}: {next(iter(found.errors.values()), 'no audio files are there')}")
    console = _console()
    _introduce(console, predictor.origin)
    with bar(console) as tell:
        report = run.run(
            found,
            settings,
            share,
            run.engine(settings, jobs, on_ray=on_ray),
            tell=tell,
            say=_say,
        )
    done = report.progress
    console.print(
        f"{done.predicted} predicted ({done.hours:.2f} hours), {done.kept} as before, "
        f"{done.failed} failed"
    )
    console.print(_printable(f"Saved {', '.join(map(str, report.tables))}"))
    if done.failed:
        raise typer.Exit(_PARTLY)


def _save(
    predictor: "Predictor", path: str, targets: Sequence[Path], *, winner: bool
) -> "Prediction | None":
    """Predict one file and write its outputs; `None`, and a line of error, if that failed."""
    from quadpred.audio import AudioError
    from quadpred.formats import complete, naming, write_json, write_npy

    writers: dict[str, Callable[[Prediction, BinaryIO], None]] = {
        ".npy": partial(write_npy, winner=winner),
        ".json": write_json,
        ".png": _write_png,
    }
    try:
        with _warnings_in_one_line():
            prediction = predictor.predict(path)
        with complete(*targets) as files:
            for target, file in zip(targets, files, strict=True):
                with naming(target):
                    writers[target.suffix.lower()](prediction, file)
    except (AudioError, OSError) as error:
        _say(_reason(error))
        return None
    return prediction


def _write_png(prediction: "Prediction", file: BinaryIO) -> None:
    from quadpred.plots import save_taggram  # half a second, spared by --no-plot

    save_taggram(prediction, file)


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Print an `AudioWarning` as one line, once; leave other warnings as they are."""
    from quadpred.audio import AudioWarning

    show = warnings.showwarning

    def one_line(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, AudioWarning):
            _say(f"warning: {message}")
        else:
            show(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        warnings.simplefilter("default", AudioWarning)
        warnings.showwarning = one_line
        yield


@contextmanager
def _sink(where: str | None) -> Iterator[Callable[["Prediction"], None]]:
    """Take predictions, and write a line of JSON each to a file, to standard output, or nowhere."""
    from quadpred.formats import complete, json_line, naming

    def print_line(prediction: "Prediction") -> None:
        sys.stdout.buffer.write(json_line(prediction))
        sys.stdout.buffer.flush()

    if where is None:
        yield lambda prediction: None
    elif where == "-":
        yield print_line
    else:
        path = Path(where)
        with complete(path) as (file,):

            def write_line(prediction: "Prediction") -> None:
                with naming(path):
                    file.write(json_line(prediction))

            yield write_line


def _tracked(paths: Sequence[str], console: Console, *, quiet: bool) -> Iterable[str]:
    """Iterate with a progress bar, if there is more than one file and a terminal."""
    if len(paths) == 1 or quiet or not console.is_terminal:
        return paths
    from rich.progress import track

    return track(paths, "Predicting", console=console, transient=True)


def _languages(speech: str, music: str) -> str:
    spoken, sung = (_SPOKEN.get(name, name.capitalize()) for name in (speech, music))
    return f"{spoken} speech → {sung} music"


def _introduce(console: Console, origin: "Origin") -> None:
    case = f"{origin.case.capitalize()}: {_languages(origin.speech, origin.music)}"
    console.print(_printable(case))
    console.print(_printable(f"Model: {origin.name}"))
    if origin.experimental:
        _say(f"{origin.name} is experimental: {origin.experimental}")


def _report(console: Console, prediction: "Prediction", saved: Sequence[Path]) -> None:
    """Print the clip's means; the most probable class is bold, and a terminal shows bars."""
    lines = [Text(), Text(_printable(prediction.source), "bold")]
    silent = int(prediction.silent.sum())
    uncertain = int(prediction.uncertain.sum()) - silent
    for count, what in (silent, "silent"), (uncertain, "uncertain"):
        if count:
            verb = "is" if count == 1 else "are"
            lines.append(Text(f"{count} of {len(prediction)} seconds {verb} {what}"))
    if prediction.unsure:
        lines.append(Text("Uncertain: do not rely on the clip's quadrant", "yellow"))
    for head in HEADS:
        lines += _means(head, prediction.mean(head).tolist(), bars=console.is_terminal)
    if saved:
        lines.append(Text(_printable(f"Saved {', '.join(map(str, saved))}")))
    console.print(Text("\n").join(lines))


def _means(head: Head, means: Sequence[float], *, bars: bool) -> Iterator[Text]:
    """Yield a line a class: title, probability and bar."""
    width = max(len(title) for other in HEADS for title in other.titles)
    for title, colour, mean in zip(head.titles, head.colours, means, strict=True):
        line = Text(f"{title + ':':<{width + 1}} {mean:.3f}")
        if mean == max(means):
            line.stylize("bold")
        if bars:
            eighths = round(mean * _BAR * 8)
            line.append("  " + "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8], colour)
        yield line
