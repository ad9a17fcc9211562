"""The labelled corpora below DATA, as manifests with ratings, in the layout of README.md.

Every reader distributes whole groups over five folds, so that run K can leave out fold K of every
corpus.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quadpred.train.corpora import Clip, DataSheet, Manifest, ManifestError, in_folds, read_table
from quadpred.train.corpora.render import render

__all__ = [
    "FOLDS",
    "SOUNDFONTS",
    "Bars",
    "LabelledCorpus",
    "Rating",
    "acted_speech",
    "emopia",
    "emopia_scores",
    "emotify",
    "emotify_long",
    "film",
    "four_quadrants",
    "mandarin",
    "render_one",
    "vgmidi",
]

FOLDS = 5
SOUNDFONTS = {
    "fluid": Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"),
    "tim": Path("/usr/share/sounds/sf2/TimGM6mb.sf2"),
}
"""Debian's packages fluid-soundfont-gm and timgm6mb-soundfont."""

RESEARCH_ONLY = "excerpts of commercial music: research only"
# GEMS emotions of Emotify that count for (+) and against (-) each axis.
EMOTIFY_AROUSAL = {
    "power": 1, "joyful_activation": 1, "tension": 1,
    "calmness": -1, "tenderness": -1, "sadness": -1,
}  # fmt: skip
EMOTIFY_VALENCE = {"joyful_activation": 1, "tenderness": 1, "tension": -1, "sadness": -1}

Array = NDArray[np.float64]
Row = Mapping[str, str]


class Rating(NamedTuple):
    """Arousal and valence of a clip, on the corpus's own scale."""

    arousal: float
    valence: float


@dataclass(frozen=True, eq=False)
class Bars:
    """Listeners' ratings per bar of a piece; every array has shape (bars,).

    `start` and `end` are in seconds. `arousal` and `valence` are means over listeners from -1 to 1,
    `arousal_z` and `valence_z` means of each listener's standardised trace.
    """

    start: Array
    end: Array
    arousal: Array
    valence: Array
    arousal_z: Array
    valence_z: Array


@dataclass(frozen=True)
class LabelledCorpus:
    """A manifest, and what does not fit in it.

    Attributes:
        manifest: the clips, with quadrants or ratings.
        bars: ratings per bar, by the path of a clip.
        names: names of clips that differ from the stem of their recording, by path.
    """

    manifest: Manifest
    bars: Mapping[Path, Bars] = field(default_factory=dict)
    names: Mapping[Path, str] = field(default_factory=dict)

    @property
    def ratings(self) -> dict[Path, Rating]:
        """Ratings of the clips that have both, by path."""
        return {
            clip.path: Rating(clip.arousal, clip.valence)
            for clip in self.manifest.clips
            if clip.arousal is not None and clip.valence is not None
        }

    def name(self, clip: Clip) -> str:
        """Name of a clip within its corpus: the stem of the file that labels.csv names."""
        return self.names.get(clip.path, clip.path.stem)


def four_quadrants(data: Path) -> LabelledCorpus:
    """Read 4Q-Emotion, with folds by artist; the tags of a clip are its moods and genres."""
    folder = data / "music_english/4qaed"
    sheet = DataSheet(
        "4Q-Emotion, development part",
        "english",
        RESEARCH_ONLY,
        "Panda et al. 2018: 628 clips of 30 s, 157 per quadrant, mostly sung in English",
    )
    return LabelledCorpus(_manifest(folder, sheet, "artist_group", tags=("moods", "genres")))


def film(data: Path) -> LabelledCorpus:
    """Read the film music, rated from 1 to 7, with folds by film."""
    folder = data / "music_film/soundtracks"
    sheet = DataSheet(
        "Film music, development part",
        "",
        RESEARCH_ONLY,
        "Eerola & Vuoskoski 2011, set 1: 233 excerpts of 10 to 37 s, rated by experts",
    )
    return LabelledCorpus(_manifest(folder, sheet, "film", rating=_columns("energy", "valence")))


