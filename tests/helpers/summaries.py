"""Summaries of predicted folders, made by code."""

import csv
from dataclasses import asdict
from pathlib import Path

from quadpred.library.summary import Clip

NAMES = (
    *("path", "duration", "quadrant", "q1", "q2", "q3", "q4", "arousal", "valence", "confidence"),
    *("uncertain", "model", "version", "sha256", "file"),
)


def clip(name: str = "song.mp3", quadrant: str = "Q1", **values: object) -> Clip:
    """A clip in the middle of its quadrant, below /music."""
    high = {"arousal": quadrant in ("Q1", "Q2"), "valence": quadrant in ("Q1", "Q4")}
    shares = {key: 0.75 if positive else 0.25 for key, positive in high.items()}
    given = {"duration": 180.0, "confidence": 0.8, "uncertain": False, "sha256": "ab" * 32}
    given |= {**shares, **values}
    return Clip(path=name, **{"file": f"/music/{name}", "quadrant": quadrant, **given})


def rows(clips: list[Clip]) -> list[dict[str, object]]:
    """All the columns that a summary has."""
    model = {"model": "tiny", "version": "0.1.0"}
    shares = dict.fromkeys(("q1", "q2", "q3", "q4"), 0.25)
    whole = [{**asdict(clip), **shares, **model} for clip in clips]
    return [{name: row[name] for name in NAMES} for row in whole]


def write_csv(path: Path, clips: list[Clip]) -> Path:
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.DictWriter(file, NAMES)
        writer.writeheader()
        writer.writerows(rows(clips))
    return path


def write_parquet(path: Path, clips: list[Clip]) -> Path:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(rows(clips)), path)
    return path
