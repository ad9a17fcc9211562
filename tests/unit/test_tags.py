import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys

import mutagen
import pytest
import soundfile
from mutagen.id3 import ID3, TIT2, TMOO
from mutagen.mp4 import MP4

from helpers.full_disk import large_files_refused
from helpers.sounds import music
from quadpred.library.tags import (
    AROUSAL,
    MOOD,
    UNDO,
    VALENCE,
    ForeignMoodError,
    Mood,
    TagError,
    read_mood,
    remove_mood,
    write_mood,
)

pytestmark = pytest.mark.slow

HAPPY = Mood("happy", 0.8126, 0.7)
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
    assert write_mood(song, HAPPY)
    after = probed(song)
    assert ours(after) == {MOOD: "happy", AROUSAL: "0.813", VALENCE: "0.700"}
    rest = {key for key in after if key not in ("TMOO", "WM/MOOD", MOOD, AROUSAL, VALENCE, UNDO)}
    assert {key: after[key] for key in rest} == before
    assert packets(song) == audio
    assert read_mood(song) == {MOOD: ["happy"], AROUSAL: ["0.813"], VALENCE: ["0.700"]}
    now = song.stat()
    assert (now.st_mtime_ns, now.st_mode, now.st_uid, now.st_gid) == (
        status.st_mtime_ns,
        status.st_mode,
        status.st_uid,
        status.st_gid,
    )
    assert listed(song.parent) == [song.name]


@pytest.mark.parametrize("song", ["song.mp3", "older.mp3", "bare.mp3"], indirect=True)
def test_samples_are_the_same(song):
    samples, _ = soundfile.read(song)
    write_mood(song, HAPPY)
    assert (soundfile.read(song)[0] == samples).all()


def test_undo_leaves_what_was_there(song):
    before, audio, content = probed(song), packets(song), song.read_bytes()
    write_mood(song, HAPPY)
    assert remove_mood(song)
    assert probed(song) == before
    assert packets(song) == audio
    assert not remove_mood(song)
    if song.name in ("bare.mp3", "oldest.mp3", "song.wav", "song.aiff"):  # no ID3v2 before
        assert song.read_bytes() == content


def test_the_same_again_changes_nothing(song):
    write_mood(song, HAPPY)
    content, status = song.read_bytes(), song.stat()
    assert not write_mood(song, HAPPY)
    assert song.read_bytes() == content
    assert song.stat().st_ino == status.st_ino


def test_another_mood_of_ours(song):
    before = probed(song)
    write_mood(song, HAPPY)
    assert write_mood(song, Mood("très sad", 0, 1))
    assert ours(probed(song)) == {MOOD: "très sad", AROUSAL: "0.000", VALENCE: "1.000"}
    remove_mood(song)
    assert probed(song) == before


def test_a_dry_run_changes_nothing(song):
    content, status = song.read_bytes(), song.stat()
    assert write_mood(song, HAPPY, dry_run=True)
    assert (song.read_bytes(), song.stat()) == (content, status)
    write_mood(song, HAPPY)
    content = song.read_bytes()
    assert not write_mood(song, HAPPY, dry_run=True)
    assert remove_mood(song, dry_run=True)
    assert song.read_bytes() == content


# Moods of others


KEYS = {".m4a": "----:com.apple.iTunes:MOOD", ".wma": "WM/Mood"}


def write_foreign(path, *words):
    file = mutagen.File(path)
    if file.tags is None:
        file.add_tags()
    if isinstance(file.tags, ID3):
        file.tags["TMOO"] = TMOO(encoding=3, text=list(words))
    else:
        coded = [word.encode() for word in words] if path.suffix == ".m4a" else list(words)
        file[KEYS.get(path.suffix, "mood")] = coded
    file.save()
    assert read_mood(path)[MOOD] == list(words)


def test_moods_of_others_are_kept_unless_told(song):
    write_foreign(song, "wistful", "grün")
    content = song.read_bytes()
    with pytest.raises(ForeignMoodError, match="has a mood already: wistful; grün"):
        write_mood(song, HAPPY)
    assert song.read_bytes() == content
    assert not remove_mood(song)
    assert song.read_bytes() == content


