"""Make what is on board, from the development recordings: three speech encoders, six models.

    python scripts/free_music.py RUNS/free-music
    python scripts/teachers.py DATA RUNS
    python scripts/opinions.py DATA RUNS
    python scripts/ship.py DATA RUNS [SPEECH ...]

DATA holds the recordings, RUNS takes manifests, runs and scores (a few hundred MB). What is
finished is not done again, so the script continues where it was stopped. It fills
src/quadpred/weights. Naming languages of speech makes what starts from these alone: on two cores,
two such processes of one thread each (OMP_NUM_THREADS=1) are faster than one of two.
"""

import fcntl
import hashlib
import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from opinions import archive_of

from quadpred.registry import WEIGHTS
from quadpred.train.card import card, encoder_card
from quadpred.train.corpora import Clip, DataSheet, Manifest, from_folder
from quadpred.train.corpora.manifest import in_folds, read_table
from quadpred.train.corpora.quadrants import Scale, from_ratings
from quadpred.train.corpora.render import render
from quadpred.train.encoders import pack
from quadpred.train.evaluate import evaluate
from quadpred.train.export import export
from quadpred.train.loop import Run
from quadpred.train.pretrain import pretrain
from quadpred.train.recipe import Recipe
from quadpred.train.report import save_reliability_of
from quadpred.train.transfer import transfer

FOLDS = 5
# Folds and seeds. English speech is scored on every fold, the others on the first alone, all
# with one seed, to spare hours: compare them with English on the same fold, on its card.
SCORED = {"english": (FOLDS, 1), "mandarin": (1, 1), "mixed": (1, 1)}
PIANO = "val"  # EMOPIA's published split
# Debian's fluid-soundfont-gm and timgm6mb-soundfont, which plays every second piece: who knows one
# piano takes the sound of any other for an emotion.
PIANOS = {"FluidR3_GM.sf2": 1, "TimGM6mb.sf2": 2}
SPEECH = {
    "english": ("speechocean762",),
    "mandarin": ("audio_cmn", "hsk_sentences"),
    "mixed": ("speechocean762", "audio_cmn", "hsk_sentences"),
}
# Of the nine emotions that Emotify's listeners could tick, what counts for and against each axis;
# signs are taken about the medians, without those nearest.
AROUSAL = ("power", "joyful_activation", "tension"), ("calmness", "tenderness", "sadness")
VALENCE = ("joyful_activation", "tenderness"), ("tension", "sadness")
RESEARCH_ONLY = "excerpts of commercial music: research only"
WEAK = (
    "Its labels were read from annotators' words by a lexicon and barely relate to its audio, which"
    " is rendered from scores, without a voice."
)
EXPERIMENTAL = (
    "on songs kept apart its quadrants are about as good as chance, for its labels were read from"
    " words by a lexicon and its audio was rendered from scores, without a voice"
)
NOTES = (
    "The recipe was chosen by scores on all folds of this English music, so these are no untouched"
    " test of it, though no network heard what it is scored on.",
    "The English and the Mandarin speech differ in more than language (many speakers and sentences"
    " against two voices, words and synthetic speech): no difference between these models shows an"
    " effect of language by itself.",
    "Valence is weaker than arousal: where it is about even, so are the quadrants.",
    "Valence leans a little on an opinion that was learned from VibeNet's (software under the GPL,"
    " trained on the Free Music Archive with Echo Nest's values).",
    "Piano has an expert of its own, which learned from two synthetic pianos: it hears arousal,"
    " and of their valence a part; other pianos may seem calmer to it than they are. Of orchestral"
    " music little is known.",
)


