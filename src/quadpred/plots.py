"""The tag-gram: what a model says of a clip, second by second, as one picture; and how it errs.

matplotlib is used through its objects, without pyplot, which would add state and start-up time.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from matplotlib import colormaps, rc_context, rcdefaults, rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from quadpred.labels import HEADS, QUADRANT, Head, signs_of
from quadpred.library import Clip
from quadpred.moods import Vocabulary
from quadpred.prediction import Prediction

__all__ = [
    "confusion_matrix",
    "library_map",
    "reliability",
    "save_confusion_matrix",
    "save_map",
    "save_reliability",
    "save_taggram",
    "taggram",
]

Array = NDArray[np.float32]

_DPI = 150

# Lengths in inches.
_ROW = 0.36  # height of a class
_GAP = 0.42  # between two heads, for the name of the lower one
_LEFT, _RIGHT, _TOP, _BOTTOM = 2.4, 1.65, 1.25, 0.8
_MARGIN = 0.35
_SECOND = 0.2  # width of one, until the widest panel is reached
_PANELS = 3.9, 7.8  # narrowest and widest

_CELL = 0.85  # side of a confusion matrix's cell
_SURE = [0.25, 0.5, 0.75, 1.0]
_UNITS = {"clip": "clips", "window": "seconds"}
_PLANE = 6.0  # side of a library's map

_INK, _GREY, _SILENCE, _HATCH = "#1a1a1a", "#6b6b6b", "#f0f0f0", "#b4b4b4"
_POINTS = "#c4426a"  # of magma, as the heat maps are
_FONT_LOG = logging.getLogger("matplotlib.font_manager")
_FONT = "DejaVu Sans"  # comes with matplotlib, so pictures are alike everywhere
_STYLE: dict[Any, Any] = {
    "font.family": [_FONT],
    "font.size": 9.5,
    "text.color": _INK,
    "text.usetex": False,
    "axes.titlecolor": _INK,
    "axes.labelcolor": _GREY,
    "xtick.color": _GREY,
    "ytick.color": _INK,
    "hatch.color": _HATCH,
    "hatch.linewidth": 0.8,
}

_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)  # seconds
_TICKS = 10  # at most, unless the clip is longer than a day

# For names that DejaVu Sans has no glyphs for; those that are installed are used, in this order.
_MORE_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "PingFang SC",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Malgun Gothic",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Arial Unicode MS",
)


def taggram(prediction: Prediction) -> Figure:
    """Draw quadrants, arousal and valence over time.

    One heat map a head, one row a class, one column a second, all on one time axis; at the right
    are the clip's means. Seconds with nothing to hear are hatched, and a line under the quadrants
    marks those that are uncertain. Past 39 seconds, the picture does not grow any more.
    """
    with _style():
        seconds = len(prediction)
        panel = float(np.clip(seconds * _SECOND, *_PANELS))
        width = _LEFT + panel + _RIGHT
        classes = sum(len(head.classes) for head in HEADS)
        height = _TOP + classes * _ROW + (len(HEADS) - 1) * _GAP + _BOTTOM
        figure = Figure((width, height), dpi=_DPI, facecolor="white")
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
    with _style():  # which the hatching takes when it is drawn
        taggram(prediction).savefig(file, format="png", dpi=_DPI)


def confusion_matrix(counts: NDArray[np.int64], head: Head, *, unit: str = "clip") -> Figure:
    """Draw how often a class was taken for which.

    A row a true class, a column a guess. Colour and the upper number are the share of the row, the
    lower number is the count.

    Args:
        counts: shape (classes, classes), in the order of the head's classes.
        head: whose classes they are.
        unit: what was counted, "clip" or "window".
    """
    classes = len(head.classes)
    side, names = classes * _CELL, 1.9 if head is QUADRANT else 1.1
    width, height = names + max(side, 2.6) + 2 * _MARGIN, side + 1.75
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    with _style():
        figure = Figure((width, height), dpi=_DPI, facecolor="white")
        FigureCanvasAgg(figure)
        left, bottom = _MARGIN + names, 0.75
        axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
        axes.imshow(shares, _colours(), vmin=0, vmax=1)
        for (row, column), share in np.ndenumerate(shares):
            _cell(axes, row, column, share, int(counts[row, column]))
        axes.set_xticks(range(classes), head.classes)
        axes.set_yticks(range(classes), [_name(head, index) for index in range(classes)])
        axes.tick_params(length=0, labelcolor=_INK)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("guessed", labelpad=6)
        axes.set_ylabel("true", labelpad=6)
        title = f"{head.name.capitalize()} by {unit}"
        figure.text(_MARGIN / width, 1 - 0.42 / height, title, weight="bold", fontsize=14)
        total = f"{counts.sum():,} {unit}s, shares of each row"
        figure.text(_MARGIN / width, 1 - 0.69 / height, total, color=_GREY)
        return figure


def save_confusion_matrix(
    counts: NDArray[np.int64], head: Head, file: str | Path | IO[bytes], *, unit: str = "clip"
) -> None:
    """Draw a confusion matrix and write it as PNG, to a path or an open file.

    Raises:
        OSError: it cannot be written.
    """
    confusion_matrix(counts, head, unit=unit).savefig(file, format="png", dpi=_DPI)


def library_map(clips: Sequence[Clip], vocabulary: Vocabulary) -> Figure:
    """Draw a library in the plane of arousal and valence, a point a clip; uncertain ones as rings.

    Args:
        clips: at least one.
        vocabulary: what the quadrants are called.
    """
    with _style():
        figure = Figure((_PLANE + 1.3, _PLANE + 1.75), dpi=_DPI, facecolor="white")
        FigureCanvasAgg(figure)
        width, height = figure.get_size_inches()
        axes = figure.add_axes((0.8 / width, 0.75 / height, _PLANE / width, _PLANE / height))
        size = float(np.clip(6000 / len(clips), 3, 45))  # points squared
        for quadrant, colour in zip(QUADRANT.classes, QUADRANT.colours, strict=True):
            arousal, valence = signs_of(quadrant)
            corner = valence / 2, arousal / 2
            axes.add_patch(Rectangle(corner, 0.5, 0.5, color=colour, alpha=0.07, linewidth=0))
            word, fonts = _drawable(vocabulary.word(quadrant), "bold")
            axes.annotate(
                word,
                (float(valence), float(arousal)),
                xytext=(-8 if valence else 8, -8 if arousal else 8),
                textcoords="offset points",
                ha="right" if valence else "left",
                va="top" if arousal else "bottom",
                fontfamily=fonts,
                fontweight="bold",
                path_effects=[withStroke(linewidth=3, foreground="white")],
                parse_math=False,
                zorder=4,
            )
            for uncertain in (False, True):
                shown = [c for c in clips if (c.quadrant, c.uncertain) == (quadrant, uncertain)]
                axes.scatter(
                    [clip.valence for clip in shown],
                    [clip.arousal for clip in shown],
                    s=size,
                    facecolors="none" if uncertain else colour,
                    edgecolors=colour if uncertain else "none",
                    linewidths=0.8,
                    alpha=0.75,
                    clip_on=False,
                    zorder=3,
                )
        axes.axhline(0.5, color=_HATCH, linewidth=0.8)
        axes.axvline(0.5, color=_HATCH, linewidth=0.8)
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.set_xlabel("Valence (probability of positive)", labelpad=6)
        axes.set_ylabel("Arousal (probability of positive)", labelpad=6)
        axes.spines[:].set_color(_HATCH)
        axes.tick_params(color=_HATCH, labelcolor=_GREY)
        figure.text(
            0.8 / width, 1 - 0.45 / height, "Moods of a library", weight="bold", fontsize=14
        )
        uncertain_ones = sum(clip.uncertain for clip in clips)
        below = f"{len(clips):,} clips, {uncertain_ones:,} of them uncertain (rings)"
        figure.text(0.8 / width, 1 - 0.74 / height, below, color=_GREY)
        return figure


def save_map(clips: Sequence[Clip], file: str | Path | IO[bytes], vocabulary: Vocabulary) -> None:
    """Draw a library and write it as PNG, to a path or an open file.

    Raises:
        OSError: it cannot be written.
    """
    library_map(clips, vocabulary).savefig(file, format="png", dpi=_DPI)


def _cell(axes: Axes, row: int, column: int, share: float, count: int) -> None:
    """Write a cell's share and count, in what can be read on its colour."""
    colour = "white" if share > 0.46 else _INK
    weight = "bold" if row == column else "normal"
    place: dict[str, Any] = {"ha": "center", "color": colour}
    axes.text(column, row - 0.06, f"{share:.0%}", va="center", fontweight=weight, **place)
    axes.text(column, row + 0.24, f"{count:,}", va="center", fontsize=8, **place)


