"""Music for distillation, from repositories that were fetched into one folder.

Nothing of it is scored. Each function lists excerpts; `read_excerpt` decodes or renders one.
"""

import random
import subprocess
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from experiments.data.labelled import SOUNDFONTS, render_one
from quadpred.audio import read_blocks
from quadpred.train.corpora import ManifestError

__all__ = ["DISTILLED", "UNLABELLED", "Excerpt", "excerpts", "read_excerpt"]

RATE = 16_000
SYNTHESIS_RATE = 44_100
MIDI_SUFFIXES = {".mid", ".midi"}


@dataclass(frozen=True)
class Excerpt:
    """Part of a recording or of a MIDI file.

    `name` is unique within a corpus and serves as a file name. `start` and `seconds` are in
    seconds; without `seconds` the excerpt reaches to the end. `soundfont` is a key of `SOUNDFONTS`,
    or empty for audio.
    """

    path: Path
    name: str
    start: float = 0.0
    seconds: float | None = None
    soundfont: str = ""


def read_excerpt(excerpt: Excerpt, cache: Path | None = None) -> NDArray[np.float32]:
    """Decode an excerpt to mono samples at 16 kHz; MIDI is rendered first.

    A whole MIDI file is rendered once and cached. For a part, rendering stops at its end.

    Raises:
        AudioError: the recording cannot be read.
        ManifestError: the MIDI file cannot be rendered.
    """
    path = excerpt.path
    first = round(excerpt.start * RATE)
    last = None if excerpt.seconds is None else first + round(excerpt.seconds * RATE)
    if excerpt.soundfont and excerpt.seconds is not None:
        return _render_start(path, excerpt.soundfont, excerpt.start + excerpt.seconds)[first:]
    if excerpt.soundfont:
        path = render_one(path, excerpt.soundfont, cache)
    blocks, count = [], 0
    for block in read_blocks(path, RATE):
        blocks.append(block)
        count += len(block)
        if last is not None and count >= last:
            break
    return np.ascontiguousarray(np.concatenate(blocks)[first:last])


def _render_start(midi: Path, soundfont: str, seconds: float) -> NDArray[np.float32]:
    """Render the first seconds of a MIDI file; FluidSynth is stopped there."""
    command = ["fluidsynth", "-niq", "-T", "raw", "-r", str(SYNTHESIS_RATE), "-F", "/dev/stdout"]
    try:
        process = subprocess.Popen(
            [*command, SOUNDFONTS[soundfont], midi],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        raise ManifestError("MIDI files need FluidSynth: install it (package fluidsynth)") from None
    with process:
        assert process.stdout is not None
        pcm = process.stdout.read(round(seconds * SYNTHESIS_RATE) * 4)  # 16-bit stereo
        process.kill()
    stereo = np.frombuffer(pcm, "<i2").reshape(-1, 2).astype(np.float32) / 32_768
    if not stereo.any():
        raise ManifestError(f"{midi}: FluidSynth cannot render it")
    mono: NDArray[np.float32] = soxr.resample(stereo.mean(1), SYNTHESIS_RATE, RATE)
    return mono


def recordings(root: Path, suffixes: Collection[str]) -> list[tuple[str, Path]]:
    """List recordings below a folder, each with a name made of its path."""
    return [
        ("_".join(path.relative_to(root).with_suffix("").parts), path)
        for path in sorted(root.rglob("*"))
        if path.suffix.lower() in suffixes
    ]


def mirex(fetched: Path) -> Iterator[Excerpt]:
    """List the clips of the MIREX-like mood set (music-emotion-classifier)."""
    for name, path in recordings(fetched / "music-emotion-classifier/dataset", {".mp3"}):
        yield Excerpt(path, name, seconds=31)


def noise2music(fetched: Path) -> Iterator[Excerpt]:
    """List generated music of many genres (noise2music.github.io)."""
    for name, path in recordings(fetched / "noise2music.github.io", {".wav"}):
        yield Excerpt(path, name)


def clustering(fetched: Path) -> Iterator[Excerpt]:
    """List clips of 41 genres (music-emotion-clustering)."""
    for name, path in recordings(fetched / "music-emotion-clustering", {".mp3"}):
        yield Excerpt(path, name, seconds=31)


def ultrastar(fetched: Path) -> Iterator[Excerpt]:
    """List songs with voice (songs)."""
    for name, path in recordings(fetched / "songs", {".mp3", ".ogg"}):
        yield Excerpt(path, name, seconds=240)


def asap(fetched: Path) -> Iterator[Excerpt]:
    """List one performance of each classical piano piece (asap-dataset), 60 s each."""
    performances: dict[Path, list[tuple[str, Path]]] = defaultdict(list)
    for name, path in recordings(fetched / "asap-dataset", MIDI_SUFFIXES):
        if path.name != "midi_score.mid":
            performances[path.parent].append((name, path))
    rng = random.Random(0)
    for choices in performances.values():
        name, path = rng.choice(choices)
        start, soundfont = rng.choice([0, 20, 45]), rng.choice(sorted(SOUNDFONTS))
        yield Excerpt(path, name, start, 60, soundfont)


def memomusic(fetched: Path) -> Iterator[Excerpt]:
    """List piano pieces (MemoMusic-Dataset): 90 s of the MIDI file and of the recording."""
    root = fetched / "MemoMusic-Dataset"
    rng = random.Random(0)
    for name, path in recordings(root, MIDI_SUFFIXES):
        yield Excerpt(path, name, 0, 90, rng.choice(sorted(SOUNDFONTS)))
    for name, path in recordings(root, {".mp3"}):
        yield Excerpt(path, name, 20, 90)


UNLABELLED: dict[str, Callable[[Path], Iterator[Excerpt]]] = {
    "mirex": mirex,
    "noise2music": noise2music,
    "clustering": clustering,
    "ultrastar": ultrastar,
    "asap": asap,
    "memomusic": memomusic,
}
"""The reader of each corpus, by name; each takes the folder of fetched repositories."""

DISTILLED = (*(name for name in UNLABELLED if name != "memomusic"), "free")
"""The corpora without labels; `experiments.data.free_music` makes `free`."""


def excerpts(corpus: str, fetched: Path) -> list[Excerpt]:
    """List the excerpts of a corpus.

    Raises:
        FileNotFoundError: the repository is missing or empty.
    """
    listed = list(UNLABELLED[corpus](fetched))
    if not listed:
        raise FileNotFoundError(f"{fetched}: no recordings of the corpus {corpus!r}")
    return listed
