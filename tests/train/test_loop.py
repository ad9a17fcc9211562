import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from quadpred.train import loop
from quadpred.train.corpora import DataSheet, Manifest, ManifestError, from_folder
from quadpred.train.encoders import describe
from quadpred.train.evaluate import evaluate
from quadpred.train.inference import load_classifier
from quadpred.train.loop import Stage, Trainer, progress_bar
from quadpred.train.pretrain import pretrain
from quadpred.train.recipe import Recipe, RecipeError
from quadpred.train.run import Run, RunError
from quadpred.train.transfer import transfer


@pytest.fixture(scope="module")
def music(corpora: Path) -> Manifest:
    return from_folder(
        corpora / "music",
        DataSheet("generated"),
        labels=corpora / "labels.csv",
        group="artist",
        tags=["moods"],
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["base", "eusipco2020"])
def test_killed_run_continues_to_the_same_weights(
    name: str,
    recipes: dict[str, Path],
    music: Manifest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = Recipe.load(recipes[name])
    asked = {"validation": ["1"], "test": ["0"], "cache": tmp_path / "cache"}
    transfer(recipe, [music], tmp_path / "whole", **asked)

    saves = []
    save = Run.save_checkpoint

    def save_and_die(self: Run, state: dict[str, object]) -> None:
        save(self, state)
        saves.append(state["epoch"])
        if len(saves) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "save_checkpoint", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        transfer(recipe, [music], tmp_path / "killed", **asked)
    monkeypatch.undo()
    assert not (tmp_path / "killed" / "model.pt").exists()
    transfer(recipe, [music], tmp_path / "killed", **asked)

    whole, _ = load_classifier(tmp_path / "whole")
    killed, _ = load_classifier(tmp_path / "killed")
    for key, value in whole.state_dict().items():
        torch.testing.assert_close(killed.state_dict()[key], value)
    logs = [
        [json.loads(line) for line in (tmp_path / run / "log.jsonl").read_text().splitlines()]
        for run in ("whole", "killed")
    ]
    assert [(e["stage"], e.get("epoch")) for e in logs[0]] == [
        (e["stage"], e.get("epoch")) for e in logs[1]
    ]


@pytest.mark.parametrize("killed", [0, 1, 2, 3])
def test_killed_run_logs_each_epoch_once(
    killed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit() -> None:
        model = torch.nn.Linear(1, 1)
        stages = [
            Stage(name, 2, 1e-3, "constant", tuple(model.parameters())) for name in ("one", "two")
        ]
        Trainer(
            Run(tmp_path, {}),
            model,
            steps=1,
            losses=lambda _: iter([model(torch.ones(1, 1)).sum()]),
            validate=None,
            keep="best",
            seed=0,
        ).fit(stages)

    save = Run.save_checkpoint
    saves = []

    def die(self: Run, state: dict[str, object]) -> None:
        if len(saves) == killed:
            raise KeyboardInterrupt
        saves.append(state["epoch"])
        save(self, state)

    monkeypatch.setattr(Run, "save_checkpoint", die)
    with pytest.raises(KeyboardInterrupt):
        fit()
    monkeypatch.undo()
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"stage": "on')
    fit()
    logged = [(record["stage"], record.get("epoch")) for record in Run.records(tmp_path)]
    assert logged == [("start", None), ("one", 0), ("one", 1), ("two", 0), ("two", 1)]


def test_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    Run(tmp_path, {"seed": 1})
    with pytest.raises(RunError, match="holds a run with other seed"):
        Run(tmp_path, {"seed": 2})


def test_unfinished_run_has_no_result(tmp_path: Path) -> None:
    Run(tmp_path / "run", {"kind": "transfer"})
    with pytest.raises(RunError, match="no finished run"):
        Run.result(tmp_path / "run")
    with pytest.raises(RunError, match="holds no run"):
        Run.describe(tmp_path)


def relabelled(music: Manifest, split: str) -> Manifest:
    """Give the first clip of a split another quadrant."""
    clips = list(music.clips)
    first = next(n for n, clip in enumerate(clips) if clip.split == split)
    other = "Q1" if clips[first].quadrant != "Q1" else "Q2"
    clips[first] = replace(clips[first], quadrant=other)
    return replace(music, clips=tuple(clips))


def moved(music: Manifest, folder: Path) -> Manifest:
    """Copy the recordings into another folder, with new times."""
    folder.mkdir()
    copies = [replace(clip, path=Path(shutil.copy(clip.path, folder))) for clip in music.clips]
    return replace(music, clips=tuple(copies))


@pytest.mark.slow
def test_changed_data_of_a_finished_run_is_refused(
    recipes: dict[str, Path], music: Manifest, tmp_path: Path
) -> None:
    recipe = Recipe.load(recipes["base"])
    folder = tmp_path / "copies"
    folder.mkdir()
    copies = tuple(
        replace(clip, path=Path(shutil.copy(clip.path, folder))) for clip in music.clips[::5]
    )
    noise = Manifest(copies, DataSheet("noise"))
    options = {"validation": ["1"], "test": ["0"], "outliers": [noise]}

    def train(manifest: Manifest) -> None:
        transfer(recipe, [manifest], tmp_path / "run", cache=tmp_path / "cache", **options)

    def refused(manifest: Manifest) -> None:
        with pytest.raises(RunError, match="holds a run with other data"):
            train(manifest)

    train(music)
    train(music)
    train(moved(music, tmp_path / "elsewhere"))
    train(relabelled(music, "0"))  # a test split has no effect
    refused(relabelled(music, "1"))  # that of validation chooses the weights
    refused(relabelled(music, "2"))
    refused(replace(music, clips=tuple(clip for clip in music.clips if clip.split != "3")))
    with copies[0].path.open("ab") as file:
        file.write(b"more")
    refused(music)


def test_changed_speech_of_a_finished_run_is_refused(
    recipes: dict[str, Path], corpora: Path, tmp_path: Path
) -> None:
    recipe = Recipe.load(recipes["base"])
    speech = from_folder(corpora / "speech", DataSheet("generated"), folds=3)
    options = {"validation": ["0"], "cache": tmp_path / "cache"}
    pretrain(recipe, [speech], tmp_path / "run", **options)
    pretrain(recipe, [speech], tmp_path / "run", **options)
    for split in "0", "1":
        fewer = replace(speech, clips=speech.without([split]))
        extra = replace(speech.subset([split])[0], tags=("happy",))
        changed = replace(speech, clips=(*fewer.clips, extra))
        with pytest.raises(RunError, match="holds a run with other data"):
            pretrain(recipe, [changed], tmp_path / "run", **options)


def test_a_recording_in_two_manifests_is_refused(
    recipes: dict[str, Path], music: Manifest, tmp_path: Path
) -> None:
    recipe = Recipe.load(recipes["base"])
    other = Manifest(music.clips[:1], DataSheet("second"))
    for run in transfer, pretrain:
        with pytest.raises(
            ManifestError, match=r"Q1_0\.flac: is in the manifests of generated and second; list"
        ):
            run(recipe, [music, other], tmp_path / "run", cache=tmp_path / "cache")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_training_clips_are_not_scored(
    recipes: dict[str, Path], music: Manifest, tmp_path: Path
) -> None:
    recipe = Recipe.load(recipes["base"])
    transfer(recipe, [music], tmp_path / "run", test=["0"], cache=tmp_path / "cache")
    for manifest in music, moved(music, tmp_path / "elsewhere"):
        with pytest.raises(RunError, match="was trained on"):
            evaluate([tmp_path / "run"], manifest, splits=["1"], cache=tmp_path / "cache")


@pytest.mark.parametrize("name", ["validation", "test"])
def test_splits_that_are_not_there_are_refused(
    recipes: dict[str, Path], music: Manifest, tmp_path: Path, name: str
) -> None:
    with pytest.raises(ManifestError, match="unknown split 'tset'; choose from '0', '1'"):
        transfer(Recipe.load(recipes["base"]), [music], tmp_path / "run", **{name: ["tset"]})


@pytest.mark.parametrize("name", ["run.json", "checkpoint.pt", "model.pt", "log.jsonl"])
@pytest.mark.parametrize("content", [b"", b"{", b"\x80torn", b"[" * 100_000])
def test_damaged_files_give_one_line(name: str, content: bytes, tmp_path: Path) -> None:
    run = Run(tmp_path / "run", {"kind": "transfer"})
    (tmp_path / "run" / name).write_bytes(content)
    if name == "log.jsonl" and not content:
        assert Run.records(run.folder) == []
        return
    read = {
        "run.json": lambda: Run.describe(run.folder),
        "checkpoint.pt": run.checkpoint,
        "model.pt": lambda: Run.result(run.folder),
        "log.jsonl": lambda: Run.records(run.folder),
    }[name]
    with pytest.raises(RunError, match="damaged") as caught:
        read()
    assert "\n" not in str(caught.value)


def test_progress_is_shown_on_standard_error_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress_bar() as bar:
        bar.add_task("reading", total=1, note="")
    shown = capsys.readouterr()
    assert (shown.out, "reading" in shown.err) == ("", True)


@pytest.mark.parametrize("content", ["5", '"text"', '{"recipe": 5}', '{"corpora": 5}'])
def test_description_of_another_form_is_damaged(content: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises((RunError, RecipeError), match=r"damaged|recipe") as caught:
        Run.describe(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["{}", "[]", '{"kind": "transfer"}'])
def test_description_without_what_is_needed_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(content)
    for read in load_classifier, describe:
        with pytest.raises(RunError, match=r"run\.json: lacks '(kind|recipe)'; train again"):
            read(tmp_path)


@pytest.mark.slow
def test_run_that_does_not_list_its_training_clips_is_not_scored(
    recipes: dict[str, Path], music: Manifest, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    options = {"test": ["0"], "cache": tmp_path / "cache"}
    transfer(Recipe.load(recipes["base"]), [music], folder, **options)
    described = json.loads((folder / "run.json").read_text())
    del described["trained_on"]
    (folder / "run.json").write_text(json.dumps(described))
    with pytest.raises(RunError, match=r"run\.json: lacks 'trained_on'; train again"):
        evaluate([folder], music, cache=tmp_path / "cache")


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_one_cycle_of_any_length(steps: int, tmp_path: Path) -> None:
    model = torch.nn.Linear(1, 1)
    run = Run(tmp_path, {"kind": "test"})
    trainer = Trainer(
        run,
        model,
        steps=steps,
        losses=lambda position: (model(torch.ones(1, 1)).square().sum() for _ in range(steps)),
        validate=None,
        keep="average",
        seed=0,
    )
    trainer.fit([Stage("full", 1, 0.1, "one-cycle", tuple(model.parameters()))])
    assert len(Run.records(tmp_path)) == 2


@pytest.mark.parametrize(
    ("capability", "dtype"), [("AVX2", torch.float32), ("AVX512", torch.bfloat16)]
)
def test_bfloat16_is_used_only_where_the_processor_has_it(
    capability: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "device", lambda: torch.device("cpu"))
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    layer = torch.nn.Linear(2, 2)
    for precision, expected in ("bfloat16", dtype), ("float32", torch.float32):
        with loop.autocast(precision):
            assert layer(torch.ones(2)).dtype == expected
