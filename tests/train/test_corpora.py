"""Each adapter on a small tree in its corpus's real layout."""

import csv
import json
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

from quadpred.cli.app import app
from quadpred.train.corpora import CORPORA, Manifest
from quadpred.train.corpora.quadrants import QUADRANT_OF_WORD, Scale, from_ratings
from quadpred.train.pretrain import pretrain
from quadpred.train.recipe import Recipe
from quadpred.train.transfer import transfer

RATE = 16_000
QUADRANTS = ("Q1", "Q2", "Q3", "Q4")


def sound(path: Path, seconds: float = 2.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = int.from_bytes(path.name.encode()[-8:], "little") % 2**32
    samples = np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE))
    soundfile.write(path, samples, RATE)


def table(path: Path, rows: Iterable[Iterable[object]], delimiter: str = ",") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        if delimiter == "\t":
            file.writelines("\t".join(map(str, row)) + "\n" for row in rows)
        else:
            csv.writer(file).writerows(rows)


def midi(path: Path) -> None:
    """A file of one note of a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    track = bytes.fromhex("00903c64 8760803c40 00ff2f00".replace(" ", ""))
    path.write_bytes(
        bytes.fromhex("4d546864000000060000000101e04d54726b")
        + len(track).to_bytes(4, "big")
        + track
    )


def librispeech(root: Path) -> None:
    for subset, reader in (("train-clean-100", 103), ("train-clean-100", 1034), ("dev-clean", 84)):
        for number in range(2):
            name = f"{reader}-1240-{number:04d}.flac"
            sound(root / "LibriSpeech" / subset / str(reader) / "1240" / name)
        chapter = root / "LibriSpeech" / subset / str(reader) / "1240"
        (chapter / f"{reader}-1240.trans.txt").write_text(f"{reader}-1240-0000 SO IT WAS\n")
    (root / "LibriSpeech" / "SPEAKERS.TXT").write_text("; none\n")


def aishell(root: Path) -> None:
    for split, speaker in (("train", "S0002"), ("dev", "S0724"), ("test", "S0764")):
        for number in (122, 123):
            name = f"BAC009{speaker}W{number:04d}.wav"
            sound(root / "data_aishell" / "wav" / split / speaker / name)
    transcript = root / "data_aishell" / "transcript"
    transcript.mkdir()
    (transcript / "aishell_transcript_v0.8.txt").write_text("")


def common_voice(root: Path) -> None:
    locale = root / "cv-corpus-17.0-2024-03-15" / "zh-CN"
    header = ["client_id", "path", "sentence_id", "sentence", "up_votes", "locale", "segment"]
    for index, split in enumerate(("train", "dev", "test")):
        rows = []
        for number in range(2):
            name = f"common_voice_zh-CN_{index}{number}.mp3"
            sound(locale / "clips" / name)
            rows.append([f"{index}ab{index}", name, "f00", 'an unpaired " mark', 2, "zh-CN", ""])
        table(locale / f"{split}.tsv", [header, *rows], "\t")
    table(locale / "validated.tsv", [header], "\t")


def ravdess(root: Path) -> None:
    for actor in range(1, 6):
        for emotion in range(1, 9):
            name = f"03-01-0{emotion}-01-01-01-{actor:02d}.wav"
            sound(root / f"Actor_{actor:02d}" / name)


SONGS = {f"MT000000{number:04d}": QUADRANTS[number % 4] for number in range(12)}
PANDA = "panda_dataset_taffc"


def four_q(root: Path) -> None:
    root = root / "MER_audio_taffc_dataset"
    header = ["Song", "Artist", "Title", "Quadrant", "MoodsStrSplit", "GenresStr"]
    rows = []
    for index, (song, quadrant) in enumerate(SONGS.items()):
        sound(root / quadrant / f"{song}.mp3")
        artist = ("  Artist ", "ARTIST")[index] if index < 2 else f"Artist {index}"
        rows.append([song, artist, "A, title", quadrant, "Bright; happy", "Pop/Rock"])
    table(root / f"{PANDA}_metadata.csv", [header, *rows])


def four_q_annotated(root: Path) -> None:
    four_q(root)
    base = root / "MER_audio_taffc_dataset"
    for path in list(base.rglob("*.mp3")):
        (base / "audio").mkdir(exist_ok=True)
        path.rename(base / "audio" / path.name)
    table(base / f"{PANDA}_annotations.csv", [["Song", "Quadrant"], *SONGS.items()])


# (arousal, valence) per quadrant, as shares of a scale from -1 to 1
POINTS = {"Q1": (0.5, 0.4), "Q2": (0.3, -0.6), "Q3": (-0.4, -0.3), "Q4": (-0.6, 0.7)}


def rated(low: float, high: float) -> list[tuple[int, float, float]]:
    """Twelve songs: number, arousal and valence."""
    middle, half = (low + high) / 2, (high - low) / 2
    points = [POINTS[QUADRANTS[number % 4]] for number in range(12)]
    return [
        (n + 2, round(middle + half * a, 4), round(middle + half * v, 4))
        for n, (a, v) in enumerate(points)
    ]


def ch818(root: Path) -> None:
    rows = []
    for number, arousal, valence in rated(-10, 10):
        sound(root / "CH818" / "audio" / f"{number}.mp3")
        rows.append([f"{number}.mp3", valence, arousal])
    table(root / "CH818" / "annotations.csv", [["Song", "Valence", "Arousal"], *rows])


def ch818_quads(root: Path) -> None:
    rows = []
    for number, _, _ in rated(-10, 10):
        sound(root / "ch818_mp3" / f"{number}.mp3")
        rows.append([f"./{number}.mp3", QUADRANTS[(number - 2) % 4]])
    table(root / "ch818_mp3" / "CH818_Quads.csv", [["Songs", "Quads"], *rows])


def deam(root: Path) -> None:
    level = root / "annotations" / "annotations averaged per song" / "song_level"
    header = ["song_id", " valence_mean", " valence_std", " arousal_mean", " arousal_std"]
    rows = []
    for number, arousal, valence in rated(1, 9):
        sound(root / "MEMD_audio" / f"{number}.mp3")
        rows.append([number, f" {valence}", " 0.9", f" {arousal}", " 0.6"])
    table(level / "static_annotations_averaged_songs_1_2000.csv", [header, *rows[:8]])
    longer = [*header, " valence_max_mean"]
    table(level / "static_annotations_averaged_songs_2000_2058.csv", [longer, *rows[8:]])
    of_2013 = [[n, f"{n}.mp3", "\tThe Band\t", "a song", "0:10", "Blues"] for n in (2, 3)]
    table(
        root / "metadata" / "metadata_2013.csv",
        [["song_id", "file_name", "Artist", "Song title", "start", "Genre"], *of_2013],
    )
    table(
        root / "metadata" / "metadata_2014.csv",
        [["Id", "Artist", "Album", "Track"], [4, "the band", "x", "y", "more", "labels"]],
    )
    table(
        root / "metadata" / "metadata_2015.csv",
        [["id", "Filename", "title", "artist"], [5, "5.mp3", "z", "The  Band"]],
    )


def pmemo(root: Path) -> None:
    base = root / "PMEmo2019"
    rows = []
    for number, arousal, valence in rated(0, 1):
        sound(base / "chorus" / f"{number}.mp3")
        rows.append([number, arousal, valence])
    sound(base / "chorus" / "1000.mp3")  # without annotation, as some are
    header = ["musicId", "Arousal(mean)", "Valence(mean)"]
    table(base / "annotations" / "static_annotations.csv", [header, *rows])
    songs = [[n, f"{n}.mp3", "title", f"artist {n // 4}", "album"] for n in range(2, 14)]
    table(base / "metadata.csv", [["musicId", "fileName", "title", "artist", "album"], *songs])


def emopia(root: Path) -> None:
    base = root / "EMOPIA_2.2"
    rows = []
    for number in range(12):
        stem = f"Q{number % 4 + 1}__SJQaaRz-{number // 4}D_{number % 4}"
        midi(base / "midis" / f"{stem}.mid")
        rows.append([stem, number % 4 + 1, "A"])
    (base / "midis" / "._Q1__SJQaaRz-0D_0.mid").write_bytes(b"a Mac's")
    table(base / "label.csv", [["ID", "4Q", "annotator"], *rows])


def merge(root: Path) -> None:
    base = root / "MERGE_Audio_Balanced"
    rows = []
    for index, (song, quadrant) in enumerate(SONGS.items()):
        sound(base / quadrant / f"{song}.mp3")
        rows.append([song, quadrant, f"artist {index // 3}", "Title", "Bright, Happy"])
    header = ["Song", "Quadrant", "Artist", "Title", "MoodsAll"]
    table(base / "merge_audio_balanced_metadata.csv", [header, *rows])
    av = [[song, 0.5, 0.5] for song in SONGS]
    table(base / "merge_audio_balanced_av_values.csv", [["Song", "Arousal", "Valence"], *av])
    for name, part in (("train", rows[:8]), ("validate", rows[8:10]), ("test", rows[10:])):
        for scheme in ("tvt_70_15_15", "tvt_40_30_30"):
            file = base / "tvt_dataframes" / scheme / f"{scheme}_{name}_audio_balanced.csv"
            table(file, [["Song", "Quadrant"], *([row[0], row[1]] for row in part)])


def jamendo(root: Path) -> None:
    words = ["happy", "heavy", "sad", "calm"]
    header = ["TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH", "DURATION", "TAGS"]
    splits: dict[str, list[list[object]]] = {"train": [], "validation": [], "test": []}
    for number in range(14):
        split = "train" if number < 8 else "validation" if number < 10 else "test"
        track = f"{number:02d}/13762{number:02d}.mp3"
        sound(root / track if number % 2 else root / track.replace(".mp3", ".low.mp3"))
        tags = [f"mood/theme---{words[number % 4]}", "mood/theme---film"]
        if number == 12:
            tags = ["mood/theme---happy", "mood/theme---sad"]
        if number == 13:
            tags = ["mood/theme---film"]
        ids = [f"track_13762{number:02d}", f"artist_{number // 2:06d}", "album_1"]
        splits[split].append([*ids, track, 460.8, *tags])
    for split, rows in splits.items():
        file = root / "data" / "splits" / "split-0" / f"autotagging_moodtheme-{split}.tsv"
        table(file, [header, *rows], "\t")
        other = root / "data" / "splits" / "split-1" / f"autotagging_moodtheme-{split}.tsv"
        table(other, [header], "\t")


def custom(root: Path) -> None:
    for name in ("Q1", "angry", "Sad", "q4"):
        for artist in ("one", "two", "three"):
            sound(root / name / f"{name} {artist}" / "song.wav")
            sound(root / name / f"{name} {artist}" / "other.flac")


TREES: dict[str, tuple[str, Callable[[Path], None]]] = {
    builder.__name__: (name, builder)
    for name, builder in (
        ("librispeech", librispeech),
        ("aishell", aishell),
        ("common-voice", common_voice),
        ("ravdess", ravdess),
        ("4q", four_q),
        ("4q", four_q_annotated),
        ("ch818", ch818),
        ("ch818", ch818_quads),
        ("deam", deam),
        ("pmemo", pmemo),
        ("emopia", emopia),
        ("merge", merge),
        ("jamendo", jamendo),
        ("custom", custom),
    )
}

SYNTHESISER = """#!{python}
import sys, wave
output = sys.argv[sys.argv.index("-F") + 1]
with open(sys.argv[-1], "rb") as file:
    if file.read(4) == b"MThd":
        with wave.open(output, "wb") as sound:
            sound.setparams((1, 2, 44100, 0, "NONE", ""))
            sound.writeframes(bytes(range(256)) * 700)
