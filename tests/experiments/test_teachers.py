"""The teachers' front ends and archives, with networks that return means of their input."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("sklearn")

from experiments.data import SOUNDFONTS, LabelledCorpus, emopia, vgmidi
from experiments.prepare import rows_per_second
from experiments.scoring import score_set
from experiments.teacher_regression import TeacherRegression
from experiments.teachers.__main__ import Teachers, extract, listings
from experiments.teachers.networks import RATE
from experiments.test_sets import load_sets

from experiments import prepare


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("networks")
    write_network(folder / "yamnet.onnx", "p", [96, 64], {"emb": 1024})
    write_network(folder / "MSD_musicnn.onnx", "p", [187, 96], {"hidden": 200, "logits": 50})
    for name in ("jamendo_fcn", "msd_fcn"):
        write_network(folder / f"{name}.onnx", "mel", [96, 1813], {"hidden": 64, "tags": 50})
    return folder


def write_network(path: Path, name: str, shape: list[int], widths: dict[str, int]) -> None:
    """Every output is the mean of the input, as often as the output is wide."""
    nodes = [helper.make_node("ReduceMean", [name], ["mean"], axes=[1, 2], keepdims=0)]
    nodes.append(helper.make_node("Unsqueeze", ["mean", "one"], ["column"]))
    constants = [numpy_helper.from_array(np.array([1], np.int64), "one")]
    outputs = []
    for output, width in widths.items():
        constants.append(numpy_helper.from_array(np.ones((1, width), np.float32), f"{output}_row"))
        nodes.append(helper.make_node("Mul", ["column", f"{output}_row"], [output]))
        info = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", width])
        outputs.append(info)
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])]
    graph = helper.make_graph(nodes, "means", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)


@pytest.mark.slow
def test_values_follow_the_music_in_time(networks: Path) -> None:
    rng = np.random.default_rng(0)
    silence, noise = np.zeros(6 * RATE), 0.1 * rng.standard_normal(6 * RATE)
    values = Teachers(networks)(np.concatenate([silence, noise]).astype(np.float32))
    assert values["yam"].shape == (12, 1024)
    assert values["mus"].shape == (4, 250)
    assert values["fcn"].shape == (1, 228)
    assert all(np.isfinite(part).all() for part in values.values())
    # Second 5 is the last silent one, and the third patch of 2.992 s the first with sound.
    assert (values["yam"][:6, 0] < values["yam"][6:, 0].min()).all()
    assert (values["mus"][:2, 0] < values["mus"][2:, 0].min()).all()


def per_second(length: float) -> list[int]:
    """Return for each second of a recording the excerpt of the FCN taggers that it gets."""
    samples = np.zeros(round(length * RATE), np.float32)
    excerpts = max(1, int(length / 29))
    hidden = np.repeat(np.arange(excerpts, dtype=np.float16)[:, None], 228, 1)
    patches = max(1, int(length / 2.992))
    values = {
        "yam": np.zeros((1 + max(0, len(samples) - 15_600) // RATE, 1024), np.float16),
        "mus": np.zeros((patches, 250), np.float16),
        "fcn": hidden,
    }
    rows: list[int] = rows_per_second(values)["fcn"][:, 0].astype(int).tolist()
    return rows


@pytest.mark.parametrize(
    ("length", "excerpts"),
    [
        (10, [0] * 10),  # repeated until it is long enough
        (29, [0] * 29),
        (57, [0] * 57),  # one excerpt, from 14 s to 43 s
        (60, [0] * 30 + [1] * 30),  # from 1 s and from 30 s
        (115, [0] * 43 + [1] * 29 + [2] * 43),  # from 14 s, 43 s and 72 s
    ],
)
def test_each_second_has_the_excerpt_in_which_it_lies(length: int, excerpts: list[int]) -> None:
    assert per_second(length) == excerpts


def test_an_archive_is_written_once_and_short_sounds_are_left_out(
    networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teachers = Teachers(networks)
    for name, seconds in (("long", 4), ("short", 2)):
        soundfile.write(tmp_path / f"{name}.flac", np.zeros(seconds * RATE), RATE)
        extract(teachers, tmp_path / f"{name}.flac", tmp_path / f"{name}.npz")
    assert not (tmp_path / "short.npz").exists()
    assert "short.flac: shorter than 3 s" in capsys.readouterr().err
    before = (tmp_path / "long.npz").stat().st_mtime_ns
    extract(teachers, tmp_path / "none.flac", tmp_path / "long.npz")
    assert (tmp_path / "long.npz").stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_killed_command_leaves_the_older_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "values/mirex").mkdir(parents=True)
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "values/mirex/a.npz",
        yam=rng.random((600, 1024)),
        mus=rng.random((200, 250)),
        fcn=rng.random((20, 228)),
    )
    prepare.teachers(tmp_path)
    archive = tmp_path / "teachers/mirex.npz"
    before = archive.read_bytes()
    save = np.savez

    def die(*arguments: object, **arrays: np.ndarray) -> None:
        save(*arguments, **arrays)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", die)
    archive.write_bytes(before + b"older")
    with pytest.raises(KeyboardInterrupt):
        prepare.teachers(tmp_path)
    assert archive.read_bytes() == before + b"older"
    assert [path.name for path in archive.parent.iterdir()] == ["mirex.npz"]


def rendered(corpus: LabelledCorpus, folder: Path) -> None:
    """Copy the recordings of a corpus under the names of its clips."""
    folder.mkdir(parents=True, exist_ok=True)
    for clip in corpus.manifest.clips:
        shutil.copyfile(clip.path, folder / f"{corpus.name(clip)}.flac")


@pytest.mark.slow
def test_regressions_are_scored_on_every_set(data: Path, networks: Path, tmp_path: Path) -> None:
    teachers = Teachers(networks)
    audio = tmp_path / "audio"
    for soundfont in SOUNDFONTS:
        for split in ("train", "val"):
            rendered(emopia(data, soundfont, split=split), audio / f"emopia-{soundfont}")
        rendered(vgmidi(data, soundfont), audio / f"vgmidi-{soundfont}")
    for name, listing in listings(data, audio).items():
        for clip, recording in listing():
            extract(teachers, recording, tmp_path / name / f"{clip}.npz")
    subject = TeacherRegression(tmp_path, data)
    for test_set in load_sets(["4q", "film", "vgmidi", "emopia"], data, None):
        scores = score_set(test_set, [subject.outputs(test_set)])
        assert ("ratings" in scores) == (test_set.scale is not None)
        assert ("classes" in scores) == (test_set.scale is None)
        assert ("within_piece" in scores) == test_set.name.startswith("vgmidi")
