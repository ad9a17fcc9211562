"""What all pictures share: fonts, colours and the matplotlib settings.

matplotlib is used through its objects, without pyplot, which would add state and start-up time.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context, rcdefaults, rcParams
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font

from quadpred.labels import QUADRANT, Head, signs_of

__all__ = [
    "DPI",
    "GREY",
    "HATCH",
    "INK",
    "MARGIN",
    "SILENCE",
    "class_name",
    "drawable",
    "plot_style",
    "probability_colours",
]

DPI = 150
MARGIN = 0.35  # inches

INK, GREY, SILENCE, HATCH = "#1a1a1a", "#6b6b6b", "#f0f0f0", "#b4b4b4"
_FONT_LOG = logging.getLogger("matplotlib.font_manager")
_FONT = "DejaVu Sans"  # part of matplotlib, so pictures look the same everywhere
_STYLE: dict[Any, Any] = {
    "font.family": [_FONT],
    "font.size": 9.5,
    "text.color": INK,
    "text.usetex": False,
    "axes.titlecolor": INK,
    "axes.labelcolor": GREY,
    "xtick.color": GREY,
    "ytick.color": INK,
    "hatch.color": HATCH,
    "hatch.linewidth": 0.8,
}

# Fallbacks for glyphs that DejaVu Sans lacks; installed ones are used in this order.
MORE_FONTS = (
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


@contextmanager
def plot_style() -> Iterator[None]:
    """Use this style only, independent of the user's matplotlibrc."""
    level = _FONT_LOG.level
    with rc_context():
        rcdefaults()
        rcParams.update(_STYLE)
        _FONT_LOG.setLevel(logging.ERROR)  # it warns that fonts for Chinese lack a bold face
        try:
            yield
        finally:
            _FONT_LOG.setLevel(level)


def class_name(head: Head, index: int) -> str:
    """Return the label of a class: "positive", or "Q2  + arousal  − valence"."""
    name = head.classes[index]
    if head is not QUADRANT:
        return name
    arousal, valence = ("+" if positive else "\N{MINUS SIGN}" for positive in signs_of(name))
    return f"{name}  {arousal} arousal  {valence} valence"


def probability_colours() -> Colormap:
    """Return magma without its darkest end: perceptually uniform, safe for the colour-blind."""
    return ListedColormap(colormaps["magma_r"](np.linspace(0, 0.88, 256))).with_extremes(
        bad=SILENCE
    )


def drawable(text: str, weight: str) -> tuple[str, list[str]]:
    """Replace glyphs that no installed font has by a box; return the fonts for the rest."""
    fonts, missing = [_FONT], set(text) - _glyphs(_FONT, weight)
    if missing:
        installed = set(fontManager.get_font_names())
        for font in filter(installed.__contains__, MORE_FONTS):
            fonts.append(font)
            missing -= _glyphs(font, weight)
    return "".join("□" if letter in missing else letter for letter in text), fonts


def _glyphs(font: str, weight: str) -> set[str]:
    path = findfont(FontProperties(family=[font], weight=weight))
    return set(map(chr, get_font(path).get_charmap()))
