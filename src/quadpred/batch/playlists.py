"""Paths in playlists and lists, in whatever encoding they were written."""

import codecs
import os
import re
from collections.abc import Callable, Iterator
from urllib.parse import unquote_to_bytes

from quadpred.audio import ADDRESS, is_address
from quadpred.batch import BatchError

__all__ = ["is_playlist", "list_entries", "playlist_entries", "refusal"]

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_DRIVE = re.compile(r"/?[A-Za-z]:[\\/]|\\\\")
_NOT_TEXT = "not a text file; save it as UTF-8"
_NESTED = "is a playlist in a playlist; give it to the command itself"
_GUESSED = "not UTF-8; read as Latin-1"


def is_playlist(path: str) -> bool:
    """Return whether a path is that of a playlist, by its ending."""
    return path.lower().endswith((".m3u", ".m3u8"))


def list_entries(listed: bytes, *, note: Callable[[str], None]) -> Iterator[str]:
    """Yield the paths of a list: one per line, or each ended by a zero byte.

    Lines may be `file:` addresses. Lines that begin with `#EXT` are skipped if no file has such a
    name. What a zero byte ends is a name as it stands.

    Args:
        listed: the list, UTF-8 or not.
        note: takes a line on the encoding, if it had to be guessed.

    Raises:
        BatchError: it is not such a list.
    """
    if listed.startswith(_UTF16):
        listed = _from_utf16(listed).encode("utf-8", "surrogatepass")
    separator = b"\0" if b"\0" in listed else b"\n"
    lines = listed.removeprefix(codecs.BOM_UTF8).split(separator)
    # Without its mark, UTF-16 looks like a list of single letters, of "." and of "/".
    if separator == b"\0":
        lines = [line.removesuffix(b"\r") for line in lines]
        if 2 * sum(len(line) <= 1 for line in lines) > len(lines) + 1:
            raise BatchError(_NOT_TEXT)
        yield from (os.fsdecode(line) for line in lines if line)
        return
    guessed = False
    for line in lines:
        entry, latin = _decoded(line.removesuffix(b"\r"), "")
        if entry and not (entry.startswith("#EXT") and not os.path.exists(entry)):
            guessed = guessed or latin
            yield _resolved(entry, "")
    if guessed:
        note(f"-: {_GUESSED}")


def playlist_entries(
    path: str, *, refuse: Callable[[str, str], None], note: Callable[[str], None]
) -> Iterator[str]:
    """Yield the paths of a playlist in m3u or m3u8; those that are relative begin at its folder.

    Args:
        path: the playlist.
        refuse: takes an entry that is missing or cannot be a recording, and the reason.
        note: takes a line on the encoding, if it had to be guessed.

    Raises:
        BatchError: it is not a playlist of files.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        content = file.read()
    if content.startswith(_UTF16):
        lines: list[str | bytes] = [*_from_utf16(content).splitlines()]
    elif b"\0" in content:
        raise BatchError(_NOT_TEXT)
    else:
        lines = [*content.removeprefix(codecs.BOM_UTF8).splitlines()]
    folder = os.path.dirname(path)
    guessed = False
    for number, line in enumerate(lines, 1):
        entry, latin = _decoded(line.strip(), folder)
        guessed = guessed or latin
        if not entry or entry.startswith("#"):
            if entry.startswith("#EXT-X-"):
                raise BatchError("a stream of parts (HLS), not a list of recordings")
            continue
        found = _resolved(entry, folder)
        reason = refusal(found) or (_NESTED if is_playlist(found) else None)
        if not (reason or os.path.exists(found)):
            reason = f"no such file; {path} lists it in line {number}"
        if reason:
            refuse(found, reason)
        else:
            yield found
    if guessed:
        note(f"{path}: {_GUESSED}")


def _from_utf16(content: bytes) -> str:
    try:
        return content.decode("utf-16")
    except UnicodeDecodeError:
        raise BatchError(_NOT_TEXT) from None


def _decoded(line: str | bytes, folder: str) -> tuple[str, bool]:
    """Return the text of a line, and whether it had to be taken for Latin-1.

    Bytes that are the name of a file as they stand are that name.
    """
    if isinstance(line, str):
        return line, False
    try:
        return line.decode(), False
    except UnicodeDecodeError:
        text = os.fsdecode(line)
        if text.startswith("#") or os.path.exists(_resolved(text, folder)):
            return text, False
        return line.decode("latin-1"), True


def _resolved(entry: str, folder: str) -> str:
    """Return the path of an entry: of a `file:` address, escaped or not, with either slash."""
    if entry[:5].lower() == "file:":
        rest = entry[5:]
        if rest.startswith("//"):
            rest = "/" + rest[2:].partition("/")[2]  # without the host
        unescaped = os.fsdecode(unquote_to_bytes(os.fsencode(rest)))
        return rest if "%" in rest and os.path.exists(rest) else unescaped
    path = os.path.join(folder, entry)
    if refusal(entry) and not os.path.exists(path):
        return entry
    if os.sep == "/" and "\\" in entry and not os.path.exists(path):
        other = os.path.join(folder, entry.replace("\\", "/"))
        return other if os.path.exists(other) else path
    return path


def refusal(path: str) -> str | None:
    """Return why a path cannot be that of a recording or of a folder of them, if so."""
    if is_address(path):
        return ADDRESS
    if os.sep == "/" and _DRIVE.match(path) and not os.path.exists(path):
        return "is a Windows path; write the path on this machine"
    return None
