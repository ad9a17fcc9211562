"""Files that a `Prediction` can be saved as: one list of writers for all commands.

To add a format, write a function `(prediction, file)` and add it to `FORMATS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from quadpred.errors import QuadpredError
from quadpred.files import add_filename_to_errors, atomic_write
from quadpred.formats.annotations import (
    write_audacity,
    write_elan,
    write_jams,
    write_moodbar,
    write_sonic_visualiser,
    write_textgrid,
)
from quadpred.formats.documents import write_json
from quadpred.formats.embeddings import write_embedding
from quadpred.formats.rows import write_csv, write_npy, write_parquet
from quadpred.prediction import Prediction

__all__ = ["FORMATS", "Format", "FormatError", "parse_formats", "save"]


class FormatError(QuadpredError):
    """A name that is not one of `FORMATS`."""


@dataclass(frozen=True)
class Format:
    """What a prediction can be saved as.

    Attributes:
        suffix: ending of the file's name; no two formats share one.
        write: writes a prediction to an open file.
    """

    suffix: str
    write: Callable[[Prediction, BinaryIO], None]


def _write_png(prediction: Prediction, file: BinaryIO) -> None:
    from quadpred.plots.taggram import save_taggram  # importing matplotlib is slow

    save_taggram(prediction, file)


FORMATS: Mapping[str, Format] = {
    "json": Format(".json", write_json),
    "csv": Format(".csv", write_csv),
    "parquet": Format(".parquet", write_parquet),
    "npy": Format(".npy", write_npy),
    "png": Format(".png", _write_png),
    "jams": Format(".jams", write_jams),
    "audacity": Format(".txt", write_audacity),
    "textgrid": Format(".TextGrid", write_textgrid),
    "elan": Format(".eaf", write_elan),
    "sonic-visualiser": Format(".svl", write_sonic_visualiser),
    "moodbar": Format(".mood", write_moodbar),
    "embedding": Format(".npz", write_embedding),
}


def parse_formats(names: str) -> tuple[str, ...]:
    """Read names of formats, separated by commas.

    Raises:
        FormatError: there is no such format.
        ModuleNotFoundError: a format's package is not installed.
    """
    formats = tuple(dict.fromkeys(name.strip().lower() for name in names.split(",") if name))
    for name in formats:
        if name not in FORMATS:
            raise FormatError(f"--format {name}: choose from {', '.join(FORMATS)}")
    if "parquet" in formats:
        import pyarrow  # noqa: F401
    return formats


def save(
    prediction: Prediction,
    targets: Mapping[str, Path],
    *,
    scratch: Path | None = None,
) -> None:
    """Save a prediction in several formats; all files appear together, or none does.

    Args:
        prediction: what to save.
        targets: the file of each format, by its name.
        scratch: folder on the same file system for the files while they are written.

    Raises:
        OSError: a file cannot be written.
        ModuleNotFoundError: a format's package is not installed.
    """
    with atomic_write(*targets.values(), scratch=scratch) as files:
        for (name, path), file in zip(targets.items(), files, strict=True):
            with add_filename_to_errors(path):
                FORMATS[name].write(prediction, file)
