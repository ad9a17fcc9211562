import errno
import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import eyed3
import mutagen
import pytest
import soundfile
from mutagen.apev2 import APEv2
from mutagen.id3 import ID3, TIT2, TMOO, TPE1, TXXX
from mutagen.mp4 import MP4
from typer.testing import CliRunner

from helpers.full_disk import large_files_refused
from helpers.sounds import music, tone
from helpers.tiny_model import write_model
from quadpred.audio import NOT_REGULAR
from quadpred.cli.app import app
from quadpred.files import sha256_of
from quadpred.library.artists import artist_of
from quadpred.library.fingerprint import audio_sha256
from quadpred.library.rawtags.items import COMMENT
from quadpred.library.tags import (
    AROUSAL,
    MOOD,
    UNDO,
    VALENCE,
    ExistingTagError,
    TagError,
    read_tags,
    remove_tags,
    write_tags,
)

pytestmark = pytest.mark.slow

HAPPY = {MOOD: ["happy"], AROUSAL: ["0.813"], VALENCE: ["0.700"]}
SAD = {MOOD: ["sad"], AROUSAL: ["0.100"], VALENCE: ["0.200"]}
ABOUT = {"title": "Tïtle of a song, longer than thirty letters", "artist": "AC/DC", "date": "2001"}
RECIPES = {
    "song.mp3": ["-id3v2_version", "4"],
    "older.mp3": ["-id3v2_version", "3", "-write_id3v1", "1"],
    "oldest.mp3": ["-id3v2_version", "0", "-write_id3v1", "1"],
    "bare.mp3": ["-id3v2_version", "0", "-map_metadata", "-1"],
    "song.flac": [],
    "song.ogg": ["-c:a", "libvorbis"],
    "song.opus": [],
    "song.m4a": [],
    "song.wma": [],
    "song.aiff": [],
    "song.wav": ["-map_metadata", "-1", "-fflags", "+bitexact"],
}


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """The same few seconds in every format, with tags."""
    if not (shutil.which("ffmpeg") and shutil.which("ffprobe")):
        pytest.skip("ffmpeg is not installed")
    folder = tmp_path_factory.mktemp("formats")
    soundfile.write(folder / "source.wav", music(2.5, 44_100), 44_100)
    for name, options in RECIPES.items():
        about = [f"{key}={value}" for key, value in ABOUT.items()]
        given = [text for pair in about for text in ("-metadata", pair)]
        if "-map_metadata" in options:
            given = []
        command = ["ffmpeg", "-nostdin", "-v", "error", "-i", folder / "source.wav", *given]
        subprocess.run([*command, *options, folder / name], check=True)
    with (folder / "oldest.mp3").open("ab") as file:  # ffmpeg writes ID3v1 with ID3v2 only
        fields = (ABOUT["title"].replace("ï", "i"), ABOUT["artist"], "")
        texts = (text.encode()[:30].ljust(30, b"\0") for text in fields)
        file.write(b"TAG" + b"".join(texts) + ABOUT["date"].encode() + bytes(31))
    return folder


@pytest.fixture(params=RECIPES)
def song(request, made, tmp_path):
    return shutil.copy2(made / request.param, tmp_path / request.param)


@pytest.fixture
def flac(made, tmp_path):
    return shutil.copy2(made / "song.flac", tmp_path / "song.flac")


def packets(path):
    """A digest of the coded audio, as it stands in the file."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", f"file:{path}", "-map", "0:a"]
    copied = subprocess.run(
        [*command, "-c", "copy", "-f", "data", "-"], check=True, capture_output=True
    )
    assert len(copied.stdout) > 5_000
    return hashlib.sha256(copied.stdout).hexdigest()


def probed(path):
    """What ffprobe reads, names in capitals."""
    command = ["ffprobe", "-v", "error", "-show_format", "-show_streams", "-of", "json"]
    run = subprocess.run([*command, f"file:{path}"], check=True, capture_output=True)
    read = json.loads(run.stdout)
    tags = {**read["streams"][0].get("tags", {}), **read["format"].get("tags", {})}
    return {key.upper(): value for key, value in tags.items()}


def ours(tags):
    """Of ffprobe's tags: mood, arousal and valence."""
    names = {"TMOO": MOOD, "WM/MOOD": MOOD}
    named = {names.get(key, key): value for key, value in tags.items()}
    return {key: named[key] for key in (MOOD, AROUSAL, VALENCE) if key in named}


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


# What other programs read


