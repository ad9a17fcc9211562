"""Summaries of libraries."""

import csv
from dataclasses import asdict
from pathlib import Path

from quadpred.labels import QUADRANT
from quadpred.library.summary import COLUMNS, SummaryRow


def clip(name: str = "song.mp3", quadrant: str = "Q1", **values: object) -> SummaryRow:
    """A row in the middle of its quadrant, below /music."""
    high = {"arousal": quadrant in ("Q1", "Q2"), "valence": quadrant in ("Q1", "Q4")}
    shares = {key: 0.75 if positive else 0.25 for key, positive in high.items()}
    given = {"duration": 180.0, "confidence": 0.8, "uncertain": False, "sha256": "ab" * 32}
    given |= {**shares, **values}
    return SummaryRow(path=name, **{"file": f"/music/{name}", "quadrant": quadrant, **given})


def rows(clips: list[SummaryRow]) -> list[dict[str, object]]:
    """Return all columns of a summary."""
    model = {"damage": "", "model": "tiny", "version": "0.1.0"}
    shares = dict.fromkeys(QUADRANT.classes, 0.25)
    whole = [{**asdict(clip), **shares, **model} for clip in clips]
    return [{name: row[name] for name in COLUMNS} for row in whole]


def write_csv(path: Path, clips: list[SummaryRow]) -> Path:
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.DictWriter(file, list(COLUMNS))
        writer.writeheader()
        writer.writerows(rows(clips))
    return path


def write_parquet(path: Path, clips: list[SummaryRow]) -> Path:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(rows(clips)), path)
    return path
