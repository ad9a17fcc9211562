"""`adapt`: a model of a user's songs in two commands, and refused inputs."""

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.command import quadpred
from quadpred import registry
from quadpred.predictor import Predictor
from quadpred.train import adapt as module
from quadpred.train.adapt import AdaptError, adapt
from quadpred.train.corpora import DataSheet, ManifestError, from_folder
from quadpred.train.corpora.labelled import read_labelled
from quadpred.train.export import ExportError

pytestmark = pytest.mark.slow

BRIEF = """
base = "adapt"
name = "brief"

[transfer]
batch = 8
crop = 4
outliers = 0.0
stages = [
    { frozen = true, epochs = 1, learning_rate = 3e-3 },
    { epochs = 4, learning_rate = 3e-3, schedule = "one-cycle" },
]
"""

Write = Callable[[Sequence[Sequence[str]]], Path]


@pytest.fixture
def brief(tmp_path: Path) -> Path:
    path = tmp_path / "brief.toml"
    path.write_text(BRIEF)
    return path


@pytest.fixture
def briefest(tmp_path: Path) -> Path:
    """A recipe with which nothing is learned."""
    path = tmp_path / "briefest.toml"
    path.write_text(BRIEF.replace("epochs = 4", "epochs = 1"))
    return path


@pytest.fixture
def table(corpora: Path, tmp_path: Path) -> Write:
    """Write a CSV of songs; a bare name is a generated clip."""

    def write(rows: Sequence[Sequence[str]], header: Sequence[str] = ()) -> Path:
        path = tmp_path / "my.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(header or ["file", "quadrant", "artist"])
            for name, *rest in rows:
                writer.writerow([corpora / "music" / name, *rest])
        return path

    return write


def test_user_songs_in_two_commands(
    corpora: Path, table: Write, brief: Path, tmp_path: Path
) -> None:
    rows = [
        [f"{quadrant}_{number}.flac", quadrant.lower(), f"{quadrant} artist {number // 2}"]
        for quadrant in ("Q1", "Q2", "Q3", "Q4")
        for number in range(6)
    ]
    (tmp_path / "broken.mp3").write_bytes(b"no music")
    songs = table([*rows, [str(tmp_path / "broken.mp3"), "Q1", "nobody"]])
    model = tmp_path / "my-model.onnx"
    asked = ("adapt", songs, "--full", "--speech", "english", "-o", model, "--recipe", brief)
    command = [sys.executable, "-m", "quadpred", *asked, "--cache", tmp_path / "cache"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if "broken.mp3" in line]
    assert "24 clips of 12 groups" in done.stdout

    fast, slow = (corpora / "music" / f"{quadrant}_9.flac" for quadrant in ("Q1", "Q4"))
    predicted = quadpred("predict", "--model", model, "--json", "-", fast, slow)
    line, other = map(json.loads, predicted.stdout.splitlines())
    assert (line["model"]["name"], line["model"]["transfer_setting"]) == ("my-model", "adapted")
    assert len(line["quadrant"]["rows"]) == 8
    # The tempo of the clips determines arousal, so a trained model separates them.
    assert line["means"]["arousal"]["positive"] > other["means"]["arousal"]["positive"] + 0.05

    (folder,) = (tmp_path / "my-model.adapt").iterdir()
    runs = sorted(path.name for path in folder.iterdir() if path.is_dir())
    assert runs == ["all", "fold-0", "fold-1", "fold-2"]
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["clips"] == 24
    card = model.with_suffix(".md").read_text()
    assert "speechocean762" in card  # what the encoder was trained on
    assert f"{scores['heads']['arousal']['clip']['macro_f1']['value']:.3f}" in card
    assert "not of the weights in this file" in card

    # The same command again trains nothing.
    logs = {run: (folder / run / "log.jsonl").read_text() for run in runs}
    quadpred(*asked, "--cache", tmp_path / "cache")
    assert logs == {run: (folder / run / "log.jsonl").read_text() for run in runs}