def manifests(data: Path, runs: Path) -> dict[str, Manifest]:
    """Make a manifest of each corpus, split by speaker, artist or song."""
    folder = data / "speech_english/speechocean762"
    made = {
        "speechocean762": from_folder(
            folder,
            DataSheet(
                "speechocean762",
                "english",
                "CC BY 4.0",
                "4.1 h of read sentences; the speakers' first language is Mandarin",
            ),
            group=r"speaker\d+",
        ),
        "audio_cmn": from_folder(
            data / "speech_mandarin/audio_cmn",
            DataSheet("audio-cmn", "mandarin", "CC BY-SA", "2.8 h of single words, one woman"),
        ),
        "hsk_sentences": from_folder(
            data / "speech_mandarin/hsk_sentences",
            DataSheet(
                "HSK sentences",
                "mandarin",
                "CC BY-SA 4.0",
                "1.2 h of synthetic speech (CosyVoice2), one voice",
            ),
        ),
    }
    folder = data / "music_english/4qaed"
    made["4q"] = from_folder(
        folder / "audio",
        taught(
            DataSheet(
                "4Q-Emotion, development part",
                "english",
                RESEARCH_ONLY,
                "Panda et al. 2018: 628 clips of 30 s, 157 a quadrant, mostly sung in English",
            ),
            runs,
        ),
        labels=folder / "labels.csv",
        group="artist_group",
        tags=("moods", "genres"),
        folds=FOLDS,
    )
    made["emotify"] = felt(data / "music_general/emotify", runs)
    made["emopia"] = piano(data / "music_piano/emopia")
    folder = data / "music_mandarin/pop909_muchin"
    made["muchin"] = from_folder(
        folder / "audio",
        DataSheet("POP909 with MuChin's words", "mandarin", RESEARCH_ONLY, WEAK),
        labels=folder / "labels.csv",
        group="song",
        folds=FOLDS,
    )
    for name, manifest in made.items():
        manifest.save(runs / "manifests" / f"{name}.csv")
    return made


def piano(folder: Path) -> Manifest:
    """Render EMOPIA's MIDI files and make a manifest of its published splits."""
    rows = read_table(folder / "labels.csv")
    clips = []
    for soundfont, step in PIANOS.items():
        played = {folder / "midi" / row["file"]: row for row in rows[::step]}
        rendered = render(played, warn=print, soundfont=Path("/usr/share/sounds/sf2", soundfont))
        clips += [
            Clip(rendered[path], row["song"], row["split"], row["quadrant"])
            for path, row in played.items()
            if path in rendered
        ]
    sheet = DataSheet(
        "EMOPIA",
        "",
        "CC BY-NC-SA 4.0",
        "Hung et al. 2021: pop piano as MIDI, rendered by FluidSynth with two soundfonts",
    )
    return Manifest(tuple(clips), sheet)


def felt_ratings(folder: Path) -> dict[str, tuple[float, float]]:
    """Arousal and valence of Emotify's excerpts, by file name, from what listeners felt (GEMS)."""
    return {
        row["file"]: tuple(
            sum(float(row[name]) for name in up) - sum(float(row[name]) for name in down)
            for up, down in (AROUSAL, VALENCE)
        )
        for row in read_table(folder / "labels.csv")
    }


def felt(folder: Path, runs: Path) -> Manifest:
    """Make a manifest of Emotify with quadrants."""
    sheet = DataSheet(
        "Emotify",
        "english",
        "non-commercial research",
        "Aljanaki et al. 2016: 400 excerpts of 20 s, heard for the teachers' values and for the"
        " arousal that listeners felt (GEMS)",
    )
    ratings = felt_ratings(folder)
    quadrants = from_ratings(list(ratings.values()), Scale(-3, 3), about="median", neutral=0.03)
    clips = [
        Clip(folder / "audio" / name, name, "", quadrant)
        for name, quadrant in zip(ratings, quadrants, strict=True)
    ]
    return Manifest(in_folds(clips, FOLDS, 0), taught(sheet, runs))


