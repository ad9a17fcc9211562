import gc
import tracemalloc
from dataclasses import replace

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.sounds import music, tone
from quadpred.features import (
    FeatureConfig,
    file_log_mel,
    log_mel,
    log_mel_stream,
    mel_filters,
)

# While it is imported, librosa compiles functions that are not used here, for up to a minute.
with pytest.MonkeyPatch.context() as patch:
    for name in ("vectorize", "guvectorize"):
        patch.setattr(numba, name, lambda *_, **__: lambda function: function)
    from librosa import filters, stft
    from librosa.feature import melspectrogram

SIGNALS = {
    "noise": np.random.default_rng(0).normal(0, 0.2, 160_000).astype(np.float32),
    "music": music(12, 16_000),
    "quiet music": 1e-3 * music(5, 16_000),
    "silence": np.zeros(50_000, np.float32),
    "offset": np.full(40_000, 0.9, np.float32),
    "one sample": np.ones(1, np.float32),
    "less than a window": music(0.02, 16_000),
    "just a window": music(1, 16_000)[:1024],
    "just a chunk": music(3, 16_000)[: 1024 + 63 * 500],
}
CONFIGS = {
    "default": FeatureConfig(),
    "hop 512": FeatureConfig(hop=512),
    "few bands": FeatureConfig(mels=40, fmin=50, fmax=7000),
    "whole window": FeatureConfig(n_fft=1024, window=1024, hop=256, mels=60),
    "odd": FeatureConfig(sample_rate=22_050, window=999, hop=441, mels=97, fmax=11_025),
}


def librosa_log_mel(samples, config):
    spectrum = stft(
        samples,
        n_fft=config.n_fft,
        win_length=config.window,
        hop_length=config.hop,
        center=True,
        pad_mode="constant",
    )
    mel = melspectrogram(
        S=np.abs(spectrum),
        sr=config.sample_rate,
        n_mels=config.mels,
        fmin=config.fmin,
        fmax=config.fmax,
    )
    return np.log(mel + np.finfo(np.float32).eps).T


def librosa_filters(config):
    return filters.mel(
        sr=config.sample_rate,
        n_fft=config.n_fft,
        n_mels=config.mels,
        fmin=config.fmin,
        fmax=config.fmax,
    )


@pytest.mark.filterwarnings("ignore:n_fft=.* is too large:UserWarning")
@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.slow
def test_equals_librosa(signal, config):
    samples, config = SIGNALS[signal], CONFIGS[config]
    frames = log_mel(samples, config)
    assert frames.dtype == np.float32
    np.testing.assert_allclose(frames, librosa_log_mel(samples, config), rtol=0, atol=2e-4)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_filters_equal_librosa(config):
    np.testing.assert_allclose(mel_filters(config).T, librosa_filters(config), atol=1e-7)


@pytest.mark.parametrize("hop", [500, 512])
@pytest.mark.parametrize("samples", [1, 2, 499, 500, 511, 512, 1023, 1024, 1025, 32_524, 48_000])
def test_number_of_frames(samples, hop):
    config = FeatureConfig(hop=hop)
    frames = log_mel(music(3, 16_000)[:samples], config)
    assert frames.shape == (1 + samples // hop, 128)


def test_no_samples_give_no_frames():
    assert log_mel(np.empty(0, np.float32)).shape == (0, 128)


CHROMA = {
    "default": FeatureConfig(chroma=True),
    "other rates": FeatureConfig(
        sample_rate=22_050, window=1050, hop=525, fmax=11_025, chroma=True
    ),
}


@pytest.mark.parametrize("config", CHROMA.values(), ids=CHROMA)
def test_chroma_equals_librosa(config):
    rate, half = config.sample_rate, config.sample_rate // 2
    samples = music(4, rate)[: 7 * half + 1234]
    frames = log_mel(samples, config)
    plain = log_mel(samples, replace(config, chroma=False))
    np.testing.assert_allclose(frames[:, : config.mels], plain, atol=1e-5)
    n_fft = 1 << (half - 1).bit_length()
    bank = filters.chroma(sr=rate, n_fft=n_fft, tuning=0)
    hertz = np.fft.rfftfreq(n_fft, 1 / rate)
    bank[:, (hertz < 55) | (hertz >= 4000)] = 0
    hann = filters.get_window("hann", half)
    spectrum = np.fft.rfft(samples[: 7 * half].reshape(7, half) * hann / hann.sum(), n_fft)
    wanted = np.log(np.abs(spectrum) ** 2 @ bank.T + 1e-10)
    per_half = config.frames_per_row // 2
    chroma = frames[: 7 * per_half, config.mels :].reshape(7, per_half, 12)
    np.testing.assert_allclose(chroma, np.repeat(wanted[:, None], per_half, 1), atol=2e-4)


@pytest.mark.parametrize("chunk", [1, 16, 20, 64])
@pytest.mark.parametrize("config", CHROMA.values(), ids=CHROMA)
def test_chroma_of_blocks_is_that_of_one_piece(config, chunk):
    samples = music(4.3, config.sample_rate)
    blocks = np.array_split(samples, 13)
    chunks = list(log_mel_stream(blocks, config, chunk))
    np.testing.assert_allclose(np.concatenate(chunks), log_mel(samples, config), atol=1e-5)


@pytest.mark.parametrize(
    "wrong", [{"hop": 512}, {"window": 900}, {"sample_rate": 4000, "hop": 125, "fmax": 2000}]
)
def test_chroma_that_cannot_be_computed_is_refused(wrong):
    FeatureConfig(**wrong)
    with pytest.raises(ValueError, match="chroma needs 8000 Hz or more, an even number of frames"):
        FeatureConfig(**wrong, chroma=True)


def test_silence_is_its_constant():
    assert set(log_mel(np.zeros(20_000, np.float32)).ravel()) == {FeatureConfig().silence}


@pytest.mark.filterwarnings("ignore:Empty filters:UserWarning")
def test_more_bands_than_bins():
    config = FeatureConfig(n_fft=256, window=256, mels=256)
    frames = log_mel(music(1, 16_000), config)
    empty = ~mel_filters(config).any(axis=0)
    assert empty.any()
    assert np.all(frames[:, empty] == config.silence)
    np.testing.assert_allclose(frames, librosa_log_mel(music(1, 16_000), config), atol=2e-4)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 80_000), max_size=10), st.integers(1, 80_000))
