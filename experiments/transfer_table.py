"""Tables and picture of the transfer grid, from its log alone."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import t as student

from experiments.markdown import replace_block, table
from quadpred.files import atomic_write

HEADS = ("quadrant", "arousal", "valence")
TRANSFERS = ("frozen", "full")
MUSIC = ("english", "mandarin")
PRETRAININGS = {
    "none": "none",
    "scae-english": "SCAE English",
    "scae-mandarin": "SCAE Mandarin",
    "scae-mixed": "SCAE mixed",
    "cpc-mixed": "CPC mixed",
    "emotion": "emotional speech",
}
# Macro F1 by second of Gómez-Cañón et al. 2020, by head, pre-training, transfer and music, with its
# rows of arousal and valence, which are swapped there, put right. "none" is its CNN.
PAPER = {
    ("quadrant", "none", "full", "english"): 0.31,
    ("quadrant", "none", "full", "mandarin"): 0.34,
    ("quadrant", "scae-english", "frozen", "english"): 0.45,
    ("quadrant", "scae-english", "frozen", "mandarin"): 0.49,
    ("quadrant", "scae-english", "full", "english"): 0.58,
    ("quadrant", "scae-english", "full", "mandarin"): 0.36,
    ("quadrant", "scae-mandarin", "frozen", "english"): 0.46,
    ("quadrant", "scae-mandarin", "frozen", "mandarin"): 0.49,
    ("quadrant", "scae-mandarin", "full", "english"): 0.54,
    ("quadrant", "scae-mandarin", "full", "mandarin"): 0.50,
    ("arousal", "scae-english", "full", "english"): 0.83,
    ("arousal", "scae-english", "full", "mandarin"): 0.57,
    ("arousal", "scae-mandarin", "full", "english"): 0.81,
    ("arousal", "scae-mandarin", "full", "mandarin"): 0.80,
    ("valence", "scae-english", "full", "english"): 0.66,
    ("valence", "scae-english", "full", "mandarin"): 0.49,
    ("valence", "scae-mandarin", "full", "english"): 0.65,
    ("valence", "scae-mandarin", "full", "mandarin"): 0.64,
}
TESTED_TO_TRAINED = 1 / 4  # a fold of five is tested on, the others are trained on


class Cell(NamedTuple):
    """One run of the grid."""

    pretraining: str
    transfer: str
    music: str
    fold: int
    seed: int


class Estimate(NamedTuple):
    """A mean with half the width of its 95 % interval."""

    mean: float
    half: float

    @property
    def clear(self) -> bool:
        """Whether the interval excludes 0."""
        return abs(self.mean) > self.half


Log = Mapping[Cell, Mapping[str, Any]]


def read(path: Path) -> dict[Cell, dict[str, Any]]:
    """Read a log: by cell, its scores."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {Cell(*(line[name] for name in Cell._fields)): line for line in lines}


def balanced(log: Log) -> Log:
    """Drop rounds that a stopped grid has not finished, so that all conditions have the same."""
    done = Counter((cell.music, cell.fold, cell.seed) for cell in log)
    full = len(PRETRAININGS) * len(TRANSFERS)
    return {
        cell: line for cell, line in log.items() if done[cell.music, cell.fold, cell.seed] == full
    }


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and interval of scores from folds and seeds.

    Training sets of folds overlap, and those of seeds are the same, so the values' scatter alone
    says too little: the variance is corrected after Nadeau and Bengio (2003) for runs that repeat
    folds (Bouckaert and Frank 2004). Needs two values for an interval.
    """
    count = len(values)
    if count < 2:
        return Estimate(float(np.mean(values)) if count else math.nan, math.nan)
    error = np.std(values, ddof=1) * math.sqrt(1 / count + TESTED_TO_TRAINED)
    return Estimate(float(np.mean(values)), float(error * student.ppf(0.975, count - 1)))


def scores(
    log: Log, head: str, unit: str, pretraining: str, transfer: str, music: str
) -> dict[tuple[int, int], float]:
    """Macro F1 of one condition by (fold, seed)."""
    condition = (pretraining, transfer, music)
    return {(c.fold, c.seed): line[head][unit] for c, line in log.items() if c[:3] == condition}


def difference(
    log: Log, head: str, unit: str, one: str, other: str, transfer: str, music: str
) -> Estimate:
    """By how much `one` pre-training is better than the `other`, paired by fold and seed."""
    ours = scores(log, head, unit, one, transfer, music)
    theirs = scores(log, head, unit, other, transfer, music)
    return estimate([ours[pair] - theirs[pair] for pair in sorted(ours.keys() & theirs.keys())])


def score_table(log: Log) -> list[str]:
    """Macro F1 by second beside the paper's, in the shape of its Table II."""
    header = ["head", "pre-training", "transfer"]
    for music in MUSIC:
        header += [f"{music.capitalize()} music", "paper"]
    rows = []
    for head, name, transfer in product(HEADS, PRETRAININGS, TRANSFERS):
        row = [head, PRETRAININGS[name], transfer]
        for music in MUSIC:
            values = list(scores(log, head, "second", name, transfer, music).values())
            paper = PAPER.get((head, name, transfer, music))
            row += [_plain(estimate(values)), f"{paper:.2f}" if paper else ""]
        rows.append(row)
    return table(header, rows)


