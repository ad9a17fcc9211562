"""A `Prediction` for tools that show annotations: JAMS and Audacity's label tracks."""

import json
import os
from collections.abc import Iterator
from itertools import groupby
from pathlib import PurePath
from typing import Any, BinaryIO

from quadpred import __version__
from quadpred.labels import QUADRANT
from quadpred.prediction import Prediction

__all__ = ["write_audacity", "write_jams"]

_JAMS = "0.3.4"  # version of the schema
_DIGITS = 6  # after the point


def write_jams(prediction: Prediction, file: BinaryIO) -> None:
    """Write a prediction as JAMS (E. J. Humphrey et al., ISMIR 2014), to an open file.

    One annotation of the namespace `mood_thayer`: an observation a second, whose value is
    [valence, arousal] in that order, each the probability of "positive" from 0 to 1, and whose
    confidence is that of the second's most probable quadrant. Silent seconds have no observation.
    What is said of the clip as a whole is in the sandbox.

    Raises:
        ValueError: a number that is not finite, which JSON cannot hold.
    """
    name = os.fsencode(prediction.source).decode("utf-8", "backslashreplace")
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
            "confidence": round(prediction.confidence, _DIGITS),
            "uncertain": prediction.unsure,
        },
        "time": 0,
        "duration": round(prediction.duration, _DIGITS),
    }
    content = {
        "annotations": [annotation],
        "file_metadata": {
            "title": PurePath(name).name,
            "artist": "",
            "release": "",
            "duration": round(prediction.duration, _DIGITS),
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
                "duration": round(_end(prediction, row) - row, _DIGITS),
                "value": [round(number, _DIGITS) for number in value],
                "confidence": round(float(prediction.quadrant[row].max()), _DIGITS),
            }


def write_audacity(prediction: Prediction, file: BinaryIO) -> None:
    """Write a prediction as a label track of Audacity, to an open file.

    A line a run of seconds with one most probable quadrant: start and end in seconds and the label,
    with tabs between. The label is Q1 to Q4, with a question mark where the seconds are uncertain.
    Silent seconds have none.
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
    return f"{quadrant}?" if prediction.uncertain[row] else quadrant


def _end(prediction: Prediction, row: int) -> float:
    """End of a row in seconds; the last second of a clip need not be a whole one."""
    return min(row + 1.0, prediction.duration)
