import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from helpers.sounds import music
from helpers.tiny_model import write_model
from quadpred.audio import NOT_REGULAR
from quadpred.labels import QUADRANT

pytest.importorskip("beets", reason="beets is not installed")

pytestmark = pytest.mark.slow

RATE = 16_000
FIELDS = "$mood_quadrant|$mood_arousal|$mood_valence|$mood_confidence|$mood_uncertain"
CONFIG = """
directory: {home}/library
library: {home}/library.db
plugins: quadpred
import: {{copy: yes, autotag: no, resume: no}}
quadpred: {{model: {home}/tiny.onnx, {options}}}
"""


class Library:
    """A library of beets, of its own configuration, in an empty home."""

    def __init__(self, home: Path):
        self.home = home
        write_model(home / "tiny.onnx")
        self.configure("")

    def configure(self, options: str):
        (self.home / "config.yaml").write_text(CONFIG.format(home=self.home, options=options))

    def beet(self, *args: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        source = Path(__file__).parents[2] / "src"
        path = os.pathsep.join([str(source), os.environ.get("PYTHONPATH", "")])
        given = {"BEETSDIR": str(self.home), "HOME": str(self.home), "PYTHONPATH": path}
        command = [sys.executable, "-m", "beets", *map(str, args)]
        environment = {**os.environ, **given}
        run = subprocess.run(
            command, capture_output=True, encoding="utf-8", env=environment, timeout=60
        )
        assert run.returncode == code, run.stderr
        assert "Traceback" not in run.stderr
        return run

    def moods(self, *query: str) -> dict[str, list[str]]:
        lines = self.beet("ls", "-f", f"$title|{FIELDS}", *query).stdout.splitlines()
        return {line.split("|")[0]: line.split("|")[1:] for line in lines}


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path)


@pytest.fixture
def album(tmp_path):
    """Two songs and a silent one."""
    folder = tmp_path / "album"
    folder.mkdir()
    for title, gain in (("One", 1), ("Two", 0.3), ("Silence", 0)):
        with soundfile.SoundFile(folder / f"{title}.flac", "w", RATE, 1) as file:
            file.title = title
            file.write(gain * music(2, RATE, seed=len(title)))
    return folder


def test_songs_get_moods_on_import(library, album):
    library.beet("import", "-q", album)
    moods = library.moods()
    assert set(moods) == {"One", "Two", "Silence"}
    for quadrant, *numbers, _ in moods.values():
        assert quadrant in QUADRANT.classes
        assert all(0 <= float(number) <= 1 for number in numbers)
    assert [title for title, mood in moods.items() if mood[-1] == "True"] == ["Silence"]
    assert set(library.moods("mood_uncertain:true")) == {"Silence"}
    quadrant, arousal, *_ = moods["One"]
    found = library.moods(f"mood_quadrant:{quadrant}", f"mood_arousal:{arousal}..1")
    assert "One" in found


def test_the_command_fills_what_is_missing(library, album):
    library.configure("auto: no")
    library.beet("import", "-q", album)
    assert set(library.moods()["One"]) <= {"", *FIELDS.split("|")}
    content = {path: path.read_bytes() for path in (library.home / "library").rglob("*.flac")}
    library.beet("quadpred", "title:One")
    moods = library.moods()
    assert moods["One"][0] in QUADRANT.classes
    assert moods["Two"][0] not in QUADRANT.classes
    assert {path: path.read_bytes() for path in content} == content
    again = library.beet("quadpred").stderr
    assert again.count("mood already present") == 1
    assert library.moods()["Two"][0] in QUADRANT.classes


def test_force_predicts_again(library, album):
    library.beet("import", "-q", album)
    first = library.moods()
    write_model(library.home / "tiny.onnx", seed=1)
    library.beet("quadpred", "-f", "title:One")
    second = library.moods()
    assert second["One"] != first["One"]
    assert second["Two"] == first["Two"]
    library.configure("force: yes")
    library.beet("quadpred", "title:Two")
    assert library.moods()["Two"] != first["Two"]


def test_a_file_that_cannot_be_read_does_not_stop_the_rest(library, album):
    library.configure("auto: no")
    library.beet("import", "-q", album)
    (one,) = (library.home / "library").rglob("*One.flac")
    one.write_bytes(b"no music")
    run = library.beet("quadpred")
    assert f"{one}: holds no samples" in run.stderr
    assert library.moods()["Two"][0] in QUADRANT.classes
    assert library.moods()["One"][0] not in QUADRANT.classes


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_does_not_stop_the_rest(library, album):
    library.configure("auto: no")
    library.beet("import", "-q", album)
    (one,) = (library.home / "library").rglob("*One.flac")
    one.unlink()
    os.mkfifo(one)
    run = library.beet("quadpred")
    assert f"{one}: {NOT_REGULAR}" in run.stderr
    assert library.moods()["Two"][0] in QUADRANT.classes


def test_a_model_that_is_none(library, album):
    (library.home / "tiny.onnx").write_bytes(b"nonsense")
    library.configure("auto: no")
    library.beet("import", "-q", album)
    run = library.beet("quadpred", code=1)
    assert "tiny.onnx: not an ONNX model" in run.stderr


def test_energy_and_valence_are_filled_when_asked(library, album):
    library.configure("energy_valence: yes")
    library.beet("import", "-q", album)
    listed = library.beet("ls", "-f", "$energy|$mood_arousal|$valence|$mood_valence").stdout
    for line in listed.splitlines():
        energy, arousal, valence, mood_valence = line.split("|")
        assert (energy, valence) == (arousal, mood_valence)
    assert library.beet("ls", "energy:0..1").stdout.count("\n") == 3


def test_no_error_stops_an_import(library, album):
    (library.home / "tiny.onnx").write_bytes(b"nonsense")
    run = library.beet("import", "-q", album)
    assert "tiny.onnx: " in run.stderr
    assert set(library.moods()) == {"One", "Two", "Silence"}
