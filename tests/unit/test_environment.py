"""The program in environments that are closed, read-only, strict or impatient."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from helpers.sounds import music
from helpers.tiny_model import write_model

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs descriptors and signals")

RATE = 16_000
# Runs the program as `python -m quadpred` does, and does something when it imports a module.
ON_IMPORT = """
import sys
from importlib.abc import MetaPathFinder

class Finder(MetaPathFinder):
    def find_spec(self, name, *_):
        if name == "{module}":
            sys.meta_path.remove(self)
            {action}

sys.meta_path.insert(0, Finder())
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "tiny.onnx")
    soundfile.write("song.wav", music(2, RATE), RATE)
    return tmp_path


def run(*arguments, closed="", on_import=None, **environment):
    """Run the program without some of its streams; `on_import` is a module and what it does."""
    command = [sys.executable, "-m", "quadpred", *arguments]
    if closed:
        command = ["sh", "-c", f'exec "$@" {closed}', "sh", *command]
    paths = sys.path
    if on_import:
        module, action = on_import
        os.makedirs("site", exist_ok=True)
        with open("site/sitecustomize.py", "w") as file:
            file.write(ON_IMPORT.format(module=module, action=action))
        paths = [os.path.abspath("site"), *paths]
    variables = {"PYTHONPATH": os.pathsep.join(paths), **environment}
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **variables},
        check=False,
    )


SONG = ["song.wav", "--model", "tiny.onnx"]
LIBRARY = [*SONG, "-o", "out", "--jobs", "1", "--format", "json,csv"]


# Streams


@pytest.mark.slow
def test_all_streams_closed():
    whole = run(*LIBRARY)
    assert (whole.returncode, whole.stderr) == (0, "")
    json_before = Path("out/song.wav.json").read_text()
    result = run(*LIBRARY, closed="<&- >&- 2>&-")
    assert result.returncode == 0
    result = run(*SONG, "-o", "single", "--no-plot", closed="<&- >&- 2>&-")
    assert result.returncode == 0
    assert Path("out/song.wav.json").read_text() == json_before
    assert json.loads(Path("single/song.json").read_text())["times"] == [0.0, 1.0]


def test_data_for_a_closed_stream_is_an_error():
    result = run(*SONG, "--json", "-", closed=">&-")
    assert result.returncode == 2
    assert result.stderr.endswith("\nquadpred: standard output is closed\n")
    for command in (["predict", "-"], ["tag", "-"]):
        result = run(*command, "--model", "tiny.onnx", "-o", "out", closed="<&-")
        assert (result.returncode, result.stderr) == (2, "quadpred: -: standard input is closed\n")


# Warnings

WARN = "import warnings; warnings.warn('old', DeprecationWarning)"


def test_warnings_of_packages_are_no_errors():
    result = run(*LIBRARY, on_import=("av", WARN), PYTHONWARNINGS="error")
    assert (result.returncode, result.stderr) == (0, "")


# Homes


@pytest.mark.slow
@pytest.mark.parametrize("home", [None, "/proc/self"])
def test_a_home_that_cannot_be_written(home, monkeypatch):
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    environment = {"HOME": home} if home else {}
    result = run(*SONG, "-o", "out", **environment)
    assert (result.returncode, result.stderr) == (0, "")
    result = run(*SONG, "-o", "out", "--jobs", "1", "--format", "png", **environment)
    assert (result.returncode, result.stderr) == (0, "")


# Ctrl-C

INTERRUPT = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"


@pytest.mark.parametrize("module", ["typer", "numpy", "onnxruntime"])
def test_an_interrupt_while_modules_load_is_quiet(module):
    result = run(*SONG, on_import=(module, INTERRUPT))
    assert result.stderr == "quadpred: interrupted\n"
    assert result.returncode in (130, -signal.SIGINT)


def test_little_is_imported_before_interrupts_are_quiet():
    code = "import sys, quadpred.__main__; print(*sys.modules)"
    paths = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],  # -S: packages in site-packages may import anything
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
        check=True,
    )
    assert not {"re", "typing"} & set(done.stdout.split())


def test_a_worker_takes_no_notice_of_an_interrupt_while_it_loads():
    only_in_workers = f"'spawn_main' in str(sys.orig_argv) and exec({INTERRUPT!r})"
    result = run(*LIBRARY, on_import=("onnxruntime", only_in_workers))
    assert (result.returncode, result.stderr) == (0, "")
