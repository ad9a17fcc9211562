"""Pictures of a model's scores: confusion matrices and calibration."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from quadpred.labels import QUADRANT, Head
from quadpred.plots.style import (
    DPI,
    GREY,
    INK,
    MARGIN,
    SILENCE,
    class_name,
    plot_style,
    probability_colours,
)

__all__ = [
    "Curve",
    "confusion_matrix",
    "reliability",
    "save_confusion_matrix",
    "save_reliability",
]

_CELL = 0.85  # inches, side of a confusion matrix's cell
_TICKS = [0.25, 0.5, 0.75, 1.0]
_POINTS = "#c4426a"  # of magma, as the heat maps are


def confusion_matrix(counts: NDArray[np.int64], head: Head, *, unit: str = "clip") -> Figure:
    """Draw a confusion matrix: one row per true class, one column per predicted class.

    Colour and the upper number are the share of the row, the lower number is the count.

    Args:
        counts: shape (classes, classes), in the order of the head's classes.
        head: that the classes belong to.
        unit: what was counted, "clip" or "second".
    """
    classes = len(head.classes)
    side, names = classes * _CELL, 1.9 if head is QUADRANT else 1.1
    width, height = names + max(side, 2.6) + 2 * MARGIN, side + 1.75
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    with plot_style():
        figure = Figure((width, height), dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
        left, bottom = MARGIN + names, 0.75
        axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
        axes.imshow(shares, probability_colours(), vmin=0, vmax=1)
        for (row, column), share in np.ndenumerate(shares):
            _cell(axes, row, column, share, int(counts[row, column]))
        axes.set_xticks(range(classes), head.classes)
        axes.set_yticks(range(classes), [class_name(head, index) for index in range(classes)])
        axes.tick_params(length=0, labelcolor=INK)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("predicted", labelpad=6)
        axes.set_ylabel("true", labelpad=6)
        title = f"{head.name.capitalize()} by {unit}"
        figure.text(MARGIN / width, 1 - 0.42 / height, title, weight="bold", fontsize=14)
        total = f"{counts.sum():,} {unit}s, shares of each row"
        figure.text(MARGIN / width, 1 - 0.69 / height, total, color=GREY)
        return figure


def save_confusion_matrix(
    counts: NDArray[np.int64], head: Head, file: str | Path | IO[bytes], *, unit: str = "clip"
) -> None:
    """Draw a confusion matrix and write it as PNG, to a path or an open file.

    Raises:
        OSError: the file cannot be written.
    """
    confusion_matrix(counts, head, unit=unit).savefig(file, format="png", dpi=DPI)


def _cell(axes: Axes, row: int, column: int, share: float, count: int) -> None:
    """Write a cell's share and count, legible on its colour."""
    colour = "white" if share > 0.46 else INK
    weight = "bold" if row == column else "normal"
    alignment: dict[str, Any] = {"ha": "center", "color": colour}
    axes.text(column, row - 0.06, f"{share:.0%}", va="center", fontweight=weight, **alignment)
    axes.text(column, row + 0.24, f"{count:,}", va="center", fontsize=8, **alignment)


Curve = tuple[float, Sequence[tuple[float, float, float]]]
"""Calibration error, and (confidence, accuracy, share of predictions) per bin."""


def reliability(panels: Mapping[str, Mapping[str, Curve]]) -> Figure:
    """Draw reliability diagrams: accuracy against predicted probability.

    On the diagonal, probabilities are calibrated. The area of a point is its share of predictions.

    Args:
        panels: curves by title, and by what was counted: "clip" or "second".
    """
    side, gap, below = 2.5, 0.3, 0.95
    count = len(panels)
    width, height = 2 * MARGIN + 0.35 + count * side + (count - 1) * gap, side + 1.75
    with plot_style():
        figure = Figure((width, height), dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
        for number, (title, curves) in enumerate(panels.items()):
            left = MARGIN + 0.35 + number * (side + gap)
            axes = figure.add_axes((left / width, below / height, side / width, side / height))
            axes.plot([0, 1], [0, 1], color=SILENCE, linewidth=2, zorder=0)
            for (unit, (error, bins)), colour in zip(curves.items(), (INK, _POINTS), strict=False):
                confidence, accuracy, share = np.array(bins).T
                label = f"{unit}s: error {error:.3f}"
                axes.plot(confidence, accuracy, color=colour, linewidth=1)
                sizes = 12 + 260 * share
                axes.scatter(confidence, accuracy, sizes, color=colour, label=label, linewidth=0)
            axes.set(xlim=(0.2, 1.02), ylim=(0.2, 1.02), xticks=_TICKS, yticks=_TICKS)
            axes.spines[:].set_visible(False)
            axes.set_xlabel("predicted probability", labelpad=5)
            if number:
                axes.set_yticklabels([])
            else:
                axes.set_ylabel("accuracy")
            axes.tick_params(length=0, labelcolor=GREY)
            axes.legend(frameon=False, loc="upper left", markerscale=0.6, borderpad=0)
            axes.set_title(title.capitalize(), loc="left", weight="bold", pad=8)
        return figure


def save_reliability(
    panels: Mapping[str, Mapping[str, Curve]], file: str | Path | IO[bytes]
) -> None:
    """Draw reliability diagrams and write them as PNG, to a path or an open file.

    Raises:
        OSError: the file cannot be written.
    """
    reliability(panels).savefig(file, format="png", dpi=DPI)
