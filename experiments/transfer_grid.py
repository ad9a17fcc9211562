"""Does speech help a network to recognise emotion in music, and does its language matter?

    python -m experiments.transfer_grid DATA RUNS
    python -m experiments.transfer_grid --table LOG

The first form transfers every pre-training to every music, fold and seed. RUNS takes encoders and
runs, and `cells.jsonl`, one line per finished cell. Finished cells are kept, and several
processes of one thread each (OMP_NUM_THREADS=1) share the work.

The second form writes the tables and the picture of docs/transfer.md from a log; the committed log
is docs/transfer.jsonl.
"""

import fcntl
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

from experiments.data import FOLDS, acted_speech, four_quadrants, mandarin
from experiments.data.speech import speech
from experiments.transfer_table import Cell, read, write
from quadpred.labels import HEADS
from quadpred.train.corpora import Manifest
from quadpred.train.evaluate import evaluate
from quadpred.train.pretrain import pretrain
from quadpred.train.recipe import Recipe
from quadpred.train.transfer import transfer

PAGE = Path(__file__).parents[1] / "docs/transfer.md"
SEEDS = 3
PAUSE = 2.0  # seconds, while other processes hold all that is left


class Pretraining(NamedTuple):
    """A recipe and its speech; without speech, weights are random."""

    recipe: str
    speech: Sequence[Manifest]


def pretrainings(data: Path) -> dict[str, Pretraining]:
    """All pre-trainings that are compared."""
    return {
        "none": Pretraining("base", ()),
        "scae-english": Pretraining("base", speech(data, "english")),
        "scae-mandarin": Pretraining("base", speech(data, "mandarin")),
        "scae-mixed": Pretraining("base", speech(data, "mixed")),
        "cpc-mixed": Pretraining("pretrain-cpc", speech(data, "mixed")),
        "emotion": Pretraining("pretrain-emotion", [acted_speech(data).manifest]),
    }


@dataclass(frozen=True)
class Grid:
    """What is compared, and where its runs go."""

    runs: Path
    recipe: Recipe
    pretrainings: Mapping[str, Pretraining]
    music: Mapping[str, Manifest]
    folds: int = FOLDS
    seeds: int = SEEDS

    @property
    def log(self) -> Path:
        """The file with one line per finished cell."""
        return self.runs / "cells.jsonl"

    def cells(self) -> Iterator[Cell]:
        """All cells in rounds of every condition on one fold with one seed.

        Each round has the next fold and the next seed, so a grid stopped early has used as many of
        both as possible. All pairs occur if the numbers of folds and seeds have no common divisor.
        """
        conditions = list(product(("frozen", "full"), self.pretrainings))
        for number in range(self.folds * self.seeds):
            for music, (freezing, pretraining) in product(self.music, conditions):
                yield Cell(pretraining, freezing, music, number % self.folds, number % self.seeds)

    def run(self) -> None:
        """Do every cell that is not done."""
        while pending := self.pending():
            if not any(map(self.attempt, pending)):
                time.sleep(PAUSE)

    def pending(self) -> list[Cell]:
        """Cells that are not in the log, in their order."""
        finished = self.finished()
        return [cell for cell in self.cells() if cell not in finished]

    def finished(self) -> set[Cell]:
        """Cells in the log."""
        return set(read(self.log)) if self.log.is_file() else set()

    def attempt(self, cell: Cell) -> bool:
        """Do a cell, or make the encoder it needs; False where another process is at it."""
        start = self.runs / f"speech-{cell.pretraining}"
        if self.pretrainings[cell.pretraining].speech and not (start / "model.pt").is_file():
            with claimed(start) as mine:
                if mine:
                    self.encode(cell.pretraining, start)
                return mine
        folder = self.runs / "cells" / "-".join(map(str, cell))
        with claimed(folder) as mine:
            if not mine or cell in self.finished():
                return False
            self.transfer(cell, folder)
            return True

    def encode(self, pretraining: str, folder: Path) -> None:
        """Pre-train an encoder."""
        name, manifests = self.pretrainings[pretraining]
        pretrain(Recipe.load(name), manifests, folder, validation=["0"])

    def transfer(self, cell: Cell, folder: Path) -> None:
        """Train a cell, score it on its fold, and enter it in the log."""
        recipe = replace(self.recipe, seed=cell.seed)
        if cell.transfer == "frozen":
            stages = tuple(replace(stage, frozen=True) for stage in recipe.transfer.stages)
            recipe = replace(recipe, transfer=replace(recipe.transfer, stages=stages))
        music = self.music[cell.music]
        pretrained = bool(self.pretrainings[cell.pretraining].speech)
        start = self.runs / f"speech-{cell.pretraining}" if pretrained else None
        transfer(recipe, [music], folder, start=start, test=[str(cell.fold)])
        result = evaluate([folder], music)
        scores = {}
        for head in HEADS:
            found = result.heads[head.name]
            scores[head.name] = {
                "second": round(found.second.macro_f1.value, 4),
                "clip": round(found.clip.macro_f1.value, 4),
            }
        with self.log.open("a") as log:
            log.write(json.dumps(cell._asdict() | {"clips": result.clips} | scores) + "\n")


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Whether this process alone may work in a folder; a killed process claims nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "claim").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def main() -> None:
    """Run the grid, or write its tables."""
    first, second = map(Path, sys.argv[1:])
    if first == Path("--table"):
        write(read(second), PAGE)
        return
    music = {
        "english": four_quadrants(first).manifest,
        "mandarin": mandarin(first).manifest,
    }
    Grid(second, Recipe.load("grid"), pretrainings(first), music).run()


if __name__ == "__main__":
    main()
