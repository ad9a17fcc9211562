"""The transfer grid on generated audio: it resumes, shares its cells and logs each once."""

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("scipy")

from experiments.transfer_grid import Grid, Pretraining, claimed
from experiments.transfer_table import Cell, read

from quadpred.train.corpora import DataSheet, from_folder
from quadpred.train.loop import Run
from quadpred.train.recipe import Recipe

pytestmark = pytest.mark.slow


@pytest.fixture
def grid(
    corpora: Path, recipes: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Grid:
    monkeypatch.setenv("QUADPRED_CACHE", str(tmp_path / "cache"))
    spoken = from_folder(corpora / "speech", DataSheet("speech"))
    sung = from_folder(
        corpora / "music", DataSheet("music"), labels=corpora / "labels.csv", group="artist"
    )
    recipe = Recipe.load(recipes["base"])
    stages = tuple(replace(stage, epochs=1) for stage in recipe.transfer.stages)
    return Grid(
        tmp_path / "runs",
        replace(recipe, transfer=replace(recipe.transfer, stages=stages)),
        {"none": Pretraining("", ()), "scae": Pretraining(str(recipes["base"]), [spoken])},
        {"english": sung},
        folds=1,
        seeds=1,
    )


def test_grid_resumes_and_does_each_cell_once(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    finish = Run.finish

    def stop(self: Run, result: dict[str, object]) -> None:
        if self.folder.name.startswith("none-full"):
            raise KeyboardInterrupt
        finish(self, result)

    monkeypatch.setattr(Run, "finish", stop)
    with pytest.raises(KeyboardInterrupt):
        grid.run()
    first = grid.log.read_text()
    assert len(first.splitlines()) == 2
    monkeypatch.undo()
    monkeypatch.setenv("QUADPRED_CACHE", str(grid.runs.parent / "cache"))
    grid.run()
    grid.run()
    assert grid.log.read_text().startswith(first)
    log = read(grid.log)
    assert list(log) == list(grid.cells())
    assert len(grid.log.read_text().splitlines()) == 4
    assert 0 <= log[Cell("scae", "full", "english", 0, 0)]["arousal"]["second"] <= 1
    frozen = Run.describe(grid.runs / "cells/scae-frozen-english-0-0")
    assert all(stage["frozen"] for stage in frozen["recipe"]["transfer"]["stages"])
    assert Run.describe(grid.runs / "cells/none-full-english-0-0")["start"] is None


def test_log_is_read_once_for_all_cells(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    grid.log.parent.mkdir()
    grid.log.touch()
    reads = []
    monkeypatch.setattr("experiments.transfer_grid.read", lambda log: reads.append(log) or {})
    assert grid.pending() == list(grid.cells())
    assert len(reads) == 1


def test_cell_of_another_process_is_left_to_it(grid: Grid) -> None:
    blank, encoded, *_ = grid.cells()
    for folder, cell in ("cells/none-frozen-english-0-0", blank), ("speech-scae", encoded):
        with claimed(grid.runs / folder) as mine:
            assert mine
            assert not grid.attempt(cell)
    assert not grid.log.exists()


def test_rounds_meet_every_fold_and_seed_early(grid: Grid) -> None:
    whole = replace(
        grid, music=dict.fromkeys(("english", "mandarin"), grid.music["english"]), folds=5, seeds=3
    )
    cells = list(whole.cells())
    assert len(set(cells)) == len(cells) == 15 * 2 * 4
    assert [cell.music for cell in cells[:8]] == ["english"] * 4 + ["mandarin"] * 4
    assert {(cell.fold, cell.seed) for cell in cells[:8]} == {(0, 0)}
    assert {cell.seed for cell in cells[: 3 * 8]} == {0, 1, 2}
    assert {cell.fold for cell in cells[: 5 * 8]} == {0, 1, 2, 3, 4}
