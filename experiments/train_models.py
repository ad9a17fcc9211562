"""Train the bundled models: distillation once per speech encoder, then fine-tuning per fold.

    python -m experiments.train_models DATA RUNS [--speech LANGUAGE] [--folds 0,1] [--seeds 0]
    python -m experiments.train_models DATA RUNS --music mandarin

RUNS holds what `experiments.prepare` made (`audio/`, `teachers/`) and takes the runs. Finished runs
are kept, so an interrupted command continues. A model of Mandarin music starts from the model of
English music that was trained on all folds.
"""

import argparse
import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from experiments.data import (
    SOUNDFONTS,
    Rating,
    emopia_scores,
    emotify,
    film,
    four_quadrants,
    mandarin,
)
from experiments.data.labelled import FOLDS, LabelledCorpus
from experiments.data.unlabelled import DISTILLED
from quadpred import registry
from quadpred.train.corpora import Clip, DataSheet, Manifest, in_folds, read_table
from quadpred.train.data.log_mels import LogMels
from quadpred.train.export import export
from quadpred.train.recipe import Recipe
from quadpred.train.transfer import transfer

FINETUNE = Path(__file__).with_name("finetune.toml")
RESEARCH_ONLY = "excerpts of commercial music: research only"
ABOUT = {
    "mirex": (RESEARCH_ONLY, "MIREX-like mood set, Panda et al. 2013: 903 clips of 30 s"),
    "noise2music": ("Apache 2.0", "341 generated clips of 29 s in many genres"),
    "clustering": (RESEARCH_ONLY, "251 clips of 30 s, 41 genres, many in Spanish"),
    "ultrastar": ("Creative Commons, per song", "19 songs with voice"),
    "asap": ("CC BY-NC-SA 4.0", "classical piano, rendered by FluidSynth: 235 excerpts of 60 s"),
    "free": ("free licences, per package", "music of free games from Debian, excerpts of 30 s"),
}
"""Terms and notes of the corpora without labels."""
SPEECH = ("english", "mandarin", "mixed")
AUDIO = {".flac", ".mp3", ".ogg", ".wav"}


def labelled(data: Path, runs: Path) -> list[Manifest]:
    """Manifests of all labelled music; what has no fold stays in training in every run."""
    return [
        _with_ratings(four_quadrants(data), runs, "4q"),
        _with_ratings(film(data), runs, "film"),
        _long_emotify(data, runs),
        *(emopia(data, runs, soundfont) for soundfont in SOUNDFONTS),
        *(vgmidi(data, runs, soundfont) for soundfont in SOUNDFONTS),
        memomusic(runs),
    ]


def _with_ratings(corpus: LabelledCorpus, runs: Path, name: str) -> Manifest:
    """Put the ratings into the clips, and name the teacher's archive."""
    manifest, ratings = corpus.manifest, corpus.ratings
    clips = (
        replace(clip, arousal=ratings[clip.path].arousal, valence=ratings[clip.path].valence)
        if clip.path in ratings
        else clip
        for clip in manifest.clips
    )
    return Manifest(tuple(clips), _taught(manifest.sheet, runs, name))


def _taught(sheet: DataSheet, runs: Path, name: str) -> DataSheet:
    archive = runs / "teachers" / f"{name}.npz"
    return replace(sheet, teacher=str(archive) if archive.is_file() else "")


def _long_emotify(data: Path, runs: Path) -> Manifest:
    """Emotify's versions of 60 s, in the folds and with the ratings of those of 20 s."""
    folder = runs / "audio/emotify60"
    manifest = _with_ratings(emotify(data), runs, "emotify60")
    clips = (replace(clip, path=folder / f"{clip.path.stem}.flac") for clip in manifest.clips)
    sheet = replace(manifest.sheet, note=manifest.sheet.note.replace("of 20 s", "of 60 s"))
    return Manifest(tuple(clips), sheet)


def emopia(data: Path, runs: Path, soundfont: str) -> Manifest:
    """EMOPIA's published training split; each clip is rendered with one of the soundfonts."""
    folder = runs / f"audio/emopia-{soundfont}"
    clips = (
        replace(clip, path=folder / f"{clip.path.stem}.flac")
        for clip in emopia_scores(data, "train")
    )
    sheet = DataSheet(
        "EMOPIA", "", "CC BY-NC-SA 4.0", "Hung et al. 2021: pop piano, rendered by FluidSynth"
    )
    rendered = tuple(clip for clip in clips if clip.path.is_file())
    return Manifest(rendered, _taught(sheet, runs, folder.name))


def vgmidi(data: Path, runs: Path, soundfont: str) -> Manifest:
    """VGMIDI rendered with one soundfont: ratings per piece and per bar, folds by game."""
    folder = data / "music_piano/vgmidi"
    clips = [
        Clip(
            runs / f"audio/vgmidi-{soundfont}" / f"{Path(row['file']).stem}.flac",
            row["game"],
            "",
            arousal=float(row["arousal"]),
            valence=float(row["valence"]),
        )
        for row in read_table(folder / "labels.csv")
    ]
    sheet = DataSheet(
        "VGMIDI, development part",
        "",
        "no licence stated: research only",
        "Ferreira & Whitehead 2019: 128 pieces of game music for piano, rated per bar",
        dynamics=str(folder / "dynamics.csv"),
    )
    rendered = tuple(clip for clip in in_folds(clips, FOLDS, 0) if clip.path.is_file())
    return Manifest(rendered, _taught(sheet, runs, f"vgmidi-{soundfont}"))


