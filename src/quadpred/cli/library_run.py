"""Library runs from the command line, as `predict` and `tag` start them."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quadpred.cli.console import UsageError, counted, make_console, print_message

if TYPE_CHECKING:
    from quadpred.batch.discovery import DiscoveryResult, Shard
    from quadpred.batch.run import Report, RunProgress
    from quadpred.predictor import Predictor

__all__ = ["LibraryOptions", "find_recordings", "run_library"]


@dataclass(frozen=True)
class LibraryOptions:
    """Options for folders, playlists and lists; `None` is an option's default."""

    formats: str | None = None
    seconds: bool = False
    bom: bool = False
    jobs: int | None = None
    shard: str | None = None
    engine: str | None = None

    def parse_shard(self) -> "Shard":
        """Return the share of this machine.

        Raises:
            BatchError: it is not of the form I/N.
        """
        from quadpred.batch.discovery import Shard

        return Shard.parse(self.shard or "1/1")

    def parse_formats(self) -> tuple[str, ...]:
        """Return the names of the formats.

        Raises:
            FormatError: there is no such format.
        """
        from quadpred.formats import parse_formats

        return parse_formats(self.formats or "")


def find_recordings(
    paths: Sequence[str], options: LibraryOptions = LibraryOptions()
) -> "DiscoveryResult":
    """List the recordings of files, folders, playlists and standard input.

    Raises:
        UsageError: there are none, and the run is not one of several shards; or standard input is
            closed. Of several reasons, all but the last are printed.
        BatchError: two recordings would share a name.
    """
    from quadpred.batch.discovery import LIST, discover

    if LIST in paths and sys.stdin is None:
        raise UsageError("-: standard input is closed")
    shard = options.parse_shard()
    found = discover(paths, sys.stdin.buffer.read() if LIST in paths else b"", shard)
    if found.recordings or shard.count > 1:
        return found
    errors = [f"{each.path}: {reason}" for each, reason in found.errors.items()]
    for line in (*found.notes, *errors[:-1]):
        print_message(line)
    raise UsageError(errors[-1] if errors else f"{', '.join(paths)}: no audio files found")


def run_library(
    found: "DiscoveryResult",
    predictor: "Predictor",
    output: Path,
    options: LibraryOptions = LibraryOptions(),
    *,
    device: str = "cpu",
) -> "Report":
    """Predict recordings into a folder, with a progress bar on a terminal.

    Raises:
        BatchError: files would be overwritten, or another run writes there.
        OSError: the folder cannot be written.
    """
    from quadpred.batch import run
    from quadpred.batch.recording import Settings
    from quadpred.cli.progress import run_progress

    shard, folder = options.parse_shard(), output.absolute()
    settings = Settings(
        model=str(predictor.path.absolute()),
        sha256=predictor.info.sha256,
        device=device,
        output=folder,
        scratch=run.scratch(folder, shard),
        formats=options.parse_formats(),
        seconds=options.seconds,
        bom=options.bom,
    )
    finished = 0

    def count(progress: "RunProgress") -> None:
        nonlocal finished
        finished = progress.predicted + progress.unchanged
        on_progress(progress)

    with run_progress(make_console()) as on_progress:
        try:
            return run.run(
                found,
                settings,
                shard,
                run.engine(settings, options.jobs, on_ray=options.engine == "ray"),
                on_progress=count,
                on_message=print_message,
            )
        except (OSError, KeyboardInterrupt):
            if finished:
                done = f"{counted(finished, 'recording')} predicted and kept"
                print_message(f"{done}; run the same command again for the rest")
            raise
