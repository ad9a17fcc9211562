import json
import os
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
from mutagen.flac import FLAC
from typer.testing import CliRunner

from helpers.sounds import music
from helpers.summaries import clip, write_csv, write_parquet
from helpers.tiny_model import write_weights
from quadpred import registry
from quadpred.cli import progress as cli_progress
from quadpred.cli.app import app
from quadpred.library import tags
from quadpred.library.fingerprint import audio_sha256
from quadpred.library.moods import PLACES, WORDS
from quadpred.library.tags import AROUSAL, MOOD, read_tags

RATE = 16_000


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working directory, and models made by code in place of those on board."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(registry, "WEIGHTS", write_weights(tmp_path / "weights"))
    registry.models.cache_clear()
    yield tmp_path / "here"
    registry.models.cache_clear()


def record(name, gain=1.0):
    samples = gain * music(2, RATE)
    with Path(name).open("wb") as file:
        soundfile.write(file, samples, RATE, format="FLAC")
    return Path(name)


def run(*args, code=0):
    """Run the command in this process."""
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def said(stderr):
    """The one line that a failing command says, less its beginning."""
    (line,) = stderr.splitlines()
    assert line.startswith("quadpred: ")
    assert line.isprintable()
    return line.removeprefix("quadpred: ")


def complaint(*args):
    return said(run(*args, code=2).stderr)


def cold(*args, without):
    """Run the command in a process of its own, where a package is missing."""
    code = f"import sys; sys.modules[{without!r}] = None; from quadpred.cli.app import main; main()"
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60)


@pytest.fixture
def summary(folder):
    """Three songs that are there, one of them uncertain, and one that is not."""
    clips = [
        clip("sad.flac", "Q3", arousal=0.125, valence=0.25),
        clip("calm.flac", "Q4"),
        clip("unsure.flac", "Q1", uncertain=True),
    ]
    for one in clips:
        record(one.path)
    listed = [
        replace(one, file=str(folder / one.path), sha256=audio_sha256(one.path)) for one in clips
    ]
    listed.append(replace(clip("gone.flac", "Q2"), file=str(folder / "gone.flac")))
    write_csv(folder / "summary.csv", listed)
    return write_parquet(folder / "summary.parquet", listed)


# tag


def test_files_are_predicted_and_tagged():
    song = record("song.flac")
    result = run("tag", song)
    assert result.stderr == ""
    words = read_tags(song)[MOOD]
    assert set(words) <= {*WORDS.values(), *PLACES}
    shown = "; ".join(words)
    assert result.stdout == f"song.flac: {shown}, tagged\n1 tagged\n"
    assert run("tag", song).stdout == f"song.flac: {shown}, already tagged\n1 already tagged\n"
    planned = run("tag", "--undo", "--dry-run", song).stdout.splitlines()
    assert planned[-1] == "No file was changed: 1 would be untagged"
    assert run("tag", "--undo", song).stdout == "song.flac: untagged\n1 untagged\n"
    assert read_tags(song)[MOOD] == []
    assert "song.flac: no quadpred tags" in run("tag", "--undo", song).stdout


def test_folders_are_predicted_and_tagged_in_one_step(folder, monkeypatch):
    (folder / "album" / "cd 2").mkdir(parents=True)
    for name in ("album/one.flac", "album/cd 2/two.flac"):
        record(name, gain=0.5 if "one" in name else 1)
    (folder / "album" / "three.flac").write_text("no music")
    contents = {path: path.read_bytes() for path in (folder / "album").rglob("*.flac")}
    arguments = ["tag", "album", "-o", "predictions", "--jobs", "1", "--percentiles"]
    result = run(*arguments, code=1)
    assert "three.flac: " in said(result.stderr)
    assert result.stdout.splitlines()[-1] == "1 failed, 2 tagged"
    ranks = {
        read_tags(path, [f"{AROUSAL}_PERCENTILE"])[f"{AROUSAL}_PERCENTILE"][0]
        for path in (folder / "album/one.flac", folder / "album/cd 2/two.flac")
    }
    assert ranks <= {"25", "50", "75"}
    # A tagged file has the audio that was predicted: nothing is predicted again.
    (folder / "album" / "three.flac").unlink()
    progress = []
    monkeypatch.setattr(cli_progress, "run_progress", lambda _: nullcontext(progress.append))
    assert run(*arguments).stdout.splitlines()[-1] == "2 already tagged"
    assert progress[-1].predicted == 0
    run("tag", "--undo", "album")
    assert (folder / "album/one.flac").read_bytes() == contents[folder / "album/one.flac"]


