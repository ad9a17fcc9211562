import csv
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile

from helpers.sounds import tone
from helpers.tiny_model import write_model
from quadpred.predictor import ModelError, Predictor

pytest.importorskip("sklearn")
pytest.importorskip("torch")

from quadpred.train.adapt import AdaptError, folds_to_score
from quadpred.train.corpora import Clip
from quadpred.train.heads import adapt_heads

RATE = 16_000
HERTZ = {"Q1": 3000, "Q2": 1200, "Q3": 200, "Q4": 500}


def songs(folder, quadrants=("Q1", "Q2", "Q3", "Q4"), shuffled=False):
    """Four artists with a tone for each quadrant, whose labels may be wrong."""
    random = np.random.default_rng(1)
    with (folder / "songs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "quadrant", "group"])
        for artist in range(4):
            for quadrant in quadrants:
                name = f"{artist}{quadrant}.wav"
                hertz = HERTZ[quadrant] * (1 + 0.02 * artist)
                soundfile.write(folder / name, tone(3, RATE, hertz=hertz), RATE)
                label = random.choice(quadrants) if shuffled else quadrant
                writer.writerow([name, label, f"artist {artist}"])
    return folder / "songs.csv"


@pytest.fixture
def base(tmp_path):
    write_model(tmp_path / "base.onnx", embedding=True)
    return Predictor(tmp_path / "base.onnx")


@pytest.mark.slow
def test_new_heads_learn_the_labels(base, tmp_path):
    scores = adapt_heads(songs(tmp_path), tmp_path / "mine.onnx", base)
    assert (scores.clips, scores.groups, scores.chance) == (16, 4, 0.25)
    assert scores.macro_f1 == 1
    assert not scores.uncertain
    mine = Predictor(tmp_path / "mine.onnx")
    assert (mine.info.name, mine.info.music, mine.info.caveat) == ("mine", "custom", "")
    assert mine.info.min_margin_clip > 0
    for quadrant in HERTZ:
        prediction = mine.predict(tmp_path / f"2{quadrant}.wav", embeddings=True)
        assert prediction.winner == quadrant
        rows = prediction.quadrant
        assert prediction.arousal[:, 1] == pytest.approx(rows[:, 0] + rows[:, 1], abs=1e-6)
        assert prediction.valence[:, 1] == pytest.approx(rows[:, 0] + rows[:, 3], abs=1e-6)
        assert (prediction.embedding == base.embed(tmp_path / f"2{quadrant}.wav")).all()
    # What only the base's own heads needed is gone.
    names = {tensor.name for tensor in onnx.load(tmp_path / "mine.onnx").graph.initializer}
    assert not any(name.endswith("_weight") for name in names)


@pytest.mark.slow
def test_card_of_an_older_model_is_removed(base, tmp_path):
    stale = tmp_path / "mine.md", tmp_path / "mine-reliability.png"
    stale[0].write_text("\n# mine\n")
    stale[1].touch()
    listed = songs(tmp_path)
    adapt_heads(listed, tmp_path / "mine.onnx", base, save=False)
    assert not (tmp_path / "mine.onnx").exists()
    assert all(path.exists() for path in stale)
    adapt_heads(listed, tmp_path / "mine.onnx", base)
    assert not any(path.exists() for path in stale)


@pytest.mark.slow
def test_quadrants_without_songs_are_never_predicted(base, tmp_path):
    scores = adapt_heads(songs(tmp_path, ("Q1", "Q3", "Q4")), tmp_path / "mine.onnx", base)
    assert scores.chance == pytest.approx(1 / 3)
    prediction = Predictor(tmp_path / "mine.onnx").predict(tmp_path / "0Q1.wav")
    assert prediction.quadrant[:, 1].max() < 1e-6
    assert prediction.winner == "Q1"


@pytest.mark.slow
def test_heads_that_are_no_better_than_chance_say_so(base, tmp_path):
    scores = adapt_heads(songs(tmp_path, shuffled=True), tmp_path / "mine.onnx", base)
    assert scores.uncertain
    assert "no better than chance" in Predictor(tmp_path / "mine.onnx").info.caveat


@pytest.mark.slow
def test_what_cannot_be_adapted(base, tmp_path):
    listed = songs(tmp_path)
    with pytest.raises(AdaptError, match=r"must end in \.onnx"):
        adapt_heads(listed, tmp_path / "mine.txt", base)
    write_model(tmp_path / "without.onnx")
    with pytest.raises(ModelError, match="has no output 'embedding'"):
        adapt_heads(listed, tmp_path / "mine.onnx", Predictor(tmp_path / "without.onnx"))
    warnings = []
    for quadrant in HERTZ:
        (tmp_path / f"0{quadrant}.wav").write_text("no music")
    scores = adapt_heads(listed, tmp_path / "mine.onnx", base, on_warning=warnings.append)
    assert (scores.clips, len(warnings)) == (12, 4)
    assert all(text.endswith("; left out") for text in warnings)


@pytest.mark.slow
def test_two_quadrants_remain_whichever_fold_is_left_out(base, tmp_path):
    # In three folds, the two artists with clips of Q1 would share one.
    counts = [("X", "Q4", 10), ("Y", "Q4", 10), ("A", "Q1", 3), ("A", "Q3", 4)]
    counts += [("B", "Q1", 1), ("B", "Q4", 5)]
    names = [(a, q, f"{a}{q}{n}.wav") for a, q, count in counts for n in range(count)]
    for number, (_, quadrant, name) in enumerate(names):
        samples = tone(1, RATE, hertz=HERTZ[quadrant] * (1 + 0.002 * number))
        soundfile.write(tmp_path / name, samples, RATE)
    rows = "".join(f"{name},{quadrant},{artist}\n" for artist, quadrant, name in names)
    (tmp_path / "songs.csv").write_text("file,quadrant,group\n" + rows)
    scores = adapt_heads(tmp_path / "songs.csv", tmp_path / "mine.onnx", base)
    assert (scores.clips, scores.groups) == (33, 4)


def test_folds_are_three_where_that_suffices():
    clips = [Clip(Path(f"{n}.wav"), f"{n // 2}", "", f"Q{1 + n % 2}") for n in range(20)]
    assert {clip.split for clip in folds_to_score(clips, seed=0)} == {"0", "1", "2"}
    assert {clip.split for clip in folds_to_score(clips[:4], seed=0)} == {"0", "1"}


@pytest.mark.slow
def test_what_is_silent_or_damaged_is_reported(base, tmp_path):
    path = songs(tmp_path)
    soundfile.write(tmp_path / "silent.wav", np.zeros(3 * RATE), RATE)
    with path.open("a") as file:
        file.write("silent.wav,Q1,artist 9\ncopy.wav,Q1,artist 9\n")
    shutil.copy(tmp_path / "1Q1.wav", tmp_path / "copy.wav")
    whole = (tmp_path / "0Q1.wav").read_bytes()
    (tmp_path / "0Q1.wav").write_bytes(whole[: len(whole) // 2])
    warnings = []
    scores = adapt_heads(path, tmp_path / "mine.onnx", base, on_warning=warnings.append)
    assert (scores.clips, scores.groups) == (16, 4)
    damaged, silent, copy = warnings
    assert "0Q1.wav: decoded 1.5 of 3.0 seconds" in damaged
    assert silent == f"{tmp_path / 'silent.wav'}: is silent; left out"
    assert copy == f"{tmp_path / 'copy.wav'}: a copy of {tmp_path / '1Q1.wav'}; left out"
