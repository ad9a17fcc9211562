"""Scores, their tables and plots, and model cards."""

import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from rich.console import Console
from rich.table import Table

from quadpred.files import sha256_of
from quadpred.labels import HEADS, QUADRANT
from quadpred.train import calibration as calibrate
from quadpred.train.card import card, export_with_card
from quadpred.train.corpora import Clip, DataSheet, Manifest
from quadpred.train.evaluate import (
    Evaluation,
    EvaluationError,
    confusion,
    evaluate,
    macro_f1,
    macro_precision,
    macro_recall,
)
from quadpred.train.export import Exported, ExportError
from quadpred.train.recipe import Recipe
from quadpred.train.report import (
    class_table,
    save_confusion_matrices,
    save_reliability_of,
    score_table,
)
from quadpred.train.transfer import transfer

pytestmark = pytest.mark.slow  # trains a network


@pytest.fixture(scope="module")
def runs(
    recipes: dict[str, Path], corpora: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[Path], Manifest]:
    """Two runs of one recipe, each without one of two folds, on generated music."""
    folder = tmp_path_factory.mktemp("report")
    clips = []
    for path in sorted((corpora / "music").glob("*.flac")):
        quadrant, number = path.stem.split("_")
        artist = int(number) // 2
        clips.append(Clip(path, f"{quadrant} artist {artist}", str(artist % 2), quadrant))
    manifest = Manifest(tuple(clips), DataSheet("generated", licence="CC0", note="tones"))
    recipe = Recipe.load(recipes["base"])
    for fold in "01":
        transfer(recipe, [manifest], folder / fold, test=[fold], cache=folder / "cache")
    return [folder / fold for fold in "01"], manifest


@pytest.fixture(scope="module")
def result(runs: tuple[list[Path], Manifest]) -> Evaluation:
    folders, manifest = runs
    return evaluate(folders, manifest, cache=folders[0].parent / "cache")


def printed(table: Table) -> str:
    console = Console(file=io.StringIO(), width=140)
    console.print(table)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text


def test_scores_by_class_and_their_means(result: Evaluation) -> None:
    assert (result.clips, result.groups) == (40, 20)
    for scores in result.heads.values():
        for report in (scores.clip, scores.second):
            confusion = np.array(report.confusion)
            assert report.accuracy == pytest.approx(np.trace(confusion) / confusion.sum())
            for measure in ("f1", "precision", "recall"):
                macro = getattr(report, f"macro_{measure}")
                mean = np.mean(list(getattr(report, measure).values()))
                assert macro.value == pytest.approx(mean)
                assert macro.low <= macro.value <= macro.high <= 1
        assert scores.clip.number != scores.second.number
    assert result.heads["arousal"].clip.accuracy > 0.8  # the pace is easy to tell


def test_one_temperature_calibrates_all_heads(result: Evaluation) -> None:
    temperatures = {head.temperature for head in result.calibration.heads.values()}
    assert len(temperatures) == 1
    coverage = result.calibration.heads["quadrant"].clip.coverage
    margin = next(c.margin for c in coverage if c.coverage == 0.7)
    assert result.calibration.min_margin_clip == margin


def test_further_music_changes_temperatures_alone(
    runs: tuple[list[Path], Manifest], result: Evaluation, tmp_path: Path
) -> None:
    folders, manifest = runs
    opposite = {"Q1": "Q3", "Q2": "Q4", "Q3": "Q1", "Q4": "Q2"}
    wrong = tuple(
        replace(clip, path=Path(shutil.copy(clip.path, tmp_path)), quadrant=opposite[clip.quadrant])
        for clip in manifest.clips[::2]
    )
    further = [Manifest(wrong, DataSheet("mislabelled"))]
    cautious = evaluate(folders, manifest, calibrate_on=further, cache=folders[0].parent / "cache")
    assert (cautious.heads, cautious.runs) == (result.heads, result.runs)
    head = QUADRANT.name
    assert cautious.calibration.heads[head].temperature > result.calibration.heads[head].temperature
    assert cautious.calibration.min_margin_clip < result.calibration.min_margin_clip


def test_scores_survive_their_file(result: Evaluation, tmp_path: Path) -> None:
    result.save(tmp_path / "scores.json")
    assert Evaluation.load(tmp_path / "scores.json") == result
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(EvaluationError, match=r"other\.json: not the JSON of"):
        Evaluation.load(tmp_path / "other.json")
    with pytest.raises(EvaluationError, match="No such file"):
        Evaluation.load(tmp_path / "missing.json")


def test_classes_that_never_occur_do_not_count() -> None:
    counts = np.array([[5, 0, 0], [0, 3, 2], [0, 0, 0]])
    padded = np.pad(counts, (0, 1))
    for measure in (macro_f1, macro_precision, macro_recall):
        assert measure(padded) == measure(counts)
    assert macro_precision(counts) == pytest.approx(2 / 3)  # the third was guessed, and is wrong


