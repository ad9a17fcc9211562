"""Make what `experiments.train_models` reads: excerpts as audio files, and the teachers' values.

    python -m experiments.prepare audio DATA RUNS --fetched FETCHED
    python -m experiments.teachers NETWORKS DATA RUNS
    python -m experiments.prepare teachers RUNS

`audio` writes RUNS/audio/CORPUS/CLIP.flac. `teachers` reduces the values of every second to
principal components and writes RUNS/teachers/CORPUS.npz. Existing files are kept.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import soundfile
import typer
from numpy.typing import NDArray

from experiments import data as corpora
from experiments.data import UNLABELLED, Excerpt, excerpts, read_excerpt
from experiments.data.unlabelled import DISTILLED, RATE
from quadpred.audio import AudioError
from quadpred.files import atomic_write
from quadpred.train.corpora import ManifestError

Array = NDArray[np.float32]

COMPONENTS = {"yam": 128, "mus": 128, "fcn": 64}
PATCH = 2.992  # seconds that one row of musicnn's values describes
EXCERPT = 29.0  # seconds that one row of the taggers' values describes
HIDDEN = {"mus": ((0, 200),), "fcn": ((0, 64), (114, 178))}
"""Columns of hidden units; the others are probabilities of tags."""

app = typer.Typer(help=__doc__)


@app.command()
def audio(
    data: Annotated[Path, typer.Argument(help="The folder of corpora.", exists=True)],
    runs: Annotated[Path, typer.Argument(help="Folder to write to.")],
    fetched: Annotated[Path, typer.Option(help="Folder of the fetched repositories.")],
    cache: Annotated[Path | None, typer.Option(help="Folder for rendered recordings.")] = None,
    part: Annotated[int, typer.Option(help="Number of this process, from 0.")] = 0,
    parts: Annotated[int, typer.Option(help="Number of processes that share the work.")] = 1,
) -> None:
    """Write the music for distillation, the 60 s versions of Emotify, and the rendered piano."""
    for number, (corpus, excerpt) in enumerate(_listed(data, fetched)):
        if number % parts == part:
            _write(excerpt, runs / "audio" / corpus / f"{excerpt.name}.flac", cache)
    if part == 0:
        labels = fetched / "MemoMusic-Dataset/File/CSV File.csv"
        with atomic_write(runs / "audio/memomusic.csv") as (file,):
            file.write(labels.read_bytes())


def _listed(data: Path, fetched: Path) -> Iterator[tuple[str, Excerpt]]:
    """List excerpts with the name of their folder."""
    for name in UNLABELLED:
        yield from ((name, excerpt) for excerpt in excerpts(name, fetched))
    emotify = corpora.emotify_long(data, fetched / "ProjectMusicInformatics")
    for clip in emotify.manifest.clips:
        yield "emotify60", Excerpt(clip.path, emotify.name(clip))
    soundfonts = list(corpora.SOUNDFONTS)
    for number, clip in enumerate(corpora.emopia_scores(data, "train")):
        soundfont = soundfonts[number % len(soundfonts)]
        yield f"emopia-{soundfont}", Excerpt(clip.path, clip.path.stem, 0, 60, soundfont)
    for soundfont in soundfonts:
        for clip in corpora.emopia_scores(data, "val"):
            yield f"emopia-{soundfont}", Excerpt(clip.path, clip.path.stem, 0, 60, soundfont)
        for path in sorted((data / "music_piano/vgmidi/midi").glob("*.mid")):
            yield f"vgmidi-{soundfont}", Excerpt(path, path.stem, soundfont=soundfont)


def _write(excerpt: Excerpt, output: Path, cache: Path | None) -> None:
    if output.exists():
        return
    try:
        samples = read_excerpt(excerpt, cache)
    except (AudioError, ManifestError) as error:
        typer.echo(f"left out: {error}", err=True)
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(output) as (file,):
        soundfile.write(file, np.clip(samples, -1, 1), RATE, format="FLAC")


@app.command()
def teachers(
    runs: Annotated[Path, typer.Argument(help="Folder with values/, to write teachers/ to.")],
) -> None:
    """Reduce the teachers' values to principal components of the music for distillation."""
    output = runs / "teachers"
    output.mkdir(exist_ok=True)
    folders = sorted(path for path in (runs / "values").iterdir() if path.is_dir())
    unlabelled = [path for path in folders if path.name in DISTILLED]
    basis = fit_basis([rows for folder in unlabelled for rows in _rows_of(folder)])
    for folder in folders:
        reduced = {
            path.stem: reduce(rows_per_second(np.load(path)), basis)
            for path in sorted(folder.glob("*.npz"))
        }
        with atomic_write(output / f"{folder.name}.npz") as (file,):
            np.savez(file, **reduced)  # type: ignore[arg-type]
        typer.echo(f"{folder.name}: {len(reduced)} clips")


