"""Where results are saved, and which results are refused before any work is done."""

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from quadpred.batch import BatchError
from quadpred.batch.discovery import Recording
from quadpred.files import check_target
from quadpred.formats import FORMATS

__all__ = ["check_file_targets", "check_library_targets", "file_targets", "library_target"]

_MAX_NAME = 255  # bytes of a file name
_TABLES = re.compile(r"(summary|errors|seconds)(-\d+-of-\d+)?")


def library_target(output: Path, name: str, suffix: str) -> Path:
    """Return where a library's recording is saved: `OUTPUT/NAME.SUFFIX`, with its full name.

    Recordings may share a stem. Where the name becomes too long, a checksum replaces its end.
    """
    path = output / f"{name}{suffix}"
    if len(os.fsencode(path.name)) <= _MAX_NAME:
        return path
    full = os.fsencode(Path(name).name)
    ending = f"~{hashlib.sha256(full).hexdigest()[:16]}{suffix}"
    start = full[: _MAX_NAME - len(ending)].decode("utf-8", "ignore")
    return path.with_name(start + ending)


def file_targets(
    paths: Sequence[str], output: str, formats: Iterable[str]
) -> dict[str, dict[str, Path]]:
    """Return where single files are saved: `OUTPUT/STEM.SUFFIX`, or beside OUTPUT if it is a .npy.

    Returns:
        The target of each format, for each path.

    Raises:
        BatchError: the output is neither, or is one .npy for several files.
    """
    target = Path(output)
    if output.endswith((os.sep, os.altsep or os.sep)) or target.is_dir() or not target.suffix:
        npy = {path: target / f"{Path(path).stem}.npy" for path in paths}
    elif target.suffix.lower() != ".npy":
        remedy = f"end the name of a new folder in {os.sep}"
        raise BatchError(f"-o {output}: must be a folder or a .npy file; {remedy}")
    elif len(paths) > 1:
        raise BatchError(f"-o {output}: one file cannot hold several recordings; name a folder")
    else:
        npy = {path: target for path in paths}
    return {
        path: {
            name: target if name == "npy" else target.parent / (target.stem + FORMATS[name].suffix)
            for name in formats
        }
        for path, target in npy.items()
    }


def check_file_targets(targets: Iterable[tuple[str, Path]], inputs: Iterable[str]) -> None:
    """Refuse files that would overwrite an input or each other, or that cannot be written.

    Args:
        targets: what writes a file, for messages, and the file.
        inputs: files that must not be changed.

    Raises:
        BatchError: a file would overwrite an input or another output.
        OSError: a file cannot be written.
    """
    read = {os.path.realpath(path) for path in inputs}
    writers: dict[str, str] = {}
    for writer, target in targets:
        real = os.path.realpath(target)
        if real in read:
            raise BatchError(f"{target}: is an input and would be overwritten; choose another -o")
        if real in writers:
            raise BatchError(f"{writer} and {writers[real]} would both write {target}")
        writers[real] = writer
        check_target(target)


def check_library_targets(
    recordings: Iterable[Recording], output: Path, formats: Sequence[str]
) -> None:
    """Refuse results under the names of tables and of recordings.

    Raises:
        BatchError: a result would overwrite a table or an input.
    """
    suffixes = tuple(FORMATS[name].suffix for name in formats)
    if not suffixes:
        return
    recordings = list(recordings)
    inputs = {each.path for each in recordings if each.path.endswith(suffixes)}
    for recording in recordings:
        if _TABLES.fullmatch(recording.name):
            reason = "its results would overwrite the tables summary, errors or seconds"
            raise BatchError(f"{recording.path}: {reason}; rename the file")
        if inputs:
            for suffix in suffixes:
                path = os.path.abspath(library_target(output, recording.name, suffix))
                if path in inputs:
                    raise BatchError(
                        f"{path}: is an input and would be overwritten; choose another -o"
                    )
