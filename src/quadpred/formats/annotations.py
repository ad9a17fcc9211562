"""A `Prediction` for annotation tools: JAMS and Audacity label tracks."""

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import PurePath
from typing import Any, BinaryIO

from quadpred import __version__
from quadpred.files import as_unicode
from quadpred.formats.rows import DIGITS
from quadpred.labels import QUADRANT
from quadpred.prediction import Prediction

__all__ = ["write_audacity", "write_jams"]

_JAMS = "0.3.4"  # version of the schema


def write_jams(prediction: Prediction, file: BinaryIO) -> None:
    """Write a prediction as JAMS (E. J. Humphrey et al., ISMIR 2014) to an open file.

    It has one annotation of the namespace `mood_thayer`, with one observation per second. Its value
    is [valence, arousal] in this order, each the probability of "positive" from 0 to 1. Its
    confidence is the probability of the second's most probable quadrant. Silent seconds have no
    observation. The sandbox has the quadrant of the whole recording.

    Raises:
        ValueError: a number is not finite, which JSON cannot hold.
    """
    duration = round(prediction.duration, DIGITS)
    annotation = {
        "namespace": "mood_thayer",
        "annotation_metadata": {
            "curator": {"name": "", "email": ""},
            "annotator": {"model": prediction.model.name, "sha256": prediction.model.sha256},
            "version": __version__,
            "corpus": "",
            "annotation_tools": f"quadpred {__version__}",
            "annotation_rules": "valence, arousal: probability of positive, 0 to 1",
            "validation": "",
            "data_source": "program",
        },
        "data": list(_observations(prediction)),
        "sandbox": {
            "quadrant": prediction.winner,
            "confidence": round(prediction.confidence, DIGITS),
            "uncertain": prediction.uncertain,
        },
        "time": 0,
        "duration": duration,
    }
    content = {
        "annotations": [annotation],
        "file_metadata": {
            "title": PurePath(as_unicode(prediction.source)).name,
            "artist": "",
            "release": "",
            "duration": duration,
            "identifiers": {},
            "jams_version": _JAMS,
        },
        "sandbox": {},
    }
    text = json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    file.write(f"{text}\n".encode())


def _observations(prediction: Prediction) -> Iterator[dict[str, Any]]:
    for row, silent in enumerate(prediction.silent):
        if not silent:
            value = [float(head[row, 1]) for head in (prediction.valence, prediction.arousal)]
            yield {
                "time": float(row),
                "duration": round(_end(prediction, row) - row, DIGITS),
                "value": [round(number, DIGITS) for number in value],
                "confidence": round(float(prediction.quadrant[row].max()), DIGITS),
            }


def write_audacity(prediction: Prediction, file: BinaryIO) -> None:
    """Write a prediction as a label track of Audacity to an open file.

    There is one line per run of seconds with the same most probable quadrant: start, end (in
    seconds) and label, separated by tabs. The label is Q1 to Q4, followed by a question mark if the
    seconds are uncertain. Silent seconds have no label.
    """
    for label, run in groupby(range(len(prediction)), lambda row: _label(prediction, row)):
        if label:
            rows = list(run)
            line = f"{rows[0]:.6f}\t{_end(prediction, rows[-1]):.6f}\t{label}\n"
            file.write(line.encode())


def _label(prediction: Prediction, row: int) -> str:
    if prediction.silent[row]:
        return ""
    quadrant = QUADRANT.classes[int(prediction.quadrant[row].argmax())]
    return f"{quadrant}?" if prediction.uncertain_seconds[row] else quadrant


def _end(prediction: Prediction, row: int) -> float:
    """Return the end of a row in seconds; the last second may be incomplete."""
    return min(row + 1.0, prediction.duration)
