"""How far a run is, on a terminal."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from quadpred.batch.run import Progress

__all__ = ["bar"]

_WINDOW = 300.0  # seconds over which the time left is estimated


@contextmanager
def bar(console: Console) -> Iterator[Callable[[Progress], None]]:
    """Show files done, hours of audio a minute, time left and failures; nothing in a pipe.

    Yields:
        What is to be told how far the run is.
    """
    if not console.is_terminal:
        yield lambda progress: None
        return
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]:.1f} h of audio a minute"),
        TimeRemainingColumn(),
        TextColumn("left"),
        TextColumn("{task.fields[failed]} failed"),
    )
    with Bar(*columns, console=console, transient=True, speed_estimate_period=_WINDOW) as shown:
        task = shown.add_task("", total=None, speed=0.0, failed=0)
        started = time.monotonic()

        def tell(progress: Progress) -> None:
            done = progress.kept + progress.predicted + progress.failed
            minutes = max((time.monotonic() - started) / 60, 1e-3)
            shown.update(
                task,
                total=progress.total,
                completed=done,
                speed=progress.hours / minutes,
                failed=progress.failed,
            )

        yield tell