def mandarin(data: Path) -> LabelledCorpus:
    """Read the rendered Mandarin songs, whose labels are weak, with folds by song."""
    folder = data / "music_mandarin/pop909_muchin"
    sheet = DataSheet(
        "POP909 with MuChin's words",
        "mandarin",
        RESEARCH_ONLY,
        "158 excerpts of 30 s, rendered from scores, without a voice; a lexicon read the labels"
        " from annotators' words",
    )
    return LabelledCorpus(_manifest(folder, sheet, "song", rating=_columns("arousal", "valence")))


def emotify(data: Path) -> LabelledCorpus:
    """Read Emotify's excerpts of 20 s; their ratings are sums of the shares of listeners."""
    folder = data / "music_general/emotify"
    sheet = _emotify_sheet("400 excerpts of 20 s")
    return LabelledCorpus(_manifest(folder, sheet, "file", rating=_emotify_rating))


def emotify_long(data: Path, fetched: Path) -> LabelledCorpus:
    """Read the versions of 60 s, in the folds and with the ratings of those of 20 s.

    Args:
        data: the folder of corpora.
        fetched: the repository ProjectMusicInformatics.
    """
    short = emotify(data).manifest
    folder = fetched / "data/emotifymusic"
    clips, names = [], {}
    for clip in short.clips:
        genre, number = clip.path.stem.rsplit("_", 1)
        path = _existing(folder / genre / f"{number}.mp3")
        clips.append(replace(clip, path=path))
        names[path] = clip.path.stem
    return LabelledCorpus(
        Manifest(tuple(clips), _emotify_sheet("400 excerpts of 60 s")), names=names
    )


def vgmidi(data: Path, soundfont: str, cache: Path | None = None) -> LabelledCorpus:
    """Render VGMIDI's pieces and read their ratings, per piece and per bar; folds by game.

    Args:
        data: the folder of corpora.
        soundfont: a key of `SOUNDFONTS`.
        cache: folder for the recordings, by default the user's.
    """
    folder = data / "music_piano/vgmidi"
    sheet = DataSheet(
        "VGMIDI, development part",
        "",
        "no licence stated: research only",
        "Ferreira & Whitehead 2019: 128 pieces of game music for piano as MIDI, rendered by"
        " FluidSynth, rated per bar by about 30 listeners",
    )
    scores = _manifest(
        folder, sheet, "game", place="midi", rating=_columns("arousal", "valence")
    ).clips
    bars = _bars(folder)
    clips = [(_rendered(clip, soundfont, cache), clip.path) for clip in scores]
    return LabelledCorpus(
        Manifest(tuple(clip for clip, _ in clips), sheet),
        {clip.path: bars[score.name] for clip, score in clips},
        {clip.path: score.stem for clip, score in clips},
    )


def emopia(
    data: Path, soundfont: str, cache: Path | None = None, *, split: str = "val"
) -> LabelledCorpus:
    """Render one split of EMOPIA ("train" or "val"), which keeps its published splits.

    Args:
        data: the folder of corpora.
        soundfont: a key of `SOUNDFONTS`.
        cache: folder for the recordings, by default the user's.
        split: the part to read.
    """
    sheet = DataSheet(
        "EMOPIA",
        "",
        "CC BY-NC-SA 4.0",
        "Hung et al. 2021: pop piano as MIDI, rendered by FluidSynth",
    )
    clips = [(_rendered(clip, soundfont, cache), clip.path) for clip in emopia_scores(data, split)]
    manifest = Manifest(tuple(clip for clip, _ in clips), sheet)
    return LabelledCorpus(manifest, names={clip.path: score.stem for clip, score in clips})


def emopia_scores(data: Path, split: str) -> list[Clip]:
    """List one split of EMOPIA as MIDI files."""
    folder = data / "music_piano/emopia"
    return [
        Clip(_existing(folder / "midi" / row["file"]), row["song"], split, row["quadrant"])
        for row in _table(folder, "song", "split", "quadrant")
        if row["split"] == split
    ]


