"""Arrays and live audio go through the graph of files."""

import io
import os
import signal
import sys

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.decoded import RATE, read
from helpers.sounds import music, tone
from quadpred.audio import (
    AudioError,
    AudioReader,
    AudioWarning,
    decode,
    interrupts,
    live_blocks,
    sample_blocks,
    source,
)
from quadpred.library import fingerprint
from quadpred.library.fingerprint import audio_sha256


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000, 96_000])
def test_resampling_is_that_of_soxr(rate):
    """Apart from the transition band, in which every resampler is different."""
    samples = music(3, rate)
    ours = np.concatenate(list(sample_blocks(samples, rate, RATE)))
    theirs = soxr.resample(samples, rate, RATE)
    assert len(ours) == len(theirs)
    window = np.hanning(len(ours))
    difference, expected = np.fft.rfft([window * (ours - theirs), window * theirs])
    passed = np.fft.rfftfreq(len(window), 1 / RATE) < 0.85 * min(rate, RATE) / 2
    error = np.linalg.norm(difference[passed]) / np.linalg.norm(expected[passed])
    assert error < 2e-4


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 30_000), max_size=8), st.sampled_from([8_000, 44_100, 48_000]))
def test_live_audio_equals_an_array(cuts, rate):
    samples = music(1, rate)
    blocks = np.split(samples, sorted(cut for cut in cuts if cut < len(samples)))
    live = np.concatenate(list(live_blocks(blocks, rate, RATE)))
    whole = np.concatenate(list(sample_blocks(samples, rate, RATE)))
    np.testing.assert_allclose(live, whole, atol=1e-6)


def test_live_audio_comes_at_once():
    coming = iter([tone(0.5, 48_000).astype(np.float32)] * 3)
    first = next(live_blocks(coming, 48_000, RATE))
    assert len(first) > 0.49 * RATE
    assert len(list(coming)) == 2


def test_live_audio_without_samples():
    with pytest.raises(AudioError, match="none were received"):
        list(live_blocks([], 48_000, RATE))


def test_resampling_to_the_same_rate_changes_nothing():
    samples = music(1, RATE)
    np.testing.assert_array_equal(np.concatenate(list(sample_blocks(samples, RATE, RATE))), samples)


def test_reader_tells_of_damage(sound_file):
    path = sound_file("a.wav", tone(2, RATE), RATE)
    reader = AudioReader(path, RATE)
    for _ in range(2):
        assert sum(map(len, reader)) == 2 * RATE
        assert reader.damage is None
    path.write_bytes(path.read_bytes()[: RATE * 2])
    assert len(list(reader)) > 0
    assert reader.damage == "decoded 1.0 of 2.0 seconds, the rest is damaged or missing"


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        (np.float32, -1, 1),
        (np.float64, -1, 1),
        (np.float16, -1, 1),
        (np.uint8, 0, 255),
        (np.int8, -128, 127),
        (np.int16, -32_768, 32_767),
        (np.uint16, 0, 65_535),
        (np.int32, -(2**31), 2**31 - 1),
        (np.int64, -(2**63), 2**63 - 1),
    ],
)
def test_full_scale_of_every_type(dtype, low, high):
    (block,) = sample_blocks(np.array([low, high, low], dtype), RATE, RATE)
    assert block.dtype == np.float32
    np.testing.assert_allclose(block, [-1, 1, -1], atol=0.01)
    assert block[0] == -1


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_array_equals_file(sound_file, rate):
    stereo = np.stack([music(7, rate), music(7, rate, 1)], axis=1)
    path = sound_file("a.wav", stereo, rate, subtype="FLOAT")
    blocks = np.concatenate(list(sample_blocks(stereo, rate, RATE)))
    np.testing.assert_allclose(blocks, read(path), atol=1e-6)


SHAPE = "must have the shape (samples,) or (samples, channels), channels at most 64, not "


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        ([], "the array is empty"),
        (np.empty((0, 2)), "the array is empty"),
        (np.empty((5, 0)), "the array is empty"),
        (
            np.float32(0.5),
            SHAPE + "()",
        ),
        (
            np.zeros((2, 3, 4)),
            SHAPE + "(2, 3, 4)",
        ),
        (
            np.zeros((2, 9_000)),
            SHAPE + "(2, 9000)",
        ),
        ([1 + 1j], "must be floats or integers, not complex128"),
        ([True], "must be floats or integers, not bool"),
        (["a"], "must be floats or integers, not <U1"),
        ([0, np.nan], "holds samples that are not finite numbers"),
        ([[0, np.inf], [0, 0]], "holds samples that are not finite numbers"),
        ([[np.inf, -np.inf]], "holds samples that are not finite numbers"),
        ([1e300], "holds samples that are not finite numbers"),
    ],
)
def test_arrays_refused(samples, reason):
    with pytest.raises(AudioError) as caught:
        list(sample_blocks(samples, RATE, RATE))
    assert str(caught.value) == f"samples: {reason}"


@pytest.mark.parametrize("rate", [0, -1, 500])
def test_array_rates_refused(rate):
    with pytest.raises(AudioError, match="sample rate"):
        list(sample_blocks([0.0], rate, RATE))


@pytest.mark.parametrize(("scale", "hint"), [(100, 128), (30_000, 32_768), (5e6, 8_388_608)])
def test_integers_in_floats(scale, hint):
    with pytest.warns(AudioWarning, match=f"full scale is 1; .*Divide them by {hint}"):
        list(sample_blocks(scale * tone(1, RATE, gain=1), RATE, RATE))


def test_channels_that_cancel():
    left = music(2, 44_100)
    one = np.concatenate(list(sample_blocks(left, 44_100, RATE)))
    both = np.concatenate(list(sample_blocks(np.stack([left, -left], 1), 44_100, RATE)))
    np.testing.assert_allclose(both, one, atol=1e-6)


class Interrupting(io.FileIO):
    """A file that gets an interrupt while FFmpeg reads the middle of it."""

    due = True

    def read(self, size=-1):
        middle = self.tell() > os.fstat(self.fileno()).st_size // 2
        if self.due and middle and sys._getframe(1).f_code is source.FilePart.read.__code__:
            self.due = False
            os.kill(os.getpid(), signal.SIGINT)
        return super().read(size)


@pytest.mark.parametrize("work", [read, audio_sha256])
def test_an_interrupt_while_ffmpeg_reads_ends_it(work, tmp_path, monkeypatch):
    path = tmp_path / "song.flac"
    soundfile.write(path, music(60, RATE), RATE)
    expected = work(path)
    monkeypatch.setattr(decode, "open_regular", Interrupting)
    monkeypatch.setattr(fingerprint, "open", Interrupting, raising=False)
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, lambda _, frame: interrupts.interrupt(KeyboardInterrupt(), frame))
    try:
        with pytest.raises(KeyboardInterrupt):
            work(path)
    finally:
        signal.signal(signal.SIGINT, before)
    monkeypatch.undo()
    np.testing.assert_array_equal(work(path), expected)  # nothing is left of the interrupt
