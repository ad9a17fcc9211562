import numpy as np
import pytest

from quadpred.labels import HEADS, QUADRANT, membership, quadrant_of, signs_of


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


def test_quadrants_add_up_to_each_head():
    quadrants = np.array([0.1, 0.2, 0.3, 0.4])
    sums = [(quadrants @ membership(head)).tolist() for head in HEADS]
    expected = [[0.1, 0.2, 0.3, 0.4], [0.7, 0.3], [0.5, 0.5]]
    assert all(one == pytest.approx(other) for one, other in zip(sums, expected, strict=True))


# What colour-blind readers see, in linear RGB: Machado, Oliveira and Fernandes, "A physiologically-
# based model for simulation of color vision deficiency", 2009, at full severity.
SIGHTS = {
    "trichromat": np.eye(3),
    "protan": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deutan": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritan": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


def linear(colour):
    """Linear RGB of #RRGGBB, 0 to 1."""
    values = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def oklab(rgb):
    """Perceived lightness and hue of linear RGB (B. Ottosson, "A perceptual color space", 2020)."""
    cones = [[0.412, 0.536, 0.051], [0.212, 0.681, 0.107], [0.088, 0.282, 0.630]]
    axes = [[0.210, 0.794, -0.004], [1.978, -2.429, 0.451], [0.026, 0.783, -0.809]]
    return np.array(axes) @ np.cbrt(np.array(cones) @ np.clip(rgb, 0, 1))


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.name)
def test_colours_can_be_told_apart(head, sight):
    seen = [oklab(np.array(SIGHTS[sight]) @ linear(colour)) for colour in head.colours]
    apart = [np.linalg.norm(a - b) for place, a in enumerate(seen) for b in seen[:place]]
    assert min(apart) > 0.1  # five times what is just noticeable


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.name)
@pytest.mark.parametrize("behind", ["#FFFFFF", "#121418"])
def test_colours_stand_out(head, behind):
    for colour in head.colours:
        pale, deep = sorted(linear(c) @ [0.2126, 0.7152, 0.0722] for c in (colour, behind))[::-1]
        assert (pale + 0.05) / (deep + 0.05) >= 3
