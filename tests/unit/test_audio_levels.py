"""The level of every second."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.sounds import tone
from quadpred.audio import SecondLevels

RATE = 16_000


def levels_of(samples, cuts=()):
    levels = SecondLevels(RATE)
    passed = list(levels.watch(np.split(np.asarray(samples, np.float32), cuts)))
    assert sum(map(len, passed)) == levels.samples == len(samples)
    return levels


def decibels(level):
    return 10 ** (level / 20) * np.sqrt(2)  # amplitude of a sine with this RMS


@pytest.mark.parametrize(
    ("samples", "silent"),
    [
        (np.zeros(RATE), True),
        (np.full(RATE, 0.9), True),
        (np.full(RATE, -1.0), True),
        (0.5 + tone(1, RATE, gain=decibels(-50)), False),
        (0.5 + tone(1, RATE, gain=decibels(-70)), True),
        (tone(1, RATE, gain=decibels(-59.9)), False),
        (tone(1, RATE, gain=decibels(-60.1)), True),
        (tone(1, RATE, gain=1), False),
        (np.eye(1, RATE)[0], False),
        ([0.5], True),
        ([0.5, -0.5], False),
    ],
)
def test_silence(samples, silent):
    np.testing.assert_array_equal(levels_of(samples).silent(1), [silent])


def test_each_second_counts_alone():
    loud, quiet = tone(1, RATE), np.zeros(RATE)
    levels = levels_of(np.concatenate([quiet, loud, quiet + 0.3, loud[:100]]))
    np.testing.assert_array_equal(levels.silent(6), [True, False, True, False, True, True])
    np.testing.assert_array_equal(levels.silent(2), [True, False])
    np.testing.assert_array_equal(levels.silent(0), [])


def test_no_samples_are_silent():
    np.testing.assert_array_equal(SecondLevels(RATE).silent(2), [True, True])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4 * RATE), max_size=12))
def test_silence_does_not_depend_on_the_block(cuts):
    gains = np.repeat([1e-5, 1.0, 1.5e-3, 1.3e-3], RATE)
    samples = 0.7 + gains * tone(4, RATE, gain=1)
    np.testing.assert_array_equal(
        levels_of(samples, sorted(cuts)).silent(5), [True, False, False, True, True]
    )
