"""Files that a `Prediction` can be saved as: one list of writers for all commands."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from quadpred.errors import QuadpredError
from quadpred.formats.annotations import write_audacity, write_jams
from quadpred.formats.documents import write_json
from quadpred.formats.rows import write_csv, write_npy, write_parquet
from quadpred.prediction import Prediction

__all__ = ["FORMATS", "Format", "FormatError", "parse_formats"]


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
    from quadpred.plots.taggram import save_taggram  # matplotlib takes half a second to import

    save_taggram(prediction, file)


FORMATS: Mapping[str, Format] = {
    "json": Format(".json", write_json),
    "csv": Format(".csv", write_csv),
    "parquet": Format(".parquet", write_parquet),
    "npy": Format(".npy", write_npy),
    "png": Format(".png", _write_png),
    "jams": Format(".jams", write_jams),
    "audacity": Format(".txt", write_audacity),
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
