import io
import json
import os
import stat
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import quadpred
from helpers.full_disk import LIMIT, large_files_refused
from quadpred.files import atomic_write, check_target
from quadpred.formats import rows
from quadpred.formats.annotations import write_audacity, write_jams
from quadpred.formats.documents import json_line, to_json, write_json
from quadpred.formats.rows import write_csv, write_npy
from quadpred.labels import HEADS
from quadpred.prediction import ModelInfo, Prediction

ROWS = 3
LONG = 10_000


@pytest.fixture
def prediction():
    random = np.random.default_rng(0)
    heads = [
        random.dirichlet(np.ones(len(head.classes)), ROWS).astype(np.float32) for head in HEADS
    ]
    silent = np.array([True, False, False])
    info = ModelInfo("tiny", "english", "mandarin", "ab" * 32, "little music", 0.25, 0.125)
    return Prediction(*heads, silent, 2.71828182, info, "songs/anger.mp3", "the end is missing")


# JSON


def test_json_holds_everything(prediction):
    read = json.loads(json_line(prediction))
    assert read["schema"] == 1
    assert read["quadpred"] == quadpred.__version__
    assert read["source"] == "songs/anger.mp3"
    assert read["duration"] == 2.718282
    assert read["model"] == {
        "name": "tiny",
        "sha256": "ab" * 32,
        "speech": "english",
        "music": "mandarin",
        "transfer_setting": "cross-linguistic",
        "caveat": "little music",
        "min_margin_second": 0.25,
        "min_margin_clip": 0.125,
    }
    assert read["winner"] == prediction.winner
    assert read["times"] == [0, 1, 2]
    assert read["silent"] == [True, False, False]
    assert read["damage"] == "the end is missing"
    assert read["uncertain_seconds"] == prediction.uncertain_seconds.tolist()
    assert read["confidence"] == pytest.approx(prediction.confidence, abs=5.1e-7)
    assert read["uncertain"] is prediction.uncertain
    for head in HEADS:
        assert read[head.name]["classes"] == list(head.classes)
        assert np.allclose(read[head.name]["rows"], prediction.head(head), atol=5.1e-7)
        means = dict(zip(head.classes, prediction.mean(head).tolist(), strict=True))
        assert read["means"][head.name] == pytest.approx(means, abs=5.1e-7)


def test_json_gives_the_prediction_back(prediction):
    document = json.loads(json_line(prediction))
    again = Prediction.from_dict(document)
    other = to_json(again)
    for means, rounded in zip(
        other.pop("means").values(), document.pop("means").values(), strict=True
    ):
        assert means == pytest.approx(rounded, abs=2e-6)  # of rows with six digits
    assert other == document
    assert again.model == prediction.model
    assert again.damage == prediction.damage
    with pytest.raises(KeyError, match="silent"):
        Prediction.from_dict({key: document[key] for key in document if key != "silent"})
    for few in (document["arousal"]["rows"][1:], [[None, None]] * len(prediction)):
        with pytest.raises(ValueError, match="number"):
            Prediction.from_dict({**document, "arousal": {"rows": few}})


@pytest.mark.parametrize(
    "changed",
    [
        {"model": None},
        {"model": []},
        {"source": None},
        {"duration": "3"},
        {"duration": float("inf")},
        {"damage": 1},
        {"silent": None},
        {"silent": [0, 1, 1]},
        {"silent": [[True], [False], [False]]},
        {"silent": [], **{head.name: {"rows": []} for head in HEADS}},
        {"quadrant": None},
        {"quadrant": {"rows": 0.5}},
        {"quadrant": {"rows": [[0.5, 0.5]] * 6}},
        {"quadrant": {"rows": [[0.1] * 12]}},
        {"quadrant": {"rows": [[0.1] * 4, [0.1] * 4, [0.1] * 3]}},
        {"quadrant": {"rows": [[10**400] * 4] * 3}},
        {"quadrant": {"rows": [["a"] * 4] * 3}},
    ],
)
def test_json_of_another_form_is_a_value_error(prediction, changed):
    with pytest.raises(ValueError, match=r"form|number|silent|convert|sequence"):
        Prediction.from_dict(to_json(prediction) | changed)


def test_fields_that_a_later_version_adds_are_ignored(prediction):
    document = to_json(prediction)
    document["model"] = {**document["model"], "later": 1}
    assert Prediction.from_dict({**document, "later": 1}).model == prediction.model
    del document["model"]["caveat"]
    with pytest.raises(KeyError, match="caveat"):
        Prediction.from_dict(document)


@pytest.mark.parametrize("name", [b"caf\xe9.mp3", rb"caf\xe9.mp3", "caf\xe9.mp3".encode()])
def test_json_gives_names_back(prediction, name):
    model = replace(prediction.model, name=r"caf\xe9")
    named = replace(prediction, source=os.fsdecode(name), model=model)
    document = json.loads(json_line(named))
    assert document["model"]["name"] == model.name  # printable text, so it needs no escape
    again = Prediction.from_dict(document)
    assert (again.source, again.model) == (named.source, model)


def test_json_of_another_version_is_refused(prediction):
    with pytest.raises(ValueError, match="schema 2: this quadpred reads only 1"):
        Prediction.from_dict({**to_json(prediction), "schema": 2})


def test_json_is_one_compact_line(prediction):
    line = json_line(prediction)
    assert line.count(b"\n") == 1
    assert line.endswith(b"}\n")
    assert b", " not in line
    longest = max(str(value) for row in to_json(prediction)["quadrant"]["rows"] for value in row)
    assert len(longest) <= 8


