import json
import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import quadpred
from helpers.libraries import counts, files, ledger_lines, predict, record, table
from quadpred.batch import BatchError, recording, tables
from quadpred.batch.discovery import Shard
from quadpred.batch.ledger import Ledger
from quadpred.formats import FORMATS
from quadpred.labels import QUADRANT
from quadpred.library.summary import COLUMNS, read_summary, unescape_cell
from quadpred.predictor import Predictor


@pytest.fixture
def library(tmp_path):
    """Two recordings of one stem, one in a folder; old enough to be known by their stamps."""
    for number, name in enumerate(("a.mp3", "a.wav", "rock/b.flac")):
        record(tmp_path / "music" / name, seconds=2, seed=number)
    return tmp_path / "music"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def settled(monkeypatch):
    """Files count as unchanged for long at once."""
    monkeypatch.setattr(recording, "TICK", -1.0)


# Tables and files


def test_the_summary_has_a_row_a_clip(library, out):
    report = predict([library], out)
    assert counts(report) == (3, 0, 0)
    rows = table(out / "summary.csv")
    assert [row["path"] for row in rows] == ["a.mp3", "a.wav", "rock/b.flac"]
    predictor = Predictor(out.parent / "tiny-0.onnx")
    for row in rows:
        assert tuple(row) == tuple(COLUMNS)
        assert row["file"] == str(library / row["path"])
        prediction = predictor.predict(row["file"])
        means = prediction.means()
        assert float(row["duration"]) == prediction.duration
        assert row["quadrant"] == prediction.winner
        for name in ("Q1", "Q2", "Q3", "Q4"):
            assert float(row[name]) == pytest.approx(means["quadrant"][name], abs=1e-6)
        for name in ("arousal", "valence"):
            assert float(row[name]) == pytest.approx(means[name]["positive"], abs=1e-6)
        assert float(row["confidence"]) == pytest.approx(prediction.confidence, abs=1e-6)
        assert row["uncertain"] == str(prediction.uncertain).lower()
        assert row["damage"] == ""
        assert (row["model"], row["version"]) == ("tiny", quadpred.__version__)
    assert len({row["sha256"] for row in rows}) == 3
    assert table(out / "errors.csv") == []


def test_parquet_holds_the_same_as_csv(library, out):
    parquet = pytest.importorskip("pyarrow.parquet")
    predict([library], out)
    read = parquet.read_table(out / "summary.parquet").to_pylist()
    assert [type(value) for value in read[0].values()] == list(COLUMNS.values())
    texts = [
        {
            name: str(value).lower() if value in (True, False) else str(value)
            for name, value in row.items()
        }
        for row in read
    ]
    assert texts == table(out / "summary.csv")


def test_without_pyarrow_there_is_csv(library, out, monkeypatch):
    monkeypatch.setattr(tables, "has_parquet", lambda: False)
    predict([library], out, seconds=True)
    assert files(out) == ["errors.csv", "seconds.csv", "summary.csv"]
    rows = table(out / "seconds.csv")
    assert len(rows) == 6
    assert list(rows[0])[:3] == ["path", "second", "Q1"]
    assert rows[1]["second"] == "1"
    assert rows[1]["silent"] == "false"


def test_a_row_a_second(library, out):
    parquet = pytest.importorskip("pyarrow.parquet")
    predict([library], out, seconds=True, formats=("npy",))
    rows = parquet.read_table(out / "seconds.parquet").to_pylist()
    assert [(row["path"], row["second"]) for row in rows[:3]] == [
        ("a.mp3", 0),
        ("a.mp3", 1),
        ("a.wav", 0),
    ]
    quadrants = [[row[name] for name in QUADRANT.classes] for row in rows[:2]]
    assert np.array_equal(np.float32(quadrants), np.load(out / "a.mp3.npy"))
    assert rows[0]["silent"] is False


