"""Scores for people: tables, and pictures of the confusion matrices."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from quadpred.files import atomic_write
from quadpred.labels import HEADS
from quadpred.plots.evaluation import save_confusion_matrix, save_reliability

__all__ = [
    "class_table",
    "save_confusion_matrices",
    "save_reliability_of",
    "score_table",
    "show",
]

UNITS = {"clip": "clips", "window": "windows"}
_MACRO = ("macro_precision", "macro_recall", "macro_f1")
_WIDTH = 100  # of a table that goes to a file or a pipe


def show(table: Table) -> None:
    """Print a table, as wide as it is where no terminal sets a limit."""
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH
    console.print(table)


def score_table(scores: Mapping[str, Any]) -> Table:
    """Macro precision, recall and F1 with their intervals, and accuracy, by head and unit.

    Args:
        scores: as `evaluate` returns them.
    """
    table = _table("", "", "precision", "recall", "macro F1", "accuracy")
    for head in HEADS:
        for unit, title in UNITS.items():
            report = scores[head.name][unit]
            cells = [_with_interval(report[measure]) for measure in _MACRO]
            table.add_row(head.name, title, *cells, f"{report['accuracy']:.3f}")
    return table


def class_table(scores: Mapping[str, Any]) -> Table:
    """Precision, recall and F1 of every class, by clip and by window, and their numbers.

    Args:
        scores: as `evaluate` returns them.
    """
    columns = ("precision", "recall", "F1", "number")
    table = _table("", "", *(f"{title}\n{name}" for title in UNITS.values() for name in columns))
    for head in HEADS:
        reports = [scores[head.name][unit] for unit in UNITS]
        for name in head.classes:
            cells = []
            for report in reports:
                cells += [f"{report[m][name]:.2f}" for m in ("precision", "recall", "f1")]
                cells.append(str(report["number"][name]))
            table.add_row(head.name, name, *cells)
    return table


def save_confusion_matrices(scores: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw the confusion matrix of each head by clip and by window, as `quadrant-clip.png`.

    Args:
        scores: as `evaluate` returns them.
        folder: made where it is missing.

    Returns:
        The six files.

    Raises:
        OSError: one cannot be written.
    """
    paths = []
    for head in HEADS:
        for unit in UNITS:
            counts = np.array(scores[head.name][unit]["confusion"])
            path = folder / f"{head.name}-{unit}.png"
            with atomic_write(path) as (file,):
                save_confusion_matrix(counts, head, file, unit=unit)
            paths.append(path)
    return paths


def save_reliability_of(calibration: Mapping[str, Any], model: Path) -> Path:
    """Draw a model's calibration beside its file, as `NAME-reliability.png`.

    Raises:
        OSError: it cannot be written.
    """
    path = model.with_name(f"{model.stem}-reliability.png")
    with atomic_write(path) as (file,):
        save_reliability(calibration, file)
    return path


def _table(*columns: str) -> Table:
    table = Table(box=None, collapse_padding=True, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < 2 else "right", no_wrap=True)
    return table


def _with_interval(interval: Mapping[str, float]) -> str:
    return f"{interval['value']:.3f} ({interval['low']:.2f}-{interval['high']:.2f})"