def test_songs_that_were_replaced_are_left_out(summary):
    song = Path("sad.flac")
    record("sad.flac", gain=0.3)
    content = song.read_bytes()
    result = run("tag", "--summary", summary, code=1)
    assert f"{song.absolute()}: left out: its audio changed" in result.stdout
    assert song.read_bytes() == content


def test_numbers_scales_and_comments(summary):
    names = [AROUSAL, "ENERGY", "VALENCE", "COMMENT"]
    run("tag", "--summary", summary, "--numbers", "energy-valence", code=1)
    song = Path("sad.flac")
    assert list(read_tags(song, names).values()) == [[], ["0.125"], ["0.250"], []]
    run("tag", "--summary", summary, "--numbers", "both", "--scale", "10", "--comment", code=1)
    comment = ["Energy 2 - Valence 3 - sad"]
    assert list(read_tags(song, names).values()) == [["0.125"], ["2"], ["3"], comment]
    run("tag", "--summary", summary, "--undo", code=1)
    assert list(read_tags(song, names).values()) == [[], [], [], []]
    assert "needs a folder, or a summary" in complaint("tag", song, "--percentiles")


def test_comments_of_others_are_kept(summary):
    song = Path("calm.flac")
    file = FLAC(song)
    file["comment"] = "mine"
    file.save()
    content = song.read_bytes()
    result = run("tag", "--summary", summary, "--comment", code=1)
    assert f"{song.absolute()}: calm, left out: it has another comment" in result.stdout
    assert song.read_bytes() == content
    run("tag", "--summary", summary, "--comment", "--replace", code=1)
    assert read_tags(song, ["COMMENT"])["COMMENT"] == ["Energy 3 - Valence 8 - calm"]
    run("tag", "--undo", song)
    assert song.read_bytes() == content


def test_uncertain_files_are_tagged_when_asked():
    silent = record("silent.flac", gain=0)
    result = run("tag", silent)
    assert "left out: uncertain" in result.stdout
    assert read_tags(silent)[MOOD] == []
    assert "1 tagged" in run("tag", "--uncertain", silent).stdout
    assert read_tags(silent)[MOOD]


@pytest.mark.parametrize("name", ["summary.csv", "summary.parquet"])
def test_moods_from_a_summary(summary, name):
    result = run("tag", "--summary", name, code=1)
    assert said(result.stderr) == f"{Path('gone.flac').absolute()}: No such file or directory"
    assert result.stdout.splitlines()[-1] == "2 tagged, 1 left out: uncertain, 1 failed"
    assert read_tags(Path("sad.flac")) == {
        MOOD: ["sad"],
        AROUSAL: ["0.125"],
        "QUADPRED_VALENCE": ["0.250"],
    }
    assert read_tags(Path("calm.flac"))[MOOD] == ["calm"]
    assert read_tags(Path("unsure.flac"))[MOOD] == []
    run("tag", "--summary", name, "--undo", code=1)
    assert read_tags(Path("sad.flac"))[MOOD] == []


def test_a_dry_run(summary):  # a short name: its folder is in the table, of limited width
    """It shows a table and changes nothing."""
    Path("gone.flac").write_bytes(Path("sad.flac").read_bytes())
    before = {path: path.read_bytes() for path in Path().glob("*.flac")}
    lines = run("tag", "--summary", summary, "--dry-run").stdout.splitlines()
    cells = [line.strip("│ ").split("│") for line in lines if "flac" in line]
    table = {Path(cell[0].strip()).name: [text.strip() for text in cell[1:]] for cell in cells}
    assert table["sad.flac"] == ["sad", "0.12", "0.25", "0.80", "would be tagged"]
    assert table["unsure.flac"][-1] == "left out: uncertain"
    totals = "2 would be tagged, 1 left out: uncertain, 1 left out: its audio changed"
    assert lines[-1] == f"No file was changed: {totals}"
    assert {path: path.read_bytes() for path in Path().glob("*.flac")} == before


