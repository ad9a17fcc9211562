"""A library in the plane of arousal and valence, as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from quadpred.labels import QUADRANT, signs_of
from quadpred.library.moods import Vocabulary
from quadpred.library.summary import SummaryRow
from quadpred.plots.style import DPI, GREY, HATCH, drawable, plot_style

__all__ = ["library_map", "save_map"]

_PLANE = 6.0  # inches, side of the map


def library_map(songs: Sequence[SummaryRow], vocabulary: Vocabulary) -> Figure:
    """Draw one point per song in the plane of arousal and valence; uncertain songs are rings.

    Args:
        songs: at least one.
        vocabulary: words for the quadrants.
    """
    with plot_style():
        figure = Figure((_PLANE + 1.3, _PLANE + 1.75), dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
        width, height = figure.get_size_inches()
        axes = figure.add_axes((0.8 / width, 0.75 / height, _PLANE / width, _PLANE / height))
        size = float(np.clip(6000 / len(songs), 3, 45))  # points squared
        for quadrant, colour in zip(QUADRANT.classes, QUADRANT.colours, strict=True):
            arousal, valence = signs_of(quadrant)
            corner = valence / 2, arousal / 2
            axes.add_patch(Rectangle(corner, 0.5, 0.5, color=colour, alpha=0.07, linewidth=0))
            word, fonts = drawable(vocabulary.word(quadrant), "bold")
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
                shown = [c for c in songs if (c.quadrant, c.uncertain) == (quadrant, uncertain)]
                axes.scatter(
                    [song.valence for song in shown],
                    [song.arousal for song in shown],
                    s=size,
                    facecolors="none" if uncertain else colour,
                    edgecolors=colour if uncertain else "none",
                    linewidths=0.8,
                    alpha=0.75,
                    clip_on=False,
                    zorder=3,
                )
        axes.axhline(0.5, color=HATCH, linewidth=0.8)
        axes.axvline(0.5, color=HATCH, linewidth=0.8)
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.set_xlabel("Valence (probability of positive)", labelpad=6)
        axes.set_ylabel("Arousal (probability of positive)", labelpad=6)
        axes.spines[:].set_color(HATCH)
        axes.tick_params(color=HATCH, labelcolor=GREY)
        figure.text(0.8 / width, 1 - 0.45 / height, "Library map", weight="bold", fontsize=14)
        uncertain_count = sum(song.uncertain for song in songs)
        below = f"{len(songs):,} songs, {uncertain_count:,} of them uncertain (rings)"
        figure.text(0.8 / width, 1 - 0.74 / height, below, color=GREY)
        return figure


def save_map(
    songs: Sequence[SummaryRow], file: str | Path | IO[bytes], vocabulary: Vocabulary
) -> None:
    """Draw a library and write it as PNG, to a path or an open file.

    Raises:
        OSError: it cannot be written.
    """
    library_map(songs, vocabulary).savefig(file, format="png", dpi=DPI)
