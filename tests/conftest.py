"""Audio made by code, in real files."""

import shutil
import signal
import subprocess
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

# A shell's background job ignores ^C, and so would every process that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


PACKAGES = 'pip install -e ".[beets,parquet,tags,train,web]" --group dev'
REMEDIES = {
    "chromium": "apt-get install chromium",
    "ffmpeg": "apt-get install ffmpeg",
    "firefox": "apt-get install firefox-esr",
    "fluidsynth": "apt-get install fluidsynth fluid-soundfont-gm",
    "could not import": PACKAGES,
    "not installed": PACKAGES,
}
"""Words in the reason of a skip, and the command that installs what is missing."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the skipped tests and the command that installs what they need."""
    skipped: dict[str, dict[str, None]] = defaultdict(dict)  # test names by reason, in order
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        skipped[reason][report.nodeid.partition("[")[0]] = None
    for reason, tests in skipped.items():
        remedy = next((REMEDIES[words] for words in REMEDIES if words in reason.lower()), None)
        terminalreporter.section(f"skipped: {reason}", yellow=True)
        terminalreporter.write_line("\n".join(tests))
        terminalreporter.write_line(f"To run them: {remedy}" if remedy else "Cannot run here.")


@pytest.fixture
def sound_file(tmp_path: Path) -> Callable[..., Path]:
    """Write samples with soundfile and return the path; the name's ending chooses the format."""

    def write(name: str, samples: np.ndarray, rate: int, **options: str) -> Path:
        path = tmp_path / name
        soundfile.write(path, samples, rate, **options)
        return path

    return write


@pytest.fixture
def ffmpeg(tmp_path: Path) -> Callable[..., Path]:
    """Encode a file with ffmpeg and return the new path; the name's ending chooses the format."""
    program = shutil.which("ffmpeg")
    if not program:
        pytest.skip("ffmpeg is not installed")

    def encode(source: Path, name: str, *options: str, before: tuple[str, ...] = ()) -> Path:
        path = tmp_path / name
        start = [program, "-nostdin", "-v", "error", "-y", *before, "-i", f"file:{source}"]
        subprocess.run([*start, *options, f"file:{path}"], check=True)
        return path

    return encode
