"""The tag-gram: a model's probabilities for a clip, second by second, as one picture."""

from pathlib import Path
from typing import IO, Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from quadpred.labels import HEADS, QUADRANT, Head
from quadpred.plots.style import (
    DPI,
    GREY,
    MARGIN,
    SILENCE,
    class_name,
    drawable,
    plot_style,
    probability_colours,
)
from quadpred.prediction import Prediction

__all__ = ["save_taggram", "taggram"]

Array = NDArray[np.float32]

# Lengths in inches.
_ROW = 0.36  # height of a class's row
_GAP = 0.42  # above a head, for its name
_LEFT, _RIGHT, _TOP, _BOTTOM = 2.4, 1.65, 1.25, 0.8
_SECOND = 0.2  # width of one second, up to the widest panel
_PANELS = 3.9, 7.8  # narrowest and widest


_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)  # seconds
_TICKS = 10  # at most, for less than a day


def taggram(prediction: Prediction) -> Figure:
    """Draw quadrants, arousal and valence over time.

    There is one heat map per head, with one row per class and one column per second, on a common
    time axis. The means are at the right. Silent seconds are hatched, and a line below the
    quadrants marks uncertain seconds. The picture becomes wider up to 39 seconds.
    """
    with plot_style():
        seconds = len(prediction)
        panel = float(np.clip(seconds * _SECOND, *_PANELS))
        width = _LEFT + panel + _RIGHT
        classes = sum(len(head.classes) for head in HEADS)
        height = _TOP + classes * _ROW + (len(HEADS) - 1) * _GAP + _BOTTOM
        figure = Figure((width, height), dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
        bottom = height - _TOP + _GAP
        for head in HEADS:
            tall = len(head.classes) * _ROW
            bottom -= _GAP + tall
            axes = figure.add_axes((_LEFT / width, bottom / height, panel / width, tall / height))
            _heat_map(axes, head, prediction)
            if head is QUADRANT:
                _uncertain_line(axes, prediction)
        _time_axis(axes, seconds)
        _colour_bar(figure)
        _headline(figure, prediction)
        _legend(figure, prediction)
        return figure


def save_taggram(prediction: Prediction, file: str | Path | IO[bytes]) -> None:
    """Draw a prediction and write it as PNG, to a path or an open file.

    Raises:
        OSError: it cannot be written.
    """
    with plot_style():  # the hatching reads it when it is drawn
        taggram(prediction).savefig(file, format="png", dpi=DPI)


def _heat_map(axes: Axes, head: Head, prediction: Prediction) -> None:
    # Quadrants in their order; positive above negative, as on the circumplex's axes.
    order = np.arange(len(head.classes))[:: 1 if head is QUADRANT else -1]
    rows, seconds = len(order), len(prediction)
    columns, silent = _columns(prediction, head)
    image = np.ma.array(columns.T[order])
    image[:, silent] = np.ma.masked
    axes.imshow(
        image,
        probability_colours(),
        vmin=0,
        vmax=1,
        aspect="auto",
        interpolation="nearest",
        extent=(0, seconds, rows, 0),
    )
    hatched = _runs(silent, seconds / len(silent))
    axes.broken_barh(hatched, (0, rows), facecolor="none", hatch="////", linewidth=0)
    axes.hlines(range(1, rows), 0, seconds, color="white", linewidth=1.2)
    axes.spines[:].set_visible(False)
    axes.set_xticks([])
    means = prediction.mean(head)[order]
    for row, index in enumerate(order):
        weight = "bold" if row == means.argmax() else "normal"
        _beside(axes, class_name(head, index), row + 0.5, left=True, fontweight=weight)
        _beside(axes, f"{means[row]:.2f}", row + 0.5, fontweight=weight)
    axes.set_yticks([])
    _beside(axes, head.name.capitalize(), -0.4, left=True, color=GREY)
    if head is HEADS[0]:
        _beside(axes, "mean", -0.4, color=GREY)


def _uncertain_line(axes: Axes, prediction: Prediction) -> None:
    """Underline columns that are mostly uncertain and not silent."""
    seconds = len(prediction)
    starts = _starts(seconds)
    counts = np.add.reduceat(_uncertain_sound(prediction).astype(int), starts)
    lengths = np.diff([*starts, seconds])
    spans = _runs(2 * counts > lengths, seconds / len(starts))
    below = len(QUADRANT.classes) + 0.14
    axes.broken_barh(spans, (below, 0.1), facecolor=GREY, linewidth=0, clip_on=False)


def _uncertain_sound(prediction: Prediction) -> NDArray[np.bool_]:
    """Return the seconds that are uncertain and not silent."""
    return prediction.uncertain_seconds & ~prediction.silent


def _starts(seconds: int) -> NDArray[np.int64]:
    """Return the first second of each column of a heat map."""
    count = min(seconds, int(_PANELS[1] * DPI))
    return np.linspace(0, seconds, count, endpoint=False).astype(int)


def _columns(prediction: Prediction, head: Head) -> tuple[Array, NDArray[np.bool_]]:
    """Average seconds that share a pixel.

    Returns:
        Probabilities of shape (columns, classes), and whether all of a column is silent.
    """
    rows, audible = prediction.head(head), ~prediction.silent
    starts = _starts(len(rows))
    counts = np.add.reduceat(audible.astype(int), starts)
    sums = np.add.reduceat(rows * audible[:, None], starts)
    means = sums / np.maximum(counts, 1)[:, None]
    return means.astype(np.float32), np.equal(counts, 0)


def _beside(axes: Axes, text: str, y: float, *, left: bool = False, **style: Any) -> None:
    """Write to the left or right of a panel, at the height of row `y`."""
    axes.annotate(
        text,
        (0 if left else 1, y),
        xycoords=("axes fraction", "data"),
        xytext=((MARGIN - _LEFT) * 72 if left else 9, 0),
        textcoords="offset points",
        verticalalignment="center_baseline",
        annotation_clip=False,
        **style,
    )


def _runs(flags: NDArray[np.bool_], width: float) -> list[tuple[float, float]]:
    """Return start and length of every run of `True`, where a flag is `width` wide."""
    edges = np.flatnonzero(np.diff(np.pad(flags, 1).astype(np.int8))) * width
    return [(float(start), float(end - start)) for start, end in edges.reshape(-1, 2)]


def _time_axis(axes: Axes, seconds: int) -> None:
    step = next((step for step in _STEPS if seconds <= step * _TICKS), seconds)
    ticks = range(0, seconds + 1, step)
    if seconds < 120:
        labels, unit = [f"{tick}" for tick in ticks], "s"
    elif seconds < 7200:
        labels, unit = [f"{tick // 60}:{tick % 60:02}" for tick in ticks], "m:ss"
    else:
        labels, unit = [f"{tick // 3600}:{tick // 60 % 60:02}" for tick in ticks], "h:mm"
    axes.set_xticks(ticks, labels)
    axes.set_xlabel(f"Time ({unit})", labelpad=5)


def _colour_bar(figure: Figure) -> None:
    width, height = figure.get_size_inches()
    left, tall = width - _RIGHT + 0.72, height - _TOP - _BOTTOM
    axes = figure.add_axes((left / width, _BOTTOM / height, 0.14 / width, tall / height))
    bar = figure.colorbar(ScalarMappable(cmap=probability_colours()), axes, ticks=[0, 0.5, 1])
    bar.set_label("probability", labelpad=7)
    bar.outline.set_visible(False)
    axes.tick_params(length=0, pad=5, labelcolor=GREY)


def _headline(figure: Figure, prediction: Prediction) -> None:
    height = figure.get_figheight()
    name = Path(prediction.source).name or "Samples"
    means = prediction.mean(QUADRANT)
    title = QUADRANT.titles[int(means.argmax())]
    _fitted(figure, name, height - 0.45, weight="bold", fontsize=14)
    uncertain = "   ·   uncertain" if prediction.uncertain else ""
    below = f"{title}: {means.max():.2f} on average{uncertain}   ·   {prediction.model.name}"
    _fitted(figure, below, height - 0.74, color=GREY)


def _fitted(figure: Figure, text: str, y: float, *, weight: str = "normal", **style: Any) -> None:
    """Write a line at a height in inches; cut out its middle if it is too long."""
    width, height = figure.get_size_inches()
    text, fonts = drawable(text, weight)
    line = figure.text(MARGIN / width, y / height, text, parse_math=False, **style)
    line.set(fontfamily=fonts, fontweight=weight)
    room = (width - 2 * MARGIN) * figure.dpi
    keep = len(text)
    while keep > 2 and (taken := line.get_window_extent().width) > room:
        keep = min(keep - 1, int(keep * room / taken))
        line.set_text(f"{text[: keep // 2]}…{text[-(keep // 2) :]}")


def _legend(figure: Figure, prediction: Prediction) -> None:
    """Explain hatching and lines that are in the picture."""
    width, height = figure.get_size_inches()
    handles: list[Artist] = []
    if prediction.silent.any():
        handles.append(Patch(facecolor=SILENCE, hatch="//////", linewidth=0, label="silent"))
    if _uncertain_sound(prediction).any():
        handles.append(Line2D([], [], color=GREY, linewidth=3, label="uncertain"))
    figure.legend(
        handles=handles,
        ncols=2,
        loc="center left",
        bbox_to_anchor=(MARGIN / width, 0.34 / height),
        borderpad=0,
        borderaxespad=0,
        frameon=False,
    )
