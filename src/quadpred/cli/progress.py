"""Progress bars on a terminal; nothing in a file or a pipe."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from quadpred.cli.console import make_console

if TYPE_CHECKING:
    from quadpred.batch.run import RunProgress

__all__ = ["download_progress", "run_progress", "step_progress"]

_PERIOD = 300.0  # seconds over which the time left is estimated


@contextmanager
def run_progress(console: Console) -> Iterator[Callable[["RunProgress"], None]]:
    """Show a library run: recordings done, hours of audio per minute, time left, failures.

    Yields:
        A function to call with the run's counts.
    """
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]:.1f} h of audio per minute"),
        TimeRemainingColumn(),
        TextColumn("left"),
        TextColumn("{task.fields[failed]} failed"),
    )
    with Progress(
        *columns,
        console=console,
        transient=True,
        speed_estimate_period=_PERIOD,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("", total=None, speed=0.0, failed=0)
        started = time.monotonic()

        def update(counts: "RunProgress") -> None:
            minutes = max((time.monotonic() - started) / 60, 1e-3)
            bar.update(
                task,
                total=counts.total,
                completed=counts.unchanged + counts.predicted + counts.failed,
                speed=counts.hours / minutes,
                failed=counts.failed,
            )

        yield update


@contextmanager
def download_progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show downloads on standard error.

    Yields:
        A function to call with the name of a file, bytes done, and bytes in all (0 if unknown).
    """
    console = make_console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        tasks: dict[str, TaskID] = {}

        def update(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name)
            bar.update(tasks[name], completed=done, total=total or None)

        yield update


@contextmanager
def step_progress(description: str, total: int) -> Iterator[Callable[[], None]]:
    """Show steps on standard error.

    Yields:
        A function to call after each step.
    """
    console = make_console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(description, total=total)
        yield lambda: bar.advance(task)
