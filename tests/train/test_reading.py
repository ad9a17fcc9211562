"""What is read from the copy of a teacher."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression  # of librosa's needs

from quadpred.train.corpora import Clip, DataSheet, Manifest
from quadpred.train.dataset import Targets
from quadpred.train.export import export
from quadpred.train.run import Run, RunError, placed
from quadpred.train.network import Classifier
from quadpred.train.reading import read
from quadpred.train.recipe import Recipe
from quadpred.train.transfer import clip_logits, load_classifier, transfer

QUADRANTS = ("Q1", "Q2", "Q3", "Q4")


@pytest.fixture
def recipe(recipes: dict[str, Path]) -> Recipe:
    return Recipe.load(recipes["base"])


def clips_of(recipe: Recipe, count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    shape = recipe.features.frames_per_row * 8, recipe.features.mels
    loud = rng.normal(size=(count, 1, 1))
    return [(rng.normal(size=shape) + each).astype(np.float16) for each in loud]


def classifier(recipe: Recipe) -> Classifier:
    torch.manual_seed(0)
    features = recipe.features
    extras = {"teacher": 6}
    return placed(Classifier(recipe.network, features.mels, features.frames_per_row, extras)).eval()


def said(model: Classifier, clips: list[np.ndarray], recipe: Recipe) -> torch.Tensor:
    """Mean probabilities of the quadrants, a row a clip."""
    return torch.stack([clip_logits(model, c, recipe)[0].softmax(-1).mean(0) for c in clips])


def test_a_reading_fits_what_the_copy_hears(recipe: Recipe) -> None:
    clips, model = clips_of(recipe, 40), classifier(recipe)
    order = np.argsort([clip.mean() for clip in clips])
    songs = [Clip(Path(f"{n}.wav"), str(n), "", "Q1") for n in range(40)]
    for place, number in enumerate(order):  # the quieter half is calm
        songs[number] = replace(songs[number], quadrant="Q4" if place < 20 else "Q1")
    targets = Targets.of(songs)
    before, context = said(model, clips, recipe), model.context

    read(model, clips, targets, 1.0)

    # It hears the patch around a row, and with it one row more on either side.
    assert model.context == context + 1
    after = said(model, clips, recipe)
    truth = targets.heads[0].argmax(1)
    assert (after.argmax(1) == truth).float().mean() > 0.9
    assert (after - before).abs().max() > 0.1
    # The average of two never is further from either than half way.
    assert (after - before).abs().max() <= 0.5 + 1e-5
    # A stronger penalty says less.
    read(model, clips, targets, 1e-6)
    assert (said(model, clips, recipe)[:, 1] - before[:, 1] / 2).std() < 0.01


def test_a_reading_is_unsure_of_what_is_no_music(recipe: Recipe) -> None:
    clips, model = clips_of(recipe, 40), classifier(recipe)
    songs = [Clip(Path(f"{n}.wav"), str(n), "", QUADRANTS[n % 4]) for n in range(20)]
    targets, foreign = Targets.of(songs), [clip + 3 for clip in clips[20:]]

    def sureness() -> float:
        frames = torch.from_numpy(np.stack(foreign).astype(np.float32))
        with torch.no_grad():
            heard = model.heard(model.encoder(frames.to(next(model.parameters()).device)))
            return float(model.reading(heard)[..., :4].softmax(-1).amax(-1).mean())

    read(model, clips[:20], targets, 1.0)
    before = sureness()
    read(model, clips[:20], targets, 1.0, foreign, 1.0)

    assert sureness() < before - 0.1


def test_a_penalty_is_that_of_a_logistic_regression(recipe: Recipe) -> None:
    clips, model = clips_of(recipe, 30), classifier(recipe)
    songs = [Clip(Path(f"{n}.wav"), str(n), "", QUADRANTS[n % 4]) for n in range(30)]
    targets = Targets.of(songs)

    read(model, clips, targets, 0.05)

    frames = torch.from_numpy(np.stack(clips).astype(np.float32))
    with torch.no_grad():
        heard = model.heard(model.encoder(frames.to(next(model.parameters()).device))).mean(1)
        got = model.reading(heard)[:, :4].softmax(-1).cpu().numpy()
        copies = model.copy.layers[-1](heard).cpu().double().numpy()
    level = (copies - copies.mean(0)) / copies.std(0)
    other = LogisticRegression(C=0.05, max_iter=1000, tol=1e-8)
    wanted = other.fit(level, targets.heads[0].argmax(1).numpy()).predict_proba(level)
    np.testing.assert_allclose(got, wanted, atol=2e-3)


def test_a_reading_is_kept_by_what_follows_and_exported(
    recipe: Recipe, corpora: Path, tmp_path: Path
) -> None:
    songs = sorted((corpora / "music").glob("*.flac"))
    rng = np.random.default_rng(0)
    values = {song.stem: rng.normal(size=(3, 4)).astype(np.float32) for song in songs}
    np.savez(tmp_path / "teacher.npz", **values)
    sheet = DataSheet("music", teacher=str(tmp_path / "teacher.npz"))
    clips = tuple(Clip(song, song.stem, "", song.stem[:2]) for song in songs)
    music, cache = Manifest(clips, sheet), tmp_path / "cache"
    plain = replace(recipe.transfer, tags=0.0, teacher=1.0, foreign=0.0, reading=0.01)
    taught = replace(recipe, transfer=plain)

    transfer(taught, [music], tmp_path / "run", cache=cache)
    first, _ = load_classifier(tmp_path / "run")
    assert first.reading is not None

    untaught = replace(recipe, transfer=replace(plain, teacher=0.0, reading=0.0))
    alone = Manifest(clips, DataSheet("music"))
    transfer(untaught, [alone], tmp_path / "next", start=tmp_path / "run", cache=cache)
    second, _ = load_classifier(tmp_path / "next")
    assert second.reading is not None
    assert Run.result(tmp_path / "next")["extras"] == {}

    wider = {name: np.tile(value, 2) for name, value in values.items()}
    np.savez(tmp_path / "wider.npz", **wider)
    other = Manifest(clips, DataSheet("music", teacher=str(tmp_path / "wider.npz")))
    with pytest.raises(RunError, match="another number of values"):
        transfer(taught, [other], tmp_path / "other", start=tmp_path / "run", cache=cache)

    head = replace(recipe.network.head, experts=2)
    frozen = (replace(recipe.transfer.stages[0], frozen=True),)
    joined = replace(
        recipe,
        network=replace(recipe.network, head=head),
        transfer=replace(plain, stages=frozen, reading=0.0),
    )
    transfer(joined, [music], tmp_path / "joined", start=tmp_path / "run", cache=cache)
    third, _ = load_classifier(tmp_path / "joined")
    before = first.state_dict()
    for name, value in third.state_dict().items():
        if name.startswith(("copy.", "reading.")):  # statistics too
            torch.testing.assert_close(value, before[name])

    exported = export(
        tmp_path / "next", tmp_path / "model.onnx", name="m", speech="english", music="english"
    )
    assert exported.float32 < 1e-5