def test_stream_equals_one_piece(cuts, length):
    samples = music(5, 16_000)[:length]
    blocks = np.split(samples, sorted(cut for cut in cuts if cut < length))
    streamed = np.concatenate(list(log_mel_stream(blocks, FeatureConfig())))
    np.testing.assert_array_equal(streamed, log_mel(samples))


@pytest.mark.parametrize("size", [1, 7, 499, 1_000, 33_333])
def test_equal_blocks_equal_one_piece(size):
    samples = music(2.5, 16_000)
    blocks = [samples[start : start + size] for start in range(0, len(samples), size)]
    chunks = list(log_mel_stream(blocks, FeatureConfig()))
    assert max(map(len, chunks)) <= 64
    np.testing.assert_array_equal(np.concatenate(chunks), log_mel(samples))


def test_frames_that_were_given_out_do_not_change():
    stream = log_mel_stream([music(12, 16_000)], FeatureConfig())
    first = next(stream)
    copy = first.copy()
    list(stream)
    np.testing.assert_array_equal(first, copy)


def test_two_streams_at_once():
    one, other = music(6, 16_000), music(6, 16_000, seed=1)
    streams = [log_mel_stream([samples], FeatureConfig()) for samples in (one, other)]
    pairs = list(zip(*streams, strict=True))
    np.testing.assert_array_equal(np.concatenate([pair[0] for pair in pairs]), log_mel(one))
    np.testing.assert_array_equal(np.concatenate([pair[1] for pair in pairs]), log_mel(other))


def test_a_tone_is_in_its_band():
    config = FeatureConfig()
    for hertz in (200, 440, 1_000, 3_000, 7_000):
        frames = log_mel(tone(1, 16_000, hertz=hertz).astype(np.float32), config)
        bin_ = round(hertz * config.n_fft / config.sample_rate)
        assert frames[10].argmax() in np.argsort(mel_filters(config)[bin_])[-2:]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_stream():
    block = music(1, 16_000)

    def peak(seconds):
        gc.collect()
        tracemalloc.start()
        for _ in log_mel_stream((block for _ in range(seconds)), FeatureConfig()):
            pass
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(5)
    assert peak(600) < 1.05 * peak(60) + 50_000


def test_file(sound_file):
    samples = 0.5 * music(4, 16_000)
    path = sound_file("a.wav", samples, 16_000, subtype="FLOAT")
    plain = np.concatenate(list(file_log_mel(path, FeatureConfig())))
    np.testing.assert_allclose(plain, log_mel(samples), atol=1e-6)
    config = FeatureConfig(normalise_peak=True)
    loudest = np.concatenate(list(file_log_mel(path, config)))
    np.testing.assert_allclose(loudest, log_mel(samples / np.abs(samples).max()), atol=1e-4)


def test_peak_of_silence(sound_file):
    path = sound_file("a.wav", np.zeros(16_000), 16_000)
    config = FeatureConfig(normalise_peak=True)
    frames = np.concatenate(list(file_log_mel(path, config)))
    assert np.all(frames == config.silence)


@given(st.integers(0, 100_000), st.sampled_from([500, 512, 441, 333]))
def test_a_row_starts_with_the_first_frame_of_its_second(row, hop):
    config = FeatureConfig(hop=hop)
    start = config.row_start(row)
    assert (start - 1) * hop < row * config.sample_rate <= start * hop
    assert config.row_start(row + 1) - start in (config.frames_per_row, config.frames_per_row + 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": 0},
        {"window": 4096},
        {"hop": 0},
        {"hop": 16_001},
        {"fmin": -1},
        {"fmin": 9000},
        {"fmax": 8001},
    ],
)
def test_impossible_configs(wrong):
    with pytest.raises(ValueError, match=r"must be|must give|need"):
        FeatureConfig(**wrong)


def test_config_survives_a_round_trip():
    config = FeatureConfig(hop=512, normalise_peak=True)
    assert FeatureConfig(**config.as_dict()) == config
