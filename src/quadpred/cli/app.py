"""The command group: it reports errors in one line and chooses the exit code."""

import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from quadpred import __version__
from quadpred.cli import (
    convert,
    corpora,
    library,
    models,
    moments,
    playlist,
    predict,
    similar,
    tag,
    train,
)
from quadpred.cli.console import FAILED, INTERRUPTED, TERMINATED, describe_error, print_message
from quadpred.cli.serve import serve

__all__ = ["app", "main"]


class _Group(TyperGroup):
    """Runs `predict` if the first argument is not a command; reports errors in one line."""

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
            if leaving.code == INTERRUPTED:
                print_message("interrupted")
            raise
        except BrokenPipeError:
            code = 1  # as typer does: the reader of the output needs no more of it
        except Exception as error:
            print_message(describe_error(error))
            code = FAILED
        _discard_unflushed_output()
        sys.exit(code)


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(predict.predict)
app.command("convert-paper-model")(convert.convert_paper_model)
app.command("models")(models.list_models)
app.command()(tag.tag)
app.command()(moments.moments)
app.command()(playlist.playlist)
app.command()(similar.similar)
app.command("map")(library.draw_map)
app.command()(serve)
app.command()(train.adapt)
app.add_typer(train.app, name="train")
app.add_typer(corpora.app, name="corpora")


def main() -> None:
    """Run the command line."""
    for stream in sys.stdout, sys.stderr:
        with suppress(AttributeError):  # not a text stream
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    # An exception, unlike the default action, lets temporary files be removed.
    signal.signal(signal.SIGTERM, lambda _, frame: _stop(SystemExit(TERMINATED), frame))
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda _, frame: _stop(KeyboardInterrupt(), frame))
    app(prog_name="quadpred")


def _stop(error: BaseException, frame: FrameType | None) -> None:
    """Raise an error where a signal came, unless a decoder is to do so."""
    interrupts = sys.modules.get("quadpred.audio.interrupts")  # loading it would slow every start
    if interrupts is None:
        raise error
    interrupts.interrupt(error, frame)


def _show_version(requested: bool) -> None:
    if requested:
        typer.echo(f"quadpred {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version."),
    ] = False,
) -> None:
    """Predict the emotion perceived in music, second by second.

    `quadpred song.mp3` is short for `quadpred predict song.mp3`.
    """


def _discard_unflushed_output() -> None:
    """Discard unflushed standard output so that the interpreter does not fail at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
