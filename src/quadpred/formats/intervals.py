"""Read intervals of time from CSV, SRT and WebVTT subtitles, and TextGrids of Praat."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from quadpred.files import csv_rows
from quadpred.library.moments import Interval, IntervalError
from quadpred.library.summary import unescape_cell

__all__ = ["read_intervals"]

_ARROW = re.compile(r"\s*(\S+)\s+-->\s+(\S+)")
# A string, a number, or the index of an item, such as [1].
_TOKEN = re.compile(r'"((?:[^"]|"")*)"|(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)|\[\d*\]')


def read_intervals(path: Path) -> list[Interval]:
    """Read the intervals of a file; its suffix decides the format.

    - `.csv`: columns `start` and `end`, and `label` if there is one, separated by commas,
      semicolons or tabs. Times are seconds, or `[hours:]minutes:seconds`. Labels may be escaped as
      `quadpred moments` writes them.
    - `.srt` and `.vtt`: one interval per subtitle, with its text as label.
    - `.TextGrid`: the labelled intervals of the first interval tier.

    Raises:
        IntervalError: another suffix, or a file that is not of its format or has no interval.
        OSError: the file cannot be read.
    """
    readers = {".csv": _csv, ".srt": _subtitles, ".vtt": _subtitles, ".textgrid": _textgrid}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise IntervalError(f"{path}: intervals must be a .csv, .srt, .vtt or .TextGrid file")
    content = path.read_bytes()
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))  # as Praat writes
    try:
        intervals = list(reader(content.decode("utf-16" if wide else "utf-8-sig")))
    except (AttributeError, ValueError, IndexError, KeyError, csv.Error):
        raise IntervalError(
            f"{path}: not a valid {path.suffix} file of intervals; see docs/library.md"
        ) from None
    if not intervals:
        raise IntervalError(f"{path}: has no intervals")
    return intervals


def _csv(text: str) -> Iterator[Interval]:
    for row in csv_rows(io.StringIO(text, newline="")):
        label = unescape_cell(row.get("label") or "")
        yield Interval(_seconds(row["start"]), _seconds(row["end"]), label)


def _subtitles(text: str) -> Iterator[Interval]:
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        lines = block.strip().splitlines()
        for number, line in enumerate(lines):
            if match := _ARROW.match(line):
                label = " ".join(lines[number + 1 :])
                yield Interval(_seconds(match[1]), _seconds(match[2]), label)
                break


def _textgrid(text: str) -> Iterator[Interval]:
    """Read the long and the short form, which have the same strings and numbers in one order."""
    tokens = [
        match[2] if match[2] is not None else match[1].replace('""', '"')
        for match in _TOKEN.finditer(text)
        if match[1] is not None or match[2] is not None
    ]
    if tokens[1] != "TextGrid":
        raise ValueError(tokens[1])
    at = 5  # behind the header: type, class, start, end, number of tiers
    for _ in range(int(tokens[4])):
        intervals, count = tokens[at] == "IntervalTier", int(tokens[at + 4])
        at += 5
        if intervals:
            for start, end, label in zip(
                *(tokens[at + k : at + 3 * count : 3] for k in range(3)), strict=True
            ):
                if label.strip():
                    yield Interval(float(start), float(end), label)
            return
        at += 2 * count  # a tier of points


def _seconds(text: str) -> float:
    """Read seconds, or a time with colons; subtitles may have a comma before the fraction.

    >>> _seconds("01:02:03,5")
    3723.5
    """
    seconds = 0.0
    for part in text.strip().replace(",", ".").split(":"):
        seconds = seconds * 60 + float(part)
    if not 0 <= seconds < float("inf"):
        raise ValueError(text)
    return seconds
