"""A `Prediction` as JSON: one document per recording."""

import json
import re
from typing import Any, BinaryIO

from quadpred import __version__
from quadpred.files import as_unicode
from quadpred.formats.rows import DIGITS, rounded
from quadpred.labels import HEADS
from quadpred.prediction import Prediction

__all__ = ["SCHEMA", "json_line", "to_json", "write_json"]

SCHEMA = 1
"""Version of the layout; it increases when older readers would misread the document."""

_CONTROLS = re.compile(r"[\x7f-\x9f]")  # JSON itself escapes those below the space


def to_json(prediction: Prediction) -> dict[str, Any]:
    """Return a prediction as plain values; `Prediction.from_dict` is the inverse.

    `duration` and `times` are in seconds. `winner`, `confidence`, `uncertain` and `means` are of
    the whole recording; `silent` and `uncertain_seconds` have one value per second. Each head has
    its `classes` and `rows`: one list of probabilities per second, in the order of the classes.
    `damage` is null, or one line on what of the recording is damaged or missing.
    """
    model = prediction.model
    return {
        "schema": SCHEMA,
        "quadpred": __version__,
        "source": as_unicode(prediction.source),
        "duration": round(prediction.duration, DIGITS),
        "damage": prediction.damage,
        "model": {
            "name": as_unicode(model.name),
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
        "times": rounded(prediction.times),
        "silent": prediction.silent.tolist(),
        "uncertain_seconds": prediction.uncertain_seconds.tolist(),
        **{
            head.name: {"classes": list(head.classes), "rows": rounded(prediction.head(head))}
            for head in HEADS
        },
    }


def json_line(prediction: Prediction) -> bytes:
    """Return a prediction as one line of UTF-8 that ends in a line feed.

    Control characters in names are escaped, because terminals obey them.

    Raises:
        ValueError: a number is not finite, which JSON cannot hold.
    """
    text = json.dumps(
        to_json(prediction), allow_nan=False, ensure_ascii=False, separators=(",", ":")
    )
    text = _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return f"{text}\n".encode()


def write_json(prediction: Prediction, file: BinaryIO) -> None:
    """Write `json_line` to an open file."""
    file.write(json_line(prediction))
