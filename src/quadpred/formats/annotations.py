"""A `Prediction` for annotation tools and players: JAMS, Audacity, Praat, ELAN, and others."""

import math
import mimetypes
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path, PurePath
from typing import Any, BinaryIO
from xml.etree import ElementTree

import numpy as np

from quadpred import __version__
from quadpred.files import escape_name
from quadpred.formats.documents import dump
from quadpred.formats.rows import DIGITS
from quadpred.labels import AROUSAL, QUADRANT, VALENCE
from quadpred.prediction import Prediction

__all__ = [
    "write_audacity",
    "write_elan",
    "write_jams",
    "write_moodbar",
    "write_sonic_visualiser",
    "write_textgrid",
]

_JAMS = "0.3.4"  # version of the schema
_EAF_DATE = "1970-01-01T00:00:00+00:00"  # ELAN needs one; the same input gives the same file
_MOODBAR = 1000  # colours of a `.mood` file


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
        "data": [],  # follows in pieces
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
            "title": PurePath(escape_name(prediction.source)).name,
            "artist": "",
            "release": "",
            "duration": duration,
            "identifiers": {},
            "jams_version": _JAMS,
        },
        "sandbox": {},
    }
    data = '"data":['
    before, _, after = dump(content).partition(data)
    file.write(f"{before}{data}".encode())
    for number, observation in enumerate(_observations(prediction)):
        file.write(f"{',' if number else ''}{dump(observation)}".encode())
    file.write(f"{after}\n".encode())


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
    for start, end, label in _runs(prediction):
        if label:
            file.write(f"{start:.6f}\t{end:.6f}\t{label}\n".encode())


def write_textgrid(prediction: Prediction, file: BinaryIO) -> None:
    """Write a prediction as a TextGrid of Praat to an open file.

    The interval tier `quadrant` has the labels of `write_audacity`, empty where it is silent. The
    tiers `arousal` and `valence` have one interval per second with the probability of "positive".
    """
    duration = prediction.duration
    tiers = {"quadrant": list(_runs(prediction))}
    for head in (AROUSAL, VALENCE):
        values = prediction.head(head)[:, 1]
        tiers[head.name] = [
            (float(row), _end(prediction, row), "" if prediction.silent[row] else f"{value:.3f}")
            for row, value in enumerate(values)
        ]
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    lines += ["xmin = 0", f"xmax = {duration:.6f}", "tiers? <exists>", f"size = {len(tiers)}"]
    lines.append("item []:")
    for number, (name, intervals) in enumerate(tiers.items(), 1):
        # Praat wants tiers without gaps: the last interval ends with the recording.
        intervals[-1] = (intervals[-1][0], duration, intervals[-1][2])
        lines += [f"    item [{number}]:", '        class = "IntervalTier"']
        lines += [f'        name = "{name}"', "        xmin = 0", f"        xmax = {duration:.6f}"]
        lines.append(f"        intervals: size = {len(intervals)}")
        for index, (start, end, label) in enumerate(intervals, 1):
            lines += [f"        intervals [{index}]:", f"            xmin = {start:.6f}"]
            lines += [f"            xmax = {end:.6f}", f'            text = "{label}"']
    file.write("\n".join([*lines, ""]).encode())


def write_elan(prediction: Prediction, file: BinaryIO) -> None:
    """Write a prediction as an annotation file of ELAN (EAF 3.0) to an open file.

    The tier `quadrant` has one annotation per run of seconds, with the labels of `write_audacity`.
    Times are in milliseconds.
    """
    root = ElementTree.Element(
        "ANNOTATION_DOCUMENT", AUTHOR="", DATE=_EAF_DATE, FORMAT="3.0", VERSION="3.0"
    )
    header = ElementTree.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    if prediction.source:
        source = Path(prediction.source).absolute()
        kind = mimetypes.guess_type(source.name)[0] or "audio/*"
        ElementTree.SubElement(
            header, "MEDIA_DESCRIPTOR", MEDIA_URL=source.as_uri(), MIME_TYPE=kind
        )
    order = ElementTree.SubElement(root, "TIME_ORDER")
    tier = ElementTree.SubElement(
        root, "TIER", LINGUISTIC_TYPE_REF="default-lt", TIER_ID=QUADRANT.name
    )
    labelled = [run for run in _runs(prediction) if run[2]]
    for number, (start, end, label) in enumerate(labelled, 1):
        slots = {"TIME_SLOT_REF1": f"ts{2 * number - 1}", "TIME_SLOT_REF2": f"ts{2 * number}"}
        for slot, time in zip(slots.values(), (start, end), strict=True):
            ElementTree.SubElement(
                order, "TIME_SLOT", TIME_SLOT_ID=slot, TIME_VALUE=str(round(time * 1000))
            )
        holder = ElementTree.SubElement(tier, "ANNOTATION")
        annotation = ElementTree.SubElement(
            holder, "ALIGNABLE_ANNOTATION", {"ANNOTATION_ID": f"a{number}", **slots}
        )
        ElementTree.SubElement(annotation, "ANNOTATION_VALUE").text = label
    ElementTree.SubElement(
        root,
        "LINGUISTIC_TYPE",
        GRAPHIC_REFERENCES="false",
        LINGUISTIC_TYPE_ID="default-lt",
        TIME_ALIGNABLE="true",
    )
    _write_xml(root, file)