def test_words_of_ones_own(summary):
    Path("words.toml").write_text('Q3 = "melancholisch"')
    run("tag", "--summary", summary, "--words", "words.toml", code=1)
    assert read_tags(Path("sad.flac"))[MOOD] == ["melancholisch"]
    Path("words.toml").write_text('Q7 = "odd"')
    assert complaint("tag", "a.flac", "--words", "words.toml").startswith(
        "words.toml: unknown name 'Q7'"
    )


def test_moods_of_others(summary):
    run("tag", "--summary", summary, code=1)
    song = Path("sad.flac")
    content = song.read_bytes()
    song.write_bytes(content.replace(b"MOOD=sad", b"MOOD=SAD"))
    result = run("tag", song)
    assert "left out: it has another mood" in result.stdout
    assert "1 tagged" in run("tag", "--replace", song).stdout
    assert read_tags(song)[MOOD] != ["SAD"]
    run("tag", "--undo", song)
    assert read_tags(song)[MOOD] == ["SAD"]


def test_one_broken_file_does_not_stop_the_rest():
    good = record("good.flac")
    Path("bad.flac").write_text("no music")
    result = run("tag", "bad.flac", good, code=1)
    assert said(result.stderr).startswith("bad.flac: ")
    assert result.stdout.splitlines()[-1] == "1 failed, 1 tagged"
    assert read_tags(good)[MOOD]


def test_what_was_done_before_an_interrupt(monkeypatch):
    songs = [record(f"{number}.flac") for number in range(3)]
    write_tags = tags.write_tags

    def interrupted(path, *args, **options):
        if path == songs[1]:
            raise KeyboardInterrupt
        return write_tags(path, *args, **options)

    monkeypatch.setattr(tags, "write_tags", interrupted)
    result = CliRunner().invoke(app, ["tag", "--uncertain", *map(str, songs)])
    assert result.exit_code == 130
    assert result.stderr.splitlines()[0] == (
        "quadpred: 1 tagged; run the same command again to go on"
    )
    assert read_tags(songs[0])


def test_what_is_no_recording_costs_one_line(folder):
    song = record("song.flac")
    soundfile.write("header.wav", [], RATE)
    soundfile.write("short.wav", [0.0], 44_100)
    (folder / "folder").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo("pipe.mp3")
    odd = ["header.wav", "short.wav", os.devnull, "http://127.0.0.1/a.mp3", "gone.mp3"]
    odd += ["pipe.mp3"] * hasattr(os, "mkfifo")
    result = run("tag", "--uncertain", *odd, song, code=1)
    lines = result.stderr.splitlines()
    assert len(lines) == len(odd)
    assert all(f"{name}: " in line for name, line in zip(odd, lines, strict=True))
    assert result.stdout.splitlines()[-1] == f"{len(odd)} failed, 1 tagged"
    assert read_tags(song)[MOOD]
    result = run("tag", "--undo", *odd, "folder", song, code=1)
    assert len(result.stderr.splitlines()) == len(odd) - 2  # the two wav have no tags
    assert "http://127.0.0.1/a.mp3: is an address" in result.stderr
    assert not read_tags(song)[MOOD]


