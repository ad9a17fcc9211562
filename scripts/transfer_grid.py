"""Does speech help a network hear emotion in music, and does its language matter? The paper's grid.

    python scripts/transfer_grid.py DATA RUNS
    python scripts/transfer_grid.py --table LOG

The first form transfers every pre-training to every music, fold and seed, on the recordings under
DATA. RUNS takes encoders and runs, and `cells.jsonl`, a line a finished cell. What is finished is
not done again, and several processes (of one thread each: OMP_NUM_THREADS=1) share the work. An
encoder that ship.py has made serves as it is: copy its speech-english here as speech-scae-english.

The second writes the tables of docs/transfer.md and its picture from such a log alone; that of the
committed page is docs/transfer.jsonl.
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

from ship import FOLDS, SPEECH, manifests
from transfer_table import Cell, read, write

from quadpred.labels import HEADS
from quadpred.train.corpora import DataSheet, Manifest, from_folder
from quadpred.train.evaluate import evaluate
from quadpred.train.pretrain import pretrain
from quadpred.train.recipe import Recipe
from quadpred.train.transfer import transfer

PAGE = Path(__file__).parents[1] / "docs/transfer.md"
MUSIC = {"english": "4q", "mandarin": "muchin"}
SEEDS = 3
PAUSE = 2.0  # seconds, while other processes hold all that is left


class Pretraining(NamedTuple):
    """A recipe, and the speech it is for; without speech nothing is learned."""

    recipe: str
    speech: Sequence[str]


PRETRAININGS = {
    "none": Pretraining("base", ()),
    "scae-english": Pretraining("base", SPEECH["english"]),
    "scae-mandarin": Pretraining("base", SPEECH["mandarin"]),
    "scae-mixed": Pretraining("base", SPEECH["mixed"]),
    "cpc-mixed": Pretraining("cpc", SPEECH["mixed"]),
    "emotion": Pretraining("emotion", ("ravdess",)),
}


def emotional_speech(data: Path) -> Manifest:
    """Make a manifest of acted emotions, split by actor."""
    folder = data / "speech_emotional/ravdess"
    sheet = DataSheet(
        "RAVDESS speech", "english", "CC BY-NC-SA 4.0", "1.5 h, 24 actors, two sentences"
    )
    return from_folder(
        folder / "audio",
        sheet,
        labels=folder / "labels.csv",
        group="actor",
        tags=("emotion",),
        folds=FOLDS,
    )


@dataclass(frozen=True)
class Grid:
    """What is compared, and where its runs go."""

    runs: Path
    made: Mapping[str, Manifest]
    recipe: Recipe
    pretrainings: Mapping[str, Pretraining]
    music: Mapping[str, str]
    folds: int = FOLDS
    seeds: int = SEEDS

    @property
    def log(self) -> Path:
        """The file with a line a finished cell."""
        return self.runs / "cells.jsonl"

    def cells(self) -> Iterator[Cell]:
        """All cells in rounds of every way on one fold with one seed.

        Each round has the next fold and the next seed, so a grid stopped early has met as many of
        both as it could (and all their pairs come, as long as their numbers share no divisor).
        """
        ways = list(product(("frozen", "full"), self.pretrainings))
        for number in range(self.folds * self.seeds):
            for music, (way, pretraining) in product(self.music, ways):
                yield Cell(pretraining, way, music, number % self.folds, number % self.seeds)

    def run(self) -> None:
        """Do every cell that is not done."""
        while pending := [cell for cell in self.cells() if cell not in self.finished()]:
            if not any(map(self.attempt, pending)):
                time.sleep(PAUSE)

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
        name, speech = self.pretrainings[pretraining]
        spoken = [self.made[corpus] for corpus in speech]
        pretrain(Recipe.load(name), spoken, folder, validation=["0"])

    def transfer(self, cell: Cell, folder: Path) -> None:
        """Train a cell, score it on its fold, and enter it in the log."""
        recipe = replace(self.recipe, seed=cell.seed)
        if cell.transfer == "frozen":
            stages = tuple(replace(stage, frozen=True) for stage in recipe.transfer.stages)
            recipe = replace(recipe, transfer=replace(recipe.transfer, stages=stages))
        music = self.made[self.music[cell.music]]
        speech = self.pretrainings[cell.pretraining].speech
        start = self.runs / f"speech-{cell.pretraining}" if speech else None
        transfer(recipe, [music], folder, start=start, test=[str(cell.fold)])
        result = evaluate([folder], music)
        scores = {
            head.name: {
                unit: round(result[head.name][unit]["macro_f1"]["value"], 4)
                for unit in ("window", "clip")
            }
            for head in HEADS
        }
        with self.log.open("a") as log:
            log.write(json.dumps(cell._asdict() | {"clips": result["clips"]} | scores) + "\n")


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
    made = manifests(first, second) | {"ravdess": emotional_speech(first)}
    Grid(second, made, Recipe.load("short"), PRETRAININGS, MUSIC).run()


if __name__ == "__main__":
    main()
