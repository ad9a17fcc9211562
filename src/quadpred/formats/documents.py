"""A `Prediction` as JSON: one document per recording."""

import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from numpy.typing import NDArray

from quadpred import __version__
from quadpred.files import escape_name
from quadpred.formats.rows import DIGITS, blocks, rounded
from quadpred.labels import HEADS
from quadpred.prediction import SCHEMA, Prediction

__all__ = ["dump", "json_line", "to_json", "write_json"]

_CONTROLS = re.compile(r"[\x7f-\x9f]")  # JSON itself escapes those below the space


def to_json(prediction: Prediction) -> dict[str, Any]:
    """Return a prediction as plain values; `Prediction.from_dict` is the inverse.

    `duration` and `times` are in seconds. `winner`, `confidence`, `uncertain` and `means` are of
    the whole recording; `silent` and `uncertain_seconds` have one value per second. Each head has
    its `classes` and `rows`: one list of probabilities per second, in the order of the classes.
    `damage` is null, or one line on what of the recording is damaged or missing.
    """
    return {
        **_whole(prediction),
        **{name: rounded(array) for name, array in _per_second(prediction).items()},
        **{
            head.name: {"classes": list(head.classes), "rows": rounded(prediction.head(head))}
            for head in HEADS
        },
    }


def _whole(prediction: Prediction) -> dict[str, Any]:
    """Return what a document has once."""
    model = prediction.model
    return {
        "schema": SCHEMA,
        "quadpred": __version__,
        "source": escape_name(prediction.source),
        "duration": round(prediction.duration, DIGITS),
        "damage": prediction.damage,
        "model": {
            "name": model.name,
            "sha256": model.sha256,
            "speech": model.speech,
            "music": model.music,
            "transfer_setting": model.transfer_setting,
            "caveat": model.caveat,
            "min_margin_second": model.min_margin_second,
            "min_margin_clip": model.min_margin_clip,
        },
        "winner": prediction.winner,
        "confidence": round(prediction.confidence, DIGITS),
        "uncertain": prediction.uncertain,
        "means": {
            head: {name: round(mean, DIGITS) for name, mean in means.items()}
            for head, means in prediction.means().items()
        },
    }


def _per_second(prediction: Prediction) -> dict[str, NDArray[Any]]:
    return {
        "times": prediction.times,
        "silent": prediction.silent,
        "uncertain_seconds": prediction.uncertain_seconds,
    }


def json_line(prediction: Prediction) -> bytes:
    """Return a prediction as one line of UTF-8 that ends in a line feed.

    Control characters in names are escaped, because terminals obey them.

    Raises:
        ValueError: a number is not finite, which JSON cannot hold.
    """
    return "".join(_chunks(prediction)).encode()


def write_json(prediction: Prediction, file: BinaryIO) -> None:
    """Write `json_line` to an open file, in pieces: a whole day would take 60 MB of memory."""
    for chunk in _chunks(prediction):
        file.write(chunk.encode())


def _chunks(prediction: Prediction) -> Iterator[str]:
    yield dump(_whole(prediction))[:-1]
    for name, array in _per_second(prediction).items():
        yield f',"{name}":'
        yield from _list(array)
    for head in HEADS:
        yield f',"{head.name}":{{"classes":{dump(head.classes)},"rows":'
        yield from _list(prediction.head(head))
        yield "}"
    yield "}\n"


def _list(array: NDArray[Any]) -> Iterator[str]:
    yield "["
    for number, block in enumerate(blocks(array)):
        yield ("," if number else "") + dump(rounded(block))[1:-1]
    yield "]"


def dump(value: Any) -> str:
    """Return a value as compact JSON without control characters.

    Raises:
        ValueError: a number is not finite, which JSON cannot hold.
    """
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
