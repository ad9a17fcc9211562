"""Tag every file of a folder and undo it, with each option; every byte must come back.

    python tools/check_tags.py FOLDER

Copies the folder, and for each set of options runs `quadpred tag --summary` and then
`quadpred tag --undo` on the copy. No model is needed: the moods are made up. A file that was tagged
must have its mood and all other tags, as mutagen reads them. After the undo its checksum must be
that of the original. Without `--touch` its time of modification must stay. Prints a line per fault;
the exit code is 1 if there is any.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import mutagen

from quadpred.batch.discovery import WHOLE
from quadpred.batch.tables import write_summary
from quadpred.files import escape_name, sha256_of
from quadpred.library.fingerprint import audio_sha256

WORDS = 'Q1 = "fröhlich; heiter"\nQ2 = "agitated"\nQ3 = "sad"\nQ4 = "静か"\n'
OPTIONS: tuple[tuple[str, ...], ...] = (
    (),
    ("--words", "WORDS"),
    ("--numbers", "energy-valence"),
    ("--numbers", "both", "--scale", "10"),
    ("--comment",),
    ("--percentiles",),
    ("--touch",),
    ("--replace",),
    ("--replace", "--words", "WORDS", "--numbers", "both", "--comment", "--percentiles", "--touch"),
)
MOODS = (("Q1", 0.8, 0.9), ("Q2", 0.7, 0.2), ("Q3", 0.1, 0.3), ("Q4", 0.2, 0.6))
OWN = ("mood", "comm", "desc", "©cmt", "energy", "valence", "quadpred", "tmoo")  # in keys
TRACEBACK = "Traceback"


def write_moods(folder: Path, summary: Path) -> list[Path]:
    """Write a summary with a mood for every file; return the files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    rows = []
    for number, path in enumerate(files):
        quadrant, arousal, valence = MOODS[number % len(MOODS)]
        shares = {f"Q{n}": float(quadrant == f"Q{n}") for n in range(1, 5)}
        rows.append(
            {
                "path": escape_name(str(path.relative_to(folder))),
                "duration": 1.0,
                "quadrant": quadrant,
                **shares,
                "arousal": arousal,
                "valence": valence,
                "confidence": 0.9,
                "uncertain": False,
                "damage": "",
                "model": "none",
                "version": "0",
                "sha256": audio_sha256(path),
                "file": escape_name(str(path)),
            }
        )
    summary.mkdir()
    write_summary(rows, summary, WHOLE, scratch=summary)
    return files


def others(path: Path) -> dict[str, str]:
    """Return the tags of others that mutagen reads; none if it cannot read the file."""
    try:
        tags = getattr(mutagen.File(path), "tags", None)
        pairs = tags.items() if tags is not None else ()
        return {
            str(key): str(value)
            for key, value in pairs
            if not any(own in str(key).lower() for own in OWN)
        }
    except Exception:  # mutagen raises many kinds
        return {}


def quadpred(*arguments: str) -> tuple[str, str]:
    """Run a command; return its standard output and error."""
    done = subprocess.run(
        [sys.executable, "-m", "quadpred", *arguments],
        capture_output=True, text=True, errors="surrogateescape", check=False,
    )  # fmt: skip
    return done.stdout, done.stderr


class Folder:
    """A copy of a folder, the state of each file in it, and a summary of them."""

    def __init__(self, source: Path, work: Path):
        self._source, self._folder, self._words = source, work / "files", work / "words.toml"
        shutil.copytree(source, self._folder)
        self._words.write_text(WORDS)
        self._files = write_moods(self._folder, work / "tables")
        self._summary = str(work / "tables" / "summary.csv")
        self._before = {
            path: (sha256_of(path), path.stat().st_mtime_ns, others(path)) for path in self._files
        }

    def check(self, options: tuple[str, ...]) -> Iterator[str]:
        """Tag the files, undo it, and yield a line per fault."""
        arguments = [str(self._words) if option == "WORDS" else option for option in options]
        tagged, errors = quadpred("tag", "--summary", self._summary, *arguments)
        print(" ".join(options) or "(default)", "-", tagged.splitlines()[-1:], flush=True)
        if TRACEBACK in errors:
            yield f"traceback: {errors.splitlines()[-1]}"
        changed = [path for path in self._files if sha256_of(path) != self._before[path][0]]
        for path in changed:
            _, time, tags = self._before[path]
            now = others(path)
            if lost := {key: value for key, value in tags.items() if now.get(key) != value}:
                yield f"{path.name}: tag changed {lost}"
            if ("--touch" in options) == (path.stat().st_mtime_ns == time):
                yield f"{path.name}: wrong time of modification"
        _, errors = quadpred("tag", "--undo", "--summary", self._summary)
        if TRACEBACK in errors:
            yield f"traceback: {errors.splitlines()[-1]}"
        for path in self._files:
            if sha256_of(path) != self._before[path][0]:
                yield f"{path.name}: undo did not restore it"
                shutil.copy2(self._source / path.relative_to(self._folder), path)
            os.utime(path, ns=(self._before[path][1],) * 2)
        if not changed:
            yield "no file was tagged"


def main() -> None:
    """Check a folder with all sets of options."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    source, faults = parser.parse_args().folder, 0
    with tempfile.TemporaryDirectory() as work:
        folder = Folder(source, Path(work))
        for options in OPTIONS:
            for fault in folder.check(options):
                faults += 1
                print("  FAULT", fault, flush=True)
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
