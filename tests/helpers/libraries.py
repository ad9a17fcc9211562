"""Libraries of generated recordings, and runs over them in this process."""

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import soundfile

from helpers.sounds import music
from helpers.tiny_model import write_model
from quadpred.batch import run as runs
from quadpred.batch.discovery import WHOLE, DiscoveryResult, Shard, discover
from quadpred.batch.recording import Outcome, Settings, Task, process
from quadpred.batch.run import Report, RunProgress

RATE = 16_000


def record(path: Path, seconds: float = 1, seed: int = 0) -> Path:
    """Write a wav, whatever its name ends in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:  # soundfile refuses some names
        soundfile.write(file, music(seconds, RATE, seed), RATE, format="WAV")
    return path


def settings_of(output: Path, shard: Shard = WHOLE, kind: type[Settings] = Settings, **options):
    """Settings with a tiny model beside the output folder, of which a seed makes another."""
    model = output.parent / f"tiny-{options.pop('seed', 0)}.onnx"
    seed = int(model.stem.partition("-")[2])
    checksum = write_model(model, seed=seed, embedding=True)
    return kind(str(model), checksum, "cpu", output, runs.scratch(output, shard), **options)


class InThisProcess:
    """An engine without processes."""

    def __init__(self, settings: Settings):
        self.settings, self.predictor = settings, settings.predictor()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def run(self, tasks: Iterable[Task]) -> Iterator[list[Outcome]]:
        for task in tasks:
            yield [process(task, self.predictor, self.settings)]


def predict(paths, output: Path, shard: Shard = WHOLE, listed: bytes = b"", **options) -> Report:
    """Run in this process."""
    settings = settings_of(output, shard, **options)

    found = discover([str(path) for path in paths], listed, shard)
    return run(found, settings, InThisProcess(settings), shard)


def run(
    found: DiscoveryResult, settings: Settings, engine: runs.Engine, shard: Shard = WHOLE
) -> Report:
    """Run quietly."""
    return runs.run(
        found, settings, shard, engine, on_progress=lambda _: None, on_message=lambda _: None
    )


def counts(report: Report) -> tuple[int, int, int]:
    """Return the numbers of predicted, unchanged and failed recordings."""
    progress: RunProgress = report.progress
    return progress.predicted, progress.unchanged, progress.failed


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def ledger_lines(output: Path) -> list[dict]:
    """The whole lines of all ledgers."""
    lines = []
    for path in sorted((output / ".quadpred").glob("ledger*.jsonl")):
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"}\n"):
                lines.append(json.loads(line))
    return lines


def files(folder: Path) -> list[str]:
    """Every file below a folder but those of the run itself, sorted."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and ".quadpred" not in path.parts
    )
