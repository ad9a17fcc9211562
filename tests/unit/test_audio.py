import gc
import os
import pickle
import socket
import sys
import threading
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.sounds import music, tone
from quadpred import audio, sources
from quadpred.audio import (
    AudioError,
    AudioWarning,
    SecondLevels,
    read_blocks,
    resample,
    sample_blocks,
)

RATE = 16_000
PICTURES = ("-f", "lavfi", "-i", "testsrc=d=2:s=64x64")
NEEDS_FFMPEG = "other formats need ffmpeg, which is not installed"


def read(path, rate=RATE):
    """Decode a file that nothing is wrong with."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", AudioWarning)
        return np.concatenate(list(read_blocks(path, rate)))


def read_warned(path, match):
    with pytest.warns(AudioWarning, match=match) as caught:
        samples = np.concatenate(list(read_blocks(path, RATE)))
    assert len(caught) == 1
    assert caught[0].filename == __file__
    return samples


def refusal(path):
    """Read a file to its end, and return why that fails; the message is one line without jargon."""
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


@pytest.fixture
def no_ffmpeg(monkeypatch):
    monkeypatch.setattr(sources.shutil, "which", lambda name: None)


# Formats


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_wav(sound_file, rate, subtype):
    path = sound_file("a.wav", tone(2, rate), rate, subtype=subtype)
    assert_tone(read(path), 2, tolerance=6e-3 if subtype == "PCM_U8" else 1e-4, slack=1e-4)


@pytest.mark.parametrize(
    ("name", "rate", "options"),
    [
        ("a.flac", 44_100, {}),
        ("a.ogg", 44_100, {"subtype": "VORBIS"}),
        ("a.opus", 48_000, {"format": "OGG", "subtype": "OPUS"}),
        ("a.mp3", 44_100, {}),
        ("a.aiff", 44_100, {}),
        ("a.wav", 44_100, {"format": "WAVEX", "subtype": "PCM_24"}),
    ],
)
def test_libsndfile_reads(sound_file, name, rate, options):
    stereo = np.stack([tone(3, rate), tone(3, rate)], axis=1)
    assert_tone(read(sound_file(name, stereo, rate, **options)), 3, tolerance=5e-3, slack=0.06)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.m4a", ["-c:a", "aac"]),
        ("a.aac", []),
        ("a.wma", []),
        ("a.mp4", ["-c:a", "aac"]),
        ("a.mkv", ["-c:a", "aac"]),
        ("a.webm", ["-c:a", "libopus"]),
        ("a.ac3", []),
    ],
)
def test_ffmpeg_reads(sound_file, ffmpeg, name, options):
    wav = sound_file("a.wav", tone(3, 44_100), 44_100)
    assert_tone(read(ffmpeg(wav, name, *options)), 3, tolerance=1e-2, slack=0.1)


@pytest.mark.filterwarnings("error")
def test_times_of_packets_are_no_damage(sound_file, ffmpeg):
    """ffmpeg complains of two packets that begin at the same time, and loses nothing."""
    ogg = sound_file("a.ogg", np.stack([music(20, 44_100)] * 2, axis=1), 44_100)
    assert len(read(ffmpeg(ogg, "a.mkv", "-c:a", "libvorbis"))) == pytest.approx(
        20 * RATE, rel=0.01
    )


def test_film(sound_file, ffmpeg):
    wav = sound_file("a.wav", tone(2, 44_100), 44_100)
    film = ["-f", "lavfi", "-i", "testsrc=d=2:s=64x64"]
    assert_tone(
        read(ffmpeg(wav, "a.mp4", "-c:a", "aac", before=film)), 2, tolerance=1e-2, slack=0.1
    )


def test_channels_weigh_the_same(sound_file):
    levels = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.9])
    path = sound_file("a.wav", np.tile(levels, (RATE, 1)), RATE, format="WAVEX", subtype="FLOAT")
    np.testing.assert_allclose(read(path), 0.4, atol=1e-6)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
def test_result_does_not_depend_on_the_block(sound_file, monkeypatch, name):
    path = sound_file(name, np.stack([music(5, 44_100), music(5, 44_100, 1)], axis=1), 44_100)
    whole = read(path)
    monkeypatch.setattr(audio, "_BLOCK", 2_001)
    np.testing.assert_allclose(read(path), whole, atol=1e-6)


def test_memory_does_not_grow_with_the_file(sound_file):
    def peak(seconds):
        path = sound_file("long.wav", np.zeros(seconds * 8_000, np.int16), 8_000)
        gc.collect()
        tracemalloc.start()
        for _ in read_blocks(path, RATE):
            pass
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    short = peak(120)
    assert peak(1_200) < 1.1 * short + 100_000


# mp3


@pytest.fixture
def bursts(sound_file):
    """Silence, noise, silence, a second each: what a variable bit rate varies with."""
    noise = np.random.default_rng(0).normal(0, 0.2, (44_100, 2))
    quiet = tone(3, 44_100, gain=0.01)[:, None].repeat(2, axis=1)
    quiet[44_100:88_200] += noise
    return sound_file("bursts.wav", np.concatenate([quiet] * 2), 44_100)


RATES_OF_BITS = {"constant": ["-b:a", "128k"], "variable": ["-q:a", "5"]}


@pytest.mark.parametrize("xing", ["0", "1"])
@pytest.mark.parametrize("bits", RATES_OF_BITS)
def test_mp3_is_read_whole_without_a_warning(bursts, ffmpeg, xing, bits, capfd):
    path = ffmpeg(bursts, "a.mp3", *RATES_OF_BITS[bits], "-write_xing", xing)
    samples = read(path)
    assert len(samples) / RATE == pytest.approx(6, abs=0.06)
    delay = 0 if xing == "1" else 1105 / 44_100  # LAME's, which only the header tells of
    loud = [round((start + delay) * RATE) for start in (1, 4)]
    for start in loud:
        assert samples[start : start + RATE].std() > 0.07
        assert samples[start + RATE + 2_000 : start + RATE + 12_000].std() < 0.02
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("bits", RATES_OF_BITS)
def test_mp3_does_not_depend_on_the_block(bursts, ffmpeg, monkeypatch, bits):
    path = ffmpeg(bursts, "a.mp3", *RATES_OF_BITS[bits])
    whole = read(path)
    monkeypatch.setattr(audio, "_BLOCK", 2_001)
    np.testing.assert_allclose(read(path), whole, atol=1e-6)


@pytest.mark.parametrize("options", [["-ar", "16000"], ["-ar", "8000", "-ac", "1"], ["-ac", "1"]])
def test_mp3_of_other_rates(sound_file, ffmpeg, options):
    wav = sound_file("a.wav", np.stack([tone(3, 48_000)] * 2, axis=1), 48_000)
    samples = read(ffmpeg(wav, "a.mp3", *options))
    assert_tone(samples, 3, gain=0.475, tolerance=1e-2)  # LAME turns it down by a twentieth


def test_mp2(sound_file, ffmpeg):
    wav = sound_file("a.wav", tone(3, 48_000), 48_000)
    assert_tone(read(ffmpeg(wav, "a.mp2")), 3, tolerance=1e-2, slack=0.05)


def id3(size, footer=False):
    length = bytes(size >> shift & 127 for shift in (21, 14, 7, 0))
    tail = b"3DI" + bytes(7) if footer else b""
    return b"ID3\4\0" + (b"\x10" if footer else b"\0") + length + b"\xff\xfb" * (size // 2) + tail


@pytest.mark.parametrize(
    "wrap",
    [
        lambda mp3: id3(2_000_000) + mp3,
        lambda mp3: id3(100, footer=True) + id3(3_000) + mp3,
        lambda mp3: bytes(5_000) + mp3,
        lambda mp3: id3(100) + bytes(5_000) + mp3 + b"APETAGEX" + bytes(500) + b"TAG" + bytes(125),
        lambda mp3: b"\xff\xfb\x90\x64 junk " * 20 + mp3,
    ],
    ids=["big tag", "two tags", "padding", "tag and padding and tags", "false frames"],
)
def test_mp3_tags_and_padding_are_skipped(bursts, ffmpeg, wrap, capfd):
    path = ffmpeg(bursts, "a.mp3", "-id3v2_version", "0")
    whole = read(path)
    path.write_bytes(wrap(path.read_bytes()))
    np.testing.assert_array_equal(read(path), whole)
    assert capfd.readouterr() == ("", "")


def test_joined_mp3s_are_read_to_the_end(sound_file, ffmpeg):
    wav = sound_file("a.wav", music(5, 44_100), 44_100)
    path = ffmpeg(wav, "a.mp3", "-b:a", "192k")
    path.write_bytes(path.read_bytes() * 2)
    assert len(read(path)) / RATE == pytest.approx(10, abs=0.3)


def test_mp3_cut_out_of_a_stream(bursts, ffmpeg):
    path = ffmpeg(bursts, "a.mp3", "-b:a", "128k", "-write_xing", "0")
    data = path.read_bytes()
    path.write_bytes(data[1_000:])
    assert len(read(path)) / RATE == pytest.approx(6, abs=0.15)


@pytest.mark.parametrize("damage", ["noise", "zeros", "more"])
def test_damage_in_an_mp3_is_stepped_over(bursts, ffmpeg, damage):
    path = ffmpeg(bursts, "a.mp3", "-b:a", "128k")
    data, middle = path.read_bytes(), path.stat().st_size // 2
    noise = bytes(4_000) if damage == "zeros" else np.random.default_rng(0).bytes(4_000)
    path.write_bytes(data[:middle] + noise + data[middle + 4_000 * (damage != "more") :])
    samples = read_warned(path, r"a\.mp3: decoded [56]\.\d (of 6\.0 )?seconds, others are damaged")
    assert len(samples) / RATE == pytest.approx(6, abs=0.5)


def test_false_headers_in_damage_are_not_frames(bursts, ffmpeg):
    path = ffmpeg(bursts, "a.mp3", "-b:a", "128k", "-write_xing", "0", "-id3v2_version", "0")
    whole, data, middle = read(path), path.read_bytes(), path.stat().st_size // 2
    false = (data[:4] + b"this is not a frame") * 200
    path.write_bytes(data[:middle] + false + data[middle:])
    assert len(read_warned(path, r"a\.mp3: decoded 6\.0 seconds, others")) == len(whole)


# Cut short


@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.flac", "a.mp3"])
def test_truncated(sound_file, name, capfd):
    path = sound_file(name, music(10, 44_100), 44_100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    text = rf"{name}: decoded [45]\.\d of 10\.0 seconds, others are damaged or missing"
    samples = read_warned(path, text)
    assert 4.5 < len(samples) / RATE < 5.5
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_truncated_ogg(sound_file, subtype):
    path = sound_file("a.ogg", music(10, 48_000), 48_000, subtype=subtype)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    samples = read_warned(path, r"a\.ogg: decoded \d\.\d seconds, others are damaged or missing")
    assert 3 < len(samples) / RATE < 6


def test_truncated_in_ffmpeg(sound_file, ffmpeg):
    wav = sound_file("a.wav", music(10, 44_100), 44_100)
    path = ffmpeg(wav, "a.m4a", "-c:a", "aac", "-movflags", "faststart")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    samples = read_warned(path, r"a\.m4a: decoded \d\.\d seconds, others are damaged or missing")
    assert 4 < len(samples) / RATE < 6


@pytest.fixture
def secret(sound_file, ffmpeg):
    """Files that playlists would play, if they were believed."""
    wav = sound_file("secret.wav", music(3, 44_100), 44_100)
    return ffmpeg(wav, "secret.aac", "-c:a", "aac").name


HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:3,\n{}\n#EXT-X-ENDLIST\n"
PLAYLISTS = {
    "hls": HLS,
    "concat": "ffconcat version 1.0\nfile {}\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT3S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011">'
    '<Period><AdaptationSet mimeType="audio/aac"><Representation id="a" bandwidth="1">'
    "<BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {} RTP/AVP 0\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("name", ["a.m4a", "a.m3u8", "a.mpd", "a.sdp"])
def test_playlist_is_not_followed(tmp_path, secret, kind, name):
    """Who sends a list of files must not hear of files that are not theirs."""
    (tmp_path / name).write_text(PLAYLISTS[kind].format(secret))
    assert refusal(tmp_path / name) == "not audio that libsndfile or ffmpeg can read"


@pytest.mark.usefixtures("secret")
def test_address_is_not_asked(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/secret.aac"
        for playlist in PLAYLISTS.values():
            (tmp_path / "a.m3u8").write_text(playlist.format(address))
            refusal(tmp_path / "a.m3u8")
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_wav_whose_header_was_never_completed(sound_file):
    path = sound_file("a.wav", tone(2, RATE), RATE)
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = b"\xff" * 4
    path.write_bytes(data)
    assert_tone(read(path), 2)


def test_a_few_missing_samples_are_not_worth_a_word(sound_file):
    path = sound_file("a.wav", tone(2, RATE), RATE)
    path.write_bytes(path.read_bytes()[:-1_000])
    assert_tone(read(path), 2, slack=0.05)


def test_truncated_to_its_header(sound_file):
    path = sound_file("a.flac", music(5, 44_100), 44_100)
    path.write_bytes(path.read_bytes()[:300])
    assert refusal(path) == "holds no samples"


# Refused


def test_no_such_file(tmp_path):
    assert refusal(tmp_path / "a.wav") == "no such file"


def test_folder(tmp_path):
    assert refusal(tmp_path) == "is a folder"


def test_empty_file(tmp_path):
    (tmp_path / "a.wav").touch()
    assert refusal(tmp_path / "a.wav") == "is empty"


def test_path_through_a_file(tmp_path):
    (tmp_path / "a").touch()
    assert refusal(tmp_path / "a" / "b.wav") == "cannot be opened (Not a directory)"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipe_and_device(tmp_path):
    os.mkfifo(tmp_path / "a.wav")
    assert refusal(tmp_path / "a.wav") == "is a pipe, a socket or a device, not a file"
    assert refusal(Path(os.devnull)) == "is a pipe, a socket or a device, not a file"


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root may read everything")
def test_no_permission(sound_file):
    path = sound_file("a.wav", tone(1, RATE), RATE)
    path.chmod(0)
    assert refusal(path) == "no permission to read it"


def test_no_permission_as_root(sound_file, monkeypatch):
    def deny(*_, **__):
        raise PermissionError(13, "Permission denied")

    path = sound_file("a.wav", tone(1, RATE), RATE)
    monkeypatch.setattr("builtins.open", deny)
    assert refusal(path) == "no permission to read it"


@pytest.mark.parametrize("name", ["a.wav", "a.ogg"])
def test_no_samples(sound_file, name):
    assert refusal(sound_file(name, np.empty((0, 2)), RATE)) == "holds no samples"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channel", [0, 1])
def test_not_finite(sound_file, value, channel):
    samples = np.zeros((5 * RATE, 2))
    samples[4 * RATE, channel] = value
    path = sound_file("a.wav", samples, RATE, subtype="FLOAT")
    assert refusal(path) == "holds samples that are not finite numbers"


def test_samples_that_no_recorder_writes(sound_file):
    """They are finite, and what is computed from them would not be."""
    path = sound_file("a.wav", np.full(RATE, 1e38, np.float32), RATE, subtype="FLOAT")
    assert refusal(path) == "holds samples as large as 1e+38"
    integers = sound_file(
        "b.wav", (2.0**31 * tone(1, RATE)).astype(np.float32), RATE, subtype="FLOAT"
    )
    assert np.isfinite(read(integers)).all()


@pytest.mark.parametrize("rate", [1, 999, 2_000_000])
def test_sample_rate(sound_file, rate):
    path = sound_file("a.wav", np.zeros(10), rate)
    assert refusal(path) == f"a sample rate of {rate} Hz is not supported"


def wav_without(sound_file, offset):
    path = sound_file("a.wav", np.zeros(10), RATE)
    data = bytearray(path.read_bytes())
    data[offset : offset + 2] = bytes(2)
    path.write_bytes(data)
    return path


@pytest.mark.usefixtures("no_ffmpeg")
def test_header_without_channels(sound_file):
    assert refusal(wav_without(sound_file, 22)).startswith("not audio that libsndfile can read")


NOT_AUDIO = {
    "text.mp3": b"The quick brown fox jumps over the lazy dog.\n" * 300,
    "utf16.mp3": ("The quick brown fox.\n" * 300).encode("utf-16"),
    "text.wav": b"Not a wav. " * 300,
    "text.au": b"Not an au. " * 300,
    "text.raw": b"raw " * 300,
    "page.mp3": b"<!DOCTYPE html><html>" + b"<p>404</p>" * 300,
    "tagged.mp3": id3(10) + b"The quick brown fox." * 300,
    "noise.mp3": b"\xff\xfb\x90\x64" + np.random.default_rng(0).bytes(100_000),
    "zeros.mp3": bytes(50_000),
    "one.mp3": b"x",
}


@pytest.mark.usefixtures("no_ffmpeg")
@pytest.mark.parametrize("name", NOT_AUDIO)
def test_not_audio_without_ffmpeg(tmp_path, name):
    (tmp_path / name).write_bytes(NOT_AUDIO[name])
    expected = (
        "not audio that libsndfile can read; other formats need ffmpeg, which is not installed"
    )
    assert refusal(tmp_path / name) == expected


@pytest.mark.usefixtures("ffmpeg")
@pytest.mark.parametrize("name", sorted(set(NOT_AUDIO) - {"text.raw", "noise.mp3"}))
def test_not_audio(tmp_path, name):
    (tmp_path / name).write_bytes(NOT_AUDIO[name])
    assert refusal(tmp_path / name) == "not audio that libsndfile or ffmpeg can read"


def test_other_format_without_ffmpeg(sound_file, ffmpeg, request):
    path = ffmpeg(sound_file("a.wav", tone(1, RATE), RATE), "a.m4a", "-c:a", "aac")
    request.getfixturevalue("no_ffmpeg")
    assert refusal(path).endswith(NEEDS_FFMPEG)


def test_film_without_sound(sound_file, ffmpeg):
    wav = sound_file("a.wav", tone(1, RATE), RATE)
    film = ffmpeg(wav, "a.mp4", "-map", "0:v", before=PICTURES)
    assert refusal(film) == "has no audio track"


# Names

HOSTILE = ["-i.mp3", "a\nb.wav", "http:x.wav", 'o\'clock "$(x)".wav', "%03d.wav", "caf\udce9.wav"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(sound_file, ffmpeg, tmp_path, monkeypatch, name):
    wav = sound_file("plain.wav", tone(1, RATE), RATE)
    m4a = ffmpeg(wav, "plain.m4a", "-c:a", "aac")
    monkeypatch.chdir(tmp_path)
    try:
        m4a.rename(name)
    except (OSError, UnicodeError):
        pytest.skip("this file system refuses the name")
    assert len(read(name)) == pytest.approx(RATE, abs=500)
    wav.rename(name)
    assert len(read(name)) == RATE
    Path(name).write_bytes(b"nothing " * 99)
    refusal(name)


def test_error_is_one_printable_line():
    error = AudioError("a\nb\udcff\x1b[31m.mp3", "no such file")
    assert str(error) == r"a\nb\udcff\x1b[31m.mp3: no such file"
    assert str(error).encode()


def test_error_survives_another_process():
    error = AudioError(Path("a.mp3"), "no such file")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.path, copy.reason) == (str(error), error.path, error.reason)


# What is left behind


def descriptors():
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.m4a"])
@pytest.mark.slow
def test_closing_early_frees_everything(sound_file, ffmpeg, monkeypatch, name):
    wav = sound_file("plain.wav", music(60, 44_100), 44_100)
    path = ffmpeg(wav, name)
    started = []

    class Popen(sources.Popen):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            started.append(self)

    monkeypatch.setattr(sources, "Popen", Popen)
    before = descriptors(), threading.active_count()
    blocks = read_blocks(path, RATE)
    next(blocks)
    if name == "a.m4a":
        assert started[0].poll() is None, "too short a file to be closed early"
    blocks.close()
    assert (descriptors(), threading.active_count()) == before
    assert all(process.returncode is not None for process in started)


def fake_ffmpeg(folder, monkeypatch, body):
    program = folder / "ffmpeg"
    program.write_text(f"#!{sys.executable}\nimport sys, time\n{body}")
    program.chmod(0o755)
    monkeypatch.setattr(sources.shutil, "which", lambda name: str(program))
    (folder / "a.xyz").write_bytes(b"something that needs ffmpeg")
    return folder / "a.xyz"


AU = "b'.snd' + bytes([0,0,0,24, 255,255,255,255, 0,0,0,6, 0,0,62,128, 0,0,0,1])"
posix = pytest.mark.skipif(os.name != "posix", reason="scripts are no programs here")


@posix
def test_a_flood_of_messages_stops_nothing(tmp_path, monkeypatch):
    body = f"""
