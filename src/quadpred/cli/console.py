"""What all commands share: exit codes, and lines on standard output and standard error."""

import sys
from collections.abc import Container
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from quadpred.errors import QuadpredError
from quadpred.files import printable, reason_of

__all__ = [
    "FAILED",
    "INTERRUPTED",
    "PARTLY",
    "TERMINATED",
    "OutputFile",
    "UsageError",
    "check_output",
    "check_overwriting",
    "counted",
    "describe_error",
    "make_console",
    "print_line",
    "print_message",
    "refuse_options",
]

PARTLY, FAILED, INTERRUPTED, TERMINATED = 1, 2, 130, 143
"""Exit codes: some inputs failed; nothing was done; Ctrl-C; SIGTERM."""


_EXTRAS = {  # packages that may be missing: what needs them, and the extra that installs them
    **dict.fromkeys(
        (
            *("h5py", "jinja2", "onnx", "onnxscript", "optuna", "platformdirs", "pydantic"),
            *("safetensors", "sklearn", "torch"),
        ),
        ("training", "train"),
    ),
    **dict.fromkeys(("fastapi", "python_multipart", "starlette", "uvicorn"), ("serving", "web")),
    "mutagen": ("reading and writing tags", "tags"),
    "pyarrow": ("Parquet", "parquet"),
    "ray": ("--engine ray", "ray"),
}


OutputFile = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        callback=lambda path: None if path == Path("-") else path,
        help="Default: standard output, also named -.",
    ),
]


class UsageError(QuadpredError):
    """Options or arguments that cannot be used together."""


def make_console(*, stderr: bool = False, width: int | None = None) -> Console:
    """Return a console for plain text, with colours on a terminal.

    Args:
        stderr: write to standard error.
        width: characters per line in a file or a pipe, for tables; without it, lines are neither
            wrapped nor cut.
    """
    console = Console(
        stderr=stderr, soft_wrap=width is None, markup=False, emoji=False, highlight=False
    )
    if width is not None and not console.is_terminal:
        console.width = width
    return console


def check_output() -> None:
    """Check that standard output can be written.

    Raises:
        UsageError: it was closed when the program started.
    """
    if sys.__stdout__ is None:
        raise UsageError("standard output is closed")


def check_overwriting(output: Path, *inputs: Path | None) -> None:
    """Check that an output is neither an input nor named like a recording.

    Raises:
        UsageError: it is.
    """
    from quadpred.audio.folders import ENDINGS

    for path in inputs:
        if path and path.exists() and output.exists() and output.samefile(path):
            raise UsageError(f"{output}: is an input and would be overwritten; choose another -o")
    if output.suffix[1:].lower() in ENDINGS:
        raise UsageError(f"{output}: is named like a recording; choose another extension")


def refuse_options(context: typer.Context, reason: str, ignored: Container[str | None]) -> None:
    """Check that the command line has nothing that would be ignored.

    Args:
        context: of the command.
        reason: the option, or what else, with which they cannot be used.
        ignored: names of the command's parameters.

    Raises:
        UsageError: it has some.
    """
    used = [
        each.opts[-1]
        for each in context.command.params
        if each.name in ignored
        and (source := context.get_parameter_source(str(each.name)))
        and source.name == "COMMANDLINE"
    ]
    if used:
        raise UsageError(f"{', '.join(used)} cannot be used with {reason}")


def counted(number: float, noun: str) -> str:
    """Return a rounded number and what it counts.

    >>> counted(1, "song"), counted(2.4, "minute")
    ('1 song', '2 minutes')
    """
    return f"{number:.0f} {noun}" if round(number) == 1 else f"{number:.0f} {noun}s"


def print_line(text: str) -> None:
    """Print one line to standard output; escape what would break it."""
    typer.echo(printable(text))


def print_message(text: str) -> None:
    """Print one line to standard error; escape what would break it."""
    print(f"quadpred: {printable(text)}", file=sys.stderr, flush=True)


def describe_error(error: Exception) -> str:
    """Return the line to print for an error that the user can act on; raise any other again."""
    if isinstance(error, OSError):
        name = error.filename2 or error.filename
        reason = reason_of(error)
        return f"{name}: {reason}" if name else reason
    if isinstance(error, ModuleNotFoundError) and error.name in _EXTRAS:
        what, extra = _EXTRAS[error.name]
        return f'{what} needs the extra: pip install "quadpred[{extra}]"'
    if isinstance(error, QuadpredError):
        return str(error)
    raise error