"""


@pytest.fixture(autouse=True)
def synthesiser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for FluidSynth, first in the path, and a soundfont."""
    program = tmp_path / "bin" / "fluidsynth"
    program.parent.mkdir()
    program.write_text(SYNTHESISER.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    font = tmp_path / "font.sf2"
    font.write_bytes(b"RIFF")
    monkeypatch.setattr("quadpred.train.corpora.render.SOUNDFONTS", (str(font),))
    monkeypatch.setenv("QUADPRED_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("QUADPRED_CORPORA", raising=False)
    return program


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)), prog_name="quadpred")


def make(corpus: str, folder: Path, *options: object) -> tuple[Manifest, str]:
    """The manifest that the command makes, and its warnings."""
    output = folder.parent / "made.csv"
    result = run("corpora", "manifest", corpus, folder, "-o", output, *options)
    assert result.exit_code == 0, result.output
    return Manifest.load(output), result.stderr


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "corpus").mkdir()
    return tmp_path / "corpus"


@pytest.mark.slow
@pytest.mark.parametrize("tree", TREES)
def test_tree_becomes_a_manifest_that_trains(
    tree: str, root: Path, recipes: dict[str, Path], tmp_path: Path
) -> None:
    name, build = TREES[tree]
    build(root)
    made, _ = make(name, root)
    assert made.sheet.name == CORPORA[name].title
    assert made.sheet.licence == CORPORA[name].licence
    assert all(clip.path.is_file() and clip.path.is_absolute() for clip in made.clips)
    assert len({clip.split for clip in made.clips}) > 1

    recipe = Recipe.load(recipes["base"])
    if CORPORA[name].kind == "speech":
        pretrain(recipe, [made], tmp_path / "run", cache=tmp_path / "cache")
    if {clip.quadrant for clip in made.clips} != {""}:
        transfer(recipe, [made], tmp_path / "transfer", cache=tmp_path / "cache")
        assert (tmp_path / "transfer" / "model.pt").exists()


