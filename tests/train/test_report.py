import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from rich.console import Console

from quadpred.labels import HEADS
from quadpred.train import calibrate
from quadpred.train.card import _corpora, _scores
from quadpred.train.evaluate import (
    _Heard,
    _tempered_by_others,
    macro_f1,
    macro_precision,
    macro_recall,
    scores,
)
from quadpred.train.report import class_table, save_confusion_matrices, score_table

CLIPS, ROWS = 24, 5


@pytest.fixture
def result() -> dict[str, object]:
    """Scores of networks that are right about every clip but the first."""
    rng = np.random.default_rng(0)
    groups = np.array([f"group {k // 2}" for k in range(CLIPS)])
    result: dict[str, object] = {"clips": CLIPS, "groups": CLIPS // 2}
    for head in HEADS:
        classes = len(head.classes)
        truth = np.arange(CLIPS) % classes
        said = np.where(np.arange(CLIPS) == 0, (truth + 1) % classes, truth)
        rows = rng.normal(0, 0.1, (CLIPS, ROWS, classes))
        rows[np.arange(CLIPS), :, said] += 3
        logs = rows - np.log(np.exp(rows).sum(-1, keepdims=True))
        heard = _Heard(groups, truth, list(logs.astype(np.float32)), truth % 2)
        result[head.name] = scores(heard, head)
    return result


def printed(table) -> str:  # type: ignore[no-untyped-def]
    console = Console(file=io.StringIO(), width=120)
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_scores_by_class_and_their_means(result) -> None:  # type: ignore[no-untyped-def]
    quadrant = result["quadrant"]
    assert quadrant["clip"]["recall"] == pytest.approx({"Q1": 5 / 6, "Q2": 1, "Q3": 1, "Q4": 1})
    assert quadrant["clip"]["precision"]["Q2"] == pytest.approx(6 / 7)
    assert quadrant["clip"]["number"] == {"Q1": 6, "Q2": 6, "Q3": 6, "Q4": 6}
    assert quadrant["window"]["number"]["Q1"] == 6 * ROWS
    for unit in ("clip", "window"):
        for measure in ("f1", "precision", "recall"):
            mean = quadrant[unit][f"macro_{measure}"]
            assert mean["value"] == pytest.approx(np.mean(list(quadrant[unit][measure].values())))
            assert mean["low"] < mean["value"] <= mean["high"] <= 1


def test_card_tells_folds_and_seeds_apart(result) -> None:  # type: ignore[no-untyped-def]
    f1 = {head.name: 0.5 for head in HEADS}
    result["runs"] = [
        {"run": f"{fold}-{seed}", "splits": (fold,), "seed": seed, "clips": CLIPS // 2, **f1}
        for seed in (0, 1)
        for fold in "ab"
    ]
    text = "\n".join(_scores("songs", result))
    assert "24 clips of 12 groups (artists or songs), each scored by 2 networks, of 2 seeds" in text
    assert "| b | 1 | 12 | 0.500 | 0.500 | 0.500 |" in text


def test_temperature_is_fitted_on_other_folds_whatever_their_seed() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=80)
    folds = np.arange(80) // 20 % 2  # of two seeds
    sure = np.where(folds == 0, 3.0, 0.5)  # and right in three of four cases
    guess = np.where(np.arange(80) % 4, truth, 1 - truth)
    odds = np.eye(2)[guess] * sure[:, None]
    logs = (odds - np.log(np.exp(odds).sum(1, keepdims=True))).astype(np.float32)[:, None]
    heard = _Heard(np.array(["group"] * 80), truth, list(logs), folds)

    made = np.concatenate(_tempered_by_others(heard))

    for fold in (0, 1):
        other = calibrate.temperature(list(logs[folds != fold]), truth[folds != fold])
        wanted = calibrate.tempered(logs[folds == fold][:, 0], other)
        assert made[folds == fold] == pytest.approx(wanted)


def test_classes_that_never_occur_do_not_count() -> None:
    counts = np.array([[5, 0, 0], [0, 3, 2], [0, 0, 0]])
    padded = np.pad(counts, (0, 1))
    for measure in (macro_f1, macro_precision, macro_recall):
        assert measure(padded) == measure(counts)
    assert macro_precision(counts) == pytest.approx(2 / 3)  # the third was guessed, and is wrong


def test_tables_hold_every_score(result) -> None:  # type: ignore[no-untyped-def]
    text = printed(score_table(result))
    for head in HEADS:
        for unit in ("clip", "window"):
            for measure in ("f1", "precision", "recall"):
                assert f"{result[head.name][unit][f'macro_{measure}']['value']:.3f} (" in text
    lines = [line.split() for line in printed(class_table(result)).splitlines()]
    (second,) = (line for line in lines if line[:2] == ["quadrant", "Q2"])
    assert second[2:6] == ["0.86", "1.00", "0.92", "6"]
    assert second[-1] == str(6 * ROWS)


def test_pictures_of_all_heads_by_clip_and_window(result, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    paths = save_confusion_matrices(result, tmp_path / "plots")
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == sorted(
        f"{head.name}-{unit}.png" for head in HEADS for unit in ("clip", "window")
    )
    assert len({imread(path).tobytes() for path in paths}) == 6


def test_card_names_a_corpus_once_with_the_recipes_that_heard_it() -> None:
    def stage(kind: str, recipe: str, *names: str, start: object = None) -> dict[str, object]:
        corpora = [
            {"name": name, "language": "", "licence": "CC0", "note": "short"} for name in names
        ]
        return {"kind": kind, "recipe": {"name": recipe}, "corpora": corpora, "start": start}

    speech = stage("pretrain", "base", "talk")
    songs = stage("transfer", "listen", "songs", start=speech)
    last = stage("transfer", "base", "songs", "keys", start=songs)
    last["foreign"] = speech["corpora"]
    assert _corpora(last) == [
        "| pre-training: `base` | talk |  | CC0 | short |",
        "| transfer: `listen`, `base` | songs |  | CC0 | short |",
        "| transfer: `base` | keys |  | CC0 | short |",
        "| no music, to be unsure of: `base` | talk |  | CC0 |  |",
    ]
