"""Rows are real seconds, whatever the file and however it is cut."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from helpers.sounds import music, tone
from helpers.tiny_model import write_model
from quadpred.audio import AudioError, AudioWarning
from quadpred.labels import HEADS
from quadpred.prediction import Prediction
from quadpred.predictor import ModelError, Predictor

RATE = 16_000


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    write_model(path)
    return Predictor(path)


def valid(prediction: Prediction) -> bool:
    return all(
        np.isfinite(rows).all() and np.allclose(rows.sum(1), 1, atol=1e-5) and (rows >= 0).all()
        for rows in map(prediction.head, HEADS)
    )


@pytest.mark.parametrize(
    ("seconds", "rows"),
    [(0.2, 1), (0.6, 1), (1.0, 1), (1.49, 1), (1.5, 2), (2.0, 2), (10.4, 10), (10.5, 11)],
)
def test_a_last_second_counts_when_half_of_it_is_there(
    predictor: Predictor, seconds: float, rows: int
) -> None:
    prediction = predictor.predict_samples(music(seconds, RATE), RATE)
    assert prediction.quadrant.shape == (rows, 4)
    assert prediction.arousal.shape == prediction.valence.shape == (rows, 2)
    assert prediction.quadrant.dtype == np.float32
    assert prediction.times.tolist() == list(range(rows))
    assert prediction.duration == pytest.approx(seconds, abs=1e-3)
    assert valid(prediction)


@pytest.mark.parametrize("rate", [11_025, 22_050, 44_100, 48_000])
def test_row_speaks_of_its_own_second(predictor: Predictor, rate: int) -> None:
    """A burst in second 5 changes row 5 alone."""
    quiet = 0.01 * music(12, rate)
    loud = quiet.copy()
    # Off the edges, since frames reach 32 ms beyond their own second.
    burst = slice(int(5.1 * rate), int(5.9 * rate))
    loud[burst] = np.random.default_rng(0).normal(0, 0.3, burst.stop - burst.start)
    before, after = (predictor.predict_samples(samples, rate).quadrant for samples in (quiet, loud))
    changed = np.abs(before - after).max(1) > 1e-3
    assert np.flatnonzero(changed).tolist() == [5]


@pytest.mark.parametrize(
    "samples",
    [np.zeros(3 * RATE), np.full(3 * RATE, 0.7), 1e-5 * tone(3, RATE)],
    ids=["zeros", "offset", "inaudible"],
)
def test_silence_gives_valid_rows_marked_as_silent(
    predictor: Predictor, samples: np.ndarray
) -> None:
    prediction = predictor.predict_samples(samples, RATE)
    assert valid(prediction)
    assert prediction.silent.tolist() == [True] * 3
    assert np.isfinite([prediction.mean(head).sum() for head in HEADS]).all()


def test_clip_means_leave_silent_seconds_out(predictor: Predictor) -> None:
    heard = music(3, RATE)
    padded = predictor.predict_samples(np.concatenate([heard, np.zeros(5 * RATE)]), RATE)
    assert padded.silent.tolist() == [False] * 3 + [True] * 5
    np.testing.assert_allclose(padded.mean(HEADS[0]), padded.quadrant[:3].mean(0), atol=1e-6)


def test_array_and_file_agree(predictor: Predictor, sound_file: Callable[..., Path]) -> None:
    samples = np.stack([music(4, 44_100), music(4, 44_100, seed=1)], 1)
    path = sound_file("song.wav", samples, 44_100, subtype="FLOAT")
    file = predictor.predict(path)
    array = predictor.predict_samples(samples, 44_100)
    np.testing.assert_array_equal(file.quadrant, array.quadrant)
    assert file.source == str(path)
    assert array.source == ""


def test_frames_are_the_last_rung(predictor: Predictor) -> None:
    from quadpred.features import log_mel

    samples = music(4, RATE)
    heads = predictor.predict_frames([log_mel(samples, predictor.features)])
    np.testing.assert_array_equal(heads[0], predictor.predict_samples(samples, RATE).quadrant)


@pytest.fixture(scope="module")
def shipped() -> Predictor:
    return Predictor.load()


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.2, 179.4, 180.4, 186.6, 187.4, 400.6])
def test_stream_gives_the_rows_of_predict_as_they_come(
    shipped: Predictor, sound_file: Callable[..., Path], seconds: float
) -> None:
    samples = music(seconds, RATE)
    samples[: 5 * RATE] = 0
    path = sound_file("song.wav", samples, RATE)
    whole = shipped.predict_samples(samples, RATE)
    predicted, parts = shipped.predict(path), list(shipped.stream(path))
    assert (len(parts) > 1) == (len(whole) > 180)
    for head in HEADS:
        rows = np.concatenate([part.head(head) for part in parts])
        np.testing.assert_allclose(rows, whole.head(head), atol=1e-3)  # of 16 bits
        np.testing.assert_array_equal(rows, predicted.head(head))
    assert np.concatenate([part.silent for part in parts]).tolist() == whole.silent.tolist()
    heard = [part.duration for part in parts]
    assert heard == sorted(heard)
    assert heard[-1] == whole.duration == pytest.approx(seconds, abs=1e-4)


def test_stream_comes_before_the_end_is_read(
    predictor: Predictor, sound_file: Callable[..., Path]
) -> None:
    path = sound_file("song.wav", music(300, RATE), RATE)
    stream = predictor.stream(path)
    first = next(stream)
    assert len(first) == 180
    assert first.duration < 250
    stream.close()  # type: ignore[attr-defined]


def test_stream_refuses_what_lasts_too_long(
    predictor: Predictor, sound_file: Callable[..., Path]
) -> None:
    path = sound_file("song.flac", np.zeros(300 * RATE), RATE)
    assert len(list(predictor.stream(path, longest=300))) == 2
    with pytest.raises(AudioError, match=r"song\.flac: lasts longer than 299 seconds"):
        list(predictor.stream(path, longest=299))


def test_live_rows_rest_on_the_past_alone(shipped: Predictor) -> None:
    samples = music(9.7, 44_100)
    changed = samples.copy()
    changed[6 * 44_100 :] = 0

    def live(heard: np.ndarray) -> list[Prediction]:
        return list(shipped.listen(np.array_split(heard, 37), 44_100))

    rows = live(samples)
    assert [len(part) for part in rows] == [1] * 10
    assert all(map(valid, rows))
    assert rows[-1].duration == pytest.approx(9.7, abs=1e-3)
    for row, other in zip(rows[:5], live(changed), strict=False):
        np.testing.assert_array_equal(row.quadrant, other.quadrant)
    # With nothing to come, as at the end of a clip, both ways know the same.
    clip = shipped.predict_samples(samples, 44_100)
    np.testing.assert_allclose(rows[-1].quadrant[0], clip.quadrant[-1], atol=1e-5)


def test_live_row_comes_with_the_next_samples(predictor: Predictor) -> None:
    given = 0

    def blocks() -> Iterator[np.ndarray]:
        nonlocal given
        for block in np.array_split(music(5, 48_000), 50):
            given += 1
            yield block

    for second, _ in enumerate(predictor.listen(blocks(), 48_000), 1):
        assert given in (10 * second, 10 * second + 1)  # tenths of a second


def test_live_samples_that_are_none(predictor: Predictor) -> None:
    with pytest.raises(AudioError, match="none were received"):
        list(predictor.listen([], RATE))
    with pytest.raises(AudioError, match="not finite"):
        list(predictor.listen([np.full(RATE, np.nan, np.float32)], RATE))
    with pytest.raises(AudioError, match="sample rate"):
        list(predictor.listen([np.zeros(RATE, np.float32)], 5))


def test_truncated_mp3_is_predicted_as_far_as_it_goes(
    predictor: Predictor, sound_file: Callable[..., Path]
) -> None:
    whole = sound_file("whole.mp3", music(20, 44_100), 44_100)
    cut = whole.with_name("cut.mp3")
    content = whole.read_bytes()
    cut.write_bytes(content[: len(content) // 2])
    with pytest.warns(AudioWarning, match=r"cut\.mp3"):
        prediction = predictor.predict(cut)
    assert 5 < len(prediction) < 15
    assert valid(prediction)


def test_no_audio_is_an_error(predictor: Predictor, tmp_path: Path) -> None:
    path = tmp_path / "text.mp3"
    path.write_text("no music here\n" * 100)
    with pytest.raises(AudioError, match=r"text\.mp3"):
        predictor.predict(path)
    with pytest.raises(AudioError):
        predictor.predict_samples(np.empty(0), RATE)


def test_model_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No such file"):
        Predictor(tmp_path / "none.onnx")
    path = tmp_path / "noise.onnx"
    path.write_bytes(b"noise" * 100)
    with pytest.raises(ModelError, match="not an ONNX model"):
        Predictor(path)
    write_model(path)
    with pytest.raises(ModelError, match="damaged"):
        Predictor(path, sha256="0" * 64)


def test_peak_is_found_by_a_second_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sound_file: Callable[..., Path]
) -> None:
    """A front end that divides by the clip's peak does not hear its gain."""
    from dataclasses import replace

    path = tmp_path / "tiny.onnx"
    write_model(path)
    predictor = Predictor(path)
    samples = music(3, RATE)
    loud = sound_file("loud.wav", samples, RATE, subtype="FLOAT")
    soft = sound_file("soft.wav", 0.1 * samples, RATE, subtype="FLOAT")
    heard = [predictor.predict(file).quadrant for file in (loud, soft)]
    assert np.abs(heard[0] - heard[1]).max() > 1e-3
    monkeypatch.setattr(predictor, "features", replace(predictor.features, normalise_peak=True))
    heard = [predictor.predict(file).quadrant for file in (loud, soft)]
    np.testing.assert_allclose(*heard, atol=1e-4)
