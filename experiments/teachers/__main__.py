"""Extract log-mels and the teachers' values of every recording, one archive per clip.

    python -m experiments.teachers NETWORKS DATA VALUES --corpus 4q --corpus film
    python -m experiments.teachers NETWORKS DATA VALUES --fetched FETCHED --part 0 --parts 2

NETWORKS holds the ONNX files. VALUES gets CORPUS/CLIP.npz with `mel` (log-mel of the models' front
end), `yam`, `mus` and `fcn`, all float16. Existing archives are kept, so an interrupted command
continues.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from experiments import data as corpora
from experiments.data import UNLABELLED, Corpus, Excerpt, excerpts, read_excerpt
from experiments.teachers.networks import RATE, FcnTagger, Musicnn, Yamnet
from quadpred.audio import AudioError
from quadpred.features import FeatureConfig, log_mel
from quadpred.train.corpora import ManifestError

SHORTEST = 3  # seconds
EMOPIA_SECONDS = 60

Array = NDArray[np.float32]


class Teachers:
    """All teachers of a folder."""

    def __init__(self, folder: Path):
        self._yamnet, self._musicnn = Yamnet(folder), Musicnn(folder)
        self._taggers = [FcnTagger(folder / f"{name}_fcn.onnx") for name in ("jamendo", "msd")]

    def __call__(self, samples: Array) -> dict[str, NDArray[np.float16]]:
        """Log-mel and values of a recording."""
        values = {
            "mel": log_mel(samples, FeatureConfig()),
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
    values: Annotated[Path, typer.Argument(help="Folder to write to.")],
    fetched: Annotated[
        Path | None, typer.Option(help="Folder of the fetched repositories.")
    ] = None,
    corpus: Annotated[
        list[str] | None, typer.Option(help="Only these corpora; repeatable.")
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder for rendered recordings.")] = None,
    part: Annotated[int, typer.Option(help="Number of this process, from 0.")] = 0,
    parts: Annotated[int, typer.Option(help="Number of processes that share the work.")] = 1,
) -> None:
    """Extract what is missing."""
    listing = listings(data, fetched, cache)
    if unknown := set(corpus or ()) - listing.keys():
        hint = "" if fetched else " (name the fetched repositories with --fetched)"
        typer.echo(f"--corpus {', '.join(sorted(unknown))}: no such corpus{hint}", err=True)
        raise typer.Exit(2)
    try:
        teachers = Teachers(networks)
        for name in corpus or listing:
            for number, excerpt in enumerate(listing[name]()):
                if number % parts == part:
                    extract(teachers, excerpt, values / name / f"{excerpt.name}.npz", cache)
    except (ManifestError, FileNotFoundError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def listings(
    data: Path, fetched: Path | None, cache: Path | None
) -> dict[str, Callable[[], Iterator[Excerpt]]]:
    """Return by the name of a corpus how its excerpts are listed."""
    labelled: dict[str, Callable[[], Corpus]] = {
        "4q": partial(corpora.four_quadrants, data),
        "film": partial(corpora.film, data),
        "emotify": partial(corpora.emotify, data),
        "mandarin": partial(corpora.mandarin, data),
    }
    for soundfont in corpora.SOUNDFONTS:
        labelled[f"vgmidi-{soundfont}"] = partial(corpora.vgmidi, data, soundfont, cache)
    if fetched:
        labelled["emotify60"] = partial(
            corpora.emotify_long, data, fetched / "ProjectMusicInformatics"
        )
    found: dict[str, Callable[[], Iterator[Excerpt]]] = {
        name: partial(_whole, read) for name, read in labelled.items()
    }
    for soundfont in corpora.SOUNDFONTS:
        found[f"emopia-{soundfont}"] = partial(_emopia, data, soundfont)
    if fetched:
        for name in UNLABELLED:
            found[name] = lambda name=name: iter(excerpts(name, fetched))  # type: ignore[misc]
    return found


def extract(teachers: Teachers, excerpt: Excerpt, output: Path, cache: Path | None) -> None:
    """Write the archive of an excerpt, unless it is there; report what cannot be read."""
    if output.exists():
        return
    try:
        samples = read_excerpt(excerpt, cache)
    except (AudioError, ManifestError) as error:
        typer.echo(f"left out: {error}", err=True)
        return
    if len(samples) < SHORTEST * RATE:
        typer.echo(f"left out: {excerpt.path}: shorter than {SHORTEST} s", err=True)
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_suffix(".part.npz")
    np.savez(part, **teachers(samples))  # type: ignore[arg-type]
    part.replace(output)


def _whole(read: Callable[[], Corpus]) -> Iterator[Excerpt]:
    corpus = read()
    for clip in corpus.manifest.clips:
        yield Excerpt(clip.path, corpus.name(clip))


def _emopia(data: Path, soundfont: str) -> Iterator[Excerpt]:
    """List the split `val` with each soundfont, and `train` with the two in turn."""
    fonts = list(corpora.SOUNDFONTS)
    train = corpora.emopia_scores(data, "train")[fonts.index(soundfont) :: len(fonts)]
    for clip in (*train, *corpora.emopia_scores(data, "val")):
        yield Excerpt(clip.path, clip.path.stem, 0, EMOPIA_SECONDS, soundfont)


if __name__ == "__main__":
    typer.run(main)
