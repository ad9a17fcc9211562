"""Which files of a folder are recordings."""

import os
from collections.abc import Collection, Iterator
from pathlib import Path

__all__ = ["ENDINGS", "SYSTEM_FOLDERS", "recordings"]

_ENDINGS = """
3g2 3ga 3gp aa3 aac ac3 adts aif aifc aiff alac amr ape asf au awb bwf caf dsf dts dtshd eac3 flac
gsm loas m4a m4b m4r mka mlp mp1 mp2 mp3 mp4 mpa mpc mpga oga ogg oma opus qoa ra rf64 shn snd spx
tak thd tta voc vqf w64 wav wave weba webm wma wv
xwma
"""
ENDINGS = frozenset(_ENDINGS.split())
"""File name extensions of audio. In a folder, other files may be covers, booklets or films."""

SYSTEM_FOLDERS = {
    "#recycle",
    "$recycle.bin",
    "@eadir",
    "@recycle",
    "__macosx",
    "lost+found",
    "recycled",
    "recycler",
    "system volume information",
}
"""Folders in which systems keep thumbnails and what was deleted, in lower case."""


def recordings(folder: Path, endings: Collection[str] = ENDINGS) -> Iterator[Path]:
    """Yield the recordings below a folder, sorted.

    Hidden files and folders, such as the `._*` files of macOS, and system folders are left out.

    Args:
        folder: searched with its subfolders; links to other folders are not followed.
        endings: file name extensions, in lower case.
    """
    found = []
    for path, folders, names in os.walk(folder):
        folders[:] = [n for n in folders if n[0] != "." and n.lower() not in SYSTEM_FOLDERS]
        found += [Path(path, name) for name in names if name[0] != "."]
    for file in sorted(found):
        if file.suffix[1:].lower() in endings:
            yield file
