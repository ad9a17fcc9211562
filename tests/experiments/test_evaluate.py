"""The evaluation from end to end, on small models and generated corpora."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from experiments.data import four_quadrants
from experiments.predictions import PredictionStore
from experiments.subjects import Runs
from experiments.test_sets import (
    TestSet,
    calibration_sets,
    load_sets,
    quadrants,
    with_quadrants,
)
from typer.testing import CliRunner, Result

from experiments import evaluate, metrics, non_music, robustness, worst_clips
from helpers.tiny_model import write_model
from quadpred import Prediction, Predictor
from quadpred.labels import QUADRANT

FOLDS = range(5)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "RESAMPLES", 20)
    monkeypatch.setattr(non_music, "RECORDINGS", 2)
    monkeypatch.setattr(non_music, "NOISE_SECONDS", 2)
    few = ("mp3, 64 kbit/s", "-24 dB")
    monkeypatch.setattr(robustness, "CHANGES", {name: robustness.CHANGES[name] for name in few})


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Five runs of one seed, each with a network of its own."""
    return write_runs(tmp_path / "recipe", seeds=1)


def write_runs(folder: Path, seeds: int) -> Path:
    for seed in range(seeds):
        for fold in FOLDS:
            run = folder / f"fold-{fold}-seed-{seed}"
            run.mkdir(parents=True)
            write_model(run / "model.onnx", seed=10 * seed + fold)
    return folder


def run(tmp_path: Path, *arguments: object) -> Result:
    app = typer.Typer()
    app.command()(evaluate.main)
    cache = ["--cache", str(tmp_path / "cache"), "-o", str(tmp_path / "out.json")]
    return CliRunner().invoke(app, [*map(str, arguments), *cache])


def results(tmp_path: Path) -> dict[str, Any]:
    found = json.loads((tmp_path / "out.json").read_text())
    assert isinstance(found, dict)
    return found


@pytest.mark.slow
def test_runs_are_scored_on_every_set(data: Path, runs: Path, tmp_path: Path) -> None:
    outcome = run(tmp_path, runs, data)
    assert outcome.exit_code == 0, outcome.output
    found = results(tmp_path)
    assert found["seeds"] == [0]
    assert {name: scores["clips"] for name, scores in found["sets"].items()} == {
        "4q": 10, "film": 10, "vgmidi-fluid": 10, "vgmidi-tim": 10, "emopia-fluid": 4,
        "emopia-tim": 4, "emotify": 10, "mandarin": 10,
    }  # fmt: skip
    film = found["sets"]["film"]
    for measure in ("spearman", "r_squared", "concordance"):
        for axis in ("arousal", "valence"):
            score = film["ratings"][measure][axis]
            assert score["low"] <= score["high"]
    within = found["sets"]["vgmidi-tim"]["within_piece"]
    assert within["pieces"] == 10
    assert set(within["delays"]["arousal"][0]) == set(map(str, FOLDS))
    assert set(found["robustness"]) == {"4q", "film"}
    assert found["robustness"]["4q"]["as it is"]["change"] == 0
    assert found["robustness"]["4q"]["-24 dB"]["change"] > 0
    assert set(found["non_music"]) == {"acted speech", "noise"}
    assert "Selection criterion" in outcome.output
    assert "weak labels" in outcome.output

    losses = found["criterion"]["losses"]
    sets = found["sets"]
    expected = np.mean(
        [
            sets["4q"]["classes"]["log_loss"][head]["value"] / np.log(classes)
            for head, classes in (("quadrant", 4), ("arousal", 2), ("valence", 2))
        ]
    )
    assert losses["4q"] == pytest.approx([expected], abs=1e-4)
    between = np.mean(
        [
            sets[f"vgmidi-{soundfont}"]["ratings"]["spearman"][axis]["value"]
            for soundfont in ("fluid", "tim")
            for axis in ("arousal", "valence")
        ]
    )
    assert losses["vgmidi between pieces"] == pytest.approx([1 - between], abs=1e-4)
    assert len(losses) == 6
    assert found["criterion"]["value"] == pytest.approx(np.mean(list(losses.values())), abs=1e-4)


def test_scores_are_means_over_seeds(data: Path, tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "recipe", seeds=2)
    outcome = run(tmp_path, runs, data, "--sets", "film", "--no-robustness")
    assert outcome.exit_code == 0, outcome.output
    found = results(tmp_path)
    assert found["seeds"] == [0, 1]
    score = found["sets"]["film"]["ratings"]["spearman"]["arousal"]
    assert len(set(score["seeds"])) == 2
    assert score["value"] == pytest.approx(np.mean(score["seeds"]), abs=1e-4)
    assert found["criterion"] is None


