"""From recordings to a prediction, by the commands that a person types."""

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from helpers.command import quadpred
from quadpred.labels import HEADS
from quadpred.predictor import METADATA_KEY, Predictor
from quadpred.train.corpora import Clip, DataSheet, Manifest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("recipe", ["base", "eusipco2020"])
def test_pretrain_transfer_evaluate_export_predict(
    recipe: str, recipes: dict[str, Path], corpora: Path, tmp_path: Path
) -> None:
    speech, music = tmp_path / "speech.csv", tmp_path / "music.csv"
    folder = tmp_path / "cache"
    quadpred("train", "manifest", corpora / "speech", "--group", r"speaker\d", "-o", speech)
    labels = corpora / "labels.csv"
    quadpred(
        *("train", "manifest", corpora / "music", "--labels", labels, "--group", "artist"),
        *("--tags", "moods", "--folds", 5, "--licence", "our own", "-o", music),
    )
    shared = ("--recipe", recipes[recipe], "--cache", folder)
    encoder, run = tmp_path / "encoder", tmp_path / "run"
    quadpred("train", "pretrain", speech, "--validation", 0, "-o", encoder, *shared)
    transfer = ("--from", encoder, "--validation", 1, "--test", 0, "-o", run, *shared)
    quadpred("train", "transfer", music, *transfer)
    scores = tmp_path / "scores.json"
    pictures = tmp_path / "plots"
    evaluate = ("--manifest", music, "-o", scores, "--plots", pictures, "--cache", folder)
    printed = quadpred("train", "evaluate", run, *evaluate).stdout
    result = json.loads(scores.read_text())
    for measure in ("macro_precision", "macro_recall", "macro_f1"):
        assert f"{result['heads']['quadrant']['second'][measure]['value']:.3f} [" in printed
    assert len(list(pictures.glob("*-clip.png"))) == len(HEADS)
    assert (
        result["heads"]["arousal"]["clip"]["macro_f1"]["value"] > 0.85
    )  # the pace is easy to hear

    model = tmp_path / "tiny.onnx"
    about = ("-s", "english", "-m", "e", "--scores", scores)
    quadpred("train", "export", run, "-o", model, *about)
    card = model.with_suffix(".md").read_text()
    assert "our own" in card
    assert f"{result['heads']['quadrant']['clip']['macro_f1']['value']:.3f}" in card

    song = corpora / "music" / "Q1_0.flac"
    said = json.loads(quadpred("predict", "--model", model, "--json", "-", song).stdout)
    assert said["model"]["name"] == "tiny"
    prediction = Predictor(model).predict(song)
    assert len(prediction) == 8
    assert prediction.mean(HEADS[1])[1] > 0.5
    for head in HEADS:
        np.testing.assert_allclose(prediction.head(head).sum(1), 1, atol=1e-5)

    described = onnx.load(model)
    assert {p.key for p in described.metadata_props} == {METADATA_KEY}
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert {line["stage"] for line in log} == {"start", "frozen", "full"}


def test_scores_and_models_replace_no_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quadpred.train.evaluate.evaluate", lambda *_, **__: pytest.fail("late"))
    music, sheet = tmp_path / "music.csv", tmp_path / "music.json"
    Manifest((Clip(tmp_path / "a.wav", "a", "0", "Q1"),), DataSheet("mine")).save(music)
    run, scores = tmp_path / "run", tmp_path / "scores.json"
    run.mkdir()
    scores.write_text("{}")
    described, weights = run / "run.json", run / "model.pt"
    for path in (described, weights):
        path.write_text("{}")
    inputs = [music, sheet, described, weights]
    before = [path.read_bytes() for path in inputs]
    for output in inputs:
        asked = ("train", "evaluate", run, "--manifest", music, "-o", output)
        assert f"{output}: is an input" in quadpred(*asked, code=2).stderr
    for output in (scores, described):
        named = ("-s", "english", "-m", "english", "--scores", scores)
        done = quadpred("train", "export", run, "-o", output, *named, code=2)
        assert f"{output}: is an input" in done.stderr
    assert [path.read_bytes() for path in inputs] == before
    asked = ("train", "evaluate", run, "--manifest", music, "-o", run)
    assert "run: is a folder" in quadpred(*asked, code=2).stderr


@pytest.fixture(scope="module")
def exported(
    recipes: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Export a network of random weights, once per recipe; its run is beside the file."""
    from quadpred.train.export import export
    from quadpred.train.network import Classifier
    from quadpred.train.recipe import Recipe
    from quadpred.train.run import Run

    @cache
    def model_of(recipe: str) -> Path:
        folder = tmp_path_factory.mktemp(recipe)
        loaded = Recipe.load(recipes[recipe])
        run = Run(folder / "run", {"kind": "transfer", "recipe": asdict(loaded)})
        torch.manual_seed(0)
        sizes = {"teacher": 3, "corpora": 1}
        network = Classifier(loaded.network, loaded.features, **sizes)
        run.finish({"classifier": network.state_dict(), "sizes": sizes})
        output = folder / "model.onnx"
        difference = export(run.folder, output, name="random", speech="english", music="english")
        assert difference.float32 <= 1e-5
        return output

    return model_of


def test_row_is_the_same_in_one_piece_and_in_blocks(
    exported: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor(exported("base"))
    frames = np.random.default_rng(0).normal(-5, 2, (32 * 41, 32)).astype(np.float32)
    whole = predictor.predict_frames([frames])
    monkeypatch.setattr("quadpred.predictor.BLOCK_ROWS", 7)
    pieces = np.array_split(frames, 100)
    for one, other in zip(whole, predictor.predict_frames(pieces), strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("recipe", ["base", "eusipco2020"])
def test_exported_network_equals_pytorch_where_only_half_precision_may_differ(
    recipe: str, exported: Callable[[str], Path]
) -> None:
    from quadpred.train.inference import load_classifier

    model = exported(recipe)
    network, loaded = load_classifier(model.parent / "run")
    size = loaded.features.frames_per_row
    rng = np.random.default_rng(1)
    rows = rng.normal(-5, 2, (12, size, 32)).astype(np.float32)
    frames = rows.reshape(1, -1, 32) if network.context else rows
    with torch.inference_mode():
        wanted = [logits.softmax(-1).numpy() for logits in network(torch.from_numpy(frames))]
    got = onnxruntime.InferenceSession(str(model)).run(None, {"log_mel": frames})
    for a, b in zip(got, wanted, strict=False):
        np.testing.assert_allclose(a, b, atol=5e-3)
    assert got[3].shape[-1] == network.heads["quadrant"][-1].in_features or recipe != "base"