def test_moods_of_others_come_back(song):
    write_foreign(song, "wistful", "grün")
    before = probed(song)
    assert write_mood(song, HAPPY, replace=True)
    assert write_mood(song, Mood("sad", 0.1, 0.2))  # ours now
    assert read_mood(song)[MOOD] == ["sad"]
    assert remove_mood(song)
    assert read_mood(song) == {MOOD: ["wistful", "grün"], AROUSAL: [], VALENCE: []}
    assert probed(song) == before


def test_a_mood_that_somebody_wrote_since_stays(song):
    write_mood(song, HAPPY)
    write_foreign(song, "wistful")
    with pytest.raises(ForeignMoodError):
        write_mood(song, Mood("sad", 0.1, 0.2))
    assert remove_mood(song)
    assert read_mood(song) == {MOOD: ["wistful"], AROUSAL: [], VALENCE: []}
    assert not remove_mood(song)


@pytest.mark.parametrize("song", ["bare.mp3", "oldest.mp3", "song.wav"], indirect=True)
def test_tags_that_somebody_added_since_stay(song):
    write_mood(song, HAPPY)
    file = mutagen.File(song)
    file.tags.add(TIT2(encoding=3, text="New"))
    file.save()
    remove_mood(song)
    assert mutagen.File(song).tags["TIT2"].text == ["New"]


def test_an_empty_mood_is_none(flac):
    write_foreign(flac, "")
    write_mood(flac, HAPPY)
    assert read_mood(flac)[MOOD] == ["happy"]
    remove_mood(flac)
    assert read_mood(flac)[MOOD] == [""]


def test_tags_that_were_not_there_go_again(flac):
    file = mutagen.File(flac)
    file.delete()
    assert mutagen.File(flac).tags is None
    write_mood(flac, HAPPY)
    remove_mood(flac)
    assert mutagen.File(flac).tags is None


# Old and odd tags


@pytest.mark.parametrize("song", ["older.mp3"], indirect=True)
def test_id3_stays_in_its_version(song):
    content = song.read_bytes()
    write_mood(song, HAPPY)
    raw = ID3(song, translate=False, load_v1=False)
    assert raw.version == (2, 3, 0)
    assert "TYER" in raw
    assert song.read_bytes()[-128:] == content[-128:]
    assert content[-128:].startswith(b"TAG")


def test_id3_of_version_2_2(made, tmp_path):
    path = tmp_path / "itunes.mp3"
    frame = b"TT2\x00\x00\x06\x00Title"
    tag = b"ID3\x02\x00\x00\x00\x00\x00" + bytes([len(frame)]) + frame
    path.write_bytes(tag + (made / "bare.mp3").read_bytes())
    write_mood(path, HAPPY)
    assert probed(path)["TITLE"] == "Title"
    assert ours(probed(path))[MOOD] == "happy"
    assert ID3(path, translate=False).version == (2, 3, 0)


def test_tags_that_would_not_survive(made, tmp_path):
    path = tmp_path / "odd.mp3"
    frame = b"XYZ\x00\x00\x04\x00abc"  # mutagen does not know it, and could not write it
    tag = b"ID3\x02\x00\x00\x00\x00\x00" + bytes([len(frame)]) + frame
    path.write_bytes(tag + (made / "bare.mp3").read_bytes())
    content = path.read_bytes()
    with pytest.raises(TagError, match=r"odd\.mp3: its other tags would not survive"):
        write_mood(path, HAPPY)
    assert path.read_bytes() == content
    assert listed(tmp_path) == ["odd.mp3"]


def test_vorbis_comments_that_are_not_utf8(flac):
    content = flac.read_bytes().replace("Tïtle".encode(), b"T\xff\xfftle")
    flac.write_bytes(content)
    with pytest.raises(TagError, match="not UTF-8 throughout"):
        write_mood(flac, HAPPY)
    assert flac.read_bytes() == content


