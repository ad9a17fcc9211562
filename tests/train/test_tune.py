import json
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from quadpred.train import tune as module
from quadpred.train.corpora import DataSheet, Manifest, ManifestError, from_folder
from quadpred.train.loop import DivergedError, Run, RunError
from quadpred.train.recipe import Recipe
from quadpred.train.tune import tune

pytestmark = pytest.mark.slow


@pytest.fixture
def music(corpora: Path) -> Manifest:
    labels = corpora / "labels.csv"
    return from_folder(corpora / "music", DataSheet("generated"), labels=labels, group="artist")


@pytest.fixture
def bowl(monkeypatch: pytest.MonkeyPatch) -> list[Recipe]:
    """Replace training by a loss with a known minimum; return the recipes that were tried."""
    tried: list[Recipe] = []

    def train(recipe, manifests, folder, **options):  # type: ignore[no-untyped-def]
        tried.append(recipe)
        first, second = (stage.learning_rate for stage in recipe.transfer.stages)
        loss = abs(first / 1e-3 - 1) + abs(second / 1e-4 - 1) + recipe.transfer.weight_decay
        run = Run(folder, {"recipe": "of " + folder.name})
        run.log({"validation_loss": 0.0})  # of an early epoch; its weights are not kept
        run.log({"validation_loss": loss})

    monkeypatch.setattr(module, "transfer", train)
    return tried


def test_interrupted_study_is_continued_and_its_best_is_a_recipe(
    bowl: list[Recipe],
    recipes: dict[str, Path],
    music: Manifest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, folder = str(recipes["base"]), tmp_path / "study"
    own = Recipe.load(name)
    train = module.transfer

    def stopped(recipe, manifests, run, **options):  # type: ignore[no-untyped-def]
        if len(bowl) == 6:
            bowl.append(recipe)
            raise KeyboardInterrupt
        train(recipe, manifests, run, **options)

    monkeypatch.setattr(module, "transfer", stopped)
    with pytest.raises(KeyboardInterrupt):
        tune(name, music, folder, trials=25)
    assert (folder / "best.toml").is_file()
    messages: list[str] = []
    tuned = tune(name, music, folder, trials=25, on_progress=messages.append)
    assert bowl[0] == own  # the recipe as it is comes first
    assert bowl[7] == bowl[6]  # the interrupted trial is repeated
    assert len(bowl) == 26
    assert len({recipe.transfer.stages for recipe in bowl}) == 25
    assert tuned.trials == 25
    assert len(messages) == 19
    assert tuned.first is not None
    assert tuned.loss < tuned.first / 2

    best = Recipe.load(tuned.recipe)
    assert best.name == "tiny-tuned"
    assert best.network == own.network
    assert best.transfer.stages[0].epochs == own.transfer.stages[0].epochs
    rates = [stage.learning_rate for stage in best.transfer.stages]
    loss = abs(rates[0] / 1e-3 - 1) + abs(rates[1] / 1e-4 - 1) + best.transfer.weight_decay
    assert loss == pytest.approx(tuned.loss, rel=0.02)

    assert tune(name, music, folder, trials=25) == tuned
    assert len(bowl) == 26
    with pytest.raises(RunError, match="a run with other"):
        tune(name, music, folder, trials=25, seed=7)


def test_diverging_trials_do_not_stop_the_study(
    bowl: list[Recipe],
    recipes: dict[str, Path],
    music: Manifest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train = module.transfer

    def diverging(recipe, manifests, run, **options):  # type: ignore[no-untyped-def]
        if len(bowl) in (0, 2):
            bowl.append(recipe)
            raise DivergedError("loss became NaN")
        train(recipe, manifests, run, **options)

    monkeypatch.setattr(module, "transfer", diverging)
    name = str(recipes["base"])
    with pytest.raises(DivergedError, match="every trial"):
        tune(name, music, tmp_path / "study", trials=1)
    tuned = tune(name, music, tmp_path / "study", trials=4)
    assert (tuned.trials, tuned.first) == (4, None)


def test_real_trials_validate_on_one_split_and_leave_out_the_test_split(
    recipes: dict[str, Path], music: Manifest, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    tuned = tune(
        str(recipes["base"]),
        music,
        folder,
        trials=2,
        validation="1",
        test=("0",),
        cache=tmp_path / "cache",
    )
    runs = sorted(folder.glob("trial-*"))
    assert len(runs) == 2
    for run in runs:
        described = Run.describe(run)
        assert (described["validation"], described["test"]) == (["1"], ["0"])
    losses = [Run.records(run)[-1]["validation_loss"] for run in runs]
    assert tuned.loss == pytest.approx(min(losses))
    loaded = optuna.load_study(study_name="transfer", storage=f"sqlite:///{folder / 'study.db'}")
    assert len(loaded.trials) == 2
    assert json.loads((folder / "run.json").read_text())["validation"] == "1"


def test_no_split_to_validate_on(recipes: dict[str, Path], music: Manifest, tmp_path: Path) -> None:
    name = str(recipes["base"])
    with pytest.raises(ManifestError, match="no labelled clips in split 'x'"):
        tune(name, music, tmp_path / "study", validation="x")
    with pytest.raises(ManifestError, match="needs two labelled splits"):
        tune(name, music, tmp_path / "study", test=("0", "1", "2", "3"))
    assert not (tmp_path / "study").exists()


def test_command_prints_one_line_and_its_recipe_is_valid(
    recipes: dict[str, Path], music: Manifest, tmp_path: Path
) -> None:
    music.save(tmp_path / "music.csv")
    folder = tmp_path / "study"
    asked = [tmp_path / "music.csv", "-o", folder, "--recipe", recipes["base"], "--trials", 1]
    done = subprocess.run(
        [sys.executable, "-m", "quadpred", "train", "tune", *map(str, asked), "--cache", tmp_path],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"{folder / 'best.toml'}: validation loss ")
    own, best = Recipe.load(recipes["base"]), Recipe.load(folder / "best.toml")
    assert best.transfer.stages == own.transfer.stages
