"""Playlists as files: m3u8, JSON, and smart playlists of Navidrome (nsp)."""

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from quadpred.errors import QuadpredError
from quadpred.files import escape_name, unescape_name
from quadpred.library.rawtags.items import MOOD
from quadpred.library.scenes import Region
from quadpred.library.summary import SummaryRow
from quadpred.library.tag_fields import AROUSAL, VALENCE

__all__ = ["PlaylistError", "fits_m3u8", "read_options", "to_json", "to_m3u8", "to_nsp"]

_OPTIONS = "#QUADPRED:"
# Names that players or shells would read as a comment, an option, a home folder or an address.
_UNSAFE = re.compile(r"[\s#~\-]|[^/]*:")


class PlaylistError(QuadpredError):
    """A playlist that cannot be written in this format, or not be refreshed."""


def fits_m3u8(song: SummaryRow, folder: Path | None) -> bool:
    """Return whether an m3u8 can hold the name of a song: without line breaks, and UTF-8."""
    path = _name_in_playlist(Path(song.file), folder)
    return len(path.splitlines()) == 1 and _is_unicode(path)


def to_m3u8(songs: Iterable[SummaryRow], folder: Path | None, options: Mapping[str, Any]) -> str:
    """Return a playlist as m3u8.

    Args:
        songs: in the order of play, all of which `fits_m3u8`.
        folder: folder of the playlist. Songs below it are named relative to it, so that both can be
            moved together. Other songs, and all without a folder, have absolute paths.
        options: what `read_options` returns; players ignore the line.
    """
    lines = ["#EXTM3U", f"{_OPTIONS}{json.dumps(_escaped(options))}"]
    for song in songs:
        title = Path(song.file).stem.strip()
        lines += [
            f"#EXTINF:{round(song.duration)},{title}",
            _name_in_playlist(Path(song.file), folder),
        ]
    return "\n".join(lines) + "\n"


def to_json(songs: Iterable[SummaryRow], options: Mapping[str, Any]) -> str:
    """Return a playlist as JSON: its options, and its songs with their places on the plane."""
    names = ("duration", "quadrant", "arousal", "valence", "confidence", "uncertain")
    entries = [
        {"file": escape_name(song.file), **{name: getattr(song, name) for name in names}}
        for song in songs
    ]
    document = {"quadpred": _escaped(options), "songs": entries}
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def to_nsp(name: str, choice: str | Region) -> str:
    """Return a smart playlist of Navidrome, which chooses among tagged songs itself.

    It reads the tags that `quadpred tag` writes. Regions need `QUADPRED_AROUSAL` and
    `QUADPRED_VALENCE` as tags of the type float: docs/players.md has the configuration.

    Args:
        name: of the playlist.
        choice: a mood word, or a region.
    """
    rules: list[dict[str, Any]]
    order = {"sort": "random"}
    if isinstance(choice, Region):
        rules = [
            {"inTheRange": {field.lower(): list(bounds)}}
            for field, bounds in ((AROUSAL, choice.arousal), (VALENCE, choice.valence))
        ]
        if choice.order != "steady":
            direction = "asc" if choice.order == "rising" else "desc"
            order = {"sort": AROUSAL.lower(), "order": direction}
    else:
        rules = [{"is": {MOOD.lower(): choice}}]
    document = {"name": name, "comment": "Made by quadpred", "all": rules, **order}
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def read_options(path: Path) -> dict[str, Any]:
    """Return the options that a playlist was made with.

    Raises:
        PlaylistError: quadpred did not make it.
        OSError: it cannot be read.
    """
    text = path.read_bytes().decode("utf-8", "replace")
    try:
        if path.suffix.lower() == ".json":
            options = json.loads(text)["quadpred"]
        else:
            line = next(line for line in text.splitlines() if line.startswith(_OPTIONS))
            options = json.loads(line.removeprefix(_OPTIONS))
        return _with_names(options, unescape_name)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, StopIteration):
        reason = "quadpred did not make this playlist; make a new one"
        raise PlaylistError(f"{path}: {reason}") from None


def _escaped(options: Mapping[str, Any]) -> dict[str, Any]:
    return _with_names(options, escape_name)


def _with_names(options: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """Change all texts; the paths among them may be other than UTF-8."""
    return {
        name: change(value) if isinstance(value, str) else value for name, value in options.items()
    }


def _name_in_playlist(file: Path, folder: Path | None) -> str:
    if folder is not None:
        for root in (Path(os.path.abspath(folder)), Path(os.path.realpath(folder))):
            if file.is_relative_to(root):
                relative = str(file.relative_to(root))
                return f"./{relative}" if _UNSAFE.match(relative) else relative
    return str(file)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
