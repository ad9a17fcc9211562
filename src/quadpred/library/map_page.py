"""A library in the plane of arousal and valence, as one page that needs no network."""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from string import Template

from quadpred.labels import QUADRANT, signs_of
from quadpred.library.moods import Vocabulary
from quadpred.library.summary import Clip

__all__ = ["map_page"]

_DIGITS = 4  # after the point: a tenth of a pixel
_INLINE = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def map_page(clips: Sequence[Clip], vocabulary: Vocabulary) -> str:
    """Return the page: a point a clip; hover shows its name, a click plays the file.

    It runs its own script and style and reads local files, and its policy forbids everything else:
    names are shown as text, whatever is in them.
    """
    template = files("quadpred.library").joinpath("map.html").read_text("utf-8")
    hashes = {"style": "", "script": ""}
    for kind, content in _INLINE.findall(template):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        hashes[kind] += f" 'sha256-{digest}'"
    policy = "; ".join(
        ["default-src 'none'", *(f"{k}-src{v}" for k, v in hashes.items()), "media-src file:"]
    )
    data = {
        "names": [_text(clip.path) for clip in clips],
        "files": [Path(clip.file).as_uri() for clip in clips],
        "quadrants": [QUADRANT.classes.index(clip.quadrant) for clip in clips],
        "arousal": [round(clip.arousal, _DIGITS) for clip in clips],
        "valence": [round(clip.valence, _DIGITS) for clip in clips],
        "uncertain": [clip.uncertain for clip in clips],
        "words": [vocabulary.word(quadrant) for quadrant in QUADRANT.classes],
        "corners": [signs_of(quadrant) for quadrant in QUADRANT.classes],
        "colours": QUADRANT.colours,
    }
    text = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    # In a JSON string an escape is the character it stands for, so that nothing can end the script.
    return Template(template).substitute(policy=policy, data=text.translate(_ESCAPES))


def _text(name: str) -> str:
    """Escape the bytes of a file name that are not UTF-8, which a page cannot hold."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