def test_moods_are_read_by_others_and_nothing_else_changes(song):
    os.utime(song, ns=(1_600_000_000_123_456_789, 1_500_000_000_123_456_789))
    song.chmod(0o640)
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # who alone may give files away
        os.chown(song, 12_345, 12_346)
    before, audio, status = probed(song), packets(song), song.stat()
    assert write_tags(song, HAPPY)
    after = probed(song)
    assert ours(after) == {MOOD: "happy", AROUSAL: "0.813", VALENCE: "0.700"}
    rest = {key for key in after if key not in ("TMOO", "WM/MOOD", MOOD, AROUSAL, VALENCE, UNDO)}
    assert {key: after[key] for key in rest} == before
    assert packets(song) == audio
    assert read_tags(song) == HAPPY
    now = song.stat()
    assert (now.st_mtime_ns, now.st_mode, now.st_uid, now.st_gid) == (
        status.st_mtime_ns,
        status.st_mode,
        status.st_uid,
        status.st_gid,
    )
    assert listed(song.parent) == [song.name]


def test_artists_are_read_from_the_tags_of_every_format(song):
    without = song.name in ("bare.mp3", "song.aiff", "song.wav")
    assert artist_of(str(song)) == ("" if without else "ac/dc")
    if without:
        file = mutagen.File(song)
        file.add_tags()
        file.tags.add(TPE1(text=["AC/DC", "Guest"]))
        file.save()
        artist_of.cache_clear()
        assert artist_of(str(song)) == "ac/dc"


@pytest.mark.parametrize("song", ["song.mp3", "older.mp3", "bare.mp3"], indirect=True)
def test_samples_are_the_same(song):
    samples, _ = soundfile.read(song)
    write_tags(song, HAPPY)
    assert (soundfile.read(song)[0] == samples).all()


def test_undo_restores_the_file_byte_for_byte(song):
    content = song.read_bytes()
    write_tags(song, HAPPY)
    assert song.read_bytes() != content
    assert remove_tags(song)
    assert song.read_bytes() == content
    assert not remove_tags(song)


def test_the_same_again_changes_nothing(song):
    write_tags(song, HAPPY)
    content, status = song.read_bytes(), song.stat()
    assert not write_tags(song, HAPPY)
    assert song.read_bytes() == content
    assert song.stat().st_ino == status.st_ino


def test_another_mood_of_ours(song):
    content = song.read_bytes()
    write_tags(song, HAPPY)
    assert write_tags(song, {MOOD: ["très sad"], AROUSAL: ["0.000"], VALENCE: ["1.000"]})
    assert ours(probed(song)) == {MOOD: "très sad", AROUSAL: "0.000", VALENCE: "1.000"}
    remove_tags(song)
    assert song.read_bytes() == content


def test_several_words(song):
    content = song.read_bytes()
    write_tags(song, {MOOD: ["happy", "grün"], "ENERGY": ["9"]})
    one_text = song.name == "older.mp3"  # ID3v2.3 has no frames of several values
    words = ["happy; grün"] if one_text else ["happy", "grün"]
    assert read_tags(song, [MOOD, "ENERGY"]) == {MOOD: words, "ENERGY": ["9"]}
    assert write_tags(song, {MOOD: ["happy"]})
    assert read_tags(song, [MOOD, "ENERGY"]) == {MOOD: ["happy"], "ENERGY": []}
    remove_tags(song)
    assert song.read_bytes() == content


def test_a_dry_run_changes_nothing(song):
    content, status = song.read_bytes(), song.stat()
    assert write_tags(song, HAPPY, dry_run=True)
    assert (song.read_bytes(), song.stat()) == (content, status)
    write_tags(song, HAPPY)
    content = song.read_bytes()
    assert not write_tags(song, HAPPY, dry_run=True)
    assert remove_tags(song, dry_run=True)
    assert song.read_bytes() == content


# Moods of others


KEYS = {".m4a": "----:com.apple.iTunes:MOOD", ".wma": "WM/Mood"}


def write_foreign(path, *words):
    """Write a mood as another program does; return its words."""
    if path.suffix == ".wma":  # mutagen puts further values into another object
        words = words[:1]
    file = mutagen.File(path)
    if file.tags is None:
        file.add_tags()
    if isinstance(file.tags, ID3):
        file.tags["TMOO"] = TMOO(encoding=3, text=list(words))
    else:
        coded = [word.encode() for word in words] if path.suffix == ".m4a" else list(words)
        file[KEYS.get(path.suffix, "mood")] = coded
    file.save()
    return list(words)


def test_moods_of_others_are_kept_unless_told(song):
    words = write_foreign(song, "wistful", "grün")
    content = song.read_bytes()
    with pytest.raises(ExistingTagError, match=f"has a mood already: {'; '.join(words)}"):
        write_tags(song, HAPPY)
    assert song.read_bytes() == content
    assert not remove_tags(song)
    assert song.read_bytes() == content


def test_moods_of_others_come_back(song):
    words = write_foreign(song, "wistful", "grün")
    content = song.read_bytes()
    assert write_tags(song, HAPPY, replace=True)
    assert write_tags(song, SAD)  # ours now
    assert read_tags(song)[MOOD] == ["sad"]
    assert remove_tags(song)
    assert read_tags(song) == {MOOD: words, AROUSAL: [], VALENCE: []}
    assert song.read_bytes() == content