def test_every_format_under_the_whole_name(library, out):
    pytest.importorskip("pyarrow")
    formats = tuple(name for name in FORMATS if name != "embedding")  # the model has none
    predict([library], out, formats=formats)
    suffixes = [FORMATS[name].suffix for name in formats]
    assert len(set(suffixes)) == len(suffixes)
    tables = {"errors.csv", "summary.csv", "summary.parquet"}
    results = {
        f"{name}{suffix}" for name in ("a.mp3", "a.wav", "rock/b.flac") for suffix in suffixes
    }
    assert set(files(out)) == results | tables
    assert json.loads((out / "rock/b.flac.json").read_bytes())["source"] == "rock/b.flac"


def test_csv_and_parquet_of_a_clip_hold_its_rows(library, out):
    parquet = pytest.importorskip("pyarrow.parquet")
    predict([library], out, formats=("csv", "parquet", "npy"))
    rows, read = table(out / "a.wav.csv"), parquet.read_table(out / "a.wav.parquet").to_pylist()
    expected = np.load(out / "a.wav.npy")
    for second in range(2):
        assert int(rows[second]["second"]) == read[second]["second"] == second
        for at, name in enumerate(QUADRANT.classes):
            assert read[second][name] == expected[second, at]
            assert float(rows[second][name]) == pytest.approx(expected[second, at], abs=1e-6)
        assert rows[second]["uncertain"] == str(read[second]["uncertain"]).lower()


# What is done again, and what is not


def test_nothing_is_done_twice(library, out, settled):
    predict([library], out, formats=("json",))
    lines, summary = ledger_lines(out), (out / "summary.csv").read_bytes()
    assert counts(predict([library], out, formats=("json",))) == (0, 3, 0)
    assert ledger_lines(out) == lines
    assert (out / "summary.csv").read_bytes() == summary


def test_what_is_too_fresh_for_its_stamp_is_known_by_its_content(library, out, monkeypatch):
    monkeypatch.setattr(recording, "TICK", 1e6)  # seconds; a busy machine takes a few
    predict([library], out)
    assert all(line["stamp"] is None for line in ledger_lines(out))
    lines = ledger_lines(out)
    assert counts(predict([library], out)) == (0, 3, 0)
    assert ledger_lines(out) == lines


def test_new_changed_and_failed_files_are_done(library, out, settled):
    (library / "broken.mp3").write_text("words" * 100)
    assert counts(predict([library], out)) == (3, 0, 1)
    record(library / "broken.mp3", seed=7)
    record(library / "new.ogg", seed=8)
    record(library / "a.wav", seed=9)
    assert counts(predict([library], out)) == (3, 2, 0)
    assert len(table(out / "summary.csv")) == 5


def test_a_change_that_keeps_size_and_time_is_seen(library, out, settled):
    predict([library], out)
    before = (library / "a.wav").stat()
    record(library / "a.wav", seconds=2, seed=9)
    os.utime(library / "a.wav", ns=(before.st_atime_ns, before.st_mtime_ns))
    after = (library / "a.wav").stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert counts(predict([library], out)) == (1, 2, 0)


def test_touched_copied_and_moved_content_is_not_predicted_again(library, out, settled):
    predict([library], out)
    os.utime(library / "a.wav", (1, 1))
    shutil.copy(library / "a.mp3", library / "copy")
    os.replace(library / "copy", library / "a.mp3")
    os.rename(library, library.parent / "moved")
    assert counts(predict([library.parent / "moved"], out)) == (0, 3, 0)
    assert table(out / "summary.csv")[0]["file"].startswith(str(library.parent / "moved"))


def test_a_renamed_file_is_not_predicted_again_unless_its_new_name_needs_files(
    library, out, settled
):
    predict([library], out, formats=("json",), seconds=True)
    (library / "pop").mkdir()
    os.rename(library / "a.mp3", library / "pop/first.mp3")
    shutil.copy2(library / "a.wav", library / "copy.wav")
    assert counts(predict([library], out, seconds=True)) == (0, 4, 0)
    rows = {row["path"]: row for row in table(out / "summary.csv")}
    assert list(rows) == ["a.wav", "copy.wav", "pop/first.mp3", "rock/b.flac"]
    assert rows["copy.wav"]["Q1"] == rows["a.wav"]["Q1"]
    assert rows["pop/first.mp3"]["sha256"] != rows["a.wav"]["sha256"]
    assert rows["pop/first.mp3"]["file"] == str(library / "pop/first.mp3")
    assert counts(predict([library], out, seconds=True)) == (0, 4, 0)
    assert counts(predict([library], out, formats=("json",))) == (2, 2, 0)


