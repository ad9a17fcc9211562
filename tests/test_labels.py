import pytest

from quadpred.labels import HEADS, QUADRANT, quadrant_of, signs_of


def test_quadrants_run_counter_clockwise_from_the_top_right():
    # Russell's circumplex: arousal upwards, valence to the right.
    corners = [(True, True), (True, False), (False, False), (False, True)]
    assert [signs_of(name) for name in QUADRANT.classes] == corners
    assert [quadrant_of(arousal=a, valence=v) for a, v in corners] == list(QUADRANT.classes)


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.name)
def test_every_class_has_a_title_and_a_colour(head):
    assert len(head.classes) == len(head.titles) == len(head.colours)
    assert len(set(head.titles)) == len(head.titles)
    assert len(set(head.colours)) == len(head.colours)


@pytest.mark.parametrize("name", QUADRANT.classes)
def test_titles_say_the_signs(name):
    arousal, valence = ("positive" if sign else "negative" for sign in signs_of(name))
    title = QUADRANT.titles[QUADRANT.classes.index(name)]
    assert title == f"Quadrant {name[1]} ({arousal} arousal, {valence} valence)"


@pytest.mark.parametrize("head", HEADS[1:], ids=lambda head: head.name)
def test_column_one_of_a_binary_head_is_positive(head):
    assert head.classes == ("negative", "positive")
    assert head.titles == (f"Negative {head.name}", f"Positive {head.name}")