def test_every_adapter_has_a_tree() -> None:
    assert {name for name, _ in TREES.values()} == set(CORPORA)


@pytest.mark.parametrize(
    ("tree", "clips", "groups", "splits"),
    [
        ("librispeech", 6, 3, {"train-clean-100", "dev-clean"}),
        ("aishell", 6, 3, {"train", "dev", "test"}),
        ("common_voice", 6, 3, {"train", "dev", "test"}),
        ("ravdess", 40, 5, set("01234")),
        ("four_q", 12, 11, set("01234")),
        ("four_q_annotated", 12, 11, set("01234")),
        ("ch818", 12, 12, set("01234")),
        ("ch818_quads", 12, 12, set("01234")),
        ("deam", 12, 9, set("01234")),
        ("pmemo", 12, 4, set("0123")),
        ("emopia", 12, 3, set("012")),
        ("jamendo", 12, 6, {"train", "validation", "test"}),
        ("custom", 24, 12, set("01234")),
    ],
)
def test_clips_groups_and_splits(
    tree: str, clips: int, groups: int, splits: set[str], root: Path
) -> None:
    name, build = TREES[tree]
    build(root)
    made, warnings = make(name, root)
    assert (len(made.clips), len({clip.group for clip in made.clips})) == (clips, groups)
    assert {clip.split for clip in made.clips} == splits
    if tree not in ("ch818_quads", "deam"):
        assert warnings == ""