def test_a_file_like_another_with_other_content_is_predicted(library, out, settled):
    predict([library], out)
    record(library / "like.wav", seconds=2, seed=9)
    times = (library / "a.wav").stat()
    os.utime(library / "like.wav", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert counts(predict([library], out)) == (1, 3, 0)


def test_another_model_predicts_everything_again(library, out, settled):
    predict([library], out)
    before = (out / "summary.csv").read_bytes()
    assert counts(predict([library], out, seed=1)) == (3, 0, 0)
    assert (out / "summary.csv").read_bytes() != before


def test_results_of_another_model_that_no_record_speaks_of_are_not_believed(
    library, out, settled, monkeypatch
):
    predict([library], out, formats=("npy",))
    rows = (out / "a.mp3.npy").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "append", interrupt)  # as if killed between a file and its line
        with pytest.raises(KeyboardInterrupt):
            predict([library], out, formats=("npy",), seed=1)
    assert counts(predict([library], out, formats=("npy",))) == (1, 2, 0)
    assert (out / "a.mp3.npy").read_bytes() == rows


def interrupt(*_):
    raise KeyboardInterrupt


def test_results_that_are_missing_or_cut_short_are_made_again(library, out, settled):
    predict([library], out, formats=("json", "npy"))
    (out / "a.mp3.json").unlink()
    whole = (out / "a.wav.npy").read_bytes()
    (out / "a.wav.npy").write_bytes(whole[:-1])
    assert counts(predict([library], out, formats=("json", "npy"))) == (2, 1, 0)
    assert (out / "a.wav.npy").read_bytes() == whole


