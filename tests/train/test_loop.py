import json
from pathlib import Path

import pytest
import torch

from quadpred.train.corpora import DataSheet, Manifest, from_folder
from quadpred.train.run import Run, RunError
from quadpred.train.recipe import Recipe
from quadpred.train.transfer import load_classifier, transfer


@pytest.fixture(scope="module")
def music(corpora: Path) -> Manifest:
    return from_folder(
        corpora / "music",
        DataSheet("generated"),
        labels=corpora / "labels.csv",
        group="artist",
        tags=["moods"],
    )


@pytest.mark.parametrize("name", ["base", "seed"])
def test_killed_run_continues_to_the_same_weights(
    name: str,
    recipes: dict[str, Path],
    music: Manifest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = Recipe.load(recipes[name])
    asked = {"validation": ["1"], "test": ["0"], "cache": tmp_path / "cache"}
    transfer(recipe, [music], tmp_path / "whole", **asked)

    saves = []
    save = Run.save_checkpoint

    def save_and_die(self: Run, state: dict[str, object]) -> None:
        save(self, state)
        saves.append(state["epoch"])
        if len(saves) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "save_checkpoint", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        transfer(recipe, [music], tmp_path / "killed", **asked)
    monkeypatch.undo()
    assert not (tmp_path / "killed" / "model.pt").exists()
    transfer(recipe, [music], tmp_path / "killed", **asked)

    whole, _ = load_classifier(tmp_path / "whole")
    killed, _ = load_classifier(tmp_path / "killed")
    for key, value in whole.state_dict().items():
        torch.testing.assert_close(killed.state_dict()[key], value)
    logs = [
        [json.loads(line) for line in (tmp_path / run / "log.jsonl").read_text().splitlines()]
        for run in ("whole", "killed")
    ]
    assert [(e["stage"], e.get("epoch")) for e in logs[0]] == [
        (e["stage"], e.get("epoch")) for e in logs[1]
    ]


def test_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    Run(tmp_path, {"seed": 1})
    with pytest.raises(RunError, match="another run"):
        Run(tmp_path, {"seed": 2})


def test_unfinished_run_has_no_result(tmp_path: Path) -> None:
    Run(tmp_path / "run", {"kind": "transfer"})
    with pytest.raises(RunError, match="no finished run"):
        Run.result(tmp_path / "run")
    with pytest.raises(RunError, match="holds no run"):
        Run.describe(tmp_path)