def test_files_that_are_not_tagged(folder):
    assert "name either files or folders" in complaint("tag")
    assert "name either files or folders" in complaint("tag", "a.flac", "--summary", "summary.csv")
    languages = ("-s", "e", "-m", "e")
    line = complaint("tag", "--summary", "summary.csv", *languages, "--jobs", "2", "-o", "out")
    assert line == "--output, --jobs, --speech, --music cannot be used with --summary"
    line = complaint("tag", "--undo", "a.flac", "--model", "m.onnx", "--scale", "1", "--replace")
    assert line == "--scale, --replace, --model cannot be used with --undo"
    assert complaint("tag", "a.flac", "--jobs", "2") == "--jobs cannot be used with single files"
    line = "--scale cannot be used with --numbers quadpred"
    assert complaint("tag", "a.flac", "--scale", "10") == line
    os.mkdir("album")
    assert complaint("tag", "album") == "album: no audio files found"
    song = record("song.flac")
    song.chmod(0o444)
    assert complaint("tag", song) == "song.flac: is read-only; make it writable"
    assert complaint("tag", "-s", "klingon", song).count("klingon") == 1


def test_hostile_names():
    odd = record("a\nb\x1b[31m.flac")
    result = run("tag", odd)
    assert all(line.isprintable() for line in result.stdout.splitlines())
    assert "a\\nb\\x1b[31m.flac: " in result.stdout
    assert "a\\nb\\x1b" in run("tag", "--dry-run", odd).stdout


@pytest.mark.slow
def test_extras_that_are_missing(summary):
    result = cold("tag", "sad.flac", without="mutagen")
    assert result.returncode == 2
    remedy = 'reading and writing tags needs the extra: pip install "quadpred[tags]"'
    assert said(result.stderr) == remedy
    artists = ("playlist", summary, "--mood", "sad", "--max-per-artist", "1")
    assert said(cold(*artists, without="mutagen").stderr) == remedy
    result = cold("map", "summary.parquet", "-o", "map.html", without="pyarrow")
    assert said(result.stderr) == 'Parquet needs the extra: pip install "quadpred[parquet]"'
    assert not Path("map.html").exists()


# playlist


def songs_of(text):
    """Paths of an m3u8."""
    lines = text.splitlines()
    assert lines[0] == "#EXTM3U"
    return [line for line in lines if not line.startswith("#")]


def test_a_playlist_of_a_mood(summary, folder):
    result = run("playlist", summary, "--mood", "Calm")
    assert songs_of(result.stdout) == [str(folder / "calm.flac")]
    assert "#EXTINF:180,calm\n" in result.stdout
    result = run("playlist", summary, "--mood", "calm", "-o", "lists/calm.m3u8")
    assert result.stdout == "lists/calm.m3u8: 1 song, 3 minutes\n"
    assert songs_of(Path("lists/calm.m3u8").read_text()) == [str(folder / "calm.flac")]
    assert run("playlist", summary, "--mood", "calm", "-o", "-").stdout.count(".flac\n") == 1
    assert not Path("-").exists()
    run("playlist", summary, "--mood", "calm", "-o", "calm.json")
    assert json.loads(Path("calm.json").read_text())["songs"]
    run("playlist", summary, "--mood", "calm", "-o", "calm.nsp")
    assert json.loads(Path("calm.nsp").read_text())["name"] == "calm"
    run("playlist", summary, "--mood", "calm", "-o", "calm.m3u8")
    assert songs_of(Path("calm.m3u8").read_text()) == ["calm.flac"]


def test_playlists_need_no_extra(summary, folder):
    result = cold("playlist", summary.with_suffix(".csv"), "--mood", "calm", without="mutagen")
    assert songs_of(result.stdout) == [str(folder / "calm.flac")]


def test_a_playlist_from_mood_to_mood(summary):
    result = run("playlist", summary, "--from", "sad", "--to", "calm")
    assert [Path(line).name for line in songs_of(result.stdout)] == ["sad.flac", "calm.flac"]


def test_playlists_in_other_formats(summary):
    songs = json.loads(run("playlist", summary, "--mood", "sad", "--format", "json").stdout)[
        "songs"
    ]
    assert [Path(song["file"]).name for song in songs] == ["sad.flac"]
    run("playlist", summary, "--scene", "sleep", "--format", "nsp", "-o", "Sleep.nsp")
    assert json.loads(Path("Sleep.nsp").read_text())["name"] == "Sleep"
    line = complaint("playlist", summary, "--scene", "wind-down", "--format", "nsp")
    assert line.startswith("--format nsp cannot hold a path")
    line = complaint("playlist", summary, "--mood", "sad", "--max-minutes", "9", "--format", "nsp")
    assert "cannot have --max-minutes" in line


