"""What transfer learns from besides the three heads."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from quadpred.features import FeatureConfig
from quadpred.train.corpora import Clip, DataSheet, Manifest, ManifestError
from quadpred.train.dataset import Batch, CropSampler, Targets, Teacher, teacher_values
from quadpred.train.foreign import noises
from quadpred.train.lesson import Lesson
from quadpred.train.run import Run, placed
from quadpred.train.network import Classifier, Encoder
from quadpred.train.recipe import BlockConfig, CorpusConfig, Recipe
from quadpred.train.transfer import transfer

CLIPS = [Clip(Path(f"{name}.wav"), name, "", "Q1") for name in "ab"]


def test_teacher_speaks_of_the_patch_around_each_second() -> None:
    values = {CLIPS[1].path: np.array([[1.0], [2.0], [3.0]], np.float32)}
    teacher = Teacher(CLIPS, values)

    rows, known = teacher.rows(torch.tensor([1, 1, 0]), torch.tensor([0.0, 4.0, 0.0]), 6)

    assert rows[0, :, 0].tolist() == [1, 1, 1, 2, 2, 2]
    assert rows[1, :, 0].tolist() == [2, 2, 3, 3, 3, 3]  # the last one speaks of what follows it
    assert known.flatten().tolist() == [1, 1, 0]


def test_teachers_values_are_standardised_over_patches(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    said = {clip.path.stem: rng.normal(5, 3, (4 + n, 2)) for n, clip in enumerate(CLIPS)}
    np.savez(tmp_path / "teacher.npz", **said)
    sheet = DataSheet("music", teacher=str(tmp_path / "teacher.npz"))

    values = teacher_values([Manifest(tuple(CLIPS), sheet)])
    assert teacher_values([Manifest(tuple(CLIPS), sheet)], "opinion") == {}

    patches = np.concatenate([values[clip.path] for clip in CLIPS])
    assert patches.shape == (9, 2)
    assert patches.mean(0) == pytest.approx(0, abs=1e-5)
    assert patches.std(0) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"a": np.zeros(3)}, "a is not"),
        ({"b": np.zeros((0, 1))}, "b is not"),
        ({"a": np.array([[np.nan]])}, "a is not"),
        ({"a": np.zeros((1, 7))}, "music: opinion of 7 values a patch, not of 1"),
        ({"a": np.zeros((1, 1)), "b": np.zeros((1, 2))}, "1 and 2 values"),
        ({"a": np.array([[None]])}, "no NumPy archive"),
        ({"a": np.array([["x"]])}, "no NumPy archive"),
    ],
)
def test_an_archive_that_holds_anything_else_is_said(
    arrays: dict[str, np.ndarray], reason: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "opinion.npz", **arrays)
    sheet = DataSheet("music", opinion=str(tmp_path / "opinion.npz"))
    with pytest.raises(ManifestError, match=reason):
        teacher_values([Manifest(tuple(CLIPS), sheet)], "opinion")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut"])
def test_no_archive_at_all_is_said(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "teacher.npz"
    path.write_bytes(content)
    with pytest.raises(ManifestError, match=r"teacher\.npz: no NumPy archive"):
        teacher_values([Manifest(tuple(CLIPS), DataSheet("music", teacher=str(path)))])


def test_patches_that_lie_in_a_crop_from_end_to_end() -> None:
    values = {Path("b.wav"): np.arange(4, dtype=np.float32).reshape(4, 1)}
    teacher = Teacher(CLIPS, values)
    clips, starts = torch.tensor([1, 1, 1, 0]), torch.tensor([0.0, 1.0, 7.5, 0.0])

    begins, said, there = teacher.whole(clips, starts, 8.0)

    assert there.tolist() == [[True, True], [True, True], [True, False], [False, False]]
    assert begins[there].tolist() == [0, 3, 2, 5, 1.5]
    assert said[there][:, 0].tolist() == [0, 1, 1, 2, 3]


def test_a_copy_hears_its_own_patch_alone(recipes: dict[str, Path]) -> None:
    recipe = Recipe.load(recipes["base"])
    features = recipe.features
    torch.manual_seed(0)
    model = Classifier(recipe.network, features.mels, features.frames_per_row, {"teacher": 5})
    model.eval()
    steps = features.frames_per_row * 8 // model.encoder.time_pool
    latent = torch.rand(1, model.encoder.channels, steps, model.encoder.latent_mels)
    begins, there = torch.tensor([[1.0, 4.0]]), torch.tensor([[True, True]])

    one = model.copy(latent, begins, there)
    latent[:, :, steps // 2 : steps * 7 // 8] += 1
    other = model.copy(latent, begins, there)

    assert torch.equal(one[0], other[0])
    assert not torch.allclose(one[1], other[1])


def test_unlabelled_music_teaches_what_its_teacher_hears(
    recipes: dict[str, Path], corpora: Path, tmp_path: Path
) -> None:
    songs = sorted((corpora / "music").glob("*.flac"))
    fast = {song.stem: np.full((3, 1), song.stem < "Q3", np.float32) for song in songs}
    np.savez(tmp_path / "teacher.npz", **fast)
    sheet = DataSheet("music", teacher=str(tmp_path / "teacher.npz"))
    music = Manifest(tuple(Clip(song, song.stem, "", "") for song in songs), sheet)
    recipe = Recipe.load(recipes["base"])
    lesson = replace(recipe.transfer, tags=0.0, teacher=1.0, foreign=0.0)
    taught = replace(recipe, transfer=lesson)

    transfer(taught, [music], tmp_path / "run", cache=tmp_path / "cache")

    losses = [record["loss"] for record in Run.records(tmp_path / "run") if "loss" in record]
    assert losses[-1] < losses[0] / 3
    alone = replace(recipe, transfer=replace(lesson, teacher=0.0))
    with pytest.raises(ManifestError, match="two quadrants"):
        transfer(alone, [music], tmp_path / "alone", cache=tmp_path / "cache")


def test_coverage_a_clip() -> None:
    clips = [np.zeros((100, 4), np.float16), np.ones((100, 4), np.float16)]
    sampler = CropSampler(clips, 10, 4, [2.0, 0.4])

    heard = np.concatenate([batch.clips.numpy() for batch in sampler.epoch((0,))])

    assert len(heard) == 24
    assert np.bincount(heard).tolist() == [20, 4]


def test_crops_begin_where_they_say() -> None:
    clip = np.arange(1000, dtype=np.float16)[:, None]
    batch = next(CropSampler([clip], 50, 8, 1.0).epoch((3,)))

    assert torch.equal(batch.frames[:, 0, 0].long(), batch.starts)
    assert len(set(batch.starts.tolist())) > 1


def lesson_on_strangers(recipes: dict[str, Path], foreign: float) -> tuple[float, float]:
    """Loss of a batch alone, and of the same with two crops that are no music."""
    recipe = Recipe.load(recipes["base"])
    recipe = replace(recipe, transfer=replace(recipe.transfer, foreign=foreign, tags=0.0))
    torch.manual_seed(0)
    features = recipe.features
    model = placed(Classifier(recipe.network, features.mels, features.frames_per_row)).eval()
    torch.nn.init.normal_(model.heads["quadrant"][-1].weight, std=30)  # sure of everything
    frames = torch.randn(4, features.frames_per_row * 4, features.mels)
    batch = Batch(frames[:2], torch.tensor([0, 1]), torch.tensor([0, 0]))
    lesson = Lesson(recipe, CLIPS, {}, {})
    with torch.no_grad():
        return (
            lesson.loss(model, frames[:2], batch).item(),
            lesson.loss(model, frames, batch).item(),
        )


def test_being_sure_of_what_is_no_music_costs(recipes: dict[str, Path]) -> None:
    alone, beside = lesson_on_strangers(recipes, 0.5)
    flat = 0.5 * (np.log(4) + 2 * np.log(2))  # the least it can cost

    assert beside > alone + flat + 0.1
    assert lesson_on_strangers(recipes, 0.0)[1] == pytest.approx(alone, rel=1e-5)


def test_noises_differ_in_loudness_and_colour() -> None:
    config = FeatureConfig(hop=500)
    made = noises(config, 12, 2.0, seed=0)

    assert all(clip.shape == (made[0].shape[0], config.mels) for clip in made)
    assert all(np.isfinite(clip).all() for clip in made)
    levels = [float(clip.astype(np.float32).mean()) for clip in made]
    slopes = [float((clip[:, -40:].mean(0) - clip[:, :40].mean(0)).mean()) for clip in made]
    assert np.std(levels) > 0.5
    assert np.std(slopes) > 0.3
    again = noises(config, 12, 2.0, seed=0)
    assert all(np.array_equal(a, b) for a, b in zip(made, again, strict=True))


def test_strided_block_halves_what_pooling_would() -> None:
    network = Recipe.load("base").network
    pooled = replace(network, blocks=(BlockConfig(8, (2, 4)), BlockConfig(8, (1, 2))))
    strided = replace(network, blocks=(replace(pooled.blocks[0], strided=True), pooled.blocks[1]))
    frames = torch.randn(1, 64, 32)

    one, other = (Encoder(config, 32).eval() for config in (pooled, strided))

    assert one(frames).shape == other(frames).shape
    assert other.reach(strided) == network.stem * (2 + 2)
    moved = frames.clone()
    moved[:, 32] += 1
    changed = (other(moved) != other(frames)).flatten(2).any(1)[0]
    steps = torch.nonzero(changed.view(other(frames).shape[2], -1).any(1)).flatten()
    scale = other.time_pool
    assert steps.min() * scale >= 32 - other.reach(strided) - scale
    assert steps.max() * scale <= 32 + other.reach(strided)


def test_valence_may_be_left_open() -> None:
    clips = [Clip(Path("c.wav"), "c", "", "Q2"), Clip(Path("d.wav"), "d", "", "Q3"), *CLIPS]

    quadrant, arousal, valence = Targets.of(clips, (), {clip.path for clip in clips[:2]}).heads

    assert quadrant.tolist()[:2] == [[1, 1, 0, 0], [0, 0, 1, 1]]
    assert arousal.argmax(1).tolist()[:2] == [1, 0]
    assert valence[:2].sum() == 0
    assert quadrant[2].tolist() == [1, 0, 0, 0]
    assert valence[2].sum() == 1


def test_open_valence_is_no_surprise_either_way(recipes: dict[str, Path]) -> None:
    recipe = Recipe.load(recipes["base"])
    features = recipe.features
    torch.manual_seed(0)
    model = placed(Classifier(recipe.network, features.mels, features.frames_per_row)).eval()
    frames = torch.randn(2, features.frames_per_row * 4, features.mels)
    batch = Batch(frames, torch.tensor([0, 1]), torch.tensor([0, 0]))
    losses = {}
    for quadrant in ("Q1", "Q2", "Q4"):
        clips = [replace(clip, quadrant=quadrant) for clip in CLIPS]
        open_valence = CorpusConfig("songs", 1.0, arousal_only=True)
        lesson = Lesson(recipe, clips, {}, {}, dict.fromkeys((c.path for c in clips), open_valence))
        with torch.no_grad():
            losses[quadrant] = lesson.loss(model, frames, batch).item()

    assert losses["Q1"] == pytest.approx(losses["Q2"])
    assert losses["Q1"] != pytest.approx(losses["Q4"])


def test_no_clips_have_targets_of_the_right_shapes() -> None:
    nothing = Targets.of([], ("calm", "wild"))

    assert [head.shape for head in nothing.heads] == [(0, 4), (0, 2), (0, 2)]
    assert nothing.tags.shape == (0, 2)
    assert nothing.tagged.shape == (0, 1)
