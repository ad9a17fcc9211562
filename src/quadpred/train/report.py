"""Tables of scores, and plots of confusion matrices and reliability."""

from pathlib import Path

import numpy as np
from rich.table import Table

from quadpred.files import atomic_write
from quadpred.labels import HEADS
from quadpred.plots.evaluation import save_confusion_matrix, save_reliability
from quadpred.train.evaluate import (
    Calibration,
    ClassReport,
    ConfidenceInterval,
    Evaluation,
    HeadScores,
)

__all__ = [
    "class_table",
    "reliability_path",
    "save_confusion_matrices",
    "save_reliability_of",
    "score_table",
]

UNITS = ("clip", "second")


def score_table(scores: Evaluation) -> Table:
    """Macro precision, recall and F1 with their intervals, and accuracy, per head and unit."""
    table = _table("", "", "precision", "recall", "macro F1", "accuracy")
    for head in HEADS:
        for unit in UNITS:
            report = _report(scores.heads[head.name], unit)
            macro = (report.macro_precision, report.macro_recall, report.macro_f1)
            cells = map(_with_interval, macro)
            table.add_row(head.name, f"{unit}s", *cells, f"{report.accuracy:.3f}")
    return table


def class_table(scores: Evaluation) -> Table:
    """Precision, recall, F1 and number of every class, per clip and per second."""
    columns = ("precision", "recall", "F1", "number")
    table = _table("", "", *(f"{unit}s\n{name}" for unit in UNITS for name in columns))
    for head in HEADS:
        reports = [_report(scores.heads[head.name], unit) for unit in UNITS]
        for name in head.classes:
            cells = []
            for report in reports:
                values = (report.precision[name], report.recall[name], report.f1[name])
                cells += [*(f"{value:.2f}" for value in values), str(report.number[name])]
            table.add_row(head.name, name, *cells)
    return table


def save_confusion_matrices(scores: Evaluation, folder: Path) -> list[Path]:
    """Draw the confusion matrix of each head by clip and by second, as `quadrant-clip.png`.

    Args:
        scores: the evaluation.
        folder: created if it is missing.

    Returns:
        The six files.

    Raises:
        OSError: a file cannot be written.
    """
    paths = []
    for head in HEADS:
        for unit in UNITS:
            counts = np.array(_report(scores.heads[head.name], unit).confusion)
            path = folder / f"{head.name}-{unit}.png"
            with atomic_write(path) as (file,):
                save_confusion_matrix(counts, head, file, unit=unit)
            paths.append(path)
    return paths


def save_reliability_of(calibration: Calibration, model: Path) -> Path:
    """Draw the reliability diagram of a model beside its file, as `NAME-reliability.png`.

    Raises:
        OSError: the file cannot be written.
    """
    path = reliability_path(model)
    curves = {
        name: {
            unit: (part.error, [(b.confidence, b.accuracy, b.share) for b in part.reliability])
            for unit, part in (("clip", head.clip), ("second", head.second))
        }
        for name, head in calibration.heads.items()
    }
    with atomic_write(path) as (file,):
        save_reliability(curves, file)
    return path


def reliability_path(model: Path) -> Path:
    """Return the path of a model's reliability diagram."""
    return model.with_name(f"{model.stem}-reliability.png")


def _report(scores: HeadScores, unit: str) -> ClassReport:
    return scores.clip if unit == "clip" else scores.second


def _table(*columns: str) -> Table:
    table = Table(box=None, collapse_padding=True, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < 2 else "right", no_wrap=True)
    return table


def _with_interval(interval: ConfidenceInterval) -> str:
    return f"{interval.value:.3f} [{interval.low:.2f}, {interval.high:.2f}]"