def write_sonic_visualiser(prediction: Prediction, file: BinaryIO) -> None:
    """Write a prediction as a layer of Sonic Visualiser to an open file.

    It is a layer of regions: one per run of seconds with the labels of `write_audacity`, as high as
    the mean probability of positive arousal. Times are in frames of 1 ms.
    """
    runs = [run for run in _runs(prediction) if run[2]]
    root = ElementTree.Element("sv")
    data = ElementTree.SubElement(root, "data")
    model = {"id": "1", "name": "quadpred", "sampleRate": "1000", "type": "sparse"}
    model |= {"start": "0", "end": str(round(prediction.duration * 1000)), "dimensions": "3"}
    model |= {"resolution": "1", "notifyOnAdd": "true", "dataset": "2", "subtype": "region"}
    model |= {"valueQuantization": "0", "minimum": "0", "maximum": "1", "units": ""}
    ElementTree.SubElement(data, "model", model)
    dataset = ElementTree.SubElement(data, "dataset", id="2", dimensions="3")
    for start, end, label in runs:
        rows = slice(int(start), max(int(start) + 1, math.ceil(end)))
        point = {"frame": str(round(start * 1000)), "duration": str(round((end - start) * 1000))}
        point |= {"value": f"{prediction.arousal[rows, 1].mean():.3f}", "label": label}
        ElementTree.SubElement(dataset, "point", point)
    display = ElementTree.SubElement(root, "display")
    layer = {"id": "3", "type": "regions", "name": "quadpred", "model": "1"}
    ElementTree.SubElement(display, "layer", {**layer, "verticalScale": "0", "plotStyle": "0"})
    _write_xml(root, file, doctype="sonic-visualiser")


def write_moodbar(prediction: Prediction, file: BinaryIO) -> None:
    """Write a prediction as a `.mood` file, which Strawberry, Clementine and Amarok show.

    It has 1000 colours of 3 bytes, red, green and blue, evenly over the recording: the colours of
    the quadrants, mixed by their probabilities. Silent seconds are black.
    """
    colours = np.array([list(bytes.fromhex(colour[1:])) for colour in QUADRANT.colours])
    mixed = prediction.quadrant @ colours * ~prediction.silent[:, None]
    rows = np.arange(_MOODBAR) * len(prediction) // _MOODBAR
    file.write(mixed[rows].round().astype(np.uint8).tobytes())


def _write_xml(root: ElementTree.Element, file: BinaryIO, doctype: str = "") -> None:
    ElementTree.indent(root)
    lines = ['<?xml version="1.0" encoding="UTF-8"?>']
    if doctype:
        lines.append(f"<!DOCTYPE {doctype}>")
    file.write("\n".join([*lines, ElementTree.tostring(root, "unicode"), ""]).encode())


def _runs(prediction: Prediction) -> Iterator[tuple[float, float, str]]:
    """Yield start and end in seconds, and label, of runs of seconds with the same label."""
    for label, run in groupby(range(len(prediction)), lambda row: _label(prediction, row)):
        rows = list(run)
        yield float(rows[0]), _end(prediction, rows[-1]), label


def _label(prediction: Prediction, row: int) -> str:
    if prediction.silent[row]:
        return ""
    quadrant = QUADRANT.classes[int(prediction.quadrant[row].argmax())]
    return f"{quadrant}?" if prediction.uncertain_seconds[row] else quadrant


def _end(prediction: Prediction, row: int) -> float:
    """Return the end of a row in seconds; the last second may be incomplete."""
    return min(row + 1.0, prediction.duration)