def test_damage_is_in_the_summary_of_every_run(library, out, settled):
    whole = (library / "a.mp3").read_bytes()
    (library / "a.mp3").write_bytes(whole[: len(whole) // 2])
    for predicted in 3, 0:
        assert counts(predict([library], out)) == (predicted, 3 - predicted, 0)
        damaged, *sound = table(out / "summary.csv")
        assert "the rest is damaged or missing" in damaged["damage"]
        assert [row["damage"] for row in sound] == ["", ""]


def test_more_is_wanted_than_there_is(library, out, settled):
    predict([library], out, formats=("json",))
    assert counts(predict([library], out, formats=("json", "npy"))) == (3, 0, 0)
    assert counts(predict([library], out, seconds=True)) == (3, 0, 0)
    assert counts(predict([library], out, formats=("npy", "json"), seconds=True)) == (0, 3, 0)


def test_older_results_of_changed_content_are_not_believed(library, out, settled):
    predict([library], out, formats=("npy",))
    record(library / "a.wav", seconds=2, seed=9)
    predict([library], out, formats=("json",))
    assert counts(predict([library], out, formats=("npy",))) == (1, 2, 0)


def test_a_file_that_breaks_leaves_the_summary(library, out):
    predict([library], out)
    (library / "a.wav").write_text("words" * 100)
    assert counts(predict([library], out)) == (0, 2, 1)
    assert [row["path"] for row in table(out / "summary.csv")] == ["a.mp3", "rock/b.flac"]
    assert [row["path"] for row in table(out / "errors.csv")] == ["a.wav"]


def test_a_file_that_is_gone_leaves_the_summary(library, out):
    predict([library], out)
    (library / "a.wav").unlink()
    assert counts(predict([library], out)) == (0, 2, 0)
    assert len(table(out / "summary.csv")) == 2


def test_a_file_that_changes_while_it_is_read_is_an_error(library, out, monkeypatch):
    def stream_and_touch(self, path, **options):
        yield from stream(self, path, **options)
        if path.endswith("a.wav"):
            record(library / "a.wav", seed=5)

    stream = Predictor.stream
    monkeypatch.setattr(Predictor, "stream", stream_and_touch)
    assert counts(predict([library], out)) == (2, 0, 1)
    assert (
        table(out / "errors.csv")[0]["reason"] == "changed while it was read; run the command again"
    )


def test_what_a_killed_run_was_writing_is_removed(library, out):
    left = out / ".quadpred" / "scratch-1-of-1" / ".quadpred-00.part"
    left.parent.mkdir(parents=True)
    left.write_text("half")
    predict([library], out, formats=("json",))
    assert not list(out.rglob("*.part"))


def test_tables_are_written_where_the_next_run_removes_what_is_left(library, out, monkeypatch):
    written = []
    csv_table = tables.csv_table

    def watched(columns, file, **options):
        written.append(Path(file.name).parent)
        return csv_table(columns, file, **options)

    monkeypatch.setattr(tables, "csv_table", watched)
    predict([library], out)
    assert written == [out / ".quadpred" / "scratch-1-of-1"] * 2
    assert not written[0].exists()


def test_a_ledger_that_is_removed_while_tables_are_written_is_reported(library, out, monkeypatch):
    def without_ledger(columns, file, **options):
        shutil.rmtree(out / ".quadpred")
        return csv_table(columns, file, **options)

    csv_table = tables.csv_table
    monkeypatch.setattr(tables, "csv_table", without_ledger)
    with pytest.raises(BatchError, match="was removed or replaced during the run"):
        predict([library], out)


@pytest.mark.parametrize("damage", ["removed", "short", "altered"])
def test_damaged_per_second_rows_are_predicted_again(library, out, settled, damage):
    pytest.importorskip("pyarrow")
    predict([library], out, seconds=True)
    whole = (out / "seconds.parquet").read_bytes()
    rows = out / ".quadpred" / "seconds-1-of-1.f32"
    content = rows.read_bytes()
    if damage == "removed":
        rows.unlink()
    else:
        rows.write_bytes(content[:-1] if damage == "short" else content[:5] + b"!" + content[6:])
    again = 3 if damage == "removed" else 1
    assert counts(predict([library], out, seconds=True)) == (again, 3 - again, 0)
    assert (out / "seconds.parquet").read_bytes() == whole
    assert counts(predict([library], out, seconds=True)) == (0, 3, 0)


def test_damaged_lines_of_the_ledger_are_predicted_again(library, out, settled):
    predict([library], out)
    summary = (out / "summary.csv").read_bytes()
    ledger = out / ".quadpred" / "ledger-1-of-1.jsonl"
    ledger.write_bytes(ledger.read_bytes().replace(b'"duration":2.0', b'"duration":3.0', 1))
    assert counts(predict([library], out)) == (1, 2, 0)
    assert (out / "summary.csv").read_bytes() == summary


def test_a_clock_that_was_ahead_causes_no_repeated_work(library, out, settled, monkeypatch):
    now = time.time
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: now() + 1e8)
        predict([library], out)
    record(library / "a.wav", seconds=2, seed=9)
    assert counts(predict([library], out)) == (1, 2, 0)
    assert counts(predict([library], out)) == (0, 3, 0)


def test_files_of_a_clock_that_was_ahead_are_known_by_their_stamps(library, out, monkeypatch):
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 1e8)
    predict([library], out)
    assert all(line["stamp"] is not None for line in ledger_lines(out))


@pytest.mark.skipif(os.name != "posix", reason="open files cannot be removed elsewhere")
def test_a_state_folder_that_disappears_ends_the_run(library, out, monkeypatch):
    def remove_and_stream(self, path, **options):
        shutil.rmtree(out / ".quadpred", ignore_errors=True)
        return stream(self, path, **options)

    stream = Predictor.stream
    monkeypatch.setattr(Predictor, "stream", remove_and_stream)
    with pytest.raises(BatchError, match="was removed or replaced during the run"):
        predict([library], out, formats=("json",))
    monkeypatch.undo()
    assert counts(predict([library], out, formats=("json",))) == (3, 0, 0)


# Hard cases