def acted_speech(data: Path) -> LabelledCorpus:
    """Read acted emotional speech, as an example of audio that is not music; folds by actor."""
    folder = data / "speech_emotional/ravdess"
    sheet = DataSheet(
        "RAVDESS speech", "english", "CC BY-NC-SA 4.0", "1.5 h, 24 actors, two sentences"
    )
    return LabelledCorpus(_manifest(folder, sheet, "actor", tags=("emotion",)))


def render_one(midi: Path, soundfont: str, cache: Path | None = None) -> Path:
    """Render a MIDI file unless the cache holds it, on one core.

    Raises:
        ManifestError: FluidSynth or the soundfont is missing, or the file makes no sound.
    """

    def warn(line: str) -> None:
        print(line, file=sys.stderr)

    recordings = render([midi], on_warning=warn, soundfont=SOUNDFONTS[soundfont], cache=cache)
    if midi not in recordings:
        raise ManifestError(f"{midi}: cannot be rendered")
    return recordings[midi]


def _emotify_sheet(size: str) -> DataSheet:
    return DataSheet(
        "Emotify",
        "english",
        "non-commercial research",
        f"Aljanaki et al. 2016: {size}, classical, electronic, pop and rock; felt emotion (GEMS)",
    )


def _emotify_rating(row: Row) -> Rating:
    """Sum the shares of listeners."""
    arousal, valence = (
        sum(weight * float(row[name]) for name, weight in weights.items())
        for weights in (EMOTIFY_AROUSAL, EMOTIFY_VALENCE)
    )
    return Rating(arousal, valence)


def _columns(arousal: str, valence: str) -> Callable[[Row], Rating]:
    """Read ratings from two columns."""
    return lambda row: Rating(float(row[arousal]), float(row[valence]))


def _table(folder: Path, *columns: str, name: str = "labels.csv") -> list[dict[str, str]]:
    rows = read_table(folder / name)
    if missing := {"file", *columns} - set(rows[0]):
        raise ManifestError(f"{folder / name}: no column {', '.join(sorted(missing))}")
    return rows


def _manifest(
    folder: Path,
    sheet: DataSheet,
    group: str,
    *,
    place: str = "audio",
    tags: Sequence[str] = (),
    rating: Callable[[Row], Rating] | None = None,
) -> Manifest:
    """Read labels.csv; every group goes to one of the folds "0" to "4".

    Raises:
        ManifestError: a column or a recording is missing, or a rating is not a number.
    """
    clips = []
    for line, row in enumerate(_table(folder, group, *tags), 2):
        path = _existing(folder / place / row["file"])
        words = tuple(w for tag in tags for part in row[tag].split(";") if (w := part.strip()))
        try:
            ratings = rating(row)._asdict() if rating else {}
        except (KeyError, ValueError) as error:
            reason = f"no column {error}" if isinstance(error, KeyError) else str(error)
            raise ManifestError(f"{folder / 'labels.csv'}: line {line}: {reason}") from None
        clips.append(Clip(path, row[group], "", row.get("quadrant", ""), words, **ratings))
    return Manifest(in_folds(clips, FOLDS, seed=0), sheet)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise ManifestError(f"{path}: no such file, though labels.csv names it")
    return path


def _bars(folder: Path) -> dict[str, Bars]:
    """Ratings per bar by the name of the MIDI file."""
    columns = ("start", "end", "arousal", "valence", "arousal_z", "valence_z")
    values: dict[str, list[list[float]]] = defaultdict(list)
    for row in _table(folder, *columns, name="dynamics.csv"):
        values[row["file"]].append([float(row[column]) for column in columns])
    return {name: Bars(*np.array(rows).T) for name, rows in values.items()}


def _rendered(clip: Clip, soundfont: str, cache: Path | None) -> Clip:
    return replace(clip, path=render_one(clip.path, soundfont, cache))