def test_no_network_is_scored_on_groups_it_was_trained_on(
    corpora: Path,
    table: Write,
    briefest: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []
    real = module.transfer

    def watched(recipe, manifests, folder, **options):  # type: ignore[no-untyped-def]
        calls.append((folder.name, manifests[0], options.get("test", [])))
        real(recipe, manifests, folder, **options)

    monkeypatch.setattr(module, "transfer", watched)
    rows = [[f"{q}_{n}.flac", q, f"{q} artist {n // 2}"] for q in ("Q1", "Q3") for n in range(6)]
    copy = shutil.copy(corpora / "music" / rows[0][0], tmp_path)
    warnings: list[str] = []
    adapted = adapt(
        table([*rows, [copy, "Q3", "a cover band"]]),
        tmp_path / "model.onnx",
        speech="english",
        recipe=str(briefest),
        cache=tmp_path / "cache",
        on_warning=warnings.append,
    )
    assert warnings == [
        f"{copy}: a copy of {corpora / 'music' / rows[0][0]}; left out",
        "no clip is Q2 or Q4: the model cannot learn this",
    ]
    assert [name for name, _, _ in calls] == ["fold-0", "fold-1", "fold-2", "all"]
    for _, manifest, test in calls[:3]:
        tested = {clip.group for clip in manifest.subset(test)}
        assert tested
        assert tested.isdisjoint(clip.group for clip in manifest.without(test))
    assert calls[3][2] == []
    assert adapted.chance == 0.5
    assert adapted.scores.clips == 12
    assert Predictor(adapted.model).info.speech == "english"

    def stopped(recipe, manifests, folder, **options):  # type: ignore[no-untyped-def]
        raise InterruptedError(folder.parent)

    monkeypatch.setattr(module, "transfer", stopped)
    rows[-1][1] = "Q1"  # other labels need other runs
    asked = {"speech": "english", "recipe": str(briefest), "cache": tmp_path / "cache"}
    with pytest.raises(InterruptedError) as caught:
        adapt(table(rows), tmp_path / "model.onnx", **asked)  # type: ignore[arg-type]
    assert caught.value.args[0] != adapted.folder
    assert caught.value.args[0].parent == adapted.folder.parent


def refusal(source: Path, output: Path, **options: object) -> str:
    with pytest.raises((AdaptError, ExportError, ManifestError)) as caught:
        adapt(source, output, speech="english", **options)  # type: ignore[arg-type]
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["Q1_0.flac", "Q1", "a"], ["Q2_0.flac", "Q2", "b"], ["Q3_0.flac", "Q3", "c"]], "3 "),
        ([[f"Q1_{n}.flac", "Q1", f"a{n}"] for n in range(10)], "every clip is Q1"),
        (
            [[f"{q}_{n}.flac", q, "Abba"] for q in ("Q1", "Q2") for n in range(5)],
            "only one group ('Abba')",
        ),
        (
            [[f"{q}_{n}.flac", q, q] for q in ("Q1", "Q2") for n in range(5)],
            "two quadrants need clips of two groups each",
        ),
        ([["Q1_0.flac", "Q5", "a"]], "line 2: 'Q5' is not one of Q1, Q2, Q3, Q4"),
        ([["Q1_0.flac", "Q1", "a"]] * 2, "Q1_0.flac is listed twice"),
    ],
)
def test_insufficient_songs_are_refused(
    rows: list[list[str]], message: str, table: Write, tmp_path: Path
) -> None:
    source = table(rows)
    text = refusal(source, tmp_path / "model.onnx", cache=tmp_path / "cache")
    assert text.startswith(f"{source}: ")
    assert message in text
    assert not list(tmp_path.glob("model*"))


def test_too_few_that_can_be_read(table: Write, tmp_path: Path) -> None:
    rows = [[f"{q}_{n}.flac", q, f"{q}{n}"] for q in ("Q1", "Q2") for n in range(4)]
    missing = [[str(tmp_path / f"{n}.wav"), "Q1", str(n)] for n in range(3)]
    warnings: list[str] = []
    text = refusal(
        table(rows + missing),
        tmp_path / "model.onnx",
        cache=tmp_path / "cache",
        on_warning=warnings.append,
    )
    assert "8 labelled clips that can be read" in text
    assert [f"{n}.wav" in line for n, line in enumerate(warnings)] == [True] * 3


