"""Read files as the product does, and compare what comes out."""

import warnings

import numpy as np
import pytest

from quadpred.audio import AudioError, AudioWarning, read_blocks

RATE = 16_000


def read(path, rate=RATE):
    """Decode a file that nothing is wrong with."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", AudioWarning)
        return np.concatenate(list(read_blocks(path, rate)))


def read_warned(path, match):
    """Decode a file that gives exactly one warning."""
    with pytest.warns(AudioWarning, match=match) as caught:
        samples = np.concatenate(list(read_blocks(path, RATE)))
    assert len(caught) == 1
    return samples


def refusal(path):
    """Read a file to its end and return why that fails, which must be one line without jargon."""
    with pytest.raises(AudioError) as caught:
        list(read_blocks(path, RATE))
    text = str(caught.value)
    assert text.isprintable()
    assert text.endswith(": " + caught.value.reason)
    assert not set(caught.value.reason) & set("'\"[]")
    assert "rror" not in caught.value.reason
    return caught.value.reason


def assert_tone(samples, seconds, *, hertz=440, gain=0.5, tolerance=1e-3, slack=0.02):
    """Fit a sine to the middle half: its gain, what is left over, and the duration."""
    assert samples.dtype == np.float32
    assert len(samples) / RATE == pytest.approx(seconds, abs=slack)
    middle = slice(len(samples) // 4, 3 * len(samples) // 4)
    turns = 2 * np.pi * hertz * np.arange(len(samples))[middle] / RATE
    basis = np.stack([np.sin(turns), np.cos(turns)], axis=1)
    found = np.linalg.lstsq(basis, samples[middle].astype(float), rcond=None)[0]
    assert np.hypot(*found) == pytest.approx(gain, rel=0.02)
    assert np.sqrt(np.mean((samples[middle] - basis @ found) ** 2)) < tolerance


def id3(size, footer=False):
    """An ID3v2 tag of so many bytes, full of what looks like the start of a frame."""
    length = bytes(size >> shift & 127 for shift in (21, 14, 7, 0))
    tail = b"3DI" + bytes(7) if footer else b""
    return b"ID3\4\0" + (b"\x10" if footer else b"\0") + length + b"\xff\xfb" * (size // 2) + tail