def free_music(runs: Path) -> Manifest:
    """Make a manifest of what free_music.py has fetched."""
    sheet = DataSheet(
        "Free music",
        "",
        "free licences, of each package its own: CC BY-SA, CC BY, CC0, GPL and others",
        "excerpts of 30 s of the music of free games, from Debian 12; heard for musicnn's values"
        " alone",
    )
    return from_folder(runs / "free-music", taught(sheet, runs), group=r".+(?=--\d)")


def taught(sheet: DataSheet, runs: Path) -> DataSheet:
    """Name what teachers.py has written."""
    return replace(sheet, teacher=str(archive_of(sheet, runs / "teachers").resolve()))


def english_music(made: dict[str, Manifest], runs: Path, speech: str) -> dict[str, Any]:
    """Transfer to English music: the folds, whose pooled scores are returned, then all clips."""
    folds, seeds = SCORED[speech]
    tested = []
    for seed, fold in product(range(seeds), range(folds)):
        folder = runs / f"{speech}-to-english-{fold}-{seed}"
        hear(seed, made, runs, speech, folder, str(fold))
        tested.append(folder)
    hear(0, made, runs, speech, runs / f"{speech}-to-english")
    songs = [folder.with_name(f"{folder.name}-songs") for folder in tested]
    scored(runs / f"{speech}-to-english-songs.json", songs, made["4q"])
    return scored(runs / f"{speech}-to-english.json", tested, made["4q"])


def hear(
    seed: int, made: dict[str, Manifest], runs: Path, speech: str, folder: Path, *test: str
) -> None:
    """Transfer from speech to all the music but the splits `test`: first unlabelled, piano last."""
    unlabelled = [replace(clip, quadrant="") for clip in made["emotify"].clips]
    plain = [made["free"], Manifest(tuple(unlabelled), made["emotify"].sheet)]
    listen, listened, broad = (
        replace(Recipe.load(name), seed=seed) for name in ("listen", "listened", "broad")
    )
    start = runs / f"{speech}-listening-{seed}"
    transfer(listen, plain, start, start=runs / f"speech-{speech}")
    foreign = [made[name] for name in SPEECH["mixed"]]
    songs = [made["4q"], made["emotify"], made["free"]]
    first = folder.with_name(f"{folder.name}-songs")
    transfer(listened, songs, first, foreign=foreign, start=start, test=test)
    heard = [replace(m, sheet=opinionated(m.sheet, runs)) for m in songs]
    music = [*heard, made["emopia"]]
    transfer(broad, music, folder, foreign=foreign, start=first, test=[*test, PIANO])


def opinionated(sheet: DataSheet, runs: Path) -> DataSheet:
    """Name what opinions.py has written."""
    return replace(sheet, opinion=str(archive_of(sheet, runs / "opinions").resolve()))


def mandarin_music(made: dict[str, Manifest], runs: Path, speech: str) -> dict[str, Any]:
    """Transfer on to Mandarin music, as far as songs kept for validation allow."""
    recipe = Recipe.load("gentle")
    start = runs / f"{speech}-to-english"
    folds = [runs / f"{speech}-to-mandarin-{k}" for k in range(FOLDS)]
    music = [made["muchin"]]
    for k, folder in enumerate(folds):
        held = str((k + 1) % FOLDS)
        transfer(recipe, music, folder, start=start, validation=[held], test=[str(k)])
    transfer(recipe, music, runs / f"{speech}-to-mandarin", start=start, validation=["0"])
    return scored(runs / f"{speech}-to-mandarin.json", folds, made["muchin"])


def scored(
    path: Path, folds: Iterable[Path], manifest: Manifest, splits: Iterable[str] = ()
) -> dict[str, Any]:
    """Evaluate runs, save the scores and print what matters."""
    result = evaluate(list(folds), manifest, splits=list(splits))
    path.write_text(json.dumps(result, indent=1) + "\n")
    for head in ("quadrant", "arousal", "valence"):
        f1 = result[head]["clip"]["macro_f1"]
        print(f"{path.stem}: {head} {f1['value']:.3f} ({f1['low']:.3f} to {f1['high']:.3f})")
    return result


