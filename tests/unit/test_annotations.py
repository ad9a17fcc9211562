import io
import json

import numpy as np
import pytest

from quadpred.formats.annotations import write_audacity, write_jams
from quadpred.labels import HEADS
from quadpred.prediction import ModelInfo, Prediction

jams = pytest.importorskip("jams", reason="the jams package is not installed")


def made(winners, *, silent=(), doubtful=(), duration=None, source="songs/anger.mp3"):
    """A prediction with these quadrants, 0 to 3, a second each."""
    rows = len(winners)
    random = np.random.default_rng(0)
    arousal, valence = (random.dirichlet([1, 1], rows).astype(np.float32) for _ in HEADS[1:])
    quadrant = np.full((rows, 4), 0.1, np.float32)
    quadrant[range(rows), winners] = 0.7
    for row in doubtful:
        quadrant[row] = [0.24, 0.25, 0.25, 0.26]
    quiet = np.isin(np.arange(rows), silent)
    origin = ModelInfo("tiny", "english", "english", "ab" * 32, min_margin_second=0.2)
    length = rows if duration is None else duration
    return Prediction(quadrant, arousal, valence, quiet, length, origin, source)


def written(write, prediction):
    file = io.BytesIO()
    write(prediction, file)
    return file.getvalue()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_jams_is_valid_and_says_valence_first(tmp_path):
    prediction = made([0, 0, 2, 3], silent=[2], duration=3.6)
    path = tmp_path / "anger.jams"
    path.write_bytes(written(write_jams, prediction))
    read = jams.load(str(path), validate=True, strict=True)  # raises if the schema is not kept
    assert read.validate(strict=True)
    assert (read.file_metadata.title, read.file_metadata.duration) == ("anger.mp3", 3.6)
    (annotation,) = read.search(namespace="mood_thayer")
    assert [(seen.time, seen.duration) for seen in annotation.data] == [
        (0, 1),
        (1, 1),
        (3, pytest.approx(0.6)),
    ]
    heard = [0, 1, 3]
    values = np.array([seen.value for seen in annotation.data])
    assert np.allclose(values[:, 0], prediction.valence[heard, 1], atol=1e-6)
    assert np.allclose(values[:, 1], prediction.arousal[heard, 1], atol=1e-6)
    assert [seen.confidence for seen in annotation.data] == pytest.approx([0.7] * 3)
    assert annotation.sandbox.quadrant == prediction.winner


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["音乐\n\t.mp3", b"\xff.mp3".decode("utf-8", "surrogateescape")])
def test_jams_of_hostile_names_and_silence(tmp_path, name):
    path = tmp_path / "a.jams"
    path.write_bytes(written(write_jams, made([0, 1], silent=[0, 1], source=name)))
    read = jams.load(str(path), validate=True, strict=True)
    assert len(read.annotations[0].data) == 0


def test_jams_refuses_what_is_not_finite():
    broken = made([0])
    broken.arousal[:] = np.nan
    with pytest.raises(ValueError, match="not JSON compliant"):
        written(write_jams, broken)


def test_jams_is_one_line():
    content = written(write_jams, made([0, 1, 2, 3]))
    assert json.loads(content)
    assert content.count(b"\n") == 1


def test_labels_are_runs_of_one_quadrant():
    prediction = made([0, 0, 1, 1, 1, 3, 3], silent=[4], doubtful=[6], duration=6.8)
    lines = written(write_audacity, prediction).decode().split("\n")
    assert lines.pop() == ""
    assert [line.split("\t") for line in lines] == [
        ["0.000000", "2.000000", "Q1"],
        ["2.000000", "4.000000", "Q2"],
        ["5.000000", "6.000000", "Q4"],
        ["6.000000", "6.800000", "Q4?"],
    ]


def test_labels_of_silence_and_of_less_than_a_second():
    assert written(write_audacity, made([0], silent=[0])) == b""
    assert written(write_audacity, made([1], duration=0.25)) == b"0.000000\t0.250000\tQ2\n"
