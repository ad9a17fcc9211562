"""Manifests: invalid ones, and the memory that a large one needs."""

import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.command import quadpred
from helpers.full_disk import large_files_refused
from quadpred.train.corpora import (
    Clip,
    DataSheet,
    Manifest,
    ManifestError,
    check_splits,
    from_folder,
)
from quadpred.train.corpora.labelled import read_labelled

SHEET = DataSheet("generated")


@pytest.fixture
def twins(tmp_path: Path) -> Path:
    """Two speakers whose recordings have the same name."""
    for speaker in ("anna", "bela"):
        (tmp_path / "data" / speaker).mkdir(parents=True)
        (tmp_path / "data" / speaker / "001.wav").write_bytes(b"RIFF")
    return tmp_path / "data"


def test_files_of_one_name_are_all_read(twins: Path) -> None:
    made = from_folder(twins, SHEET, group="^[a-z]+", folds=2)
    assert {clip.group for clip in made.clips} == {"anna", "bela"}
    assert len({clip.path for clip in made.clips}) == 2


def test_folders_are_searched_as_library_runs_do(tmp_path: Path) -> None:
    found = ["Q1/a.aiff", "Q1/band/b.M4B", "Q3/c.wv", "Q3/d.mp4", "Q3/linked.mp3"]
    others = ["Q1/._a.aiff", "Q1/.git/e.mp3", "Q1/@eaDir/f.mp3", "Q3/g.mp3/h.txt", "Q3/cover.jpg"]
    for name in found[:-1] + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "Q3/linked.mp3").symlink_to("c.wv")
    made = from_folder(tmp_path, SHEET, folds=2)
    assert [str(clip.path.relative_to(tmp_path)) for clip in made.clips] == found
    assert read_labelled(tmp_path).clips == tuple(
        Clip(tmp_path / name, group, "", name[:2])
        for name, group in zip(found, ["Q1/a.aiff", "band", *found[2:]], strict=True)
    )


@pytest.mark.parametrize("read", [Manifest.load, read_labelled])
def test_a_manifest_may_come_from_a_pipe(read: Callable[[Path], Manifest]) -> None:
    out, into = os.pipe()
    with os.fdopen(out):
        with os.fdopen(into, "w") as file:
            file.write("path;group;split;quadrant\n/music/a.wav;anna;0;Q1\n")
        (clip,) = read(Path(f"/dev/fd/{out}")).clips
    assert clip == Clip(Path("/music/a.wav"), "anna", "0", "Q1")


def test_labels_name_files_by_their_path(twins: Path) -> None:
    labels = twins.parent / "labels.csv"
    labels.write_text("file,quadrant\nanna/001.wav,Q1\nbela/001.wav,Q3\n")
    made = from_folder(twins, SHEET, labels=labels, folds=2)
    assert {clip.path.parent.name: clip.quadrant for clip in made.clips} == {
        "anna": "Q1",
        "bela": "Q3",
    }


@pytest.mark.parametrize(
    ("name", "reason"), [("001.wav", "is in several folders"), ("002.wav", "is not under")]
)
def test_name_that_matches_no_single_file_is_refused(twins: Path, name: str, reason: str) -> None:
    labels = twins.parent / "labels.csv"
    labels.write_text(f"file,quadrant\n{name},Q1\n")
    with pytest.raises(ManifestError, match=rf"labels\.csv: line 2: {name} {reason}"):
        from_folder(twins, SHEET, labels=labels)


def test_invalid_group_pattern_is_refused(twins: Path) -> None:
    with pytest.raises(ManifestError, match=r"^--group \(: not a regular expression"):
        from_folder(twins, SHEET, group="(")


def test_labels_that_name_a_file_twice_are_refused(twins: Path) -> None:
    labels = twins.parent / "labels.csv"
    labels.write_text("file,quadrant\nanna/001.wav,Q1\nbela/001.wav,Q3\nanna/001.wav,Q2\n")
    with pytest.raises(ManifestError, match=r"line 4: .*anna/001\.wav is listed in line 2 already"):
        from_folder(twins, SHEET, labels=labels)


def manifest(folder: Path, *rows: str, header: str = "path,group,split,quadrant,tags") -> Path:
    path = folder / "manifest.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.mark.parametrize("second", ["a.wav,x,0,Q1", "./a.wav,x,0,Q2", "b/../a.wav,x,0,Q1"])
def test_a_clip_that_is_listed_twice_is_refused(tmp_path: Path, second: str) -> None:
    path = manifest(tmp_path, "a.wav,x,0,Q1", "c.wav,x,0,Q1", second)
    with pytest.raises(
        ManifestError, match=r"manifest\.csv: line 4: .*a\.wav is listed in line 2 already"
    ):
        Manifest.load(path)


@pytest.mark.parametrize("name", ["", "a\0b.wav"])
def test_a_row_without_a_path_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ManifestError, match=r"line 2: no path|NUL"):
        Manifest.load(manifest(tmp_path, f"{name},x,0,Q1"))


