"""What is not audio is refused in one line, and no file leads to another file or an address."""

import os
import pickle
import socket
import threading
from pathlib import Path

import numpy as np
import pytest

from helpers.decoded import RATE, id3, read, refusal
from helpers.sounds import music, tone
from quadpred.audio import AudioError, probe, read_blocks

UNREADABLE = (
    "not audio that quadpred can read, or damaged at its start; "
    "convert it to wav or flac, or copy it again"
)


def test_no_such_file(tmp_path):
    assert refusal(tmp_path / "a.wav") == "no such file"


def test_broken_link(tmp_path):
    (tmp_path / "a.wav").symlink_to("gone.wav")
    reason = "is a broken link; mount or restore its target, or remove it"
    assert refusal(tmp_path / "a.wav") == reason


@pytest.mark.parametrize("address", ["http://127.0.0.1/a.mp3", "https://a/b", "file:///a.mp3"])
def test_address(address):
    assert refusal(address) == "is an address; download the file and give its path"


def test_folder(tmp_path):
    assert refusal(tmp_path) == "is a folder; name a file"


def test_empty_file(tmp_path):
    (tmp_path / "a.wav").touch()
    assert refusal(tmp_path / "a.wav") == "is empty; copy or download it again"


def test_path_through_a_file(tmp_path):
    (tmp_path / "a").touch()
    assert refusal(tmp_path / "a" / "b.wav") == "cannot be opened (Not a directory)"


def test_path_with_a_zero_byte():
    with pytest.raises(AudioError, match="not a valid path"):
        list(read_blocks("a\0b.wav", RATE))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipe_device_and_socket(tmp_path, monkeypatch):
    reason = "is a pipe, a socket or a device, not a file; save its audio as a file"
    os.mkfifo(tmp_path / "a.wav")
    assert refusal(tmp_path / "a.wav") == reason
    assert refusal(Path(os.devnull)) == reason
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("b.wav")
        assert refusal("b.wav") == reason


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
    with pytest.raises(AudioError, match="no permission to read it"):
        list(read_blocks(path, RATE))


def test_truncated_to_its_header(sound_file):
    path = sound_file("a.flac", music(5, 44_100), 44_100)
    path.write_bytes(path.read_bytes()[:300])
    assert refusal(path) in {"holds no samples", UNREADABLE}


def test_header_without_samples(sound_file):
    assert refusal(sound_file("a.wav", np.zeros(0), RATE)) == "holds no samples"


def test_one_sample(sound_file):
    path = sound_file("a.wav", np.zeros(1), 44_100)
    assert refusal(path) == "too short: not one sample after resampling"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(sound_file, value):
    samples = tone(3, 44_100)
    samples[50_000] = value
    path = sound_file("a.wav", samples, 44_100, subtype="FLOAT")
    assert refusal(path) == "holds samples that are not finite numbers"


def test_damaged_floats(sound_file):
    path = sound_file("a.wav", np.full(RATE, 3e38, np.float32), RATE, subtype="FLOAT")
    assert (
        refusal(path) == "holds samples as large as 3e+38, where 1 is full scale; export it again"
    )


def test_rates_that_are_not_supported(sound_file):
    path = sound_file("a.wav", np.zeros(100), 500)
    assert refusal(path) == "a sample rate of 500 Hz is not supported; convert it to 44100 Hz"


def test_too_many_channels(sound_file):
    path = sound_file("a.wav", np.zeros((100, 65)), RATE)
    assert refusal(path) == "65 channels are not supported, 1 to 64 are; convert it to stereo"


def test_film_without_sound(tmp_path):
    import av

    path = tmp_path / "a.mp4"
    with av.open(path, "w") as file:
        stream = file.add_stream("mpeg4", 5, width=64, height=64)
        file.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")) + stream.encode(None))
    assert refusal(path) == "has no audio track; choose another file"
    with pytest.raises(AudioError, match="has no audio track"):
        probe(path)


NOT_AUDIO = {
    "text.mp3": b"The quick brown fox. " * 300,
    "utf16.mp3": ("The quick brown fox. " * 300).encode("utf-16"),
    "text.wav": b"Not a wav. " * 300,
    "text.au": b"Not an au. " * 300,
    "text.raw": b"raw " * 300,
    "page.mp3": b"<!DOCTYPE html><html>" + b"<p>404</p>" * 300,
    "tagged.mp3": id3(10) + b"The quick brown fox." * 300,
    "zeros.mp3": bytes(50_000),
    "ones.mp3": b"\xff" * 50_000,
    "one.mp3": b"x",
}


@pytest.mark.parametrize("name", NOT_AUDIO)
def test_not_audio(tmp_path, name, capfd):
    (tmp_path / name).write_bytes(NOT_AUDIO[name])
    assert refusal(tmp_path / name) in {UNREADABLE, "holds no samples"}
    assert capfd.readouterr() == ("", "")