def reliability(calibration: Mapping[str, Any]) -> Figure:
    """Draw how often guesses are right against how sure the model is of them, by head.

    On the diagonal, probabilities can be taken at their word. The larger a point, the more guesses.

    Args:
        calibration: as `quadpred.train.evaluate` returns it.
    """
    side, gap, below = 2.5, 0.3, 0.95
    width, height = 2 * _MARGIN + 0.35 + len(HEADS) * side + (len(HEADS) - 1) * gap, side + 1.75
    with _style():
        figure = Figure((width, height), dpi=_DPI, facecolor="white")
        FigureCanvasAgg(figure)
        for number, head in enumerate(HEADS):
            left = _MARGIN + 0.35 + number * (side + gap)
            axes = figure.add_axes((left / width, below / height, side / width, side / height))
            axes.plot([0, 1], [0, 1], color=_SILENCE, linewidth=2, zorder=0)
            for unit, colour in (("clip", _INK), ("window", _POINTS)):
                told = calibration[head.name][unit]
                sure, right, share = np.array(told["reliability"]).T
                label = f"{_UNITS[unit]}: off by {told['error']:.3f}"
                axes.plot(sure, right, color=colour, linewidth=1)
                axes.scatter(sure, right, 12 + 260 * share, color=colour, label=label, linewidth=0)
            axes.set(xlim=(0.2, 1.02), ylim=(0.2, 1.02), xticks=_SURE, yticks=_SURE)
            axes.spines[:].set_visible(False)
            axes.set_xlabel("probability of the guess", labelpad=5)
            if number:
                axes.set_yticklabels([])
            else:
                axes.set_ylabel("share that is right")
            axes.tick_params(length=0, labelcolor=_GREY)
            axes.legend(frameon=False, loc="upper left", markerscale=0.6, borderpad=0)
            axes.set_title(head.name.capitalize(), loc="left", weight="bold", pad=8)
        return figure