@pytest.mark.parametrize(
    ("sheet", "reason"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("\xff", "not JSON"),
        ("[]", "not a data sheet"),
        ("{}", "not a data sheet"),
        ('{"name": 5}', "not a data sheet"),
        ('{"name": "a", "license": "MIT"}', "unknown key 'license'"),
        ('{"name": "a", "note": null}', "note must be a string"),
    ],
)
def test_a_broken_data_sheet_is_one_line(tmp_path: Path, sheet: str, reason: str) -> None:
    path = manifest(tmp_path, "a.wav,x,0,Q1")
    path.with_suffix(".json").write_bytes(sheet.encode("latin-1"))
    with pytest.raises(ManifestError, match=reason) as error:
        Manifest.load(path)
    assert str(error.value).startswith(f"{path.with_suffix('.json')}: ")
    assert "\n" not in str(error.value)


def test_a_data_sheet_that_is_a_folder_is_one_line(tmp_path: Path) -> None:
    path = manifest(tmp_path, "a.wav,x,0,Q1")
    path.with_suffix(".json").mkdir()
    with pytest.raises(ManifestError, match=r"manifest\.json: Is a directory"):
        Manifest.load(path)


def test_a_manifest_is_read_as_it_was_saved(tmp_path: Path) -> None:
    path = manifest(tmp_path, "a.wav,x,0,Q1,loud; fast", "b.wav,y,1,,")
    path.with_suffix(".json").write_text(json.dumps({"name": "b", "note": "n"}))
    loaded = Manifest.load(path)
    loaded.save(tmp_path / "again.csv")
    assert Manifest.load(tmp_path / "again.csv") == loaded
    assert loaded.sheet == DataSheet("b", note="n")
    assert loaded.clips[0].tags == ("loud", "fast")


def test_splits_that_no_manifest_has_are_refused(tmp_path: Path) -> None:
    folds = Manifest.load(manifest(tmp_path, "a.wav,x,0,Q1", "b.wav,y,1,Q1"))
    named = Manifest.load(manifest(tmp_path, "a.wav,x,train,Q1"))
    check_splits([folds, named], ["1", "train"])
    check_splits([folds], [])
    with pytest.raises(ManifestError, match="unknown split 'tset'; choose from '0', '1'"):
        check_splits([folds], ["0", "tset"])


@pytest.mark.slow
def test_training_begins_without_packages_that_take_much_memory() -> None:
    code = "import sys, quadpred.train.pretrain, quadpred.train.transfer; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"sklearn", "scipy", "pandas"} & set(done.stdout.split())


@pytest.mark.slow
def test_a_large_manifest_takes_little_memory(tmp_path: Path) -> None:
    count = 20_000
    rows = (f"{n % 100}/{n}.mp3,artist {n % 5000},{n % 5},Q{n % 4 + 1},a; b" for n in range(count))
    path = manifest(tmp_path, *(f"{row}" for row in rows))
    tracemalloc.start()
    try:
        loaded = Manifest.load(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(loaded.clips) == count
    assert peak / count < 1000  # bytes; 200,000 rows stay below 200 MB


def test_a_manifest_that_cannot_be_written_leaves_the_older_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    clips = tuple(Clip(tmp_path / f"{n}.wav", str(n), "0") for n in range(1000))
    older = Manifest(clips[:1], DataSheet("older"))
    older.save(path)
    with large_files_refused(), pytest.raises(OSError, match=r"mine\.csv"):
        Manifest(clips, DataSheet("newer")).save(path)
    assert Manifest.load(path) == older
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["mine.csv", "mine.json"]


class TestCommand:
    def test_labels_are_not_replaced(self, twins: Path) -> None:
        labels = twins.parent / "labels.csv"
        labels.write_text("file,quadrant\nanna/001.wav,Q1\nbela/001.wav,Q3\n")
        before = labels.read_bytes()
        asked = ("train", "manifest", twins, "--labels", labels, "--folds", 2)
        for output in labels, twins / "../labels.csv":
            done = quadpred(*asked, "-o", output, code=2)
            assert f"{output}: is an input and would be overwritten" in done.stderr
        assert labels.read_bytes() == before

    def test_scores_and_models_replace_no_input(self, twins: Path) -> None:
        manifest, sheet = twins.parent / "mine.csv", twins.parent / "mine.json"
        sheet.write_text("{}")
        manifest.write_text("")
        refused = "mine.json: is an input and would be overwritten"
        scored = ("train", "evaluate", "run", "--manifest", manifest, "-o", sheet)
        assert refused in quadpred(*scored, code=2).stderr
        exported = ("train", "export", "run", "-s", "english", "-m", "english", "--scores", sheet)
        assert refused in quadpred(*exported, "-o", sheet, code=2).stderr
        assert sheet.read_text() == "{}"

    def test_data_sheet_replaces_no_input(self, twins: Path) -> None:
        teacher = twins.parent / "mine.json"
        teacher.write_text("not really an archive")
        asked = ("train", "manifest", twins, "--teacher", teacher, "--folds", 2)
        done = quadpred(*asked, "-o", twins.parent / "mine.csv", code=2)
        assert "mine.json: is an input" in done.stderr
        assert teacher.read_text() == "not really an archive"

    def test_other_extensions_are_refused(self, twins: Path) -> None:
        output = twins.parent / "mine.json"
        done = quadpred("train", "manifest", twins, "--folds", 2, "-o", output, code=2)
        assert done.stderr == f"quadpred: {output}: the name of a manifest must end in .csv\n"
        assert not output.exists()