def _rows_of(folder: Path) -> Iterator[dict[str, Array]]:
    for path in sorted(folder.glob("*.npz")):
        yield {name: rows[::4] for name, rows in rows_per_second(np.load(path)).items()}


def rows_per_second(values: Mapping[str, NDArray[Any]]) -> dict[str, Array]:
    """Bring the values of one clip to one row per second; probabilities become log-odds.

    Args:
        values: arrays `yam` (seconds, 1024), `mus` (patches, 250) and `fcn` (excerpts, 228). The
            excerpts lie in the middle of the clip; the first and the last also serve the seconds
            before and after them.
    """
    yamnet = values["yam"].astype(np.float32)
    seconds = np.arange(len(yamnet)) + 0.5
    musicnn = _log_odds(values["mus"].astype(np.float32), HIDDEN["mus"])
    centres = PATCH * (np.arange(len(musicnn)) + 0.5)
    taggers = _log_odds(values["fcn"].astype(np.float32), HIDDEN["fcn"])
    first = (len(yamnet) - EXCERPT * len(taggers)) / 2
    rows = np.clip((seconds - first) // EXCERPT, 0, len(taggers) - 1).astype(int)
    interpolated = np.stack([np.interp(seconds, centres, column) for column in musicnn.T], 1)
    return {"yam": yamnet, "mus": interpolated.astype(np.float32), "fcn": taggers[rows]}


def _log_odds(values: Array, hidden: tuple[tuple[int, int], ...]) -> Array:
    tags = np.ones(values.shape[1], bool)
    for first, last in hidden:
        tags[first:last] = False
    probabilities = np.clip(values[:, tags], 1e-3, 1 - 1e-3)
    changed = values.copy()
    changed[:, tags] = np.log(probabilities / (1 - probabilities))
    return changed


def fit_basis(clips: list[dict[str, Array]]) -> dict[str, tuple[Array, Array]]:
    """Fit principal components per teacher.

    Values are standardised, except that rarely active ones keep their small weight. Components are
    half whitened (divided by the root of their deviation), and each teacher has variance 1.

    Returns:
        A matrix (values, components) and an offset (components,) by the name of a teacher.
    """
    basis = {}
    for name, count in COMPONENTS.items():
        rows = np.concatenate([clip[name] for clip in clips])
        mean, deviation = rows.mean(0), rows.std(0)
        deviation = np.maximum(deviation, np.median(deviation))
        variances, vectors = np.linalg.eigh(np.cov(((rows - mean) / deviation).T))
        largest = np.argsort(-variances)[:count]
        scale = variances[largest] ** -0.25
        scale /= np.sqrt((variances[largest] * scale**2).sum())
        matrix = vectors[:, largest] / deviation[:, None] * scale
        basis[name] = matrix.astype(np.float32), (-mean @ matrix).astype(np.float32)
    return basis


def reduce(rows: dict[str, Array], basis: dict[str, tuple[Array, Array]]) -> NDArray[np.float16]:
    """Concatenate the components of all teachers, shape (seconds, 320)."""
    parts = [rows[name] @ matrix + offset for name, (matrix, offset) in basis.items()]
    return np.concatenate(parts, 1).astype(np.float16)


if __name__ == "__main__":
    app()