def save_reliability(calibration: Mapping[str, Any], file: str | Path | IO[bytes]) -> None:
    """Draw a calibration and write it as PNG, to a path or an open file.

    Raises:
        OSError: it cannot be written.
    """
    reliability(calibration).savefig(file, format="png", dpi=_DPI)


@contextmanager
def _style() -> Iterator[None]:
    """Make pictures alike for everyone, whatever their own matplotlibrc says."""
    level = _FONT_LOG.level
    with rc_context():
        rcdefaults()
        rcParams.update(_STYLE)
        _FONT_LOG.setLevel(logging.ERROR)  # few fonts for Chinese have a bold face; that is no news
        try:
            yield
        finally:
            _FONT_LOG.setLevel(level)


def _heat_map(axes: Axes, head: Head, prediction: Prediction) -> None:
    # Quadrants in their order; positive above negative, as on the circumplex's axes.
    order = np.arange(len(head.classes))[:: 1 if head is QUADRANT else -1]
    rows, seconds = len(order), len(prediction)
    columns, silent = _columns(prediction, head)
    image = np.ma.array(columns.T[order])
    image[:, silent] = np.ma.masked
    axes.imshow(
        image,
        _colours(),
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
        _beside(axes, _name(head, index), row + 0.5, left=True, fontweight=weight)
        _beside(axes, f"{means[row]:.2f}", row + 0.5, fontweight=weight)
    axes.set_yticks([])
    _beside(axes, head.name.capitalize(), -0.4, left=True, color=_GREY)
    if head is HEADS[0]:
        _beside(axes, "mean", -0.4, color=_GREY)


def _uncertain_line(axes: Axes, prediction: Prediction) -> None:
    """Underline the seconds, or columns of several, that are mostly uncertain; silence is not."""
    seconds = len(prediction)
    starts = _starts(seconds)
    doubtful = np.add.reduceat(_doubtful(prediction).astype(int), starts)
    lengths = np.diff([*starts, seconds])
    spans = _runs(2 * doubtful > lengths, seconds / len(starts))
    below = len(QUADRANT.classes) + 0.14
    axes.broken_barh(spans, (below, 0.1), facecolor=_GREY, linewidth=0, clip_on=False)


def _doubtful(prediction: Prediction) -> NDArray[np.bool_]:
    return prediction.uncertain & ~prediction.silent


def _starts(seconds: int) -> NDArray[np.int64]:
    """First second of each column of a heat map."""
    count = min(seconds, int(_PANELS[1] * _DPI))
    return np.linspace(0, seconds, count, endpoint=False).astype(int)


def _columns(prediction: Prediction, head: Head) -> tuple[Array, NDArray[np.bool_]]:
    """Average seconds until each has a pixel.

    Returns:
        Probabilities of shape (columns, classes), and which columns are silent throughout.
    """
    rows, heard = prediction.head(head), ~prediction.silent
    starts = _starts(len(rows))
    sounding = np.add.reduceat(heard.astype(int), starts)
    sums = np.add.reduceat(rows * heard[:, None], starts)
    means = sums / np.maximum(sounding, 1)[:, None]
    return means.astype(np.float32), np.equal(sounding, 0)


def _beside(axes: Axes, text: str, y: float, *, left: bool = False, **style: Any) -> None:
    """Write in the column at the left or right of a panel, at the height of row `y`."""
    axes.annotate(
        text,
        (0 if left else 1, y),
        xycoords=("axes fraction", "data"),
        xytext=((_MARGIN - _LEFT) * 72 if left else 9, 0),
        textcoords="offset points",
        verticalalignment="center_baseline",
        annotation_clip=False,
        **style,
    )


def _name(head: Head, index: int) -> str:
    """Name a class: "positive", or "Q2  + arousal  − valence"."""
    name = head.classes[index]
    if head is not QUADRANT:
        return name
    arousal, valence = ("+" if positive else "\N{MINUS SIGN}" for positive in signs_of(name))
    return f"{name}  {arousal} arousal  {valence} valence"


def _colours() -> Colormap:
    """Perceptually uniform, and alike to the colour-blind; without the blackest end of magma."""
    return ListedColormap(colormaps["magma_r"](np.linspace(0, 0.88, 256))).with_extremes(
        bad=_SILENCE
    )


def _runs(flags: NDArray[np.bool_], width: float) -> list[tuple[float, float]]:
    """Start and length of every run of `True`, in units of which a flag is `width`."""
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
    bar = figure.colorbar(ScalarMappable(cmap=_colours()), axes, ticks=[0, 0.5, 1])
    bar.set_label("probability", labelpad=7)
    bar.outline.set_visible(False)
    axes.tick_params(length=0, pad=5, labelcolor=_GREY)


def _headline(figure: Figure, prediction: Prediction) -> None:
    height = figure.get_figheight()
    name = Path(prediction.source).name or "Samples"
    means = prediction.mean(QUADRANT)
    title = QUADRANT.titles[int(means.argmax())]
    _fitted(figure, name, height - 0.45, weight="bold", fontsize=14)
    doubt = "   ·   uncertain" if prediction.unsure else ""
    below = f"{title}: {means.max():.2f} on average{doubt}   ·   {prediction.model.name}"
    _fitted(figure, below, height - 0.74, color=_GREY)


def _fitted(figure: Figure, text: str, y: float, *, weight: str = "normal", **style: Any) -> None:
    """Write a line at a height in inches, shortened in its middle if it is too long."""
    width, height = figure.get_size_inches()
    text, fonts = _drawable(text, weight)
    line = figure.text(_MARGIN / width, y / height, text, parse_math=False, **style)
    line.set(fontfamily=fonts, fontweight=weight)
    room = (width - 2 * _MARGIN) * figure.dpi
    keep = len(text)
    while keep > 2 and (taken := line.get_window_extent().width) > room:
        keep = min(keep - 1, int(keep * room / taken))
        line.set_text(f"{text[: keep // 2]}…{text[-(keep // 2) :]}")


def _drawable(text: str, weight: str) -> tuple[str, list[str]]:
    """Replace what no font here can draw by a box, and name the fonts that draw the rest."""
    fonts, missing = [_FONT], set(text) - _glyphs(_FONT, weight)
    if missing:
        installed = set(fontManager.get_font_names())
        for font in filter(installed.__contains__, _MORE_FONTS):
            fonts.append(font)
            missing -= _glyphs(font, weight)
    return "".join("□" if letter in missing else letter for letter in text), fonts


def _glyphs(font: str, weight: str) -> set[str]:
    path = findfont(FontProperties(family=[font], weight=weight))
    return set(map(chr, get_font(path).get_charmap()))


def _legend(figure: Figure, prediction: Prediction) -> None:
    """Explain what marks there are."""
    width, height = figure.get_size_inches()
    handles: list[Artist] = []
    if prediction.silent.any():
        handles.append(Patch(facecolor=_SILENCE, hatch="//////", linewidth=0, label="silent"))
    if _doubtful(prediction).any():
        handles.append(Line2D([], [], color=_GREY, linewidth=3, label="uncertain"))
    figure.legend(
        handles=handles,
        ncols=2,
        loc="center left",
        bbox_to_anchor=(_MARGIN / width, 0.34 / height),
        borderpad=0,
        borderaxespad=0,
        frameon=False,
    )
