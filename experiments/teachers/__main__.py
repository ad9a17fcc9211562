"""Extract the teachers' values of every recording, one archive per clip.

    python -m experiments.teachers NETWORKS DATA RUNS --corpus 4q --corpus film
    python -m experiments.teachers NETWORKS DATA RUNS --part 0 --parts 2

NETWORKS holds the ONNX files. The recordings are those of DATA and of RUNS/audio, which
`experiments.prepare` makes. RUNS/values gets CORPUS/CLIP.npz with `yam`, `mus` and `fcn`, all
float16. Existing archives are kept, so an interrupted command continues.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from experiments import data as corpora
from experiments.data import LabelledCorpus
from experiments.teachers.networks import RATE, FcnTagger, Musicnn, Yamnet
from quadpred.audio import AudioError, read_blocks
from quadpred.files import atomic_write
from quadpred.train.corpora import ManifestError

SHORTEST = 3  # seconds
SUFFIXES = {".flac", ".ogg"}

Array = NDArray[np.float32]


class Teachers:
    """All teachers of a folder."""

    def __init__(self, folder: Path):
        self._yamnet, self._musicnn = Yamnet(folder), Musicnn(folder)
        self._taggers = [FcnTagger(folder / f"{name}_fcn.onnx") for name in ("jamendo", "msd")]

    def __call__(self, samples: Array) -> dict[str, NDArray[np.float16]]:
        """Values of a recording."""
        values = {
            "yam": self._yamnet(samples),
            "mus": self._musicnn(samples),
            "fcn": np.concatenate([tagger(samples) for tagger in self._taggers], 1),
        }
        return {name: array.astype(np.float16) for name, array in values.items()}


def main(
    networks: Annotated[
        Path, typer.Argument(help="Folder of the teachers' ONNX files.", exists=True)
    ],
    data: Annotated[Path, typer.Argument(help="The folder of corpora.", exists=True)],
    runs: Annotated[Path, typer.Argument(help="Folder with audio/, to write values/ to.")],
    corpus: Annotated[
        list[str] | None, typer.Option(help="Only these corpora; repeatable.")
    ] = None,
    part: Annotated[int, typer.Option(help="Number of this process, from 0.")] = 0,
    parts: Annotated[int, typer.Option(help="Number of processes that share the work.")] = 1,
) -> None:
    """Extract what is missing."""
    listing = listings(data, runs / "audio")
    if unknown := set(corpus or ()) - listing.keys():
        typer.echo(f"--corpus {', '.join(sorted(unknown))}: no such corpus", err=True)
        raise typer.Exit(2)
    try:
        teachers = Teachers(networks)
        for name in corpus or listing:
            for number, (clip, path) in enumerate(listing[name]()):
                if number % parts == part:
                    extract(teachers, path, runs / "values" / name / f"{clip}.npz")
    except (ManifestError, FileNotFoundError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def listings(data: Path, audio: Path) -> dict[str, Callable[[], list[tuple[str, Path]]]]:
    """Return by the name of a corpus how its clips are listed: names and recordings."""
    labelled: dict[str, Callable[[Path], LabelledCorpus]] = {
        "4q": corpora.four_quadrants,
        "film": corpora.film,
        "emotify": corpora.emotify,
        "mandarin": corpora.mandarin,
    }
    found = {name: partial(_labelled, read, data) for name, read in labelled.items()}
    folders = sorted(audio.iterdir()) if audio.is_dir() else []
    prepared = {path.name: partial(_recordings, path) for path in folders if path.is_dir()}
    return {**found, **prepared}


def extract(teachers: Teachers, recording: Path, output: Path) -> None:
    """Write the archive of a recording, unless it is there; report what cannot be read."""
    if output.exists():
        return
    try:
        samples = np.concatenate(list(read_blocks(recording, RATE)))
    except AudioError as error:
        typer.echo(f"left out: {error}", err=True)
        return
    if len(samples) < SHORTEST * RATE:
        typer.echo(f"left out: {recording}: shorter than {SHORTEST} s", err=True)
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(output) as (file,):
        np.savez(file, **teachers(samples))  # type: ignore[arg-type]


def _labelled(read: Callable[[Path], LabelledCorpus], data: Path) -> list[tuple[str, Path]]:
    corpus = read(data)
    return [(corpus.name(clip), clip.path) for clip in corpus.manifest.clips]


def _recordings(folder: Path) -> list[tuple[str, Path]]:
    return [(path.stem, path) for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES]


if __name__ == "__main__":
    typer.run(main)