def test_json_refuses_what_is_not_finite(prediction):
    broken = replace(prediction, quadrant=np.full((ROWS, 4), np.nan, np.float32))
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_line(broken)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("愤怒.mp3", "愤怒.mp3"),
        ('a"b\n.mp3', 'a"b\n.mp3'),
        (os.fsdecode(b"caf\xe9.mp3"), "caf\\xe9.mp3"),
    ],
)
def test_json_of_any_file_name_is_utf8(prediction, name, shown):
    line = json_line(replace(prediction, source=name))
    assert json.loads(line.decode("utf-8"))["source"] == shown


def test_json_holds_no_control_characters(prediction):
    name = "\x1b[2J\x9b2J\x7f\x85.mp3"
    line = json_line(replace(prediction, source=name))
    assert line.decode()[:-1].isprintable()
    assert json.loads(line)["source"] == name


def test_long_recordings_are_written_in_blocks(monkeypatch, prediction):
    whole, table = json_line(prediction), io.BytesIO()
    write_csv(prediction, table)
    monkeypatch.setattr(rows, "BLOCK", 2)
    assert len(prediction) == 3
    assert json_line(prediction) == whole
    assert json.loads(whole) == to_json(prediction)
    blocks = io.BytesIO()
    write_csv(prediction, blocks)
    assert blocks.getvalue() == table.getvalue()


def test_a_long_recording_takes_little_memory(prediction):
    arrays = {name: getattr(prediction, name) for name in (*(h.name for h in HEADS), "silent")}
    long = {name: np.resize(array, (LONG, *array.shape[1:])) for name, array in arrays.items()}
    day = replace(prediction, duration=float(LONG), **long)
    for write in write_json, write_csv, write_jams, write_audacity:
        tracemalloc.start()
        try:
            with open(os.devnull, "wb") as file:
                write(day, file)
            assert tracemalloc.get_traced_memory()[1] < 3_000_000
        finally:
            tracemalloc.stop()


def test_write_json(prediction):
    file = io.BytesIO()
    write_json(prediction, file)
    assert file.getvalue() == json_line(prediction)


# npy


def test_npy_holds_the_quadrants(prediction):
    file = io.BytesIO()
    write_npy(prediction, file)
    rows = np.load(io.BytesIO(file.getvalue()), allow_pickle=False)
    assert rows.dtype == np.float32
    assert np.array_equal(rows, prediction.quadrant)


# Files that appear whole or not at all


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_complete_files_appear_together(tmp_path):
    paths = [tmp_path / "new" / "folder" / name for name in ("a", "b")]
    with atomic_write(*paths) as files:
        for number, file in enumerate(files):
            file.write(b"%d" % number)
        assert not any(path.exists() for path in paths)
    assert [path.read_bytes() for path in paths] == [b"0", b"1"]
    assert names(paths[0].parent) == ["a", "b"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt, SystemExit])
def test_what_ends_early_leaves_no_trace(tmp_path, error):
    (tmp_path / "a").write_bytes(b"old")

    def write():
        with atomic_write(tmp_path / "a", tmp_path / "b") as files:
            files[0].write(b"new")
            raise error

    with pytest.raises(error):
        write()
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_one_that_cannot_be_opened_leaves_no_trace(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError), atomic_write(tmp_path / "a", tmp_path / "file" / "b"):  # noqa: PT011
        pytest.fail("must not be reached")
    assert names(tmp_path) == ["file"]


def test_a_disk_that_refuses_is_noticed_before_anything_is_renamed(tmp_path):
    (tmp_path / "a").write_bytes(b"old")

    def write():
        with atomic_write(tmp_path / "a", tmp_path / "b") as files:
            files[0].write(b"new")
            files[1].write(bytes(LIMIT + 1))  # stays in the buffer until the file is closed

    with large_files_refused(), pytest.raises(OSError, match="File too large") as caught:
        write()
    assert caught.value.filename == str(tmp_path / "b")
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_complete_files_have_ordinary_permissions(tmp_path):
    (tmp_path / "ordinary").touch()
    with atomic_write(tmp_path / "ours"):
        pass
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in names(tmp_path)}
    assert len(modes) == 1


def test_whoever_reads_the_older_file_reads_it_to_its_end(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    with (tmp_path / "a").open("rb") as older:
        with atomic_write(tmp_path / "a") as (file,):
            file.write(b"new")
        assert older.read() == b"old"


def test_the_target_of_a_link_is_replaced(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    with atomic_write(tmp_path / "link") as (file,):
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_the_longest_name_can_be_written(tmp_path):
    path = tmp_path / ("n" * 255)
    check_target(path)
    with atomic_write(path):
        pass
    assert path.exists()


def test_a_pipe_is_written_directly(tmp_path, prediction):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        check_target(pipe)
        with atomic_write(pipe) as (file,):
            write_npy(prediction, file)
        content = os.read(reader, 1 << 16)
    finally:
        os.close(reader)
    assert np.array_equal(np.load(io.BytesIO(content)), prediction.quadrant)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


# What could be written


def test_check_leaves_no_trace(tmp_path):
    check_target(tmp_path / "new" / "folder" / "a")
    (tmp_path / "old").write_bytes(b"old")
    check_target(tmp_path / "old")
    assert names(tmp_path) == ["old"]
    assert (tmp_path / "old").read_bytes() == b"old"


def test_check_refuses_a_folder(tmp_path):
    with pytest.raises(IsADirectoryError):
        check_target(tmp_path)


def test_check_refuses_a_path_through_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as caught:
        check_target(tmp_path / "file" / "a" / "b")
    assert caught.value.filename == str(tmp_path / "file")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_check_refuses_a_folder_that_takes_no_files():
    with pytest.raises(OSError, match="/proc/"):
        check_target(Path("/proc/a"))


def test_check_refuses_a_name_that_is_too_long(tmp_path):
    with pytest.raises(OSError, match="too long"):
        check_target(tmp_path / ("n" * 256))