def test_a_mood_that_somebody_wrote_since_stays(song):
    write_tags(song, HAPPY)
    write_foreign(song, "wistful")
    with pytest.raises(ExistingTagError):
        write_tags(song, SAD)
    assert remove_tags(song)
    assert read_tags(song) == {MOOD: ["wistful"], AROUSAL: [], VALENCE: []}
    assert not remove_tags(song)


def test_a_mood_that_somebody_added_to_ours_stays(flac):
    write_tags(flac, HAPPY)
    file = mutagen.File(flac)
    file["mood"] = ["happy", "wistful"]
    file.save()
    with pytest.raises(ExistingTagError, match="already: wistful"):
        write_tags(flac, SAD)
    assert remove_tags(flac)
    assert read_tags(flac) == {MOOD: ["wistful"], AROUSAL: [], VALENCE: []}


def test_several_moods_of_wma_in_another_object_are_not_replaced(made, tmp_path):
    path = shutil.copy2(made / "song.wma", tmp_path / "song.wma")
    add_item(path, "WM/Mood", ["wistful", "grün"])
    with pytest.raises(ExistingTagError, match="that --replace does not change"):
        write_tags(path, HAPPY, replace=True)


@pytest.mark.parametrize("song", ["bare.mp3", "oldest.mp3", "song.wav"], indirect=True)
def test_tags_that_somebody_added_since_stay(song):
    write_tags(song, HAPPY)
    file = mutagen.File(song)
    file.tags.add(TIT2(encoding=3, text="New"))
    file.save()
    remove_tags(song)
    assert mutagen.File(song).tags["TIT2"].text == ["New"]


def test_an_empty_mood_is_none(flac):
    write_foreign(flac, "")
    write_tags(flac, HAPPY)
    assert read_tags(flac)[MOOD] == ["happy"]
    remove_tags(flac)
    assert read_tags(flac)[MOOD] == [""]


def test_tags_that_were_not_there_go_again(flac):
    file = mutagen.File(flac)
    file.delete()
    assert mutagen.File(flac).tags is None
    write_tags(flac, HAPPY)
    remove_tags(flac)
    assert mutagen.File(flac).tags is None


# Old and odd tags


@pytest.mark.parametrize("song", ["older.mp3"], indirect=True)
def test_id3_stays_in_its_version(song):
    content = song.read_bytes()
    write_tags(song, HAPPY)
    raw = ID3(song, translate=False, load_v1=False)
    assert raw.version == (2, 3, 0)
    assert {"TYER", "TXXX:MOOD"} <= set(raw)
    assert "TMOO" not in raw  # a frame of 2.4
    assert song.read_bytes()[-128:] == content[-128:]
    assert content[-128:].startswith(b"TAG")


def test_eyed3_reads_what_is_written(made, tmp_path):
    for name in ("song.mp3", "older.mp3", "oldest.mp3", "bare.mp3"):
        path = shutil.copy2(made / name, tmp_path / name)
        write_tags(path, HAPPY)
        tag = eyed3.load(path).tag
        texts = {frame.description: frame.text for frame in tag.user_text_frames}
        assert texts[AROUSAL] == "0.813"
        if tag.version[:2] == (2, 3):
            assert texts[MOOD] == "happy"
        else:
            assert tag.frame_set[b"TMOO"][0].text == "happy"


def synchsafe(size):
    return bytes(size >> shift & 127 for shift in (21, 14, 7, 0))


def id3(version, *frames, flags=0, plain=False, padding=0):
    """A tag of raw frames, each a name and its data."""
    coded = b""
    for name, data in frames:
        if version == 2:
            coded += name + len(data).to_bytes(3, "big") + data
        else:
            size = synchsafe(len(data)) if version == 4 and not plain else None
            coded += name + (size or len(data).to_bytes(4, "big")) + b"\0\0" + data
    coded += bytes(padding)
    return b"ID3" + bytes([version, 0, flags]) + synchsafe(len(coded)) + coded