def memomusic(runs: Path) -> Manifest:
    """Piano pieces with one rating of arousal and valence each; never scored."""
    kinds = {"1": "Classic", "2": "Pop", "3": "Yanni"}
    ratings = {}
    with (runs / "audio/memomusic.csv").open(newline="", encoding="utf-8-sig") as file:
        # Titles are not quoted and may contain commas.
        for *_, address, kind, valence, arousal in csv.reader(file):
            number = address.strip().rsplit("/", 1)[-1].removesuffix(".mp3")
            rated = Rating(float(arousal), float(valence))
            ratings[f"{kinds[kind.strip()]}_{number}"] = rated
    clips = []
    for path in _recordings(runs, "memomusic"):
        _, kind, number, *_ = re.split("[_ ]", path.stem)  # MIDI_Yanni_7 Waltz
        piece = f"{kind}_{number}"
        if piece in ratings:
            rated = ratings[piece]
            clips.append(Clip(path, piece, "train", arousal=rated.arousal, valence=rated.valence))
    sheet = DataSheet("MemoMusic", "", "none stated: research only", "180 piano pieces, rated")
    return Manifest(tuple(clips), _taught(sheet, runs, "memomusic"))


def unlabelled(runs: Path) -> list[Manifest]:
    """Manifests of the music for distillation alone; none of it is scored."""
    manifests = []
    for name in DISTILLED:
        sheet = _taught(DataSheet(f"Music for distillation: {name}", "", *ABOUT[name]), runs, name)
        clips = tuple(Clip(path, path.stem, "train") for path in _recordings(runs, name))
        if clips and sheet.teacher:
            manifests.append(Manifest(clips, sheet))
    return manifests


def _recordings(runs: Path, name: str) -> list[Path]:
    return sorted(p for p in (runs / "audio" / name).iterdir() if p.suffix in AUDIO)


def speech_clips(data: Path) -> list[Manifest]:
    """Speech as an example of audio that is not music, for outlier exposure."""
    return [
        Manifest(
            tuple(Clip(path, path.stem, "train") for path in sorted(folder.rglob("*.ogg"))[:60]),
            DataSheet(folder.name, language, terms),
        )
        for folder, language, terms in (
            (data / "speech_english", "english", "CC BY 4.0"),
            (data / "speech_mandarin", "mandarin", "CC BY-SA and CC BY-SA 4.0"),
        )
    ]


def distill(runs: Path, speech: str) -> Path:
    """Distil the teachers into an encoder that starts from speech; return the run's folder."""
    folder = runs / f"distill-{speech}"
    start = registry.encoder(speech).path
    transfer(Recipe.load("distill"), unlabelled(runs), folder, start=start)
    return folder


def finetune(
    data: Path, runs: Path, speech: str, fold: int | None, seed: int, *, recipe: Recipe
) -> Path:
    """Fine-tune on everything but one fold of every corpus, or on everything, and export."""
    name = _run_name(fold, seed)
    ablation = "" if recipe.name == FINETUNE.stem else f"-{recipe.name}"
    folder = runs / f"{speech}{ablation}" / name
    music = [*labelled(data, runs), *unlabelled(runs)]
    transfer(
        replace(recipe, seed=seed),
        music,
        folder,
        outliers=speech_clips(data),
        start=runs / f"distill-{speech}",
        test=[] if fold is None else [str(fold)],
    )
    if not (folder / "model.onnx").is_file():
        export(folder, folder / "model.onnx", name=name, speech=speech, music="english")
    return folder


def to_mandarin(data: Path, runs: Path, speech: str, fold: int | None, seed: int) -> Path:
    """Fine-tune the model of English music on Mandarin music, and return the run's folder.

    One fold is held out for early stopping: the one after `fold`, which is left out too, or fold 1
    where `fold` is `None`. So "all-seed-0" is trained on four folds of five.
    """
    folder = runs / f"{speech}-to-mandarin" / _run_name(fold, seed)
    transfer(
        replace(Recipe.load("weak-labels"), seed=seed),
        [mandarin(data).manifest],
        folder,
        start=runs / speech / "all-seed-0",
        test=[] if fold is None else [str(fold)],
        validation=[str(((fold or 0) + 1) % FOLDS)],
    )
    return folder


def _run_name(fold: int | None, seed: int) -> str:
    return f"all-seed-{seed}" if fold is None else f"fold-{fold}-seed-{seed}"


def main() -> None:
    """Train what is asked for and not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--speech", choices=SPEECH, default="english")
    parser.add_argument("--music", choices=("english", "mandarin"), default="english")
    parser.add_argument("--recipe", type=Path, default=FINETUNE, help="of fine-tuning")
    parser.add_argument("--folds", default="", help="comma-separated; empty for all music at once")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--only", choices=("distill", "log-mels"), help="stop after this step")
    options = parser.parse_args()
    if options.only == "log-mels":
        _log_mels([*labelled(options.data, options.runs), *unlabelled(options.runs)])
        return
    if options.music == "english":
        distill(options.runs, options.speech)
    if options.only:
        return
    recipe = Recipe.load(options.recipe)
    train = partial(finetune, recipe=recipe) if options.music == "english" else to_mandarin
    folds: Sequence[int | None] = [int(k) for k in options.folds.split(",") if k] or [None]
    for seed in map(int, options.seeds.split(",")):
        for fold in folds:
            train(options.data, options.runs, options.speech, fold, seed)


def _log_mels(manifests: Iterable[Manifest]) -> None:
    LogMels(Recipe.load("base").features).load([c for m in manifests for c in m.clips])


if __name__ == "__main__":
    main()
