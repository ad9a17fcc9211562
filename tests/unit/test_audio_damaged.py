"""Damage is skipped and reported once; sizes that were never filled in are not damage."""

import numpy as np
import pytest

from helpers.decoded import RATE, assert_tone, read, read_warned, refusal
from helpers.sounds import music, tone

MISSING = r"decoded \d+\.\d+ (of \d+\.\d+ )?seconds, (the rest|more) is damaged or missing"


@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.flac", "a.mp3", "a.au", "a.caf", "a.w64"])
def test_truncated(sound_file, name, capfd):
    path = sound_file(name, music(10, 44_100), 44_100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    text = rf"{name}: decoded [45]\.\d of (10\.0|9\.9) seconds, the rest is damaged or missing"
    samples = read_warned(path, text)
    assert 4.5 < len(samples) / RATE < 5.5
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_truncated_ogg(sound_file, subtype):
    path = sound_file("a.ogg", music(10, 48_000), 48_000, subtype=subtype)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 3 < len(read_warned(path, rf"a\.ogg: {MISSING}")) / RATE < 6


@pytest.mark.parametrize(
    ("name", "codec", "container"),
    [
        ("a.m4a", "aac", {"movflags": "faststart"}),
        ("a.mka", "aac", {}),
        ("a.wv", "wavpack", {}),
        ("a.tta", "tta", {}),
    ],
)
def test_truncated_containers(encode, name, codec, container):
    path = encode(name, music(10, 44_100), 44_100, codec, container=container)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 3.5 < len(read_warned(path, MISSING)) / RATE < 6.5


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp3", "libmp3lame"), ("a.flac", "flac"), ("a.ogg", "libvorbis"), ("a.m4a", "aac")],
)
@pytest.mark.parametrize("damage", ["noise", "zeros"])
def test_damage_in_the_middle(encode, name, codec, damage):
    if codec == "libvorbis":
        codec = "libopus"
    path = encode(name, music(10, 48_000), 48_000, codec)
    data, middle = path.read_bytes(), path.stat().st_size // 2
    size = 30_000 if name == "a.flac" else 4_000
    filler = bytes(size) if damage == "zeros" else np.random.default_rng(0).bytes(size)
    path.write_bytes(data[:middle] + filler + data[middle + size :])
    samples = read_warned(path, rf"{name}: {MISSING}")
    assert 7.5 < len(samples) / RATE < 10.2


def test_one_damaged_flac_frame_costs_no_other(sound_file):
    path = sound_file("a.flac", music(20, 44_100), 44_100)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 20] = np.random.default_rng(1).bytes(20)
    path.write_bytes(data)
    samples = read_warned(path, r"a\.flac: decoded 19\.\d+ of 20\.\d+ seconds")
    assert len(samples) / RATE > 19.7


def test_an_mp3_that_promises_too_much_is_whole(encode):
    """Its Xing header counts more frames than its bytes can hold."""
    path = encode("a.mp3", music(5, 44_100), 44_100, "libmp3lame")
    data = bytearray(path.read_bytes())
    at = max(data.find(b"Xing"), data.find(b"Info")) + 8
    data[at : at + 4] = (10**6).to_bytes(4, "big")
    path.write_bytes(data)
    assert len(read(path)) / RATE == pytest.approx(5, abs=0.1)


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFFFFF - 36])
def test_wav_whose_header_was_never_completed(sound_file, size):
    path = sound_file("a.wav", tone(2, RATE), RATE)
    data = bytearray(path.read_bytes())
    data[40:44] = size.to_bytes(4, "little")
    path.write_bytes(data)
    assert_tone(read(path), 2)


def test_a_few_missing_samples_are_not_reported(sound_file):
    path = sound_file("a.wav", tone(2, RATE), RATE)
    path.write_bytes(path.read_bytes()[:-1_000])
    assert_tone(read(path), 2, slack=0.05)


def test_floats_that_are_integers_are_reported(sound_file):
    path = sound_file("a.wav", 20_000 * tone(2, RATE), RATE, subtype="FLOAT")
    read_warned(path, r"samples reach 10000, full scale is 1; .*Divide them by 32768")


@pytest.mark.parametrize("bits", [50, 60, 62])
def test_a_chunk_that_ends_beyond_any_file_is_quiet(sound_file, bits, capfd):
    path = sound_file("a.caf", tone(1, 44_100), 44_100)
    data = path.read_bytes()
    end = data.index(b"desc") + 12 + 32
    path.write_bytes(data[:end] + b"info" + (1 << bits).to_bytes(8, "big") + data[end:])
    refusal(path)
    assert capfd.readouterr() == ("", "")
