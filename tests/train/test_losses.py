"""The losses of each kind of label, and the tensors they are computed from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from quadpred.labels import HEADS
from quadpred.train.corpora import Clip, DataSheet, Manifest, ManifestError
from quadpred.train.data.assembly import Example, TrainingSet, examples_of
from quadpred.train.data.sampling import Batch, CropSampler, PieceSampler
from quadpred.train.data.targets import Targets, read_dynamics
from quadpred.train.data.teachers import teacher_values
from quadpred.train.losses import MultiTaskLoss
from quadpred.train.network import Classifier, Outputs, log_odds, marginals
from quadpred.train.recipe import CorpusConfig, DynamicsConfig, Recipe

FRAMES = 32  # per row
ROWS = 4


def clip(name: str, **labels: object) -> Clip:
    return Clip(Path(f"{name}.wav"), name, "", **labels)  # type: ignore[arg-type]


def example(name: str, corpus: CorpusConfig | None = None, **known: object) -> Example:
    labels = {k: known.pop(k) for k in ("quadrant", "arousal", "valence") if k in known}
    return Example(clip(name, **labels), corpus or CorpusConfig("songs", 1.0), **known)  # type: ignore[arg-type]


def loss_of(recipes: dict[str, Path], *examples: Example) -> tuple[MultiTaskLoss, Classifier]:
    recipe = Recipe.load(recipes["base"])
    training = TrainingSet(examples, FRAMES)
    torch.manual_seed(0)
    model = Classifier(recipe.network, recipe.features, training.teacher_width, training.corpora)
    return MultiTaskLoss(recipe, training), model


def batch(*clips: int, start: int = 0) -> Batch:
    frames = torch.zeros(len(clips), FRAMES * ROWS, 32)
    return Batch(frames, torch.tensor(clips), torch.full((len(clips),), start))


def outputs(quadrant: torch.Tensor, student: torch.Tensor | None = None) -> Outputs:
    return Outputs(marginals(quadrant), torch.zeros(*quadrant.shape[:2], 1), student)


def test_arousal_and_valence_are_marginals_of_the_quadrants() -> None:
    quadrant, arousal, valence = marginals(torch.randn(2, 3, 4))
    q1, q2, _, q4 = quadrant.exp().unbind(-1)
    torch.testing.assert_close(arousal.exp()[..., 1], q1 + q2)
    torch.testing.assert_close(valence.exp()[..., 1], q1 + q4)
    torch.testing.assert_close(arousal.exp().sum(-1), torch.ones(2, 3))
    torch.testing.assert_close(log_odds((quadrant, arousal, valence))[..., 0], (q1 + q2).logit())


def test_gain_of_a_recording_has_no_effect(recipes: dict[str, Path]) -> None:
    recipe = Recipe.load(recipes["base"])
    assert recipe.network.level
    model = Classifier(recipe.network, recipe.features).eval()
    frames = torch.randn(1, 20 * FRAMES, 32)
    for one, other in zip(model(frames), model(frames - 1.4), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    louder_later = frames.clone()
    louder_later[:, 10 * FRAMES :] += 2
    assert (model(louder_later)[0] - model(frames)[0]).abs().max() > 1e-3


def test_quadrants_of_unlabelled_clips_do_not_count(recipes: dict[str, Path]) -> None:
    loss, model = loss_of(
        recipes, example("a", quadrant="Q1"), example("b", quadrant="Q3"), example("c")
    )
    logits = torch.randn(2, ROWS, 4)
    with_label = loss.quadrants(model, outputs(logits[:1]), batch(0))
    with_both = loss.quadrants(model, outputs(logits), batch(0, 2))
    assert with_both.item() == pytest.approx(with_label.item() / 2)


def test_link_of_a_corpus_shifts_its_quadrants_alone(recipes: dict[str, Path]) -> None:
    piano = CorpusConfig("piano", 1.0, linked=True)
    loss, model = loss_of(recipes, example("a", quadrant="Q1"), example("b", piano, quadrant="Q3"))
    logits = torch.zeros(1, ROWS, 4)
    before = [loss.quadrants(model, outputs(logits), batch(n)).item() for n in (0, 1)]
    with torch.no_grad():
        model.link.offset[0] = torch.tensor([-3.0, -3.0])
    after = [loss.quadrants(model, outputs(logits), batch(n)).item() for n in (0, 1)]
    assert after[0] == pytest.approx(before[0])
    assert after[1] < 0.3 * before[1]


def test_ratings_are_standardised_per_corpus_and_met_through_the_link(
    recipes: dict[str, Path],
) -> None:
    film = CorpusConfig("film", 1.0, linked=True)
    loss, model = loss_of(
        recipes,
        example("a", film, arousal=1.0, valence=10.0),
        example("b", film, arousal=3.0, valence=30.0),
        example("c", quadrant="Q1"),
        example("d", quadrant="Q2"),
    )
    ratings = loss.examples.targets.ratings
    assert ratings[:2].tolist() == [[-1, -1], [1, 1]]
    assert ratings[2:].isnan().all()
    # Log-odds of 1 and 1: Q1 against the rest in this symmetric distribution.
    logits = torch.tensor([1.0, 0.0, -1.0, 0.0]).expand(1, ROWS, 4)
    odds = log_odds(marginals(logits))[0, 0]
    expected = (odds - 1).square().sum().item()
    assert loss.ratings(model, outputs(logits), batch(1)).item() == pytest.approx(
        expected, rel=1e-4
    )
    assert loss.ratings(model, outputs(logits), batch(2)).item() == 0


def test_dynamics_reward_moving_with_the_ratings(recipes: dict[str, Path]) -> None:
    trace = np.stack([np.arange(8.0), -np.arange(8.0)], 1).astype(np.float32)
    loss, _ = loss_of(recipes, example("a", dynamics=trace), example("b", quadrant="Q1"))
    steps = torch.linspace(-2, 2, 2 * ROWS).view(2, ROWS)
    rising = torch.stack([steps, 2 * steps, 0 * steps, -steps], -1)  # Q2 rises, Q4 falls
    run = Batch(torch.zeros(2, 1, 1), torch.tensor([0, 0]), torch.tensor([0, FRAMES * ROWS]))
    good = loss.dynamics(outputs(rising), run).item()
    bad = loss.dynamics(outputs(-rising), run).item()
    assert good < 0.6
    assert good + bad == pytest.approx(4, abs=1e-3)


def test_dynamics_without_ratings_give_no_loss(recipes: dict[str, Path]) -> None:
    nothing = np.full((8, 2), np.nan, np.float32)
    loss, _ = loss_of(recipes, example("a", dynamics=nothing))
    assert loss.dynamics(outputs(torch.randn(1, ROWS, 4)), batch(0)).item() == 0


def test_teachers_values_have_unit_variance_and_are_interpolated(
    recipes: dict[str, Path],
) -> None:
    rng = np.random.default_rng(0)
    values = {name: rng.normal(2, 0.01, (400, 5)).astype(np.float32) for name in "ab"}
    loss, _ = loss_of(
        recipes, *(example(name, teacher=array) for name, array in values.items()), example("c")
    )
    exact, known = loss.examples.teacher_of(batch(0, 2, start=2 * FRAMES), 300)
    assert known.tolist() == [1, 0]
    assert exact[0].var(0).mean().item() == pytest.approx(1, rel=0.2)
    scaled = values["a"][2:302]
    np.testing.assert_allclose(exact[0] / exact[0, 0, 0], scaled / scaled[0, 0], rtol=1e-4)
    half, _ = loss.examples.teacher_of(batch(0, start=FRAMES // 2), ROWS)
    between = loss.examples.teacher_of(batch(0), 2)[0][0].mean(0)
    np.testing.assert_allclose(half[0, 0], between, rtol=1e-4)

    rows = exact[:1, :ROWS]
    logits = torch.zeros(1, ROWS, 4)
    right = loss.distillation(outputs(logits, rows), [batch(0, start=2 * FRAMES)]).item()
    wrong = loss.distillation(outputs(logits, rows + 1), [batch(0, start=2 * FRAMES)]).item()
    assert (right, wrong) == (pytest.approx(0, abs=1e-6), pytest.approx(1, rel=1e-3))
    assert loss.distillation(outputs(logits, rows), [batch(2)]).item() == 0


def test_soft_labels_come_from_a_regression_on_the_teachers_values(
    recipes: dict[str, Path],
) -> None:
    rng = np.random.default_rng(0)

    def values(quadrant: int, seconds: int = 6) -> np.ndarray:
        return rng.normal(np.eye(4)[quadrant], 0.05, (seconds, 4)).astype(np.float16)

    mixed = CorpusConfig("unlabelled", 1.0, soft_labels="songs")
    changing = np.concatenate([values(0), values(2)])
    loss, _ = loss_of(
        recipes,
        *(example(f"s{k}", quadrant=f"Q{k % 4 + 1}", teacher=values(k % 4)) for k in range(40)),
        example("x", mixed, teacher=changing),
        example("y", mixed),
    )
    at_start = loss.examples.quadrants_of(batch(40), ROWS)
    at_end = loss.examples.quadrants_of(batch(40, start=8 * FRAMES), ROWS)
    assert at_start.argmax().item() == 0
    assert at_end.argmax().item() == 2
    assert at_start.sum().item() == pytest.approx(1)
    assert loss.examples.quadrants_of(batch(3), ROWS).tolist() == [[0, 0, 0, 1]]
    assert loss.examples.quadrants_of(batch(41), ROWS).sum() == 0


def test_soft_ratings_follow_the_teachers_values(recipes: dict[str, Path]) -> None:
    rng = np.random.default_rng(0)
    film = CorpusConfig("film", 1.0, linked=True)
    values = rng.normal(0, 1, (40, 1, 3)).astype(np.float16)
    labelled = [
        example(f"f{k}", film, arousal=float(v[0, 0]), valence=float(-v[0, 1]), teacher=v)
        for k, v in enumerate(values)
    ]
    soft = CorpusConfig("unlabelled", 1.0, soft_labels="film")
    changing = np.repeat(np.array([[2, -2, 0], [-2, 2, 0]], np.float16), 6, 0)
    loss, _ = loss_of(recipes, *labelled, example("x", soft, teacher=changing))
    at_start = loss.examples.ratings_of(batch(40), ROWS)[0].tolist()
    at_end = loss.examples.ratings_of(batch(40, start=8 * FRAMES), ROWS)[0].tolist()
    assert at_start == pytest.approx([2, 2], abs=0.5)
    assert at_end == pytest.approx([-2, -2], abs=0.5)
    assert loss.examples.quadrants_of(batch(40), ROWS).sum() == 0


def test_soft_labels_use_the_link_of_their_source(recipes: dict[str, Path]) -> None:
    songs = CorpusConfig("songs", 1.0, linked=True)
    labelled = [
        example(f"s{k}", songs, quadrant=f"Q{k % 4 + 1}", teacher=np.eye(4)[[k % 4]] + k / 99)
        for k in range(8)
    ]
    soft = CorpusConfig("unlabelled", 1.0, soft_labels="songs")
    other = example("z", CorpusConfig("others", 1.0))
    loss, _ = loss_of(recipes, *labelled, example("x", soft, teacher=np.ones((3, 4))), other)
    assert loss.examples.links.tolist() == [1] * 9 + [0]


def test_soft_labels_need_a_labelled_source(recipes: dict[str, Path]) -> None:
    soft = CorpusConfig("unlabelled", 1.0, soft_labels="songs")
    unlabelled = example("x", soft, teacher=np.ones((3, 4), np.float16))
    with pytest.raises(ManifestError, match="songs: soft labels need clips with a teacher"):
        loss_of(recipes, unlabelled, example("a", quadrant="Q1", teacher=np.ones((3, 4))))


def test_outliers_are_best_met_by_a_uniform_distribution(recipes: dict[str, Path]) -> None:
    loss, _ = loss_of(recipes, example("a", quadrant="Q1"))
    uniform = loss.outliers(outputs(torch.zeros(1, ROWS, 4))).item()
    assert uniform == pytest.approx(np.log(4) + 2 * np.log(2))
    assert loss.outliers(outputs(torch.tensor([3.0, 0, 0, 0]).expand(1, ROWS, 4))).item() > uniform


def test_teacher_archive_by_stem(tmp_path: Path) -> None:
    np.savez(tmp_path / "teacher.npz", a=np.ones((3, 2)), other=np.ones((3, 2)))
    sheet = DataSheet("music", teacher=str(tmp_path / "teacher.npz"))
    values = teacher_values([Manifest((clip("a"), clip("b")), sheet)])
    assert list(values) == [Path("a.wav")]
    assert values[Path("a.wav")].shape == (3, 2)


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"a": np.zeros(3)}, "a must be an array"),
        ({"b": np.zeros((0, 1))}, "b must be an array"),
        ({"a": np.array([[np.nan]])}, "a must be an array"),
        ({"a": np.zeros((1, 1)), "b": np.zeros((1, 2))}, "differ in width"),
        ({"a": np.array([[None]])}, "not a NumPy archive"),
        ({"a": np.array([["x"]])}, "not a NumPy archive"),
    ],
)
def test_other_archives_are_refused(
    arrays: dict[str, np.ndarray], reason: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "teacher.npz", **arrays)
    sheet = DataSheet("music", teacher=str(tmp_path / "teacher.npz"))
    with pytest.raises(ManifestError, match=reason):
        teacher_values([Manifest((clip("a"), clip("b")), sheet)])


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "teacher.npz"
    np.savez(path, a=np.ones((3, 2)))
    whole = path.read_bytes()
    method = whole.rindex(b"PK\1\2") + 10  # a compression that does not exist
    for content in (b"", whole[:99], whole[:method] + b"\x63" + whole[method + 1 :]):
        path.write_bytes(content)
        with pytest.raises(ManifestError, match="not a NumPy archive"):
            teacher_values([Manifest((clip("a"),), DataSheet("music", teacher=str(path)))])


@pytest.mark.parametrize("column", range(4))
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e300", "", "loud"])
def test_dynamics_that_are_no_numbers_are_named(tmp_path: Path, column: int, value: str) -> None:
    cells = ["0", "1", "0.5", "0.5"]
    cells[column] = value
    table = tmp_path / "dynamics.csv"
    table.write_text(f"file,start,end,arousal,valence\na.mid,{','.join(cells)}\n")
    with pytest.raises(ManifestError, match=r"dynamics\.csv: line 2: not a number"):
        read_dynamics(table, 0)


def test_dynamics_are_moved_back_by_the_listeners_delay(tmp_path: Path) -> None:
    table = tmp_path / "dynamics.csv"
    rows = [f"piece.mid,{2 * k},{2 * k + 2},{k},{-k}" for k in range(5)]
    table.write_text("\n".join(["file,start,end,arousal,valence", *rows]))
    at_once = read_dynamics(table, 0)["piece"]
    assert at_once[:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert at_once[:, 1].tolist() == (-at_once[:, 0]).tolist()
    delayed = read_dynamics(table, 4)["piece"]
    assert delayed[:6, 0].tolist() == [2, 2, 3, 3, 4, 4]
    assert np.isnan(delayed[6:]).all()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("file,start,end,arousal\na,0,1,0", "no column valence"),
        ("file,start,end,arousal,valence\na,0,1,x,0", "line 2: not a number"),
    ],
)
def test_broken_dynamics_are_refused(text: str, reason: str, tmp_path: Path) -> None:
    table = tmp_path / "dynamics.csv"
    table.write_text(text)
    with pytest.raises(ManifestError, match=reason):
        read_dynamics(table, 0)


def test_examples_without_label_or_teacher_are_left_out(tmp_path: Path) -> None:
    config = Recipe.load("base").transfer
    config = replace(config, dynamics=DynamicsConfig(1.0), corpora=(CorpusConfig("film", 0.3),))
    clips = (clip("a", quadrant="Q1"), clip("b"), clip("c", arousal=1.0, valence=2.0))
    examples = examples_of(config, [Manifest(clips, DataSheet("film"))], [])
    assert [e.clip.group for e in examples] == ["a", "c"]
    assert examples[0].corpus.coverage == 0.3
    half = clip("d", arousal=1.0)
    assert examples_of(config, [Manifest((half,), DataSheet("film"))], []) == []


def test_targets_of_each_head() -> None:
    targets = Targets.of([clip("a", quadrant="Q2"), clip("b")])
    rows = dict(zip([head.name for head in HEADS], targets.heads, strict=True))
    assert rows["quadrant"].tolist() == [[0, 1, 0, 0], [0, 0, 0, 0]]
    assert rows["arousal"].tolist() == [[0, 1], [0, 0]]
    assert rows["valence"].tolist() == [[1, 0], [0, 0]]


def test_pieces_are_cut_into_consecutive_crops() -> None:
    clips = [np.full((FRAMES * length, 2), length, np.float16) for length in (45, 9, 4)]
    sampler = PieceSampler(clips, 10 * FRAMES, 3, FRAMES)
    stream = sampler.forever([0])
    batches = [next(stream) for _ in range(3)]
    assert sorted(b.clips[0].item() for b in batches) == [0, 1, 2]
    for one in batches:
        assert len(set(one.clips.tolist())) == 1
        assert set(one.starts.diff().tolist()) <= {10 * FRAMES}
        assert (one.starts % FRAMES == 0).all()
        assert len(one.clips) == (3 if one.clips[0] == 0 else 1)


def test_coverage_is_the_share_of_the_audio_in_an_epoch() -> None:
    clips = [np.zeros((1000, 2), np.float16), np.zeros((1000, 2), np.float16)]
    sampler = CropSampler(clips, 10, 5, [1.0, 0.2])
    counts = np.bincount(np.concatenate([b.clips for b in sampler.epoch([0])]), minlength=2)
    assert counts.tolist() == [100, 20]
    again = [b.starts.tolist() for b in sampler.epoch([0])]
    assert again == [b.starts.tolist() for b in sampler.epoch([0])]
