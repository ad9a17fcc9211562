"""Several experts, and the gate between them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from quadpred.labels import AROUSAL, HEADS
from quadpred.train.corpora import Clip, DataSheet, Manifest
from quadpred.train.dataset import LogMels
from quadpred.train.run import RunError
from quadpred.train.network import Classifier
from quadpred.train.recipe import CorpusConfig, Recipe, RecipeError
from quadpred.train.transfer import load_classifier, transfer

RATE = 16_000
OPPOSITE = {"Q1": "Q3", "Q2": "Q4", "Q3": "Q1", "Q4": "Q2"}


def with_experts(recipe: Recipe, opinion: float = 0.0) -> Recipe:
    head = replace(recipe.network.head, experts=2, opinion=opinion)
    return replace(recipe, network=replace(recipe.network, head=head))


def classifier(recipe: Recipe) -> Classifier:
    torch.manual_seed(0)
    features = recipe.features
    return Classifier(recipe.network, features.mels, features.frames_per_row).eval()


def songs(folder: Path, name: str) -> Manifest:
    clips = [Clip(path, path.stem, "", path.name[:2]) for path in sorted(folder.glob("*.flac"))]
    return Manifest(tuple(clips), DataSheet(name))


@pytest.fixture
def whistled(corpora: Path, tmp_path: Path) -> Manifest:
    """The same music under a whistle, which turns every quadrant into its opposite."""
    folder = tmp_path / "whistled"
    folder.mkdir()
    for path in (corpora / "music").glob("*.flac"):
        samples, _ = soundfile.read(path)
        whistle = 0.3 * np.sin(2 * np.pi * 5000 * np.arange(len(samples)) / RATE)
        soundfile.write(folder / path.name, samples + whistle, RATE)
    plain = songs(folder, "Whistled")
    opposite = (replace(clip, quadrant=OPPOSITE[clip.quadrant]) for clip in plain.clips)
    return Manifest(tuple(opposite), plain.sheet)


def test_experts_are_averaged_as_the_gate_weighs_them(recipes: dict[str, Path]) -> None:
    recipe = with_experts(Recipe.load(recipes["base"]))
    model = classifier(recipe)
    frames = torch.randn(2, recipe.features.frames_per_row * 3, recipe.features.mels)
    assert model.late is not None
    torch.nn.init.normal_(model.late.gate.weight)
    torch.nn.init.zeros_(model.late.gate.bias)

    with torch.no_grad():
        said = model.outputs(frames)
        pooled = model.pool(model.encoder(frames))
        gate, (other,), _ = model.late(pooled)
        trunk = model.trunk(pooled)

    share = gate.softmax(-1)
    for head, logits, theirs in zip(HEADS, said.logits, other, strict=True):
        first = model.heads[head.name](trunk).softmax(-1)
        wanted = share[..., :1] * first + share[..., 1:] * theirs.softmax(-1)
        torch.testing.assert_close(logits.exp(), wanted)
    assert share.std(1).min() > 0.01


def test_an_opinion_moves_the_odds_of_valence_alone(recipes: dict[str, Path]) -> None:
    recipe = with_experts(Recipe.load(recipes["base"]), opinion=0.5)
    model = classifier(recipe)
    frames = torch.randn(2, recipe.features.frames_per_row * 3, recipe.features.mels)
    assert model.late is not None
    assert model.late.opinion is not None
    torch.nn.init.constant_(model.late.gate.bias[:1], 40.0)  # the second expert is not asked

    with torch.no_grad():
        before = model.outputs(frames)
        torch.nn.init.normal_(model.late.opinion.weight)
        after = model.outputs(frames)

    assert before.opinion is not None
    assert not before.opinion.any()
    assert after.opinion is not None
    assert after.opinion.std() > 0.1
    quadrant, arousal, valence = (
        later - earlier for earlier, later in zip(before.logits, after.logits, strict=True)
    )
    moved = 0.5 * after.opinion[..., 0]
    torch.testing.assert_close(valence[..., 1] - valence[..., 0], moved)
    torch.testing.assert_close(arousal, torch.zeros_like(arousal))
    happy, tense, sad, calm = quadrant.unbind(-1)
    for positive, negative in ((happy, tense), (calm, sad)):
        torch.testing.assert_close(positive - negative, moved)
    torch.testing.assert_close(happy, calm)


def test_gate_learns_when_to_trust_whom(
    recipes: dict[str, Path], corpora: Path, whistled: Manifest, tmp_path: Path
) -> None:
    music, cache = songs(corpora / "music", "Songs"), tmp_path / "cache"
    recipe = Recipe.load(recipes["base"])
    recipe = replace(recipe, transfer=replace(recipe.transfer, foreign=0.0, coverage=1.0))
    special = (CorpusConfig("Whistled", 1.0, expert=1),)
    stage = replace(recipe.transfer.stages[-1], epochs=30)
    taught = replace(recipe.transfer, corpora=special, stages=(stage,))
    both = replace(with_experts(recipe), transfer=taught)

    transfer(recipe, [music], tmp_path / "alone", cache=cache)
    joined = tmp_path / "joined"
    transfer(both, [music, whistled], joined, start=tmp_path / "alone", cache=cache)

    model, _ = load_classifier(joined)
    for manifest, expert in ((music, 0), (whistled, 1)):
        right = []
        for clip, frames in zip(
            manifest.clips, LogMels(recipe.features, cache).load(manifest.clips), strict=True
        ):
            whole = len(frames) // recipe.features.frames_per_row * recipe.features.frames_per_row
            with torch.no_grad():
                said = model.outputs(torch.from_numpy(np.float32(frames[None, :whole])))
            assert said.gate is not None
            assert said.gate.softmax(-1)[..., expert].mean() > 0.7
            guess = said.logits[HEADS.index(AROUSAL)].exp().mean((0, 1)).argmax()
            right.append(bool(guess) == (clip.quadrant in ("Q1", "Q2")))
        assert np.mean(right) > 0.9


def test_an_opinion_is_learned_from_its_teacher_alone(
    recipes: dict[str, Path], corpora: Path, tmp_path: Path
) -> None:
    music, cache = songs(corpora / "music", "Songs"), tmp_path / "cache"
    fast = {clip.path.stem: clip.quadrant in ("Q1", "Q2") for clip in music.clips}
    archive = {name: np.full((1, 1), value, np.float32) for name, value in fast.items()}
    np.savez(tmp_path / "opinion.npz", **archive)
    sheet = replace(music.sheet, opinion=str(tmp_path / "opinion.npz"))
    recipe = Recipe.load(recipes["base"])
    stage = replace(recipe.transfer.stages[-1], epochs=30, frozen=True)
    lesson = replace(recipe.transfer, stages=(stage,), coverage=1.0)
    both = with_experts(replace(recipe, transfer=lesson), opinion=0.5)
    transfer(recipe, [music], tmp_path / "alone", cache=cache)

    opinions = {}
    for name, heard in (("told", sheet), ("untold", music.sheet)):
        manifest, folder = replace(music, sheet=heard), tmp_path / name
        transfer(both, [manifest], folder, start=tmp_path / "alone", cache=cache)
        model, _ = load_classifier(folder)
        frames = LogMels(recipe.features, cache).load(music.clips)
        with torch.no_grad():
            said = [model.outputs(torch.from_numpy(np.float32(clip[None, :64]))) for clip in frames]
        opinions[name] = np.array([s.opinion.mean().item() for s in said if s.opinion is not None])

    is_fast = np.array(list(fast.values()))
    assert opinions["told"][is_fast].min() > opinions["told"][~is_fast].max() + 0.5
    assert len(opinions["untold"]) == len(fast)
    assert not opinions["untold"].any()


@pytest.mark.parametrize(
    ("head", "reason"),
    [("experts = 1", "only one"), ("experts = 1\nopinion = 0", "EMOPIA: no expert 1 among 1")],
)
def test_experts_that_cannot_be_are_said(head: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'base = "broad"\nname = "mine"\n[network.head]\n{head}\n')
    with pytest.raises(RecipeError, match=rf"mine\.toml: .*{reason}"):
        Recipe.load(path)


def test_what_joins_leaves_the_rest_as_it_is(
    recipes: dict[str, Path], corpora: Path, tmp_path: Path
) -> None:
    music, cache = songs(corpora / "music", "Songs"), tmp_path / "cache"
    recipe = Recipe.load(recipes["base"])
    transfer(recipe, [music], tmp_path / "alone", cache=cache)
    still = replace(recipe.transfer.stages[0], learning_rate=1e-12, frozen=True)
    none = replace(recipe.transfer, stages=(still,))

    transfer(
        with_experts(replace(recipe, transfer=none)),
        [music],
        tmp_path / "joined",
        start=tmp_path / "alone",
        cache=cache,
    )

    frames = torch.randn(1, recipe.features.frames_per_row * 4, recipe.features.mels)
    (before, _), (after, _) = (load_classifier(tmp_path / name) for name in ("alone", "joined"))
    kept = after.state_dict()
    for name, weight in before.state_dict().items():  # the encoder's statistics among them
        if not name.startswith("extras."):
            torch.testing.assert_close(kept[name], weight)
    with torch.no_grad():
        for one, other in zip(before(frames), after(frames), strict=True):
            assert (one.softmax(-1) - other.exp()).abs().max() < 0.03
    with pytest.raises(RunError, match="not the recipe's"):
        transfer(recipe, [music], tmp_path / "fewer", start=tmp_path / "joined", cache=cache)
