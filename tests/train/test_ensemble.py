"""Networks that answer as one."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from quadpred.labels import HEADS
from quadpred.train.corpora import Clip, DataSheet, Manifest
from quadpred.train.evaluate import evaluate
from quadpred.train.export import export
from quadpred.train.loop import Run, RunError
from quadpred.train.network import Classifier
from quadpred.train.recipe import Recipe
from quadpred.train.transfer import load_classifier, load_ensemble

SEEDS = 0, 1, 2


def random_run(recipe: Recipe, folder: Path, test: str = "0") -> Path:
    """A finished run, of random weights."""
    run = Run(folder, {"kind": "transfer", "recipe": asdict(recipe), "test": [test]})
    torch.manual_seed(recipe.seed)
    size = recipe.features.frames_per_row
    network = Classifier(recipe.network, recipe.features.mels, size)
    run.finish({"classifier": network.state_dict(), "extras": {}})
    return folder


@pytest.fixture
def runs(recipes: dict[str, Path], tmp_path: Path) -> list[Path]:
    recipe = Recipe.load(recipes["base"])
    return [random_run(replace(recipe, seed=seed), tmp_path / f"run-{seed}") for seed in SEEDS]


def probabilities(runs: list[Path], frames: np.ndarray) -> list[np.ndarray]:
    """Mean probabilities of the networks of runs, a head."""
    with torch.no_grad():
        said = [load_classifier(run)[0](torch.from_numpy(frames)) for run in runs]
    heads = zip(*said, strict=True)
    return [torch.stack(head).softmax(-1).mean(0).numpy() for head in heads]


@pytest.mark.parametrize("recipe", ["base", "seed"])
def test_model_file_says_the_mean_of_its_networks(
    recipe: str, recipes: dict[str, Path], tmp_path: Path
) -> None:
    loaded = Recipe.load(recipes[recipe])
    runs = [random_run(replace(loaded, seed=s), tmp_path / f"run-{s}") for s in SEEDS]
    output = tmp_path / "model.onnx"
    assert export(runs, output, name="x", speech="english", music="english").float32 <= 1e-5
    size = loaded.features.frames_per_row
    rows = np.random.default_rng(1).normal(-5, 2, (12, size, 32)).astype(np.float32)
    frames = rows.reshape(1, -1, 32) if recipe == "base" else rows
    got = onnxruntime.InferenceSession(str(output)).run(None, {"log_mel": frames})
    alone = probabilities(runs[:1], frames)
    for said, wanted, one in zip(got, probabilities(runs, frames), alone, strict=True):
        np.testing.assert_allclose(said, wanted, atol=5e-3)
        assert np.abs(said - one).max() > 5e-3


def test_together_runs_of_the_same_split_are_scored_as_one(
    runs: list[Path], recipes: dict[str, Path], corpora: Path, tmp_path: Path
) -> None:
    recipe = Recipe.load(recipes["base"])
    other = random_run(recipe, tmp_path / "other", "1")
    files = sorted((corpora / "music").glob("*.flac"))
    clips = [Clip(f, f.stem, str(k % 2), f.name[:2]) for k, f in enumerate(files)]
    manifest = Manifest(tuple(clips), DataSheet("Songs"))
    cache = tmp_path / "cache"

    alone = evaluate([*runs, other], manifest, cache=cache)
    together = evaluate([*runs, other], manifest, together=True, cache=cache)

    assert [run["seeds"] for run in alone["runs"]] == [[0], [1], [2], [0]]
    assert [run["seeds"] for run in together["runs"]] == [[0, 1, 2], [0]]
    assert sum(together["quadrant"]["clip"]["number"].values()) == len(clips)
    # By Jensen's inequality a mean of probabilities is never less likely than they are on average.
    for head in HEADS:
        surprise = [
            evaluate(folders, manifest, together=True, cache=cache)[head.name]["clip"]
            for folders in (runs, *([run] for run in runs))
        ]
        mean, *each = (one["negative_log_likelihood"] for one in surprise)
        assert mean < np.mean(each)


def test_networks_that_read_differently_cannot_answer_as_one(
    runs: list[Path], recipes: dict[str, Path], tmp_path: Path
) -> None:
    recipe = Recipe.load(recipes["base"])
    strange = replace(recipe, features=replace(recipe.features, hop=1000))
    odd = random_run(strange, tmp_path / "strange")
    with pytest.raises(RunError, match=r"strange: does not read music as .*run-0 does"):
        load_ensemble([runs[0], odd])