sys.stdout.buffer.write({AU} + bytes(4 * 16_000))
sys.stdout.flush()
for _ in range(20_000): sys.stderr.write('something is wrong\\n' * 10)
sys.stdout.buffer.write(bytes(4 * 16_000))
"""
    path = fake_ffmpeg(tmp_path, monkeypatch, body)
    assert len(read_warned(path, r"decoded 2\.0 seconds, others")) == 2 * RATE


@posix
def test_a_child_that_fails_is_reported(tmp_path, monkeypatch):
    body = f"sys.stdout.buffer.write({AU} + bytes(4 * 16_000)); sys.stdout.flush(); sys.exit(3)"
    path = fake_ffmpeg(tmp_path, monkeypatch, body)
    assert len(read_warned(path, r"decoded 1\.0 seconds, others")) == RATE


@posix
def test_a_child_that_never_ends_is_killed(tmp_path, monkeypatch):
    body = f"""
sys.stdout.buffer.write({AU} + bytes(8 * {audio._BLOCK}))
sys.stdout.flush()
time.sleep(1_000)
"""
    blocks = read_blocks(fake_ffmpeg(tmp_path, monkeypatch, body), RATE)
    next(blocks)
    blocks.close()


# Resampling


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 30_000), max_size=8), st.sampled_from([8_000, 44_100, 48_000]))
def test_resampling_in_blocks_equals_one_piece(cuts, rate):
    samples = music(1, rate)
    blocks = np.split(samples, sorted(cut for cut in cuts if cut < len(samples)))
    streamed = np.concatenate(list(resample(blocks, rate, RATE)))
    np.testing.assert_allclose(streamed, soxr.resample(samples, rate, RATE), atol=1e-4)


def test_resampling_to_the_same_rate_changes_nothing():
    block = music(1, RATE)
    assert next(resample([block], RATE, RATE)) is block


# Arrays


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


SHAPES = "must have the shape (samples,) or (samples, channels)"


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        ([], "there are none"),
        (np.empty((0, 2)), "there are none"),
        (np.empty((5, 0)), "there are none"),
        (np.float32(0.5), "must have the shape (samples,) or (samples, channels), not ()"),
        (
            np.zeros((2, 3, 4)),
            "must have the shape (samples,) or (samples, channels), not (2, 3, 4)",
        ),
        (
            np.zeros((2, 9_000)),
            "must have the shape (samples,) or (samples, channels), not (2, 9000)",
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


# Silence


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
