"""Audio made by code, in real files."""

import shutil
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from helpers.browsers import PATIENCE
from helpers.sounds import music

# A shell's background job ignores ^C, and so would every process that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

CHROMIUM = ("chromium-headless-shell", "chromium", "chromium-browser")
"""Programs, the fastest first: without windows, it opens a page in half the time."""

PACKAGES = 'pip install -e ".[beets,parquet,tags,train,web]" --group dev'
REMEDIES = {
    "axe-core": "apt-get install npm && npm ci",
    "chromium": "apt-get install chromium-headless-shell",
    "ffmpeg": "apt-get install ffmpeg",
    "firefox": "apt-get install nodejs npm firefox-esr && npm ci",
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
def encode(tmp_path: Path) -> Callable[..., Path]:
    """Encode samples with PyAV and return the path; the name's ending chooses the container."""

    def write(
        name: str,
        samples: np.ndarray,
        rate: int,
        codec: str,
        *,
        container: dict[str, str] | None = None,
        cover: bool = False,
        **options: str,
    ) -> Path:
        path = tmp_path / name
        channels = 1 if samples.ndim == 1 else samples.shape[1]
        layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
        with av.open(path, "w", options=container) as file:
            stream = file.add_stream(codec, rate, layout=layout, options=options)
            pictures = file.add_stream("mpeg4", 5, width=64, height=64) if cover else None
            if pictures:
                picture = av.VideoFrame(64, 64, "yuv420p")
                file.mux(pictures.encode(picture) + pictures.encode(None))
            data = np.ascontiguousarray(samples, np.float32).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(data, format="flt", layout=layout)
            frame.sample_rate, frame.pts = rate, 0
            file.mux(stream.encode(frame) + stream.encode(None))
        return path

    return write


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium, with a microphone that plays a file. A process can start Playwright only once."""
    playwright = pytest.importorskip("playwright.sync_api")
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if not program:
        pytest.skip("Chromium is not installed")
    playwright.expect.set_options(timeout=PATIENCE)
    sound = tmp_path_factory.mktemp("microphone") / "sound.wav"
    soundfile.write(sound, music(4, 48_000), 48_000)
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(
            executable_path=program,
            args=[
                "--autoplay-policy=no-user-gesture-required",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
                f"--use-file-for-fake-audio-capture={sound}",
            ],
        )
        yield browser
        browser.close()