def test_predictions_are_stored_and_one_per_model_is_checked(
    data: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (runs, data, "--sets", "4q", "--no-robustness")
    assert run(tmp_path, *arguments).exit_code == 0
    first = results(tmp_path)
    predict = Predictor.predict
    predicted: list[str] = []

    def watched(self: Predictor, path: Path) -> Prediction:
        predicted.append(self.info.sha256)
        return predict(self, path)

    monkeypatch.setattr(Predictor, "predict", watched)
    assert run(tmp_path, *arguments).exit_code == 0
    assert results(tmp_path)["sets"] == first["sets"]
    assert len(predicted) == len(set(predicted)) == len(FOLDS)

    def changed(self: Predictor, path: Path) -> Prediction:
        prediction = predict(self, path)
        return replace(prediction, quadrant=prediction.quadrant[:, ::-1])

    monkeypatch.setattr(Predictor, "predict", changed)
    outcome = run(tmp_path, *arguments)
    assert outcome.exit_code == 1
    assert outcome.output.strip().endswith("has predictions of other code; remove it")


def test_each_run_predicts_what_it_left_out_calibrated_on_the_others(
    data: Path, runs: Path, tmp_path: Path
) -> None:
    (songs,) = load_sets(["4q"], data, None)
    with PredictionStore.open(tmp_path / "cache") as store:
        recipe = Runs(runs, calibration_sets(data, tmp_path / "cache"), store)
        cases = list(recipe.cases(songs, seed=0))
        assert sorted(case.clip.path for case in cases) == sorted(c.path for c in songs.clips)
        for case in cases:
            plain = Predictor(runs / f"fold-{case.clip.split}-seed-0/model.onnx")
            assert case.prediction.model.sha256 == plain.info.sha256
            # A temperature keeps the order of the quadrants, and arousal and valence are sums.
            before, after = plain.predict(case.clip.path).quadrant, case.prediction.quadrant
            np.testing.assert_array_equal(before.argmax(1), after.argmax(1))
            positive = case.prediction.quadrant[:, :2].sum(1)
            np.testing.assert_allclose(case.prediction.arousal[:, 1], positive, atol=1e-6)
            happy = case.prediction.quadrant[:, [0, 3]].sum(1)
            np.testing.assert_allclose(case.prediction.valence[:, 1], happy, atol=1e-6)
        piano = load_sets(["emopia"], data, None)[0]
        assert len(list(recipe.cases(piano, seed=0))) == len(FOLDS) * len(piano.clips)


def test_the_worst_clips_of_each_set(data: Path, runs: Path, tmp_path: Path) -> None:
    command = typer.Typer()
    command.command()(worst_clips.main)
    arguments = [str(runs), str(data), "--sets", "4q", "--sets", "film", "--count", "3"]
    arguments += ["--cache", str(tmp_path / "cache")]
    outcome = CliRunner().invoke(command, arguments)
    assert outcome.exit_code == 0, outcome.output
    rows = [line.split("│")[1:-1] for line in outcome.output.splitlines() if "│" in line]
    labels = [row[0].strip() for row in rows]
    assert labels == ["quadrant"] * 3 + ["arousal"] * 3 + ["valence"] * 3
    true = [float(row[2].split()[-1]) for row in rows[:3]]
    assert true == sorted(true)
    for start in 3, 6:
        errors = [abs(float(r[1].split()[-1]) - float(r[2].split()[-1])) for r in rows[start:][:3]]
        assert errors == sorted(errors, reverse=True)


def test_a_model_is_refused_on_sets_that_it_was_trained_on(data: Path, tmp_path: Path) -> None:
    model = tmp_path / "tiny.onnx"
    write_model(model)
    outcome = run(tmp_path, model, data, "--sets", "4q")
    assert outcome.exit_code == 1
    assert "4q: tiny was trained on this set" in outcome.output
    assert not (tmp_path / "out.json").exists()
    assert run(tmp_path, model, data, "--no-robustness").exit_code == 0
    assert not {"4q", "emotify", "mandarin"} & set(results(tmp_path)["sets"])


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["none.onnx"], "none.onnx: no such file or folder"),
        (["."], ".: no runs (fold-K-seed-S/model.onnx)"),
        (["english-to-english", "--sets", "pop"], "--sets pop: choose from 4q"),
        (["teachers"], "name the folder of their values with --teachers"),
    ],
)
def test_wrong_use_is_one_line(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], line: str
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    outcome = run(tmp_path, arguments[0], data, *arguments[1:])
    assert outcome.exit_code == 1
    assert line in outcome.stderr
    assert len(outcome.stderr.strip().splitlines()) == 1


def test_missing_labels_are_one_line(tmp_path: Path) -> None:
    write_model(tmp_path / "tiny.onnx")
    outcome = run(tmp_path, tmp_path / "tiny.onnx", tmp_path, "--sets", "film")
    assert outcome.exit_code == 1
    assert "music_film/soundtracks/labels.csv: No such file" in outcome.stderr


def test_quadrants_of_ratings_are_about_the_median_of_other_folds(data: Path) -> None:
    (film,) = load_sets(["film"], data, None)
    found = quadrants(film, film.clips)
    ratings = film.corpus.ratings
    for clip, index in zip(film.clips, found, strict=True):
        others = np.array([ratings[c.path] for c in film.clips if c.split != clip.split])
        distance = np.array(ratings[clip.path]) - np.median(others, 0)
        if np.abs(distance).min() <= 0.03 * 3:
            assert index == -1
        else:
            high = QUADRANT.classes[index] in ("Q1", "Q2")
            assert high == (distance[0] > 0)


def test_quadrants_of_ratings_are_labels_for_calibration(data: Path, tmp_path: Path) -> None:
    sets = calibration_sets(data, tmp_path / "cache")
    assert [s.name for s in sets] == ["4q", "film", "vgmidi-fluid", "vgmidi-tim", "emotify"]
    assert all(test_set.in_folds for test_set in sets)
    for test_set in sets:
        found = quadrants(test_set, test_set.clips)
        expected = [
            (clip.path, QUADRANT.classes[index])
            for clip, index in zip(test_set.clips, found, strict=True)
            if index >= 0
        ]
        labelled = with_quadrants(test_set).clips
        assert [(clip.path, clip.quadrant) for clip in labelled] == expected


def test_folds_hold_whole_groups(data: Path) -> None:
    clips = four_quadrants(data).manifest.clips
    assert {clip.split for clip in clips} == set(map(str, FOLDS))
    by_group: dict[str, set[str]] = {}
    for clip in clips:
        by_group.setdefault(clip.group, set()).add(clip.split)
    assert all(len(splits) == 1 for splits in by_group.values())
    assert TestSet("4q", "4Q", four_quadrants(data)).in_folds