def test_playlists_are_refreshed(summary, folder):
    run("playlist", summary, "--mood", "sad", "--max-per-artist", "1", "-o", "sad.m3u8")
    run("playlist", summary, "--mood", "sad", "--format", "json", "-o", "sad.json")
    more = [replace(clip(name, "Q3"), file=str(folder / name)) for name in ("x.flac", "y.flac")]
    write_parquet(summary, more)
    result = run("playlist", "--refresh", "sad.m3u8", "--refresh", "sad.json")
    assert result.stdout.splitlines()[0] == "sad.m3u8: 2 songs, 6 minutes"
    assert songs_of(Path("sad.m3u8").read_text()) == ["x.flac", "y.flac"]
    assert len(json.loads(Path("sad.json").read_text())["songs"]) == 2
    Path("foreign.m3u8").write_text("#EXTM3U\na.mp3\n")
    line = complaint("playlist", "--refresh", "foreign.m3u8")
    assert line.startswith("foreign.m3u8: quadpred did not make this playlist")
    line = complaint("playlist", summary, "--refresh", "sad.m3u8")
    assert line == "summary cannot be used with --refresh"
    more = ("-o", "b.m3u8", "--max-minutes", "30", "--format", "m3u8")
    line = complaint("playlist", "--refresh", "sad.m3u8", *more)
    assert line == "--max-minutes, --format, --output cannot be used with --refresh"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"summary": 5, "mood": "sad"}, "its summary is not valid"),
        ({"summary": "a\0.csv", "mood": "sad"}, "its summary is not valid"),
        ({"mood": ["sad"]}, "its mood is not valid"),
        ({"mood": "sad", "minutes": "x"}, "its minutes is not valid"),
        ({"mood": "sad", "minutes": -1}, "its minutes is not valid"),
        ({"mood": "sad", "minutes": float("nan")}, "its minutes is not valid"),
        ({"mood": "sad", "minutes": 10**400}, "made by another version"),
        ({"mood": "sad", "per_artist": 0}, "its per_artist is not valid"),
        ({"mood": "sad", "uncertain": "no"}, "its uncertain is not valid"),
        ({"mood": "sad", "genre": "jazz"}, "made by another version"),
        ({"scene": "nope"}, "nope is no scene"),
        ({"start": "sad"}, "it needs either a mood, or a scene, or start and end"),
        ({"mood": "sad", "scene": "sleep"}, "it needs either a mood"),
        ({}, "it needs either a mood"),
        ({"mood": "\ud800"}, "quadpred did not make this playlist"),
    ],
)
def test_options_that_the_command_line_could_not_have_given(summary, options, reason):
    document = {"quadpred": {"summary": str(summary), **options}, "songs": []}
    before = json.dumps(document)
    Path("edited.json").write_text(before)
    Path("edited.m3u8").write_text(f"#EXTM3U\n#QUADPRED:{json.dumps(document['quadpred'])}\n")
    for name in ("edited.json", "edited.m3u8"):
        line = complaint("playlist", "--refresh", name)
        assert line.startswith(f"{name}: {reason}")
        assert line.endswith("; make a new playlist") or line.endswith("; make a new one")
    assert Path("edited.json").read_text() == before


def test_whole_minutes_in_a_playlist(summary):
    run("playlist", summary, "--mood", "sad", "--max-minutes", "60", "-o", "sad.json")
    Path("sad.json").write_text(Path("sad.json").read_text().replace("60.0", "90"))
    run("playlist", "--refresh", "sad.json")
    assert json.loads(Path("sad.json").read_text())["quadpred"]["minutes"] == 90