@pytest.mark.parametrize(
    "tree", ["four_q", "four_q_annotated", "ch818", "ch818_quads", "deam", "pmemo", "merge"]
)
def test_quadrants_are_those_of_the_labels(tree: str, root: Path) -> None:
    name, build = TREES[tree]
    build(root)
    made, _ = make(name, root)
    first = 0 if "MT" in made.clips[0].path.stem else 2
    for clip in made.clips:
        number = int(clip.path.stem.removeprefix("MT")) - first
        assert clip.quadrant == QUADRANTS[number % 4]


def test_emotions_and_words_name_quadrants(root: Path) -> None:
    ravdess(root)
    made, _ = make("ravdess", root)
    quadrants = {clip.tags[0]: clip.quadrant for clip in made.clips}
    assert quadrants == {
        "neutral": "", "calm": "Q4", "happy": "Q1", "sad": "Q3", "angry": "Q2", "fearful": "Q2",
        "disgust": "Q2", "surprised": "Q1",
    }  # fmt: skip


def test_published_splits_that_share_artists_are_kept_with_a_warning(root: Path) -> None:
    merge(root)
    made, warnings = make("merge", root)
    assert warnings == (
        "quadpred: warning: merge: 2 of 4 groups are in several published splits;"
        " use --folds to split by group\n"
    )
    assert [clip.split for clip in made.clips].count("train") == 8
    made, warnings = make("merge", root, "--folds", 2)
    assert warnings == ""
    assert {clip.split for clip in made.clips} == {"0", "1"}
    assert len({clip.group for clip in made.clips}) == 4


