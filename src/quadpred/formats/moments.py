"""Write moments as JSON, CSV and label tracks of Audacity."""

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, BinaryIO

from quadpred import __version__
from quadpred.files import escape_name
from quadpred.formats.rows import DIGITS
from quadpred.formats.tables import csv_table
from quadpred.library.moments import Moment
from quadpred.library.moods import Vocabulary
from quadpred.prediction import Prediction

__all__ = ["MOMENT_FORMATS", "moment_document"]

_NUMBERS = ("start", "end", "arousal", "valence", "confidence")

Moments = Sequence[Moment]


def moment_document(
    prediction: Prediction, moments: Moments, vocabulary: Vocabulary
) -> dict[str, Any]:
    """Return moments as plain values that JSON can hold.

    `changes` are the times in seconds at which one segment ends and another begins.
    """
    segments = [moment for moment in moments if moment.kind == "segment"]
    return {
        "quadpred": __version__,
        "source": escape_name(prediction.source),
        "duration": round(prediction.duration, DIGITS),
        "model": prediction.model.name,
        "moments": [_record(moment, vocabulary) for moment in moments],
        "changes": [
            {"second": round(after.start, DIGITS), "from": before.quadrant, "to": after.quadrant}
            for before, after in pairwise(segments)
        ],
    }


def _record(moment: Moment, vocabulary: Vocabulary) -> dict[str, Any]:
    numbers = {name: round(getattr(moment, name), DIGITS) for name in _NUMBERS}
    return {
        "kind": moment.kind,
        "label": moment.label,
        "start": numbers.pop("start"),
        "end": numbers.pop("end"),
        "quadrant": moment.quadrant,
        "mood": vocabulary.word(moment.quadrant),
        **numbers,
        "uncertain": moment.uncertain,
    }


def _write_json(
    prediction: Prediction, moments: Moments, vocabulary: Vocabulary, file: BinaryIO
) -> None:
    document = moment_document(prediction, moments, vocabulary)
    text = json.dumps(document, allow_nan=False, ensure_ascii=False, indent=1)
    file.write(f"{text}\n".encode())


def _write_csv(
    prediction: Prediction, moments: Moments, vocabulary: Vocabulary, file: BinaryIO
) -> None:
    records = [_record(moment, vocabulary) for moment in moments]
    columns = {name: type(value) for name, value in records[0].items()}
    with csv_table(columns, file) as append:
        for record in records:
            append(record)


def _write_audacity(
    prediction: Prediction, moments: Moments, vocabulary: Vocabulary, file: BinaryIO
) -> None:
    """Write one line per moment: start and end in seconds, and its label or kind, and its mood."""
    for moment in moments:
        names = [moment.label or moment.kind] if moment.kind != "segment" else []
        mood = vocabulary.word(moment.quadrant) + ("?" if moment.uncertain else "")
        label = " ".join(": ".join([*names, mood]).split())
        file.write(f"{moment.start:.6f}\t{moment.end:.6f}\t{label}\n".encode())


MOMENT_FORMATS: Mapping[str, Callable[[Prediction, Moments, Vocabulary, BinaryIO], None]] = {
    "json": _write_json,
    "csv": _write_csv,
    "audacity": _write_audacity,
}
"""Writers by the name of the format."""