TITLE = (b"TIT2", b"\0Title")
UNSYNC = b"TIT2\0\0\0\x0b\0\0\1\xff\0\xfeT\0\xff\0\1A\0B\0"
ODD = {
    "2.2": id3(2, (b"TT2", b"\0Title"), (b"XYZ", b"\0abc"), padding=30),
    "2.2 without padding": id3(2, (b"TT2", b"\0Title")),
    "UTF-8 that is Latin-1": id3(4, TITLE, (b"TPE1", b"\3Bj\xf6rk")),
    "UTF-16 without a mark, and of odd length": id3(
        3, (b"TPE1", b"\1A\0r\0t\0"), (b"TALB", b"\1\xff\xfeA")
    ),
    "cut covers": id3(3, TITLE, (b"APIC", b"\0image/jpeg"), (b"APIC", b"\x09image/png\0\3\0d")),
    "unknown frames": id3(
        3, TITLE, (b"WFED", b"\0http://x"), (b"ZZZZ", b"?"), (b"RGAD", b"\0" * 8)
    ),
    "links": id3(3, TITLE, (b"LINK", b"\0http://archive.org/x"), padding=100),
    "an empty frame": id3(3, TITLE, (b"TPE1", b""), (b"TALB", b"\0Album")),
    "the same frame twice": id3(3, TITLE, TITLE, (b"TXXX", b"\0K\0one"), (b"TXXX", b"\0K\0two")),
    "plain sizes in 2.4": id3(4, (b"APIC", b"\0image/png\0\3\0" + b"x" * 300), TITLE, plain=True),
    "garbage behind frames": id3(4, TITLE, (b"?!?!", b"garbage")),
    "an extended header": b"ID3\3\0\x40"
    + synchsafe(26)
    + b"\0\0\0\6"
    + bytes(6)
    + id3(3, TITLE)[10:],
    "unsynchronised": b"ID3\3\0\x80" + synchsafe(len(UNSYNC)) + UNSYNC,
    "a footer": id3(4, TITLE, flags=0x10) + b"3DI\4\0\x10" + id3(4, TITLE)[6:10],
    "two tags": id3(3, TITLE) + id3(4, TITLE, padding=10),
    "nothing but padding": id3(4, padding=500),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_id3_tags_are_kept_and_restored(name, made, tmp_path):
    path = tmp_path / "odd.mp3"
    content = ODD[name] + (made / "bare.mp3").read_bytes()
    path.write_bytes(content)
    assert write_tags(path, HAPPY)
    assert read_tags(path) == HAPPY
    changed = path.read_bytes()
    assert changed[3] == content[3]  # the version
    if name != "two tags":  # of which other programs read one
        assert ours(probed(path))[MOOD] == "happy"
    assert remove_tags(path)
    assert path.read_bytes() == content


V1 = b"TAG" + b"Old title".ljust(90, b"\0") + b"1999" + b"c".ljust(28, b"\0") + b"\0\5\x11"
LYRICS = b"LYRICSBEGININD0000200LYR00003abc000033LYRICS200"
APE = b"APETAGEX\xd0\7\0\0" + (32).to_bytes(4, "little") + bytes(4) + bytes(12)
ENDS = {
    "ID3v1": V1,
    "Lyrics3": LYRICS + V1,
    "APEv2": APE + V1,
    "APEv2 last": V1 + APE,
    "junk": b"x" * 99,
}


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("start", [b"", id3(3, TITLE)])
def test_what_is_at_the_end_of_an_mp3_is_kept(start, name, made, tmp_path):
    path = tmp_path / "end.mp3"
    content = start + (made / "bare.mp3").read_bytes() + ENDS[name]
    path.write_bytes(content)
    write_tags(path, HAPPY)
    assert path.read_bytes().endswith(ENDS[name])
    remove_tags(path)
    assert path.read_bytes() == content


def test_fields_of_id3v1_are_copied_to_a_new_tag(made, tmp_path):
    path = tmp_path / "old.mp3"
    path.write_bytes((made / "bare.mp3").read_bytes() + V1)
    write_tags(path, HAPPY)
    assert str(ID3(path, load_v1=False)["TIT2"]) == "Old title"


def flac_of(song, *comments, vendor=b"v"):
    """The file with these raw comments, and without padding."""
    data = len(vendor).to_bytes(4, "little") + vendor + len(comments).to_bytes(4, "little")
    data += b"".join(len(each).to_bytes(4, "little") + each for each in comments)
    content = song.read_bytes()
    at, last = 4, False
    while not last:
        last, size = content[at] >= 0x80, int.from_bytes(content[at + 1 : at + 4], "big")
        at += 4 + size
    info = bytes([0]) + content[5:42]
    return content[:4] + info + b"\x84" + len(data).to_bytes(3, "big") + data + content[at:]


@pytest.mark.parametrize(
    "comment",
    [
        b"no equals sign",
        "ÜBER=1".encode(),
        b"A~B=1",
        b"=nothing before it",
        b"TITLE=T\xff\xfftle",
        b"TITLE=a\0b",
        b"",
    ],
)
def test_odd_vorbis_comments_are_kept_and_restored(comment, flac):
    content = flac_of(flac, b"artist=a", comment, b"ARTIST=b")
    flac.write_bytes(content)
    write_tags(flac, HAPPY)
    assert comment in flac.read_bytes()
    assert ours(probed(flac))[MOOD] == "happy"
    remove_tags(flac)
    assert flac.read_bytes() == content


def test_comments_that_fill_pages_of_ogg(made, tmp_path):
    path = shutil.copy2(made / "song.ogg", tmp_path / "cover.ogg")
    for size in (300_000, 65_025 * 2 - 5_000):
        file = mutagen.File(path)
        file["METADATA_BLOCK_PICTURE"] = "A" * size
        file.save()
        content, audio = path.read_bytes(), packets(path)
        write_tags(path, HAPPY)
        assert ours(probed(path))[MOOD] == "happy"
        assert packets(path) == audio
        remove_tags(path)
        assert path.read_bytes() == content


def test_metadata_before_the_audio_of_mp4(made, tmp_path):
    path = tmp_path / "fast.m4a"
    command = ["ffmpeg", "-v", "error", "-i", made / "song.m4a", "-c", "copy"]
    subprocess.run([*command, "-movflags", "+faststart", path], check=True)
    path.write_bytes(path.read_bytes() + V1)  # which is not an atom
    content, audio = path.read_bytes(), packets(path)
    write_tags(path, HAPPY)
    assert packets(path) == audio
    assert ours(probed(path))[MOOD] == "happy"
    remove_tags(path)
    assert path.read_bytes() == content


def test_metadata_that_mp4_lacks(made, tmp_path):
    path = shutil.copy2(made / "song.m4a", tmp_path / "song.m4a")
    content = path.read_bytes()
    for name in (b"udta", b"meta", b"ilst"):  # hidden one after the other
        path.write_bytes(content.replace(name, b"free"))
        before = path.read_bytes()
        write_tags(path, HAPPY)
        assert MP4(path)["----:com.apple.iTunes:MOOD"] == [b"happy"]
        assert packets(path)
        remove_tags(path)
        assert path.read_bytes() == before


def test_chunks_of_wav_without_a_padding_byte(made, tmp_path):
    path = tmp_path / "odd.wav"
    whole = (made / "song.wav").read_bytes()
    chunk = b"abcd" + (1).to_bytes(4, "little") + b"x"
    content = whole[:4] + (len(whole) - 8 + 9).to_bytes(4, "little") + whole[8:] + chunk
    path.write_bytes(content)
    write_tags(path, HAPPY)
    assert ours(probed(path))[MOOD] == "happy"
    remove_tags(path)
    assert path.read_bytes() == content


EXISTING = {
    "ape.mp3": lambda path: add_ape(path, "Mood"),
    "v24.mp3": lambda path: add_id3(path, TXXX(encoding=3, desc="mood", text=["Dark"])),
    "v23.mp3": lambda path: add_id3(path, TMOO(encoding=1, text=["Dark"])),
    "song.m4a": lambda path: add_item(path, "----:com.apple.iTunes:Mood", [b"Dark"]),
    "song.flac": lambda path: add_item(path, "mOOd", "Dark"),
    "song.wma": lambda path: add_item(path, "WM/Mood", "Dark"),
}


def add_ape(path, key):
    tag = APEv2()
    tag[key] = "Dark"
    tag.save(path)


def add_id3(path, frame):
    tag = ID3(path)
    tag.add(frame)
    tag.save(path, v2_version=int(path.stem[-1]))


def add_item(path, key, value):
    file = mutagen.File(path)
    file[key] = value
    file.save()


@pytest.mark.parametrize("name", EXISTING)
def test_moods_in_any_kind_of_tag_are_recognised(name, made, tmp_path):
    source = {"ape.mp3": "bare.mp3", "v24.mp3": "song.mp3", "v23.mp3": "older.mp3"}.get(name, name)
    path = shutil.copy2(made / source, tmp_path / name)
    EXISTING[name](path)
    content = path.read_bytes()
    with pytest.raises(ExistingTagError, match="has a mood already: Dark"):
        write_tags(path, HAPPY)
    if name == "ape.mp3":  # its tags are not changed
        with pytest.raises(ExistingTagError, match="that --replace does not change"):
            write_tags(path, HAPPY, replace=True)
    else:
        write_tags(path, HAPPY, replace=True)
        assert read_tags(path) == HAPPY
        remove_tags(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("text", ["{", "[]", '{"mood": 1, "before": [], "made": true}'])
def test_a_damaged_record(flac, text):
    write_tags(flac, HAPPY)
    file = mutagen.File(flac)
    file[UNDO] = text
    file.save()
    with pytest.raises(TagError, match="its QUADPRED_UNDO is damaged"):
        remove_tags(flac)


@pytest.mark.parametrize("song", ["song.m4a"], indirect=True)
def test_a_mood_that_is_not_text_is_somebody_elses(song):
    add_item(song, "----:com.apple.iTunes:MOOD", [b"\xff\xfe"])
    with pytest.raises(ExistingTagError):
        write_tags(song, HAPPY)


# Files that cannot be tagged


def test_what_is_not_tagged(made, tmp_path, flac):
    (tmp_path / "text.txt").write_text("no music")
    (tmp_path / "text.mp3").write_text("no music")
    (tmp_path / "empty.mp3").touch()
    (tmp_path / "cut.flac").write_bytes(flac.read_bytes()[:100])
    (tmp_path / "cut.m4a").write_bytes((made / "song.m4a").read_bytes()[:1000])
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for name in ("text.txt", "text.mp3", "empty.mp3", "cut.flac", "cut.m4a"):
        with pytest.raises(TagError) as error:
            write_tags(tmp_path / name, HAPPY)
        assert len(str(error.value).splitlines()) == 1
        assert str(error.value).startswith(str(tmp_path / name))
    with pytest.raises(FileNotFoundError):
        write_tags(tmp_path / "none.mp3", HAPPY)
    with pytest.raises(IsADirectoryError):
        write_tags(tmp_path, HAPPY)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("version", [3, 4])
def test_an_id3_tag_with_a_checksum_is_refused(made, tmp_path, version):
    checked = {
        3: (10).to_bytes(4, "big") + b"\x80\0" + bytes(4 + 4),
        4: synchsafe(12) + b"\1\x20" + b"\5" + bytes(5),
    }[version]
    frames = id3(version, TITLE, padding=20)[10:]
    head = b"ID3" + bytes([version, 0, 0x40]) + synchsafe(len(checked) + len(frames))
    path = tmp_path / "song.mp3"
    path.write_bytes(head + checked + frames + (made / "bare.mp3").read_bytes())
    content = path.read_bytes()
    with pytest.raises(TagError, match="checksum"):
        write_tags(path, HAPPY)
    assert path.read_bytes() == content


def test_an_mp4_of_many_atoms_is_read_in_linear_time(made, tmp_path):
    content = (made / "song.m4a").read_bytes()
    at = content.index(b"moov") - 4
    size = int.from_bytes(content[at : at + 4], "big")
    many = 5_000 * b"\0\0\0\x08free" + (20_000_000).to_bytes(4, "big") + b"free"
    many = many.ljust(5_000 * 8 + 20_000_000, b"\0")
    moov = (size + len(many)).to_bytes(4, "big") + content[at + 4 : at + size] + many
    path = tmp_path / "song.m4a"
    path.write_bytes(content[:at] + moov + content[at + size :])
    began = time.process_time()
    read_tags(path)
    assert time.process_time() - began < 3


def test_encrypted_mp4_is_refused(made, tmp_path):
    key = "0123456789abcdef" * 2
    scheme = ["-encryption_scheme", "cenc-aes-ctr", "-encryption_key", key]
    command = ["ffmpeg", "-v", "error", "-i", made / "source.wav", *scheme]
    path = tmp_path / "song.mp4"
    subprocess.run([*command, "-encryption_kid", key, "-c:a", "aac", path], check=True)
    content = path.read_bytes()
    with pytest.raises(TagError, match="encrypted MP4"):
        write_tags(path, HAPPY)
    assert path.read_bytes() == content


def test_of_two_names_of_a_file_one_gets_the_tags(flac, tmp_path):
    other = tmp_path / "other.flac"
    os.link(flac, other)
    content = flac.read_bytes()
    write_tags(flac, HAPPY)
    assert read_tags(flac)[MOOD] == ["happy"]
    assert other.read_bytes() == content


def test_a_list_of_info_in_a_wav_stays(made, tmp_path):
    path = tmp_path / "song.wav"
    command = ["ffmpeg", "-v", "error", "-i", made / "source.wav", "-metadata", "title=Nachtlied"]
    subprocess.run([*command, path], check=True)
    content = path.read_bytes()
    write_tags(path, HAPPY)
    assert probed(path)["TITLE"] == "Nachtlied"
    assert MOOD not in ours(probed(path))  # ffprobe shows the list only
    assert mutagen.File(path).tags["TMOO"].text == ["happy"]
    remove_tags(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("name", ["song.wv", "song.mka", "song.webm", "song.aac"])
def test_formats_with_other_tags_are_refused(made, tmp_path, name):
    path = tmp_path / name
    subprocess.run(["ffmpeg", "-v", "error", "-i", made / "source.wav", path], check=True)
    content = path.read_bytes()
    for use in partial(write_tags, fields=HAPPY), remove_tags:
        with pytest.raises(TagError, match="its content is of no format that can be tagged"):
            use(path)
    assert path.read_bytes() == content


def test_an_mp3_with_apev2_gets_id3v2_and_keeps_apev2(made, tmp_path):
    path = shutil.copy2(made / "bare.mp3", tmp_path / "song.mp3")
    tags = APEv2()
    tags["Title"] = "Nachtlied"
    tags.save(path)
    content = path.read_bytes()
    write_tags(path, HAPPY)
    assert set(ID3(path)) > {"TMOO"}
    assert "TIT2" not in ID3(path)
    assert path.read_bytes().endswith(content[content.index(b"APETAGEX") :])
    remove_tags(path)
    assert path.read_bytes() == content


def test_a_wma_gets_no_comment(made, tmp_path):
    path = shutil.copy2(made / "song.wma", tmp_path / "song.wma")
    content = path.read_bytes()
    with pytest.raises(TagError, match="comments of wma files are not supported"):
        write_tags(path, {**HAPPY, COMMENT: ["Energy 8"]})
    assert path.read_bytes() == content


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path):
    pipe = tmp_path / "pipe.mp3"
    os.mkfifo(pipe)
    for use in partial(write_tags, fields=HAPPY), remove_tags, read_tags:
        with pytest.raises(TagError, match=r"pipe\.mp3: is not a file"):
            use(pipe)
    with pytest.raises(OSError, match=NOT_REGULAR):
        audio_sha256(pipe)


def test_a_checksum_of_damaged_audio_is_quiet(tmp_path, sound_file, capfd):
    path = sound_file("a.caf", tone(0.1, 44_100), 44_100)
    data = path.read_bytes()
    end = data.index(b"desc") + 12 + 32
    path.write_bytes(data[:end] + b"info" + (1 << 60).to_bytes(8, "big") + data[end:])
    assert audio_sha256(path) == sha256_of(path)
    assert capfd.readouterr() == ("", "")


def test_audio_of_an_unknown_codec_has_a_checksum(sound_file):
    path = sound_file("a.wav", tone(1, 44_100), 44_100)
    data = bytearray(path.read_bytes())
    data[20:22] = bytes(2)  # the format's number
    path.write_bytes(data)
    first = audio_sha256(path)
    data[-2] ^= 1
    path.write_bytes(data)
    assert audio_sha256(path) != first


def test_a_checksum_opens_no_other_file(tmp_path, sound_file, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sound_file("other.wav", tone(1, 44_100), 44_100)
    for name in ("list.mp3", "%03d.wav"):
        Path(name).write_text("ffconcat version 1.0\nfile other.wav\n")
        assert audio_sha256(name) == sha256_of(name)


def test_files_whose_sound_would_be_harmed(made, tmp_path):
    whole = (made / "song.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[:-1])
    (tmp_path / "stream.wav").write_bytes(whole[:4] + bytes(4) + whole[8:])
    fragments = ["-movflags", "frag_keyframe+empty_moov", "-frag_duration", "500000"]
    command = ["ffmpeg", "-v", "error", "-i", made / "song.wav", *fragments, tmp_path / "a.m4a"]
    subprocess.run(command, check=True)
    (tmp_path / "cut.mp3").write_bytes(id3(3, TITLE, padding=100)[:60])
    reasons = {
        "cut.wav": "more bytes than the file",
        "stream.wav": "gives no size",
        "a.m4a": "fragmented",
        "cut.mp3": "no format that can be tagged|cut off",
    }
    for name, reason in reasons.items():
        content = (tmp_path / name).read_bytes()
        with pytest.raises(TagError, match=reason):
            write_tags(tmp_path / name, HAPPY)
        assert (tmp_path / name).read_bytes() == content
    for name in "cut.wav", "stream.wav", "a.m4a":  # as the message says
        copy = tmp_path / f"copy-{name}"
        subprocess.run(
            ["ffmpeg", "-v", "error", "-i", tmp_path / name, "-c", "copy", copy], check=True
        )
        assert write_tags(copy, HAPPY)


def test_read_only_files(flac):
    flac.chmod(0o444)
    content = flac.read_bytes()
    for dry_run in (True, False):
        with pytest.raises(TagError, match="is read-only"):
            write_tags(flac, HAPPY, dry_run=dry_run)
    assert flac.read_bytes() == content
    assert stat.S_IMODE(flac.stat().st_mode) == 0o444


def test_a_full_disk(made, tmp_path):
    path = tmp_path / "long.wav"
    soundfile.write(path, music(20, 44_100), 44_100)
    content = path.read_bytes()
    with large_files_refused(), pytest.raises(OSError, match=r"File too large.*long\.wav"):
        write_tags(path, HAPPY)
    assert path.read_bytes() == content
    assert listed(tmp_path) == ["long.wav"]


def test_a_file_that_changes_meanwhile(flac, monkeypatch):
    copystat = shutil.copystat

    def changed(source, target):
        copystat(source, target)
        flac.write_bytes(b"new")

    monkeypatch.setattr(shutil, "copystat", changed)
    with pytest.raises(TagError, match="changed by something else"):
        write_tags(flac, HAPPY)
    assert flac.read_bytes() == b"new"
    assert listed(flac.parent) == ["song.flac"]


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize("moment", ["os.fsync", "shutil.copystat"])
def test_killed_at_any_moment(flac, moment):
    content = flac.read_bytes()
    code = f"""
        import os, shutil, sys
        from pathlib import Path
        from quadpred.library import tags
        {moment} = lambda *_: os.kill(os.getpid(), {int(signal.SIGKILL)})
        tags.write_tags(Path(sys.argv[1]), {{"MOOD": ["happy"]}})
    """
    code = "\n".join(line.strip() for line in code.splitlines())
    done = subprocess.run([sys.executable, "-c", code, flac], timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert flac.read_bytes() == content


# Names


@pytest.mark.parametrize(
    "name", ["-v.flac", "a\nb.flac", "#'\".flac", b"\xff.flac".decode("utf-8", "surrogateescape")]
)
def test_hostile_names(flac, name):
    path = flac.rename(flac.with_name(name))
    write_tags(path, HAPPY)
    assert read_tags(path)[MOOD] == ["happy"]
    assert remove_tags(path)


def test_a_long_name(flac):
    path = flac.rename(flac.with_name("n" * 250 + ".flac"))
    assert write_tags(path, HAPPY)


def test_links_are_followed(flac, tmp_path):
    link = tmp_path / "link.flac"
    link.symlink_to("song.flac")
    write_tags(link, HAPPY)
    assert link.is_symlink()
    assert read_tags(flac)[MOOD] == ["happy"]


def test_the_name_of_the_file_counts_and_not_that_of_its_link(tmp_path):
    short = tmp_path / "short.mp3"
    soundfile.write(short, music(1, 44_100), 44_100)
    content = short.read_bytes()
    second = content.index(b"\xff\xfb", 4)
    short.write_bytes(content[second : second + 1000])  # too little to be known by its content
    link = tmp_path / "link"
    link.symlink_to("short.mp3")
    assert write_tags(link, HAPPY)
    assert read_tags(link) == HAPPY


# Where a copy cannot take the file's place


@pytest.fixture
def no_copy(monkeypatch):
    """A folder in which no file can be replaced, as where the file is a mount point."""

    def refused(*_):
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(Path, "replace", refused)


def test_files_are_written_in_place_where_they_cannot_be_replaced(song, no_copy):
    content, audio, status = song.read_bytes(), packets(song), song.stat()
    write_tags(song, HAPPY)
    assert read_tags(song) == HAPPY
    assert packets(song) == audio
    assert (song.stat().st_ino, song.stat().st_mtime_ns) == (status.st_ino, status.st_mtime_ns)
    remove_tags(song)
    assert song.read_bytes() == content
    assert listed(song.parent) == [song.name]


def test_an_error_while_writing_in_place_restores_the_file(flac, no_copy, monkeypatch):
    content = flac.read_bytes()
    fsync, calls = os.fsync, []

    def failing(descriptor):
        calls.append(descriptor)
        if len(calls) == 2:  # the first one is of the copy
            raise OSError(errno.EIO, "Input/output error")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match=r"Input/output error.*song\.flac"):
        write_tags(flac, HAPPY)
    assert len(calls) == 3
    assert flac.read_bytes() == content


@pytest.mark.parametrize(
    ("failure", "code"),
    [(OSError(errno.EIO, "Input/output error"), 2), (KeyboardInterrupt(), 130)],
)
def test_bytes_that_cannot_be_put_back_are_kept_and_named(
    failure, code, flac, no_copy, tmp_path, monkeypatch
):
    content = flac.read_bytes()
    fsync, calls = os.fsync, []

    def failing(descriptor):
        calls.append(descriptor)
        if len(calls) > 1:  # the first one is of the copy
            raise failure
        fsync(descriptor)

    write_model(tmp_path / "tiny.onnx")
    (tmp_path / "kept").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "kept"))
    monkeypatch.setattr(os, "fsync", failing)
    arguments = ["tag", str(flac), "--uncertain", "--model", str(tmp_path / "tiny.onnx")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == code
    (kept,) = (tmp_path / "kept").iterdir()
    (line,) = (line for line in result.stderr.splitlines() if str(kept) in line)
    assert line.startswith(f"quadpred: {flac}: ")
    start = int(line.partition(" bytes from ")[2].split()[0])
    assert kept.read_bytes() == content[start:]
    assert flac.read_bytes()[:start] == content[:start]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_files_of_another_owner_and_read_only_folders(flac):
    """What a person may write, but not replace."""
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is closed to other users
        path = Path(shutil.copy2(flac, folder))
        path.chmod(0o666)
        content = path.read_bytes()
        os.chown(path, 12_345, 12_345)
        code = """
            import os, sys
            from pathlib import Path
            from quadpred.library.tags import remove_tags, write_tags
            os.setgid(23_456); os.setuid(23_456)
            path = Path(sys.argv[1])
            assert write_tags(path, {"MOOD": ["happy"]}, dry_run=True)
            assert write_tags(path, {"MOOD": ["happy"]})
            assert remove_tags(path)
        """
        code = "\n".join(line.strip() for line in code.splitlines())
        for mode in (0o777, 0o555):
            Path(folder).chmod(mode)
            command = [sys.executable, "-c", code, path]
            done = subprocess.run(command, capture_output=True, encoding="utf-8")
            assert done.returncode == 0, done.stderr
            assert path.read_bytes() == content
            assert path.stat().st_uid == 12_345


def test_touch_sets_the_time_of_modification(flac):
    os.utime(flac, ns=(1_600_000_000_123_456_789, 1_500_000_000_123_456_789))
    write_tags(flac, HAPPY, touch=True)
    assert flac.stat().st_mtime_ns > 1_700_000_000_000_000_000