def test_broken_empty_silent_and_duplicate_files(tmp_path, out):
    music = tmp_path / "music"
    record(music / "a.wav")
    shutil.copy(music / "a.wav", music / "same.wav")
    (music / "text.mp3").write_text("words" * 100)
    (music / "empty.flac").touch()
    silent = record(music / "silent.wav", seconds=2)
    silent.write_bytes(silent.read_bytes()[:44] + bytes(2 * 2 * 16_000))
    report = predict([music], out, formats=("json",))
    assert counts(report) == (3, 0, 2)
    errors = {row["path"]: row["reason"] for row in table(out / "errors.csv")}
    assert list(errors) == ["empty.flac", "text.mp3"]
    assert errors["empty.flac"] == "is empty; copy or download it again"
    rows = {row["path"]: row for row in table(out / "summary.csv")}
    assert rows["silent.wav"]["uncertain"] == "true"
    assert rows["a.wav"]["sha256"] == rows["same.wav"]["sha256"]
    assert rows["a.wav"]["Q1"] == rows["same.wav"]["Q1"]
    assert json.loads((out / "same.wav.json").read_bytes())["source"] == "same.wav"


HOSTILE = [
    "line\nfeed\r.wav",
    "quote\"'`$(x);.wav",
    "-rf.wav",
    "--help.wav",
    " space .wav",
    "=1+1,2.wav",
    "愤怒 \U0001f3b5.wav",
    f"{'n' * 246}.wav",
    f"{'é' * 123}.wav",
    f"{'é' * 122}.wav",
]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
@pytest.mark.parametrize("listed", [False, True])
def test_hostile_names(tmp_path, out, monkeypatch, listed):
    pytest.importorskip("pyarrow")
    names = [*HOSTILE, os.fsdecode(b"caf\xe9.wav")]
    for at, name in enumerate(names):
        record(tmp_path / "music" / name, seed=at)
    monkeypatch.chdir(tmp_path / "music")
    given = (["-"], b"\0".join(map(os.fsencode, names))) if listed else (["."],)
    report = predict(given[0], out, listed=b"".join(given[1:]), formats=("json", "parquet"))
    assert report.errors == {}
    assert counts(report) == (len(names), 0, 0)
    results = [name for name in files(out) if name.endswith((".json", ".parquet"))]
    assert len(results) == 2 * len(names) + 1
    cells = {row["path"] for row in table(out / "summary.csv")}
    assert {unescape_cell(cell) for cell in cells} == {*HOSTILE, "caf\\xe9.wav"}
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
    assert {f"{name}.json" for name in names if len(os.fsencode(name)) < 250} < set(results)
    assert counts(predict(["."], out, formats=("json", "parquet"))) == (0, len(names), 0)


def test_results_never_take_the_place_of_inputs_or_tables(tmp_path, out, monkeypatch):
    paths = [record(tmp_path / name) for name in ("out/a", "out/a.json", "summary")]
    content = paths[1].read_bytes()
    monkeypatch.chdir(out)
    with pytest.raises(BatchError, match="is an input and would be overwritten"):
        predict(["a", "a.json"], out, formats=("json",))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BatchError, match="would overwrite the tables"):
        predict(["summary"], out, formats=("csv",))
    assert paths[1].read_bytes() == content
    assert counts(predict(["summary"], out)) == (1, 0, 0)


def test_no_name_is_a_formula_in_any_table(tmp_path, out, monkeypatch):
    monkeypatch.setattr(tables, "has_parquet", lambda: False)
    record(tmp_path / "music" / "=good.wav")
    (tmp_path / "music" / "+bad.wav").touch()
    predict([tmp_path / "music"], out, seconds=True)
    paths = {
        name: table(out / f"{name}.csv")[0]["path"] for name in ("summary", "seconds", "errors")
    }
    assert paths == {"summary": "'=good.wav", "seconds": "'=good.wav", "errors": "'+bad.wav"}


@pytest.mark.parametrize("bom", [False, True])
def test_a_byte_order_mark_is_optional(library, out, tmp_path, settled, bom):
    for index in (1, 2):
        predict([library], out, Shard(index, 2), bom=bom)
    for name in ("summary.csv", "errors.csv", "summary-1-of-2.csv"):
        assert (out / name).read_bytes().startswith(b"\xef\xbb\xbf") == bom
    assert len(read_summary(out / "summary.csv")) == 3


