"""A short test of the page in Firefox. Playwright drives only a build of its own."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("firefox.mjs")
PUPPETEER = SCRIPT.parents[2] / "node_modules" / "puppeteer-core"


def test_a_song_is_predicted_and_kept_and_a_changed_file_refused_in_firefox(
    address: str, song: Path
) -> None:
    node, firefox = shutil.which("node"), shutil.which("firefox-esr")
    if not node or not firefox or not PUPPETEER.is_dir():
        pytest.skip("needs node, firefox-esr and the packages of npm ci")
    other = song.with_name("other.wav")
    other.write_bytes(song.read_bytes() + b"\0\0")
    command = [node, str(SCRIPT), firefox, address, str(song), str(other)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    seen = json.loads(ended.stdout)
    assert seen["errors"] == []
    assert seen["after"] == seen["before"]
    assert seen["inked"]
