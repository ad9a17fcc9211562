"""Pre-training by each objective, on generated speech."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from helpers.corpora import RATE, speech
from quadpred.train.corpora import Clip, DataSheet, Manifest, ManifestError, from_folder
from quadpred.train.inference import load_classifier
from quadpred.train.pretext import objective_of
from quadpred.train.pretrain import pretrain
from quadpred.train.recipe import ContrastConfig, Recipe, RecipeError
from quadpred.train.run import Run, RunError
from quadpred.train.transfer import transfer


def asking(recipe: Recipe, **values: Any) -> Recipe:
    return replace(recipe, pretrain=replace(recipe.pretrain, **values))


@pytest.fixture(scope="module")
def base(recipes: dict[str, Path]) -> Recipe:
    contrast = ContrastConfig(ahead=2, width=16, context=16)
    return asking(Recipe.load(recipes["base"]), crop=4, epochs=6, contrast=contrast)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Four actors, ten files each, of whom half are loud and half are soft."""
    folder = tmp_path_factory.mktemp("spoken")
    rng = np.random.default_rng(0)
    clips = []
    for actor in range(4):
        for number in range(10):
            path = folder / f"{actor}-{number}.wav"
            tag = "angry" if number % 2 else "sad"
            loudness = 1.0 if number % 2 else 0.05
            soundfile.write(path, loudness * speech(6, rng), RATE)
            clips.append(Clip(path, str(actor), str(actor), tags=(tag,)))
    return Manifest(tuple(clips), DataSheet("generated"))


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["scae", "cpc", "emotion"])
def test_loss_falls_and_the_encoder_transfers(
    objective: str, base: Recipe, spoken: Manifest, corpora: Path, tmp_path: Path
) -> None:
    recipe = asking(base, objective=objective)
    asked = {"validation": ["0"], "cache": tmp_path / "cache"}
    pretrain(recipe, [spoken], tmp_path / "encoder", **asked)
    log = [json.loads(line) for line in (tmp_path / "encoder/log.jsonl").read_text().splitlines()]
    assert log[-1]["loss"] < log[1]["loss"]
    assert min(line["validation_loss"] for line in log) < log[0]["validation_loss"]

    torch.manual_seed(recipe.seed)
    fresh = objective_of(recipe, 2).encoder.state_dict()
    learned = Run.result(tmp_path / "encoder")
    assert learned.keys() == {"encoder"}
    weight = "layers.0.weight"
    assert not torch.equal(learned["encoder"][weight], fresh[weight])

    labels = corpora / "labels.csv"
    music = from_folder(corpora / "music", DataSheet("music"), labels=labels, group="artist")
    stages = tuple(replace(s, epochs=1, frozen=True) for s in recipe.transfer.stages[:1])
    short = replace(recipe, transfer=replace(recipe.transfer, stages=stages))
    start = tmp_path / "encoder"
    transfer(short, [music], tmp_path / "run", start=start, test=["0"], cache=tmp_path / "cache")
    classifier, _ = load_classifier(tmp_path / "run")
    torch.testing.assert_close(classifier.encoder.state_dict()[weight], learned["encoder"][weight])


def test_contrast_sees_nothing_of_what_it_predicts(base: Recipe) -> None:
    """A row's embedding depends on that row alone."""
    coder = objective_of(asking(base, objective="cpc"), 0).eval()
    frames = torch.randn(2, 4 * base.features.frames_per_row, base.features.mels)
    changed = frames.clone()
    changed[:, base.features.frames_per_row :] += 1
    seen: list[torch.Tensor] = []
    coder.embed.register_forward_hook(lambda _, __, out: seen.append(out.reshape(2, 4, -1)))
    with torch.inference_mode():
        nothing = torch.zeros(2, 0)
        coder(frames, nothing)
        coder(changed, nothing)
    torch.testing.assert_close(seen[0][:, 0], seen[1][:, 0])
    assert not torch.allclose(seen[0][:, 1], seen[1][:, 1])


def test_what_an_objective_cannot_use_is_said(
    base: Recipe, spoken: Manifest, tmp_path: Path
) -> None:
    untold = Manifest(tuple(replace(clip, tags=()) for clip in spoken.clips), spoken.sheet)
    with pytest.raises(ManifestError, match="needs at least two tags"):
        pretrain(asking(base, objective="emotion"), [untold], tmp_path / "untold")
    with pytest.raises(RecipeError, match=r"must be larger than pretrain\.contrast\.ahead"):
        objective_of(asking(base, objective="cpc", crop=2), 0)


def test_run_from_before_recipes_and_corpora_gained_a_key_is_continued(
    base: Recipe, tmp_path: Path
) -> None:
    from dataclasses import asdict

    asked = {"kind": "pretrain", "recipe": asdict(base), "corpora": [asdict(DataSheet("speech"))]}
    Run(tmp_path, asked)
    path = tmp_path / "run.json"
    old = json.loads(path.read_text())
    del old["recipe"]["pretrain"]["objective"]
    del old["corpora"][0]["dynamics"]
    path.write_text(json.dumps({"kind": "transfer", "recipe": old["recipe"], "start": old}))

    assert Run.describe(tmp_path)["start"]["recipe"]["pretrain"]["objective"] == "scae"
    Run(tmp_path, {"kind": "transfer", "recipe": asdict(base), "start": asked})
    with pytest.raises(RunError, match="a run with other start"):
        Run(tmp_path, {"kind": "transfer", "recipe": asdict(base), "start": None})
    assert path.read_text() == json.dumps(json.loads(path.read_text()))


def test_heads_and_transfer_do_not_decide_on_an_encoder(base: Recipe, tmp_path: Path) -> None:
    from dataclasses import asdict

    Run(tmp_path, {"kind": "pretrain", "recipe": asdict(base)})
    head = replace(base.network.head, context=2)
    other = replace(
        base,
        network=replace(base.network, head=head),
        transfer=replace(base.transfer, coverage=0.1),
    )

    Run(tmp_path, {"kind": "pretrain", "recipe": asdict(other)})
    with pytest.raises(RunError, match="a run with other recipe"):
        Run(tmp_path, {"kind": "pretrain", "recipe": asdict(replace(other, seed=1))})
    with pytest.raises(RunError, match="a run with other kind"):
        Run(tmp_path, {"kind": "transfer", "recipe": asdict(base)})