# References to other files and to addresses


@pytest.fixture
def secret(encode):
    """A file that playlists would play, if they were followed."""
    return encode("secret.aac", music(3, 44_100), 44_100, "aac").name


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:3,\n{}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile {}\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT3S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011">'
    '<Period><AdaptationSet mimeType="audio/aac"><Representation id="a" bandwidth="1">'
    "<BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {} RTP/AVP 0\n",
    "asx": '<asx version="3.0"><entry><ref href="{}"/></entry></asx>',
    "ram": "rtsp://127.0.0.1/{}\n",
    "asf reference": "[Reference]\r\nRef1={}\r\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("name", ["a.m4a", "a.m3u8", "a.mpd", "a.sdp", "%03d.wav"])
def test_playlist_is_not_followed(tmp_path, secret, kind, name):
    (tmp_path / name).write_text(PLAYLISTS[kind].format(secret))
    assert refusal(tmp_path / name) in {UNREADABLE, "holds no samples"}


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


@pytest.mark.parametrize("kind", [b"alis", b"url "])
def test_data_reference_of_a_mov_is_not_followed(encode, tmp_path, monkeypatch, kind):
    """A mov may say that its samples are in another file."""
    monkeypatch.chdir(tmp_path)
    path = encode("a.mov", music(3, 44_100), 44_100, "pcm_s16le")
    data = bytearray(path.read_bytes())
    path.rename("secret.mov")
    at = data.find(b"dref") - 4
    name = b"secret.mov"
    if kind == b"url ":
        entry = kind + bytes(4) + b"file://" + os.fsencode(tmp_path) + b"/" + name + b"\0"
    else:
        # An alias record (QTFF): volume, folder, and a relative path as its last field.
        record = bytes(4) + (150 + 4 + len(name)).to_bytes(2, "big") + (2).to_bytes(2, "big")
        record = record.ljust(50, b"\0") + bytes([len(name)]) + name.ljust(63, b"\0")
        record = record.ljust(130, b"\0") + b"\0\1\0\1" + bytes(16)
        record += (18).to_bytes(2, "big") + len(name).to_bytes(2, "big") + name
        entry = kind + bytes(4) + record + b"\xff\xff\0\0"
    entry = (len(entry) + 4).to_bytes(4, "big") + entry
    reference = b"dref" + bytes(4) + (1).to_bytes(4, "big") + entry
    reference = (len(reference) + 4).to_bytes(4, "big") + reference
    grown = len(reference) - int.from_bytes(data[at : at + 4], "big")
    for box in (b"dinf", b"minf", b"mdia", b"trak", b"moov"):
        start = data.rfind(box, 0, at) - 4
        size = int.from_bytes(data[start : start + 4], "big") + grown
        data[start : start + 4] = size.to_bytes(4, "big")
    data[at : at + int.from_bytes(data[at : at + 4], "big")] = reference
    start = data.find(b"mdat") - 4
    data[start + 8 : start + int.from_bytes(data[start : start + 4], "big")] = bytes(
        int.from_bytes(data[start : start + 4], "big") - 8
    )
    path.write_bytes(data)
    try:
        samples = read(path)
    except AudioError:
        return
    assert not samples.any()


# Names

HOSTILE = ["-i.mp3", "a\nb.wav", "http:x.wav", 'o\'clock "$(x)".wav', "%03d.wav", "caf\udce9.wav"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(sound_file, encode, tmp_path, monkeypatch, name):
    wav = sound_file("plain.wav", tone(1, RATE), RATE)
    m4a = encode("plain.m4a", tone(1, RATE), RATE, "aac")
    monkeypatch.chdir(tmp_path)
    try:
        m4a.rename(name)
    except (OSError, UnicodeError):
        pytest.skip("this file system refuses the name")
    assert len(read(name)) == pytest.approx(RATE, abs=1_100)
    wav.rename(name)
    assert len(read(name)) == RATE
    Path(name).write_bytes(b"nothing " * 99)
    refusal(name)


def test_error_is_one_printable_line():
    error = AudioError("a\nb\udcff\x1b[31m.mp3", "no such file")
    assert str(error) == r"a\nb\xff\x1b[31m.mp3: no such file"
    assert str(error).encode()


def test_error_survives_another_process():
    error = AudioError(Path("a.mp3"), "no such file")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.path, copy.reason) == (str(error), error.path, error.reason)


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.flac"])
def test_closing_early_frees_everything(sound_file, name):
    def used():
        folder = "/proc/self/fd"
        return len(os.listdir(folder)) if os.path.isdir(folder) else 0, threading.active_count()

    path = sound_file(name, music(20, 44_100), 44_100)  # several blocks
    before = used()
    blocks = read_blocks(path, RATE)
    next(blocks)
    blocks.close()
    assert used() == before