def test_splits_of_emopia_are_used_where_they_are(root: Path) -> None:
    emopia(root)
    for song, split in enumerate(("train", "val", "test")):
        rows = [[f"Q{n + 1}__SJQaaRz-{song}D_{n}", f"Q{n + 1}"] for n in range(4)]
        table(root / "split" / f"{split}.csv", [["fname", "label"], *rows])
    made, _ = make("emopia", root)
    assert {(clip.group, clip.split) for clip in made.clips} == {
        ("_SJQaaRz-0D", "train"), ("_SJQaaRz-1D", "val"), ("_SJQaaRz-2D", "test")
    }  # fmt: skip


def test_dead_zone_and_median(root: Path) -> None:
    pmemo(root)
    made, _ = make("pmemo", root, "--dead-zone", 0.35)
    assert {clip.quadrant for clip in made.clips} == {"Q1", "Q4"}
    assert "6 clips were left out" in made.sheet.note
    annotations = root / "PMEmo2019" / "annotations" / "static_annotations.csv"
    rows = [[n, 0.8 + a / 10, 0.7 + v / 10] for n, a, v in rated(0, 1)]
    table(annotations, [["musicId", "Arousal(mean)", "Valence(mean)"], *rows])
    made, _ = make("pmemo", root)
    assert {clip.quadrant for clip in made.clips} == {"Q1"}
    made, _ = make("pmemo", root, "--threshold", "median")
    assert {clip.quadrant for clip in made.clips} == set(QUADRANTS)
    assert "the corpus's medians" in made.sheet.note


def test_rating_at_the_threshold_has_no_quadrant() -> None:
    assert from_ratings([(5, 9), (9, 5), (5.1, 4.9)], Scale(1, 9)) == ["", "", "Q2"]
    assert from_ratings([], Scale(1, 9), threshold="median") == []


def test_each_word_stands_for_one_quadrant() -> None:
    assert set(QUADRANT_OF_WORD.values()) == set(QUADRANTS)


@pytest.mark.parametrize(
    ("tree", "spoil", "named"),
    [
        ("librispeech", lambda root: sound(root / "LibriSpeech/x/y/z/hello.flac"), "hello.flac"),
        ("aishell", lambda root: sound(root / "data_aishell/wav/a/b/BAC009S0002W0001.wav"), "a/b"),
        ("aishell", lambda root: (root / "S0009.tar.gz").write_bytes(b"x"), "not unpacked"),
        ("ravdess", lambda root: sound(root / "Actor_01/03-01-09-01-01-01-01.wav"), "09-01"),
        ("custom", lambda root: sound(root / "somewhere/song.wav"), "somewhere"),
        ("custom", lambda root: (root / "Q1/empty.wav").touch(), "empty.wav: empty file"),
        ("custom", lambda root: (root / "Q1/text.wav").write_text("no sound"), "text.wav: "),
        (
            "common_voice",
            lambda root: next(root.rglob("*_00.mp3")).unlink(),
            "common_voice_zh-CN_00.mp3: No such file",
        ),
        (
            "common_voice",
            lambda root: next(root.rglob("train.tsv")).write_text("a\tb\n1\t2\n"),
            "train.tsv: no column client_id, path",
        ),
        (
            "four_q",
            lambda root: next(root.rglob("*_metadata.csv")).unlink(),
            "panda_dataset_taffc_metadata.csv: no such file: each song becomes its own group",
        ),
        (
            "four_q_annotated",
            lambda root: next(root.rglob("MT0000000003.mp3")).unlink(),
            "MT0000000003: no recording with this name",
        ),
        (
            "pmemo",
            lambda root: table(
                next(root.rglob("static_annotations.csv")),
                [
                    ["musicId", "Arousal(mean)", "Valence(mean)"],
                    *([2, "0.9", "n/a"], [3, 0.1, 17], [4, 0.9, 0.9], [5, 0.1, 0.1]),
                ],
            ),
            "static_annotations.csv: 3: arousal and valence must be from 0 to 1",
        ),
        (
            "merge",
            lambda root: table(
                root / "MERGE_Audio_Complete" / "merge_audio_complete_metadata.csv", []
            ),
            "merge_audio_complete_metadata.csv: left out",
        ),
        (
            "emopia",
            lambda root: (root / "EMOPIA_2.2/midis/Q1_abcdefghijk_0.mid").write_bytes(b"no MIDI"),
            "Q1_abcdefghijk_0.mid: FluidSynth cannot render it",
        ),
    ],
)
def test_unusable_file_gives_a_warning_and_the_rest_is_used(
    tree: str, spoil: Callable[[Path], object], named: str, root: Path
) -> None:
    name, build = TREES[tree]
    build(root)
    spoil(root)
    if name == "merge":
        (root / "MERGE_Audio_Complete").rename(root / "more")
    made, warnings = make(name, root)
    assert made.clips
    assert named in warnings
    assert all(line.startswith("quadpred: warning: ") for line in warnings.splitlines())