@pytest.mark.parametrize("text", ["{", "[]", '{"mood": 1, "before": [], "made": true}'])
def test_a_damaged_record(flac, text):
    write_mood(flac, HAPPY)
    file = mutagen.File(flac)
    file[UNDO] = text
    file.save()
    with pytest.raises(TagError, match="its QUADPRED_UNDO is damaged"):
        remove_mood(flac)


@pytest.mark.parametrize("song", ["song.m4a"], indirect=True)
def test_a_mood_that_is_no_text(song):
    file = MP4(song)
    file["----:com.apple.iTunes:MOOD"] = [b"\xff\xfe"]
    file.save()
    with pytest.raises(TagError, match="its MOOD is not text"):
        write_mood(song, HAPPY)


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
            write_mood(tmp_path / name, HAPPY)
        assert len(str(error.value).splitlines()) == 1
        assert str(error.value).startswith(str(tmp_path / name))
    with pytest.raises(FileNotFoundError):
        write_mood(tmp_path / "none.mp3", HAPPY)
    with pytest.raises(IsADirectoryError):
        write_mood(tmp_path, HAPPY)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_files_whose_sound_would_be_harmed(made, tmp_path):
    whole = (made / "song.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[:-1])
    odd = len(whole) - 8 + 9  # one chunk more, of a single byte, and no byte to make it even
    chunk = b"abcd" + (1).to_bytes(4, "little") + b"x"
    (tmp_path / "odd.wav").write_bytes(whole[:4] + odd.to_bytes(4, "little") + whole[8:] + chunk)
    fragments = ["-movflags", "frag_keyframe+empty_moov", "-frag_duration", "500000"]
    command = ["ffmpeg", "-v", "error", "-i", made / "song.wav", *fragments, tmp_path / "a.m4a"]
    subprocess.run(command, check=True)
    reasons = {"cut.wav": "ends before", "odd.wav": "makes it even", "a.m4a": "in fragments"}
    for name, reason in reasons.items():
        content = (tmp_path / name).read_bytes()
        with pytest.raises(TagError, match=reason):
            write_mood(tmp_path / name, HAPPY)
        assert (tmp_path / name).read_bytes() == content


def test_read_only_files(flac):
    flac.chmod(0o444)
    content = flac.read_bytes()
    for dry_run in (True, False):
        with pytest.raises(TagError, match="is read-only"):
            write_mood(flac, HAPPY, dry_run=dry_run)
    assert flac.read_bytes() == content
    assert stat.S_IMODE(flac.stat().st_mode) == 0o444


def test_a_full_disk(made, tmp_path):
    path = tmp_path / "long.wav"
    soundfile.write(path, music(20, 44_100), 44_100)
    content = path.read_bytes()
    with large_files_refused(), pytest.raises(OSError, match=r"File too large.*long\.wav"):
        write_mood(path, HAPPY)
    assert path.read_bytes() == content
    assert listed(tmp_path) == ["long.wav"]


def test_a_file_that_changes_meanwhile(flac, monkeypatch):
    copystat = shutil.copystat

    def changed(source, target):
        copystat(source, target)
        flac.write_bytes(b"new")

    monkeypatch.setattr(shutil, "copystat", changed)
    with pytest.raises(TagError, match="changed by something else"):
        write_mood(flac, HAPPY)
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
        tags.write_mood(Path(sys.argv[1]), tags.Mood("happy", 0.5, 0.5))
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
    write_mood(path, HAPPY)
    assert read_mood(path)[MOOD] == ["happy"]
    assert remove_mood(path)


def test_a_long_name(flac):
    path = flac.rename(flac.with_name("n" * 250 + ".flac"))
    assert write_mood(path, HAPPY)


def test_links_are_followed(flac, tmp_path):
    link = tmp_path / "link.flac"
    link.symlink_to("song.flac")
    write_mood(link, HAPPY)
    assert link.is_symlink()
    assert read_mood(flac)[MOOD] == ["happy"]
