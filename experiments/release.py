"""Export a trained model into the package: calibrated, with its card, plots and registry entry.

    python -m experiments.release DATA RUNS --speech english --music english

RUNS/SPEECH-key, or RUNS/SPEECH-to-mandarin, holds `fold-K-seed-S` and `all-seed-0`. If there is an
experiments/results/SPEECH.json (`experiments.evaluate RUNS/SPEECH-key DATA -o` that file), the card
of the model of English music shows the scores on all sets.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments import results as storage
from experiments.data import mandarin
from experiments.predictions import CACHE
from experiments.report import markdown_scores
from experiments.test_sets import calibration_sets, with_quadrants
from quadpred import registry
from quadpred.files import atomic_write, sha256_of
from quadpred.labels import QUADRANT
from quadpred.plots.evaluation import Curve, save_reliability
from quadpred.train.card import export_with_card
from quadpred.train.evaluate import Evaluation, evaluate
from quadpred.train.report import reliability_path

PLAIN_NAMES = {
    "4Q": "pop songs (4Q-Emotion)",
    "film": "film music",
    "VGMIDI (fluid)": "game music on a piano (VGMIDI, FluidR3)",
    "VGMIDI (tim)": "game music on a piano (VGMIDI, TimGM6mb)",
    "EMOPIA val (fluid)": "pop piano (EMOPIA, FluidR3)",
    "EMOPIA val (tim)": "pop piano (EMOPIA, TimGM6mb)",
    "Emotify": "four genres, felt emotion (Emotify)",
    "Mandarin": "rendered Mandarin songs, weak labels",
}
"""Names of the sets for the page and the API, by their titles."""
TRAINED_ON = ("4q", "film", "vgmidi", "emotify")
WEAK = (
    "on held-out songs its quadrants are no better than chance; a lexicon made its labels from"
    " words, and its audio is rendered from scores without vocals"
)
LIMITS = (
    "Only VGMIDI, 128 rendered piano pieces, has labels within a piece. Elsewhere, changes within a"
    " recording are learned from labels of whole clips.",
    "Valence is less accurate than arousal on most sets.",
    "Film ratings are from a few experts, Emotify's are of felt emotion, and piano is rendered with"
    " two soundfonts. Other orchestras and pianos may differ.",
    "The English and the Mandarin speech differ in more than language (many speakers and sentences"
    " against two voices and words). A difference between models is no evidence of an effect of"
    " language.",
)
EARLY_STOPPING = (
    "One fold of five of the Mandarin songs was kept for early stopping; the weights in this file"
    " were trained on the other four."
)


def release(data: Path, runs: Path, speech: str, music: str) -> Path:
    """Export one model; return its file."""
    name = f"{speech}-to-{music}"
    english = music == "english"
    folder = runs / (f"{speech}-key" if english else name)
    folds = sorted(path.parent for path in folder.glob("fold-*-seed-*/model.pt"))
    if english:
        manifest, *further = map(with_quadrants, calibration_sets(data, CACHE))
    else:
        manifest, further = mandarin(data).manifest, []
    scores = evaluate(folds, manifest, calibrate_on=further)
    share = "one of five" if len(folds) == 1 else "five"
    title = f"{manifest.sheet.name}, {share} folds by {'artist' if english else 'song'}"
    results = {}
    if english and (path := storage.FOLDER / f"{speech}.json").is_file():
        results = storage.load(path)
    notes = [*LIMITS, *([] if english else [EARLY_STOPPING])]
    if english and len(folds) == 1:
        same = evaluate([runs / "english-key" / folds[0].name], manifest, calibrate_on=further)
        f1 = same.heads[QUADRANT.name].clip.macro_f1.value
        notes.append(
            f"On the same fold, the macro F1 of quadrants of `english-to-english` is {f1:.3f}."
        )
    output = registry.WEIGHTS / f"{name}.onnx"
    export_with_card(
        folder / "all-seed-0",
        output,
        speech=speech,
        music=music,
        caveat="" if english else WEAK,
        calibration=scores.calibration,
        trained_on=(*TRAINED_ON, *([] if english else ["mandarin"])),
        scores=[(title, scores)],
        tables=[("Scores on all sets", markdown_scores(results))] if results else [],
        notes=notes,
    )
    if results:
        with atomic_write(reliability_path(output)) as (file,):
            save_reliability(_panels(results), file)
    music_of = PLAIN_NAMES["4Q" if english else "Mandarin"]
    if len(folds) == 1:
        music_of += ", one fold of five"
    summary = _summary(results) if results else [_scored(music_of, scores)]
    register(
        "models.json",
        name,
        {
            "scores": summary,
            "speech": speech,
            "music": music,
            "sha256": sha256_of(output),
            "experimental": not english,
        },
    )
    return output


def _panels(results: Mapping[str, Any]) -> dict[str, dict[str, Curve]]:
    """Reliability of the quadrants, one panel per set."""
    panels: dict[str, dict[str, Curve]] = {}
    for found in results["sets"].values():
        if classes := found.get("classes"):
            bins = [(b["confidence"], b["accuracy"], b["share"]) for b in classes["reliability"]]
            error = classes["calibration_error"]["quadrant"]["value"]
            panels[found["title"].split(",")[0]] = {"clip": (error, bins)}
    return panels


def _summary(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Accuracy and macro F1 of quadrants per set, for the page and the API."""
    rows = []
    for found in results["sets"].values():
        if classes := found.get("classes"):
            f1 = classes["macro_f1"]["quadrant"]
            rows.append(
                {
                    "music": PLAIN_NAMES.get(found["title"], found["title"]),
                    "clips": classes["clips"],
                    "accuracy": round(classes["accuracy"]["quadrant"]["value"], 3),
                    "f1": round(f1["value"], 3),
                    "f1_low": round(f1["low"], 3),
                    "f1_high": round(f1["high"], 3),
                }
            )
    return rows


def _scored(music: str, scores: Evaluation) -> dict[str, Any]:
    """Accuracy and macro F1 of the quadrants of one kind of music."""
    found = scores.heads[QUADRANT.name].clip
    return {
        "music": music,
        "clips": scores.clips,
        "accuracy": round(found.accuracy, 3),
        "f1": round(found.macro_f1.value, 3),
        "f1_low": round(found.macro_f1.low, 3),
        "f1_high": round(found.macro_f1.high, 3),
    }


def register(listed: str, name: str, entry: Mapping[str, Any]) -> None:
    """Add an entry to one of the package's lists of weights, in place of an older one."""
    path = registry.WEIGHTS / listed
    entries = json.loads(path.read_text()) | {name: dict(entry)}
    with atomic_write(path) as (file,):
        file.write((json.dumps(dict(sorted(entries.items())), indent=2) + "\n").encode())


def main() -> None:
    """Release one model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--speech", choices=("english", "mandarin", "mixed"), default="english")
    parser.add_argument("--music", choices=("english", "mandarin"), default="english")
    options = parser.parse_args()
    print(release(options.data, options.runs, options.speech, options.music))


if __name__ == "__main__":
    main()
