"""Compare with VibeNet on the same clips and the same folds by artist.

    pip install vibenet && pip install -U typer  # it brings one too old for `quadpred`
    python scripts/peers.py 4q.csv english-to-english.json -o vibenet.npz

The first file is the manifest of the music, whose splits are the folds, the second what
`quadpred train evaluate` wrote for our networks of these folds. VibeNet's seven outputs a clip are
kept in the third. VibeNet was never trained on quadrants, so it is judged twice: by its energy and
valence against thresholds, and by a support vector machine on all seven, fitted on the other folds.
The teachers that our networks learn from, where the manifest names any, are judged by a logistic
regression on the mean of their values over a clip.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from quadpred.train.dataset import teacher_values
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from quadpred.labels import HEADS, QUADRANT, signs_of
from quadpred.train.corpora import Clip, Manifest

Array = NDArray[np.float64]


def outputs(clips: list[Clip], archive: Path) -> Array:
    """VibeNet's outputs, shape (clips, 7), computed once: clip by clip, of its whole length."""
    known = dict(np.load(archive)) if archive.is_file() else {}
    missing = [clip for clip in clips if clip.path.stem not in known]
    if missing:
        from vibenet import labels, load_model

        model = load_model()
        for clip in missing:
            (result,) = model.predict(str(clip.path))
            values = [result.to_dict()[name] for name in labels]
            known[clip.path.stem] = np.array([values], np.float16)
        np.savez(archive, **known)
    return np.concatenate([known[clip.path.stem] for clip in clips]).astype(float)


def threshold(values: Array, positive: NDArray[np.bool_]) -> float:
    """Find the threshold that tells most clips right."""
    candidates = np.unique(values)
    return float(max(candidates, key=lambda t: np.mean((values >= t) == positive)))


def main() -> None:
    """Score both and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("scores", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("vibenet.npz"))
    arguments = parser.parse_args()
    manifest = Manifest.load(arguments.manifest)
    clips = [clip for clip in manifest.clips if clip.quadrant]
    values = outputs(clips, arguments.output)
    from vibenet import labels

    energy, mood = labels.index("energy"), labels.index("valence")
    signs = np.array([signs_of(clip.quadrant) for clip in clips])
    quadrants = np.array([QUADRANT.classes.index(clip.quadrant) for clip in clips])
    truths = dict(zip((h.name for h in HEADS), (quadrants, signs[:, 0], signs[:, 1]), strict=True))
    folds = np.array([clip.split for clip in clips])
    by_sign = {signs_of(name): index for index, name in enumerate(QUADRANT.classes)}
    plain = {name: np.zeros(len(clips), int) for name in truths}
    trained = {name: np.zeros(len(clips), int) for name in truths}
    taught = {name: np.zeros(len(clips), int) for name in truths}
    values_of = teacher_values([manifest])
    said = np.array([values_of[clip.path].mean(0) for clip in clips]) if values_of else None
    for fold in np.unique(folds):
        inside, rest = folds == fold, folds != fold
        loud = values[inside, energy] >= threshold(values[rest, energy], signs[rest, 0])
        glad = values[inside, mood] >= threshold(values[rest, mood], signs[rest, 1])
        plain["arousal"][inside], plain["valence"][inside] = loud, glad
        pairs = zip(loud.tolist(), glad.tolist(), strict=True)
        plain["quadrant"][inside] = [by_sign[pair] for pair in pairs]
        for name, truth in truths.items():
            machine = make_pipeline(StandardScaler(), SVC())
            trained[name][inside] = machine.fit(values[rest], truth[rest]).predict(values[inside])
            if said is not None:
                machine = make_pipeline(StandardScaler(), LogisticRegression(C=0.03))
                taught[name][inside] = machine.fit(said[rest], truth[rest]).predict(said[inside])
    scores = json.loads(arguments.scores.read_text())
    print("| macro F1 a clip | quadrants | arousal | valence |\n| --- | --- | --- | --- |")
    for title, guesses in (
        ("VibeNet, energy and valence against thresholds", plain),
        ("VibeNet, SVM on its seven outputs", trained),
        *([("the teachers, logistic regression on their means", taught)] if values_of else []),
    ):
        cells = (f1_score(truths[h.name], guesses[h.name], average="macro") for h in HEADS)
        print(f"| {title} | {' | '.join(f'{cell:.3f}' for cell in cells)} |")
    cells = (scores[h.name]["clip"]["macro_f1"]["value"] for h in HEADS)
    print(f"| quadpred | {' | '.join(f'{cell:.3f}' for cell in cells)} |")


if __name__ == "__main__":
    main()
