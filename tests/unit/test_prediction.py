from dataclasses import replace

import numpy as np
import pytest

from quadpred.labels import AROUSAL, HEADS, QUADRANT, VALENCE
from quadpred.prediction import ModelInfo, Prediction, join, margin


def info(speech="english", music="english"):
    return ModelInfo("tiny", speech, music, "0" * 64)


def predict(quadrant, silent=None):
    quadrant = np.array(quadrant, np.float32)
    arousal = np.stack([quadrant[:, 2:].sum(1), quadrant[:, :2].sum(1)], axis=1)
    valence = np.stack([quadrant[:, 1:3].sum(1), quadrant[:, [0, 3]].sum(1)], axis=1)
    flags = np.zeros(len(quadrant), bool) if silent is None else np.array(silent)
    return Prediction(quadrant, arousal, valence, flags, len(quadrant), info())


LOUD, QUIET = [0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.2, 0.6]


def test_rows_are_seconds():
    prediction = predict([LOUD, QUIET, QUIET])
    assert len(prediction) == 3
    assert prediction.times.tolist() == [0.0, 1.0, 2.0]


def test_head_gives_its_own_rows():
    prediction = predict([LOUD, QUIET])
    assert prediction.head(QUADRANT) is prediction.quadrant
    assert prediction.head(AROUSAL) is prediction.arousal
    assert prediction.head(VALENCE) is prediction.valence


def test_silent_seconds_do_not_count():
    prediction = predict([LOUD, QUIET, QUIET], [False, True, True])
    assert prediction.mean(QUADRANT) == pytest.approx(LOUD)
    assert prediction.winner == "Q1"
    assert predict([LOUD, QUIET, QUIET]).winner == "Q4"


def test_all_seconds_of_a_silent_clip_count():
    prediction = predict([LOUD, QUIET], [True, True])
    assert prediction.mean(QUADRANT) == pytest.approx(np.mean([LOUD, QUIET], axis=0))


@pytest.mark.parametrize(
    ("silent", "counted"),
    [
        ([False, False], [True, True]),
        ([False, True], [True, False]),
        ([True, True], [True, True]),
    ],
)
def test_seconds_that_count(silent, counted):
    assert predict([LOUD, QUIET], silent).counted_seconds.tolist() == counted


def test_mean_of_many_rows_is_exact():
    row = [0.1, 0.2, 0.3, 0.4]
    assert predict([row] * 1_000_000).mean(QUADRANT) == pytest.approx(row, abs=1e-7)


def test_means_by_head_and_class():
    means = predict([LOUD, QUIET]).means()
    assert list(means) == [head.name for head in HEADS]
    assert means["quadrant"] == pytest.approx({"Q1": 0.4, "Q2": 0.1, "Q3": 0.15, "Q4": 0.35})
    assert means["arousal"] == pytest.approx({"negative": 0.5, "positive": 0.5})
    assert means["valence"] == pytest.approx({"negative": 0.25, "positive": 0.75})


def test_winners_keep_their_probability_in_all_heads():
    prediction = predict([LOUD, QUIET, [0.25, 0.25, 0.25, 0.25]])
    winners = prediction.winners_only()
    for head in HEADS:
        before, after = prediction.head(head), winners.head(head)
        assert after.dtype == np.float32
        assert (after.argmax(axis=1) == before.argmax(axis=1)).all()
        assert (after.max(axis=1) == before.max(axis=1)).all()
        assert ((after > 0).sum(axis=1) == 1).all()  # of equals, the first
    assert winners.mean(QUADRANT)[0] == pytest.approx((LOUD[0] + 0.25) / 3)


def test_embeddings_are_joined_and_pooled():
    parts = [
        replace(predict([LOUD, QUIET]), embedding=np.array([[1, 2], [3, 4]], np.float32)),
        replace(predict([LOUD]), embedding=np.array([[8, 9]], np.float32)),
    ]
    joined = join(parts)
    assert joined.embedding.tolist() == [[1, 2], [3, 4], [8, 9]]
    assert joined.pooled_embedding().tolist() == [4, 5]
    silent = replace(joined, silent=np.array([False, False, True]))
    assert silent.pooled_embedding().tolist() == [2, 3]
    assert replace(joined, silent=np.ones(3, bool)).pooled_embedding().tolist() == [4, 5]
    with pytest.raises(ValueError, match="no embeddings"):
        predict([LOUD]).pooled_embedding()


@pytest.mark.parametrize(
    ("speech", "music", "setting"),
    [
        ("english", "english", "intra-linguistic"),
        ("mandarin", "mandarin", "intra-linguistic"),
        ("english", "mandarin", "cross-linguistic"),
        ("mandarin", "english", "cross-linguistic"),
        ("mixed", "english", "mixed"),
        ("mixed", "custom", "adapted"),
    ],
)
def test_transfer_setting(speech, music, setting):
    assert info(speech, music).transfer_setting == setting


def test_where_two_quadrants_are_close_is_uncertain():
    prediction = predict([LOUD, QUIET, QUIET])
    model = replace(prediction.model, min_margin_second=0.5, min_margin_clip=0.1)
    doubting = replace(prediction, model=model)

    assert not prediction.uncertain_seconds.any()
    assert not prediction.uncertain
    assert doubting.uncertain_seconds.tolist() == [False, True, True]
    assert doubting.confidence == pytest.approx((0.1 + 0.6 + 0.6) / 3)
    assert not doubting.uncertain
    assert replace(doubting, model=replace(model, min_margin_clip=0.2)).uncertain


def test_silence_is_uncertain():
    assert predict([LOUD, QUIET], [True, False]).uncertain_seconds.tolist() == [True, False]
    assert predict([LOUD, QUIET], [True, True]).uncertain


def test_margin_is_the_difference_of_the_two_largest():
    assert margin(np.array([[0.1, 0.6, 0.3], [0.5, 0.5, 0.0]])) == pytest.approx([0.3, 0.0])


def test_joined_parts_have_the_damage_of_the_last_one():
    first, last = predict([LOUD]), replace(predict([QUIET]), damage="1 s is missing", duration=2)
    joined = join([first, last])
    assert joined.quadrant.tolist() == np.float32([LOUD, QUIET]).tolist()
    assert (joined.damage, joined.duration) == ("1 s is missing", 2)
    with pytest.raises(ValueError, match="no predictions"):
        join([])
