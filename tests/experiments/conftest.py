"""A folder of small generated corpora in the layout of experiments/README.md."""

import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.corpora import MUSIC, RATE, music, speech

pytest.importorskip("scipy")
pytest.importorskip("sklearn")
pytest.importorskip("torch")

from experiments.data import labelled

from quadpred.labels import signs_of

SECONDS = 3
BARS = 8


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five groups of two clips in every corpus; signs of ratings follow the generated quadrant."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    clips = [(f"clip_{k}", list(MUSIC)[k % 4], str(k // 2)) for k in range(10)]

    def corpus(
        folder: str, columns: Sequence[str], cells: Callable[[str, str], Sequence[object]]
    ) -> None:
        audio = root / folder / "audio"
        audio.mkdir(parents=True)
        rows = []
        for name, quadrant, group in clips:
            soundfile.write(audio / f"{name}.flac", music(quadrant, SECONDS, rng), RATE)
            rows.append([f"{name}.flac", *cells(quadrant, group)])
        _table(root / folder / "labels.csv", ["file", *columns], rows)

    def ratings(quadrant: str, middle: float = 0, reach: float = 0.8) -> list[float]:
        signs = np.array(signs_of(quadrant)) * 2 - 1
        return [round(float(v), 3) for v in middle + signs * reach * rng.uniform(0.5, 1, 2)]

    corpus(
        "music_english/4qaed",
        ["quadrant", "artist_group", "moods", "genres"],
        lambda quadrant, group: [quadrant, group, "Calm; Dark", "Pop"],
    )
    corpus(
        "music_film/soundtracks",
        ["energy", "valence", "film"],
        lambda quadrant, group: [*ratings(quadrant, 4, 3), group],
    )
    gems = sorted({*labelled.EMOTIFY_AROUSAL, *labelled.EMOTIFY_VALENCE})
    corpus("music_general/emotify", gems, lambda *_: rng.uniform(0, 1, len(gems)).round(3))
    corpus(
        "music_mandarin/pop909_muchin",
        ["quadrant", "arousal", "valence", "song"],
        lambda quadrant, group: [quadrant, *ratings(quadrant), group],
    )
    actors = root / "speech_emotional/ravdess/audio"
    actors.mkdir(parents=True)
    for number in range(3):
        soundfile.write(actors / f"{number}.flac", speech(2, rng), RATE)
    _table(
        actors.parent / "labels.csv",
        ["file", "emotion", "actor"],
        [[f"{number}.flac", "sad", number] for number in range(3)],
    )
    for folder in ("music_piano/vgmidi", "music_piano/emopia"):
        (root / folder / "midi").mkdir(parents=True)
        for name, quadrant, _ in clips:
            (root / folder / "midi" / f"{name}.mid").write_text(quadrant)
    _table(
        root / "music_piano/vgmidi/labels.csv",
        ["file", "arousal", "valence", "game"],
        [[f"{name}.mid", *ratings(quadrant), group] for name, quadrant, group in clips],
    )
    width = SECONDS / BARS
    _table(
        root / "music_piano/vgmidi/dynamics.csv",
        ["file", "start", "end", "arousal", "valence", "arousal_z", "valence_z"],
        [
            [f"{name}.mid", bar * width, (bar + 1) * width, *rng.uniform(-1, 1, 4).round(3)]
            for name, *_ in clips
            for bar in range(BARS)
        ],
    )
    _table(
        root / "music_piano/emopia/labels.csv",
        ["file", "quadrant", "song", "split"],
        [
            [f"{name}.mid", quadrant, group, "val" if int(group) < 2 else "train"]
            for name, quadrant, group in clips
        ],
    )
    return root


@pytest.fixture(autouse=True)
def rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Render "MIDI files" that hold the name of a quadrant, without FluidSynth."""

    def render(
        paths: Iterable[Path], *, on_warning: object, soundfont: Path, cache: Path | None
    ) -> dict[Path, Path]:
        made = {}
        for path in paths:
            target = tmp_path / "rendered" / soundfont.stem / f"{path.parts[-3]}_{path.stem}.flac"
            target.parent.mkdir(parents=True, exist_ok=True)
            seed = sum(str(target.name).encode())
            samples = music(path.read_text(), SECONDS, np.random.default_rng(seed))
            soundfile.write(target, samples, RATE)
            made[path] = target
        return made

    monkeypatch.setattr(labelled, "render", render)


def _table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