def test_errors_have_one_form_of_path(library, out, monkeypatch):
    (library / "bad.wav").touch()
    (library / "locked").mkdir()
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    predict([library], out)
    assert [row["path"] for row in table(out / "errors.csv")] == ["bad.wav", "locked"]


# Shards


def test_shards_join_their_tables_when_all_are_done(library, out, tmp_path, settled):
    for number in range(8):
        record(library / f"track {number}.wav", seed=number)
    (library / "broken.mp3").write_text("words" * 100)
    predict([library], tmp_path / "alone")
    shares = [predict([library], out, Shard(index, 3)) for index in (3, 1, 2)]
    assert sum(counts(share)[0] for share in shares) == 11
    for share in shares[:2]:
        assert not any(path.name in ("summary.csv", "errors.csv") for path in share.tables)
    for name in ("summary.csv", "errors.csv"):
        assert (out / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    if tables.has_parquet():
        from pyarrow import parquet

        whole = parquet.read_table(tmp_path / "alone" / "summary.parquet")
        assert parquet.read_table(out / "summary.parquet").equals(whole)
    assert {f"summary-{index}-of-3.csv" for index in (1, 2, 3)} < set(files(out))


def test_a_share_that_a_spreadsheet_has_saved_is_joined(library, out, tmp_path, settled):
    predict([library], tmp_path / "alone")
    predict([library], out, Shard(1, 2))
    share = out / "summary-1-of-2.csv"
    rows = [list(row.values()) for row in table(share)]
    assert rows
    lines = [COLUMNS, *([cell.replace("true", "TRUE") for cell in row] for row in rows)]
    numbers = {at for at, kind in enumerate(COLUMNS.values()) if kind is float}
    saved = [
        ";".join(cell.replace(".", ",") if at in numbers else cell for at, cell in enumerate(line))
        for line in lines
    ]
    share.write_text("\r\n".join([*saved, ""]), encoding="utf-8-sig")
    predict([library], out, Shard(2, 2))
    whole = (tmp_path / "alone" / "summary.csv").read_bytes()
    assert (out / "summary.csv").read_bytes() == whole


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("summary", lambda content: content.replace(b"duration", b"length")),
        (
            "summary",
            lambda content: content.replace(b",true,", b",wahr,").replace(b",false,", b",,"),
        ),
        ("summary", lambda content: content.replace(b"0.", b"zero ")),
        ("summary", lambda content: content[: content.rindex(b",0.")] + b"\n"),
        ("summary", lambda content: content + b"\xff,"),
        ("summary", lambda content: content + b'"' + b"x" * 200_000),
        ("summary", lambda content: b""),
        ("errors", lambda content: content.replace(b"reason", b"why")),
        ("errors", lambda content: content + b"only a path\n"),
    ],
)
def test_a_share_that_was_edited_is_named(name, change, library, out, settled):
    predict([library], out, Shard(1, 2))
    share = out / f"{name}-1-of-2.csv"
    share.write_bytes(change(share.read_bytes()))
    with pytest.raises(BatchError, match="run --shard 1/2 again with this version") as error:
        predict([library], out, Shard(2, 2))
    assert str(error.value).startswith(f"{share}: ")
    assert (out / "summary-2-of-2.csv").exists()
    assert not (out / f"{name}.csv").exists()
    predict([library], out, Shard(1, 2))
    assert len(table(out / "summary.csv")) == 3


def test_other_shares_keep_what_is_finished(library, out, settled):
    for index in (1, 2):
        predict([library], out, Shard(index, 2))
    assert counts(predict([library], out)) == (0, 3, 0)
    kept = [counts(predict([library], out, Shard(index, 4)))[0] for index in range(1, 5)]
    assert sum(kept) == 0


def test_two_machines_make_one_result_at_a_time(library, out):
    pytest.importorskip("fcntl")
    with Ledger(out, Shard(), (), 8):
        with pytest.raises(BatchError, match="another run writes there"):
            predict([library], out)
        predict([library], out, Shard(1, 2))


def test_the_clock_of_a_fresh_file(library, out, monkeypatch):
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 10)  # as if the files were ten seconds old
    predict([library], out)
    assert all(line["stamp"] is not None for line in ledger_lines(out))
