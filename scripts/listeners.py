"""Rank correlation with what Emotify's listeners felt: ours, and VibeNet's.

    pip install vibenet && pip install -U typer  # it brings one too old for `quadpred`
    python scripts/listeners.py DATA RUNS -o vibenet-emotify.npz

DATA and RUNS are those of `ship.py`, which must have run. Each excerpt is heard by the English
network of seed 0 that learned nothing from it. Listeners ticked emotions, no axes: these are the
sums in `ship.py`, of classical, electronic, pop and rock music. VibeNet's outputs are kept in the
archive. Prints a table in Markdown, with 95 % bootstrap intervals over excerpts.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from peers import outputs
from quadpred.train.dataset import LogMels
from scipy.stats import spearmanr
from ship import FOLDS, felt_ratings, manifests

from quadpred.labels import HEADS
from quadpred.train.corpora import Clip
from quadpred.train.transfer import clip_logits, load_classifier

Array = NDArray[np.float64]


def heard(clips: list[Clip], runs: Path) -> Array:
    """Probabilities of positive arousal and valence, shape (clips, 2)."""
    said = np.zeros((len(clips), 2))
    for fold in map(str, range(FOLDS)):
        model, recipe = load_classifier(runs / f"english-to-english-{fold}-0")
        chosen = [number for number, clip in enumerate(clips) if clip.split == fold]
        log_mels = LogMels(recipe.features).load([clips[number] for number in chosen])
        for number, frames in zip(chosen, log_mels, strict=True):
            logits = clip_logits(model, frames, recipe)
            said[number] = [
                rows.softmax(-1).mean(0)[1].item()
                for head, rows in zip(HEADS, logits, strict=True)
                if len(head.classes) == 2
            ]
    return said


def interval(values: Array, ratings: Array) -> str:
    """Write Spearman's correlation and its interval."""
    rng = np.random.default_rng(0)
    draws = (rng.integers(len(values), size=len(values)) for _ in range(1000))
    low, high = np.quantile([spearmanr(values[d], ratings[d])[0] for d in draws], [0.025, 0.975])
    return f"{spearmanr(values, ratings)[0]:.2f} ({low:.2f} to {high:.2f})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("vibenet-emotify.npz"))
    arguments = parser.parse_args()
    clips = list(manifests(arguments.data, arguments.runs)["emotify"].clips)
    ratings = felt_ratings(arguments.data / "music_general/emotify")
    wanted = np.array([ratings[clip.path.name] for clip in clips])
    theirs = outputs(clips, arguments.output)
    from vibenet import labels

    axes = [labels.index("energy"), labels.index("valence")]
    print("| rank correlation | arousal | valence |\n| --- | --- | --- |")
    for title, said in (
        ("VibeNet, energy and valence", theirs[:, axes]),
        ("quadpred, English to English", heard(clips, arguments.runs)),
    ):
        cells = (interval(said[:, axis], wanted[:, axis]) for axis in range(2))
        print(f"| {title} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
