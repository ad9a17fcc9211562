"""Rank correlation with what Emotify's listeners felt: the models on board, and VibeNet.

    pip install vibenet
    python scripts/listeners.py DATA -o vibenet-emotify.npz

400 excerpts of classical, electronic, pop and rock music. The models heard them with a teacher's
values, and never what listeners said. These ticked emotions and gave no axes: arousal and valence
are sums of the shares of listeners that ticked what speaks for an axis, less what speaks against
it. VibeNet's outputs are kept in the archive. Prints a table in Markdown, with 95 % bootstrap
intervals over excerpts.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from peers import outputs
from scipy.stats import spearmanr

from quadpred import Predictor
from quadpred.train.corpora import Clip
from quadpred.train.corpora.manifest import read_table

AXES = {
    "arousal": (("power", "joyful_activation", "tension"), ("calmness", "tenderness", "sadness")),
    "valence": (("joyful_activation", "tenderness"), ("tension", "sadness")),
}

Array = NDArray[np.float64]


def felt(row: dict[str, str]) -> list[float]:
    """Arousal and valence of an excerpt."""
    return [
        sum(float(row[name]) for name in up) - sum(float(row[name]) for name in down)
        for up, down in AXES.values()
    ]


def heard(clips: list[Clip], speech: str) -> Array:
    """Probabilities of positive arousal and valence, shape (clips, 2)."""
    predictor = Predictor.of_languages(speech)
    means = [predictor.predict(clip.path).means() for clip in clips]
    return np.array([[mean["arousal"]["positive"], mean["valence"]["positive"]] for mean in means])


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
    parser.add_argument("-o", "--output", type=Path, default=Path("vibenet-emotify.npz"))
    arguments = parser.parse_args()
    folder = arguments.data / "music_general/emotify"
    rows = read_table(folder / "labels.csv")
    clips = [Clip(folder / "audio" / row["file"], "", "", "") for row in rows]
    wanted = np.array([felt(row) for row in rows])
    theirs = outputs(clips, arguments.output)
    from vibenet import labels

    said = {
        "VibeNet, energy and valence": theirs[:, [labels.index("energy"), labels.index("valence")]]
    }
    said |= {
        f"quadpred, {speech.capitalize()} to English": heard(clips, speech)
        for speech in ("english", "mandarin", "mixed")
    }
    print("| rank correlation | arousal | valence |\n| --- | --- | --- |")
    for title, values in said.items():
        cells = (interval(values[:, axis], wanted[:, axis]) for axis in range(len(AXES)))
        print(f"| {title} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
