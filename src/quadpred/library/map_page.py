"""A library in the plane of arousal and valence, as one HTML page that needs no network."""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from string import Template

from quadpred.files import escape_name
from quadpred.labels import QUADRANT, signs_of
from quadpred.library.moods import Vocabulary
from quadpred.library.summary import SummaryRow

__all__ = ["map_page"]

_DIGITS = 4  # after the point: finer than a pixel
_INLINE = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def map_page(songs: Sequence[SummaryRow], vocabulary: Vocabulary) -> str:
    """Return the page: one point per song; hover shows its name, a click plays the file.

    Its content security policy allows its own script and style and local audio files only. Names
    are shown as text.
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
        "names": [escape_name(song.path) for song in songs],
        "files": [Path(song.file).as_uri() for song in songs],
        "quadrants": [QUADRANT.classes.index(song.quadrant) for song in songs],
        "arousal": [round(song.arousal, _DIGITS) for song in songs],
        "valence": [round(song.valence, _DIGITS) for song in songs],
        "uncertain": [song.uncertain for song in songs],
        "words": [vocabulary.word(quadrant) for quadrant in QUADRANT.classes],
        "corners": [signs_of(quadrant) for quadrant in QUADRANT.classes],
        "colours": QUADRANT.colours,
    }
    text = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    # In a JSON string, an escape equals its character; so no name can end the script element.
    return Template(template).substitute(policy=policy, data=text.translate(_ESCAPES))