def test_rendering_is_done_once(root: Path, synthesiser: Path) -> None:
    emopia(root)
    first, _ = make("emopia", root)
    assert {clip.path.suffix for clip in first.clips} == {".flac"}
    assert soundfile.info(first.clips[0].path).samplerate == RATE
    synthesiser.write_text("#!/bin/sh\nexit 1\n")
    again, warnings = make("emopia", root)
    assert again == first
    assert warnings == ""


@pytest.mark.skipif(
    not (shutil.which("fluidsynth") and Path("/usr/share/sounds/sf2/default-GM.sf2").exists()),
    reason="needs FluidSynth and a soundfont",
)
def test_rendering_by_fluidsynth(
    root: Path, synthesiser: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthesiser.unlink()
    midi(root / "Q1" / "note.mid")
    monkeypatch.undo()
    from quadpred.train.corpora.render import render

    made = render([root / "Q1" / "note.mid"], on_warning=pytest.fail, cache=root)
    samples, rate = soundfile.read(made[root / "Q1" / "note.mid"])
    assert rate == RATE
    assert samples.ndim == 1
    assert len(samples) > RATE / 2
    assert np.abs(samples).max() > 0.001


def test_hours_give_a_random_sample(root: Path) -> None:
    librispeech(root)
    made, _ = make("librispeech", root, "--hours", 3 / 3600)
    assert len(made.clips) == 2
    again, _ = make("librispeech", root, "--hours", 3 / 3600)
    assert again == made


def test_options_replace_values_of_the_data_sheet(root: Path) -> None:
    common_voice(root)
    made, _ = make("common-voice", root, "--language", "mandarin", "--name", "CV")
    assert (made.sheet.name, made.sheet.language) == ("CV", "mandarin")
    assert made.sheet.licence == "CC0 1.0"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["deam", "."], ".: no usable clips of DEAM; expected MEMD_audio"),
        (["deam", "nowhere"], "nowhere: is not a folder"),
        (["nothing", "."], "nothing: unknown corpus; choose from librispeech"),
    ],
)
def test_failure_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus").mkdir()
    result = run("corpora", "manifest", *arguments, "-o", tmp_path / "made.csv")
    assert result.exit_code == 2
    assert message in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "made.csv").exists()


def test_list_shows_all_corpora_and_their_folders(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    librispeech(root)
    (root / "emopia").mkdir()
    result = run("corpora", "--root", root)
    assert result.exit_code == 0
    for corpus in CORPORA.values():
        assert corpus.name in result.output
        assert corpus.title in result.output
    monkeypatch.setenv("QUADPRED_CORPORA", str(root))
    output = run("corpora").output
    found = [line.split()[-2] for line in output.splitlines() if line.endswith("│")]
    assert (found.count("LibriSpeech"), found.count("emopia")) == (1, 1)
    assert found.count("no") == len(CORPORA) - 2
    kinds = {cells[1]: cells[3] for line in output.splitlines() if len(cells := line.split()) > 3}
    assert {name: kinds[name] for name in CORPORA} == {c.name: c.kind for c in CORPORA.values()}
    assert "To see which are there" not in output


def test_folder_and_labels_become_a_manifest(root: Path, tmp_path: Path) -> None:
    sound(root / "a.wav")
    sound(root / "b.wav")
    labels = tmp_path / "labels.csv"
    table(labels, [["file", "quadrant", "artist"], ["a.wav", "Q1", "x"], ["b.wav", "Q3", "y"]])
    output = tmp_path / "elsewhere" / "custom.csv"
    result = run("train", "manifest", root, "--labels", labels, "--group", "artist", "-o", output)
    assert result.exit_code == 0, result.output
    assert [clip.quadrant for clip in Manifest.load(output).clips] == ["Q1", "Q3"]
    assert json.loads(output.with_suffix(".json").read_text())["licence"] == "unknown"
