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
"""Number of the JSON's layout; it grows when a reader of an older one would be misled."""

_CONTROLS = re.compile(r"[\x7f-\x9f]")  # JSON itself escapes those below a blank


def to_json(prediction: Prediction) -> dict[str, Any]:
    """Return a prediction as plain values that JSON can hold.

    Times and the duration are in seconds. Under each head's name are its `classes` and `rows`, one
    list of probabilities a second, in the order of the classes. `uncertain` are the seconds not to
    rely on, the silent ones among them; `unsure` says it of the whole clip.
    """
    model = prediction.model
    return {
        "schema": SCHEMA,
        "quadpred": __version__,
        "source": as_unicode(prediction.source),
        "duration": round(prediction.duration, DIGITS),
        "model": {
            "name": as_unicode(model.name),
            "sha256": model.sha256,
            "speech": model.speech,
            "music": model.music,
            "case": model.case,
            "experimental": model.experimental,
            "min_margin_second": model.lead_second,
            "min_margin_clip": model.lead_clip,
        },
        "winner": prediction.winner,
        "confidence": round(prediction.confidence, DIGITS),
        "unsure": prediction.unsure,
        "means": {
            head: {name: round(mean, DIGITS) for name, mean in means.items()}
            for head, means in prediction.means().items()
        },
        "times": rounded(prediction.times),
        "silent": prediction.silent.tolist(),
        "uncertain": prediction.uncertain.tolist(),
        **{
            head.name: {
                "classes": list(head.classes),
                "rows": rounded(prediction.head(head)),
            }
            for head in HEADS
        },
    }


def json_line(prediction: Prediction) -> bytes:
    """Return a prediction as one line of UTF-8, with a line feed at its end.

    Control characters in names are escaped, for terminals obey them.

    Raises:
        ValueError: a number that is not finite, which JSON cannot hold.
    """
    text = json.dumps(
        to_json(prediction), allow_nan=False, ensure_ascii=False, separators=(",", ":")
    )
    text = _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return f"{text}\n".encode()


def write_json(prediction: Prediction, file: BinaryIO) -> None:
    """Write `json_line` to an open file."""
    file.write(json_line(prediction))