def test_outputs_that_would_destroy_something(table: Write, tmp_path: Path) -> None:
    songs = table([["Q1_0.flac", "Q1", "a"]])
    assert "must end in .onnx" in refusal(songs, tmp_path / "model.npy")
    (tmp_path / "README.md").write_text("# About\n")
    assert "README.md: exists and is not README's model card" in refusal(
        songs, tmp_path / "README.onnx"
    )


def test_damaged_encoder(table: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tuple(replace(encoder, sha256="0" * 64) for encoder in registry.encoders())
    monkeypatch.setattr(registry, "encoders", lambda: damaged)
    songs = table([["Q1_0.flac", "Q1", "a"]])
    assert "speech-english.safetensors: damaged" in refusal(songs, tmp_path / "model.onnx")


def test_command_refuses_in_one_line(table: Write, tmp_path: Path) -> None:
    songs = table([["Q1_0.flac", "Q1", "a"]])
    for speech, message in (("english", f"{songs}: 1 labelled"), ("klingon", "unknown language")):
        done = quadpred("adapt", songs, "-s", speech, "-o", tmp_path / "m.onnx", code=2)
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"quadpred: {message}")


def test_interrupted_full_training_leaves_the_older_model(table: Write, tmp_path: Path) -> None:
    songs = table([[f"{q}_{n}.flac", q, f"{q}{n}"] for q in ("Q1", "Q2") for n in range(6)])
    older = tmp_path / "m.onnx"
    older.write_text("older")
    quadpred("adapt", songs, "--full", "--recipe", "missing", "-o", older, code=2)
    assert older.read_text() == "older"


class TestReadLabelled:
    def test_spreadsheet_with_semicolons_and_byte_order_mark(self, tmp_path: Path) -> None:
        path = tmp_path / "my.csv"
        path.write_text("\ufeffPath;Quadrant;Group\na b.mp3; q2 ;X\nc.mp3;;X\nd.mp3;Q1;\n")
        clips = read_labelled(path).clips
        assert [(c.path, c.quadrant, c.group) for c in clips] == [
            (tmp_path / "a b.mp3", "Q2", "X"),
            (tmp_path / "d.mp3", "Q1", "d.mp3"),
        ]

    def test_one_folder_per_quadrant(self, corpora: Path, tmp_path: Path) -> None:
        song = corpora / "music" / "Q1_0.flac"
        for name in ("Q1/Abba/1.flac", "q4/Abba/1.flac", "q4/alone.FLAC", "other/x.flac"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(song, tmp_path / name)
        (tmp_path / "q4" / "cover.jpg").touch()
        clips = read_labelled(tmp_path).clips
        assert sorted((c.quadrant, c.group) for c in clips) == [
            ("Q1", "Abba"),
            ("Q4", "Abba"),
            ("Q4", "q4/alone.FLAC"),
        ]
        with pytest.raises(ManifestError, match="no folders named Q1"):
            read_labelled(tmp_path / "other")

    def test_manifest_and_its_sheet(self, corpora: Path, tmp_path: Path) -> None:
        sheet = DataSheet("Mine", "english", "our own")
        made = from_folder(corpora / "music", sheet, labels=corpora / "labels.csv", group="artist")
        made.save(tmp_path / "music.csv")
        read = read_labelled(tmp_path / "music.csv")
        assert read.sheet == sheet
        assert len(read.clips) == 40
        assert {clip.group for clip in read.clips} == {clip.group for clip in made.clips}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "no rows"),
            ("file,quadrant\n", "no rows"),
            ("song,quadrant\na.mp3,Q1\n", "no column file"),
            ("file,mood\na.mp3,Q1\n", "no column quadrant"),
            ("file,quadrant\n,Q1\n", "line 2: no file"),
        ],
    )
    def test_unusable_tables(self, text: str, message: str, tmp_path: Path) -> None:
        path = tmp_path / "my.csv"
        path.write_text(text)
        with pytest.raises(ManifestError, match=message) as caught:
            read_labelled(path)
        assert str(caught.value).startswith(f"{path}: ")

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ManifestError, match=r"my\.csv: No such file"):
            read_labelled(tmp_path / "my.csv")