def ship(
    run: Path, speech: str, music: str, scores: list[tuple[str, dict[str, Any]]], weak: str = ""
) -> None:
    """Export a run, calibrated by the first scores, with its card, and enter it in the registry."""
    calibration = scores[0][1]["calibration"]
    about: dict[str, Any] = {
        "name": f"{speech}-to-{music}",
        "speech": speech,
        "music": music,
        "experimental": weak,
        "calibration": calibration,
    }
    output = WEIGHTS / f"{about['name']}.onnx"
    exported = export(run, output, **about)
    sha256 = hashlib.sha256(output.read_bytes()).hexdigest()
    text = card(Run.describe(run), exported, **about, sha256=sha256, scores=scores, notes=NOTES)
    output.with_suffix(".md").write_text(text)
    save_reliability_of(calibration, output)
    entry = {"speech": speech, "music": music, "sha256": sha256, "experimental": bool(weak)}
    enter("models.json", about["name"], entry)


def ship_encoder(run: Path, speech: str) -> None:
    """Pack a pre-trained encoder with its card, and enter it in the registry."""
    name = f"speech-{speech}"
    output = WEIGHTS / f"{name}.npz"
    pack(run, output)
    sha256 = hashlib.sha256(output.read_bytes()).hexdigest()
    text = encoder_card(
        Run.describe(run), Run.records(run), name=name, speech=speech, sha256=sha256
    )
    output.with_suffix(".md").write_text(text)
    enter("encoders.json", name, {"speech": speech, "sha256": sha256})


def enter(listing: str, name: str, entry: dict[str, Any]) -> None:
    """Add an entry to a list of what is on board, or replace it."""
    path = WEIGHTS / listing
    with Path(__file__).open() as lock:  # a process for another language waits
        fcntl.flock(lock, fcntl.LOCK_EX)
        board = json.loads(path.read_text()) if path.is_file() else {}
        board[name] = entry
        part = path.with_suffix(".part")
        part.write_text(json.dumps(dict(sorted(board.items())), indent=2) + "\n")
        part.replace(path)


def main() -> None:
    """Make everything that is not there yet."""
    data, runs, *languages = sys.argv[1:]
    runs = Path(runs)
    made = manifests(Path(data), runs) | {"free": free_music(runs)}
    for speech in languages or SPEECH:
        spoken = [made[name] for name in SPEECH[speech]]
        pretrain(Recipe.load("base"), spoken, runs / f"speech-{speech}", validation=["0"])
        ship_encoder(runs / f"speech-{speech}", speech)
        result = english_music(made, runs, speech)
        folds, seeds = SCORED[speech]
        first = {1: "one", FOLDS: "all"}.get(folds, f"the first {folds}")
        title = f"English music, {first} of five folds by artist"
        if seeds > 1:
            title += f", seeds 0 to {seeds - 1}"
        keys = scored(
            runs / f"{speech}-to-english-on-piano.json",
            [runs / f"{speech}-to-english"],
            made["emopia"],
            [PIANO],
        )
        english = [
            (title, result),
            ("rendered piano (two soundfonts), EMOPIA's validation split", keys),
        ]
        ship(runs / f"{speech}-to-english", speech, "english", english)
        result = mandarin_music(made, runs, speech)
        unmoved = scored(
            runs / f"{speech}-to-english-on-mandarin.json",
            [runs / f"{speech}-to-english"],
            made["muchin"],
            map(str, range(FOLDS)),
        )
        titles = (
            "Mandarin music, five folds by song of the same recipe",
            f"the same songs, heard by {speech}-to-english, from which this model started",
        )
        scores = list(zip(titles, (result, unmoved), strict=True))
        ship(runs / f"{speech}-to-mandarin", speech, "mandarin", scores, EXPERIMENTAL)


if __name__ == "__main__":
    main()