def test_a_playlist_overwrites_no_input(summary):
    before = summary.read_bytes()
    line = complaint("playlist", summary, "--mood", "sad", "-o", summary)
    assert line == f"{summary}: is an input and would be overwritten; choose another -o"
    Path("song.ogg").write_bytes(b"music")
    line = complaint("playlist", summary, "--mood", "sad", "-o", "song.ogg")
    assert line == "song.ogg: is named like a recording; choose another extension"
    assert (summary.read_bytes(), Path("song.ogg").read_bytes()) == (before, b"music")
    Path("words.html").write_text('Q2 = "agitated"')
    line = complaint("map", summary, "--words", "words.html", "-o", "words.html")
    assert line == "words.html: is an input and would be overwritten; choose another -o"


def test_playlists_that_cannot_be(summary):
    assert complaint("playlist", summary).startswith("give either --mood, or --scene")
    assert complaint("playlist", summary, "--from", "sad").startswith("give either --mood")
    both = ["--mood", "sad", "--from", "sad", "--to", "happy"]
    assert complaint("playlist", summary, *both).startswith("give either --mood")
    assert complaint("playlist", "--mood", "sad").startswith("give the summary.csv")
    assert complaint("playlist", summary, "--mood", "blue").startswith("blue: unknown mood")
    assert "no song is confidently happy" in complaint("playlist", summary, "--mood", "happy")
    assert complaint("playlist", "none.csv", "--mood", "sad").endswith("No such file or directory")
    line = complaint("playlist", summary, "--mood", "sad", "--max-minutes", "1", "-o", "a.m3u8")
    assert line == "every sad song is longer than --max-minutes 1"
    assert not Path("a.m3u8").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="needs names that are not UTF-8")
def test_a_playlist_leaves_out_names_it_cannot_hold(folder):
    odd = replace(clip("a", "Q3"), file=str(folder / "caf\udce9.mp3"))
    summary = write_csv(folder / "summary.csv", [odd])
    result = run("playlist", summary, "--mood", "sad", "-o", "sad.m3u8", code=2)
    first, last = result.stderr.splitlines()
    assert first.startswith(f"quadpred: {folder}/caf\\xe9.mp3: left out: ")
    assert last == "quadpred: no song is left for the playlist"
    assert not Path("sad.m3u8").exists()
    write_csv(folder / "summary.csv", [odd, replace(clip("b", "Q3"), file=str(folder / "b.mp3"))])
    result = run("playlist", summary, "--mood", "sad", "-o", "sad.m3u8")
    assert result.stdout == "sad.m3u8: 1 song, 3 minutes\n"


# map


def test_maps(summary):
    assert run("map", summary, "-o", "map.png").stdout == "map.png: 4 songs\n"
    assert Path("map.png").read_bytes().startswith(b"\x89PNG")
    assert run("map", summary, "-o", "map.html").stdout == "map.html: 4 songs\n"
    assert Path("map.html").read_bytes().startswith(b"<!doctype html>")


def test_maps_that_cannot_be(summary, folder):
    assert complaint("map", summary, "-o", "map.pdf") == "-o map.pdf: must end in .png or .html"
    write_csv(folder / "empty.csv", [])
    assert (
        complaint("map", "empty.csv", "-o", "map.png")
        == "empty.csv: has no rows; predict a folder with songs"
    )
    assert not Path("map.png").exists()


# What reaches a terminal


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudoterminal")
def test_no_escape_code_of_a_name_reaches_a_terminal():
    import pty

    summary = write_csv(Path("summary.csv"), [clip("\x1b[2Jclear \x9b2J.mp3")])
    command = [sys.executable, "-m", "quadpred", "playlist", str(summary), "--mood", "happy"]
    piped = subprocess.run(command, capture_output=True, check=True).stdout
    assert "/music/\x1b[2Jclear \x9b2J.mp3" in piped.decode().splitlines()
    ours, theirs = pty.openpty()
    subprocess.run(command, stdout=theirs, check=True)
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "/music/\\x1b[2Jclear \\x9b2J.mp3" in shown.splitlines()
    assert "\x1b" not in shown
    assert "\x9b" not in shown