def test_scores_are_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    truth, guess = rng.choice(4, 60, p=[0.5, 0.3, 0.15, 0.05]), rng.integers(0, 4, 60)
    counts = confusion(truth, guess, 4)
    assert np.array_equal(counts, metrics.confusion_matrix(truth, guess))
    scores = (macro_precision(counts), macro_recall(counts), macro_f1(counts))
    expected = metrics.precision_recall_fscore_support(truth, guess, average="macro")[:3]
    assert scores == pytest.approx(expected)


def test_tables_hold_every_score(result: Evaluation) -> None:
    text = printed(score_table(result))
    for scores in result.heads.values():
        for report in (scores.clip, scores.second):
            for measure in (report.macro_f1, report.macro_precision, report.macro_recall):
                assert f"{measure.value:.3f} [" in text
    lines = [line.split() for line in printed(class_table(result)).splitlines()]
    (row,) = (line for line in lines if line[:2] == ["quadrant", "Q2"])
    clip = result.heads["quadrant"].clip
    assert row[2:6] == [
        f"{clip.precision['Q2']:.2f}", f"{clip.recall['Q2']:.2f}", f"{clip.f1['Q2']:.2f}", "10"
    ]  # fmt: skip


def test_plots_of_all_heads(result: Evaluation, tmp_path: Path) -> None:
    paths = save_confusion_matrices(result, tmp_path / "plots")
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == sorted(
        f"{head.name}-{unit}.png" for head in HEADS for unit in ("clip", "second")
    )
    assert len({imread(path).tobytes() for path in paths}) == 6
    picture = save_reliability_of(result.calibration, tmp_path / "model.onnx")
    assert picture.name == "model-reliability.png"
    assert imread(picture).size


def test_card_names_each_corpus_once_per_use_with_its_recipes(result: Evaluation) -> None:
    def stage(kind: str, recipe: str, *names: str, start: object = None) -> dict[str, object]:
        corpora = [{"name": n, "language": "", "licence": "CC0", "note": "short"} for n in names]
        return {"kind": kind, "recipe": {"name": recipe}, "corpora": corpora, "start": start}

    speech = stage("pretrain", "base", "talk")
    songs = stage("transfer", "distill", "songs", start=speech)
    last = stage("transfer", "base", "songs", "keys", start=songs)
    last["outliers"] = speech["corpora"]
    text = card(
        last,
        Exported(1e-7, 1e-4),
        name="tiny",
        speech="mixed",
        music="english",
        sha256="0" * 64,
        scores=[("generated songs", result)],
        calibration=result.calibration,
        caveat="no better than chance",
        notes=["A further limit."],
    )
    rows = [line for line in text.splitlines() if "CC0" in line]
    assert rows == [
        "| pre-training (base) | talk |  | CC0 | short |",
        "| transfer (distill, base) | songs |  | CC0 | short |",
        "| transfer (base) | keys |  | CC0 | short |",
        "| outlier exposure (base) | talk |  | CC0 | short |",
    ]
    assert "English and Mandarin speech" in text
    assert "**Experimental:** no better than chance" in text
    assert f"{result.heads['quadrant'].clip.macro_f1.value:.3f} [" in text
    assert f"| 0 | 0 | {result.runs[0].clips} |" in text
    assert "- A further limit." in text
    assert "{{" not in text


def test_no_diagram_of_an_older_model_remains(
    runs: tuple[list[Path], Manifest], result: Evaluation, tmp_path: Path
) -> None:
    (folder, _), _ = runs
    model, languages = tmp_path / "tiny.onnx", {"speech": "english", "music": "english"}
    scores = [("generated songs", result)]
    export_with_card(folder, model, **languages, calibration=result.calibration, scores=scores)
    assert imread(tmp_path / "tiny-reliability.png").size
    assert sha256_of(model) in (tmp_path / "tiny.md").read_text("utf-8")
    export_with_card(folder, model, **languages, notes=["A caf\xe9."])
    assert sha256_of(model) in (tmp_path / "tiny.md").read_text("utf-8")
    assert "A caf\xe9." in (tmp_path / "tiny.md").read_text("utf-8")
    assert not (tmp_path / "tiny-reliability.png").exists()
    notes = tmp_path / "notes.md"
    notes.write_text("# Mine\n")
    with pytest.raises(ExportError, match=r"notes.md: exists and is not notes's model card"):
        export_with_card(folder, tmp_path / "notes.onnx", **languages)
    assert notes.read_text() == "# Mine\n"
    assert not (tmp_path / "notes.onnx").exists()


def test_temperatures_are_fitted_on_the_other_fold(
    runs: tuple[list[Path], Manifest], result: Evaluation
) -> None:
    """Accuracy does not depend on the temperature, the error before calibration does."""
    quadrant = result.calibration.heads["quadrant"]
    accuracy = sum(b.accuracy * b.share for b in quadrant.clip.reliability)
    assert accuracy == pytest.approx(result.heads["quadrant"].clip.accuracy, abs=0.1)
    assert quadrant.temperature in calibrate.TEMPERATURES