def difference_table(log: Log, pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Differences of pairs of pre-trainings, by second and by clip."""
    columns = list(product(MUSIC, ("second", "clip")))
    header = ["head", "difference", "transfer"]
    header += [f"{music.capitalize()}, {unit}s" for music, unit in columns]
    rows = []
    for head, (one, other), transfer in product(HEADS, pairs, TRANSFERS):
        found = [difference(log, head, u, one, other, transfer, m) for m, u in columns]
        title = f"{PRETRAININGS[one]} minus {PRETRAININGS[other]}"
        rows.append([head, title, transfer, *map(_signed, found)])
    return table(header, rows)


def picture(log: Log) -> Figure:
    """Differences from no pre-training, by second: a panel a head and music."""
    names = [name for name in PRETRAININGS if name != "none"]
    figure = Figure(figsize=(9.5, 5.2), layout="constrained")
    panels = figure.subplots(len(MUSIC), len(HEADS), sharex=True, sharey=True)
    for (row, music), (column, head) in product(enumerate(MUSIC), enumerate(HEADS)):
        panel = panels[row, column]
        panel.axvline(0, color="0.6", linewidth=1)
        for offset, transfer, face in ((-0.14, "frozen", "white"), (0.14, "full", "#1f5fa8")):
            found = [difference(log, head, "second", n, "none", transfer, music) for n in names]
            panel.errorbar(
                [e.mean for e in found],
                np.arange(len(names)) + offset,
                xerr=[e.half for e in found],
                fmt="o",
                color="#1f5fa8",
                markerfacecolor=face,
                label=transfer,
            )
        panel.set_title(f"{head}, {music.capitalize()} music", fontsize=10)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0, 0].set_yticks(range(len(names)), [PRETRAININGS[name] for name in names])
    panels[0, 0].invert_yaxis()
    panels[0, 0].legend(frameon=False, fontsize=9)
    figure.supxlabel("macro F1 by second, difference from no pre-training (95 % interval)", size=10)
    return figure


def write(log: Log, page: Path) -> None:
    """Put the tables between the marks of a page, and the picture beside it."""
    log = balanced(log)
    against_none = [(name, "none") for name in PRETRAININGS if name != "none"]
    lines = [
        *_done(log),
        "",
        *score_table(log),
        "",
        "What pre-training adds, paired by fold and seed (**bold**: the interval excludes 0):",
        "",
        *difference_table(log, against_none),
        "",
        "What the language of the speech adds:",
        "",
        *difference_table(log, [("scae-mandarin", "scae-english")]),
    ]
    text = replace_block(page.read_text(), "tables", lines)
    with atomic_write(page, page.with_suffix(".png")) as (file, image):
        file.write(text.encode())
        picture(log).savefig(image, format="png", dpi=130)


def _done(log: Log) -> list[str]:
    """One sentence per language of music: the number of folds and seeds of every condition."""
    sentences = []
    for music in MUSIC:
        rounds = {(cell.fold, cell.seed) for cell in log if cell.music == music}
        folds, seeds = (len(set(numbers)) for numbers in zip(*rounds, strict=True))
        sentences.append(
            f"{music.capitalize()} music: {len(rounds)} runs per condition, over {folds} folds"
            f" and {seeds} seeds."
        )
    return sentences


def _plain(value: Estimate) -> str:
    return "?" if math.isnan(value.mean) else f"{value.mean:.2f} ± {value.half:.2f}"


def _signed(value: Estimate) -> str:
    if math.isnan(value.mean):
        return "?"
    text = f"{round(value.mean, 3) + 0.0:+.3f} ± {value.half:.3f}"  # no "-0.000"
    return f"**{text}**" if value.clear else text
