"""Pre-train the speech encoders in the package, and write their files, cards and registry entries.

    python -m experiments.release_encoders DATA RUNS

RUNS/speech-LANGUAGE takes the runs. Finished runs are kept, so an interrupted command continues.
"""

import argparse
from pathlib import Path

from experiments.data.speech import LANGUAGES, speech
from experiments.release import register
from quadpred import registry
from quadpred.files import atomic_write, sha256_of
from quadpred.train.card import encoder_card
from quadpred.train.encoders import SUFFIX, pack
from quadpred.train.pretrain import pretrain
from quadpred.train.recipe import Recipe
from quadpred.train.run import Run

RECIPE = "base"
VALIDATION = "0"  # a fold by speaker, whose loss selects the epoch


def release(data: Path, runs: Path, language: str) -> Path:
    """Pre-train and write the encoder of a language; return its file."""
    name = f"speech-{language}"
    folder, output = runs / name, registry.WEIGHTS / f"{name}{SUFFIX}"
    pretrain(Recipe.load(RECIPE), speech(data, language), folder, validation=[VALIDATION])
    pack(folder, output)
    sha256 = sha256_of(output)
    card = encoder_card(
        Run.describe(folder), Run.records(folder), name=name, speech=language, sha256=sha256
    )
    with atomic_write(output.with_suffix(".md")) as (file,):
        file.write(card.encode())
    register("encoders.json", name, {"speech": language, "sha256": sha256})
    return output


def main() -> None:
    """Release the encoders of all languages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path)
    options = parser.parse_args()
    for language in LANGUAGES:
        print(release(options.data, options.runs, language))


if __name__ == "__main__":
    main()
