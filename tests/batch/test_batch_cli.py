"""The command as a shell runs it, with its worker processes."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest
import soundfile
from typer.testing import CliRunner

from helpers.libraries import files, ledger_lines, record, table
from helpers.tiny_model import write_model
from quadpred.cli.app import app

pytestmark = pytest.mark.slow

SECONDS = 2


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "tiny.onnx")
    return tmp_path


@pytest.fixture
def music(folder):
    for number in range(3):
        record(folder / f"music/{number}.wav", SECONDS, seed=number)
    return folder / "music"


def run(*args, code=0, **options):
    """Run the command in this process; its workers have their own."""
    arguments = ["predict", "--model", "tiny.onnx", *map(str, args)]
    result = CliRunner().invoke(app, arguments, **options)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def complaint(*args, code=2, **options):
    """The one line that a failing command says, less its beginning."""
    (line,) = run(*args, code=code, **options).stderr.splitlines()
    assert line.startswith("quadpred: ")
    return line.removeprefix("quadpred: ")


def start(*args, **options):
    """Start the command in a process group of its own."""
    command = [sys.executable, "-m", "quadpred", "predict", "--model", "tiny.onnx"]
    return subprocess.Popen(
        [*command, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        **options,
    )


# What is said, and what is written


def test_a_folder(music):
    result = run("music", "-o", "out", "--jobs", 1)
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[1] == "Model: tiny"
    assert lines[2] == "3 predicted (0.00 hours), 0 unchanged, 0 failed"
    assert lines[3].startswith("Saved ")
    assert "\x1b" not in result.stdout
    assert set(files(music.parent / "out")) - {"summary.parquet"} == {"errors.csv", "summary.csv"}
    assert [row["path"] for row in table(music.parent / "out/summary.csv")] == [
        "0.wav",
        "1.wav",
        "2.wav",
    ]
    again = run("music", "-o", "out", "--jobs", 1).stdout
    assert "0 predicted (0.00 hours), 3 unchanged, 0 failed" in again


def test_a_terminal_shows_how_far_it_is(music):
    (music / "broken.mp3").write_text("words" * 100)
    shown = run("music", "-o", "out", "--jobs", 1, env={"FORCE_COLOR": "1"}, code=1).stdout
    for text in ("4/4", "h of audio per minute", "1 failed"):
        assert text in shown


def test_one_broken_file_is_exit_code_1(music):
    (music / "broken.mp3").write_text("words" * 100)
    result = run("music", "-o", "out", "--jobs", 1, code=1)
    reason = (
        "not audio that quadpred can read, or damaged at its start; "
        "convert it to wav or flac, or copy it again"
    )
    assert result.stderr == f"quadpred: {music}/broken.mp3: {reason}\n"
    assert "3 predicted (0.00 hours), 0 unchanged, 1 failed" in result.stdout
    (row,) = table(music.parent / "out/errors.csv")
    assert row["path"] == "broken.mp3"
    assert "not audio" in row["reason"]


def test_a_file_that_can_be_read_in_part_is_warned_of(music):
    content = (music / "1.wav").read_bytes()
    (music / "1.wav").write_bytes(content[: len(content) // 2])
    assert complaint("music", "-o", "out", "--jobs", 1, code=0).startswith(
        f"warning: {music}/1.wav: decoded 1.0 of 2.0 seconds"
    )


@pytest.mark.parametrize("separator", ["\n", "\0"])
def test_a_list_on_standard_input(music, separator):
    listed = separator.join(["music/2.wav", "music/0.wav"])
    run("-", "-o", "out", "--format", "json", "--jobs", 1, input=listed)
    results = [name for name in files(music.parent / "out") if name.endswith(".json")]
    assert results == ["music/0.wav.json", "music/2.wav.json"]


def test_an_option_makes_files_a_library(music):
    run("music/0.wav", "music/1.wav", "-o", "out", "--format", "npy", "--jobs", 1)
    assert {"music/0.wav.npy", "music/1.wav.npy"} < set(files(music.parent / "out"))
    run("music/0.wav", "music/1.wav", "-o", "single", "--no-plot")
    assert files(music.parent / "single") == ["0.json", "0.npy", "1.json", "1.npy"]


CODECS = {"mp3": "libmp3lame", "flac": "flac", "m4a": "aac", "opus": "libopus", "ogg": "flac"}


def test_mixed_formats(folder, music, encode):
    samples, rate = soundfile.read(music / "0.wav", dtype="float32")
    for ending, codec in CODECS.items():
        shutil.move(encode(f"0.{ending}", samples, rate, codec), music)
    run("music", "-o", "out", "--format", "json")
    rows = table(folder / "out/summary.csv")
    assert len(rows) == 8
    assert {row["path"].rpartition(".")[2] for row in rows if row["path"].startswith("0.")} == {
        "wav",
        "mp3",
        "flac",
        "m4a",
        "opus",
        "ogg",
    }
    assert all(abs(float(row["duration"]) - SECONDS) < 0.1 for row in rows)


def test_a_huge_file_takes_little_room(folder):
    """Two hours at 1 kHz, a few kilobytes of flac, beside a short one."""
    (folder / "music").mkdir()
    with soundfile.SoundFile(folder / "music/long.flac", "w", 1000, 1) as file:
        for _ in range(120):
            file.write([0.0] * 60_000)
    record(folder / "music/short.wav", SECONDS)
    run("music", "-o", "out", "--seconds", "--jobs", 2)
    long, short = table(folder / "out/summary.csv")
    assert float(long["duration"]) == 7200
    assert long["uncertain"] == "true"
    assert float(short["duration"]) == SECONDS


# What is refused


def test_what_does_not_go_with_a_library(music):
    assert complaint("music") == "a library run (music) needs -o FOLDER"
    assert complaint("music", "-o", "out", "--json", "-").startswith("--json cannot be used in a")
    assert complaint("music", "-o", "out", "--winner") == (
        "--winner cannot be used in a library run (music); use --format, or name single files"
    )
    assert complaint("music/0.wav", "--jobs", 2) == "a library run (--jobs) needs -o FOLDER"
    assert complaint("music", "-o", "out", "--format", "mp4").startswith(
        "--format mp4: choose from"
    )
    assert complaint("music", "-o", "out", "--shard", "3/2").startswith("--shard 3/2: write I/N")
    assert not os.path.exists("out")


def test_nothing_to_predict(folder):
    (folder / "empty").mkdir()
    assert complaint("empty", "-o", "out") == "empty: no audio files found"
    line = complaint("none.m3u8", "-o", "out")
    assert line == f"{folder}/none.m3u8: No such file or directory"
    address = "http://127.0.0.1/list.m3u8"
    assert complaint(address, "-o", "out") == (
        f"{address}: is an address; download the file and give its path"
    )
    assert complaint("-", "-o", "out", input="") == "-: no audio files found"
    assert not os.path.exists("out")


def test_a_share_without_files_is_no_failure(music):
    for index in range(1, 9):
        run("music", "-o", "out", "--shard", f"{index}/8", "--jobs", 1)
    assert len(table(music.parent / "out/summary.csv")) == 3


def test_output_that_is_a_file_or_read_only(music, folder):
    (folder / "file").touch()
    assert complaint("music", "-o", "file") == f"{folder}/file: is not a folder"
    if sys.platform == "linux":
        assert complaint("music", "-o", "/proc/out").startswith("/proc/out")


def test_missing_extras(music, monkeypatch):
    for module, option in ("pyarrow", "--format=parquet"), ("ray", "--engine=ray"):
        monkeypatch.setitem(sys.modules, module, None)
        line = complaint("music", "-o", "out", option)
        assert line.endswith(
            f'pip install "quadpred[{"parquet" if module == "pyarrow" else "ray"}]"'
        )


def test_a_device_that_is_not_there(music):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    line = complaint("music", "-o", "out", "--device", "cuda")
    assert line.startswith("device cuda: the installed onnxruntime has no CUDA support")
    assert "onnxruntime-gpu" in line
    assert complaint("music/0.wav", "--device", "cuda") == line
    run("music/0.wav", "--device", "cpu")


# Ends of all kinds


@pytest.fixture
def many(folder):
    """Enough to be in the midst of."""
    first = record(folder / "music/0.wav", 40)
    for number in range(1, 60):
        shutil.copy(first, folder / f"music/{number}.wav")
    return folder / "music"


def begun(process, output, clips=3):
    """Wait until a run has finished some clips, but not all."""
    until = time.monotonic() + 60
    while len({line["name"] for line in ledger_lines(output)}) < clips:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.002)


def assert_gone(group):
    """Wait until a process group has no process left."""
    until = time.monotonic() + 30
    with suppress(ProcessLookupError):
        while time.monotonic() < until:
            os.killpg(group, 0)
            time.sleep(0.01)
        pytest.fail("processes are left")


@pytest.mark.skipif(os.name != "posix", reason="needs process groups")
def test_killed_and_started_again(many, folder):
    arguments = ["music", "--format", "json,npy", "--jobs", 2]
    for kill, clips in (os.kill, 3), (os.killpg, 10):  # the run alone, and with its workers
        process = start(*arguments, "-o", "out")
        begun(process, folder / "out", clips)
        kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert_gone(process.pid)
        assert not (folder / "out/summary.csv").exists()
    finished = {line["name"] for line in ledger_lines(folder / "out")}
    assert 10 <= len(finished) < 60
    for name in finished:
        said = json.loads((folder / f"out/{name}.json").read_bytes())
        assert len(said["times"]) == 40
    process = start(*arguments, "-o", "out")
    said, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, b"")
    assert f"{60 - len(finished)} predicted" in said.decode()
    assert f"{len(finished)} unchanged" in said.decode()
    assert not list((folder / "out").rglob("*.part"))
    process = start(*arguments, "-o", "whole")
    process.communicate(timeout=60)
    assert (folder / "out/summary.csv").read_bytes() == (folder / "whole/summary.csv").read_bytes()
    assert files(folder / "out") == files(folder / "whole")


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped(many, folder, sent, code):
    process = start("music", "-o", "out", "--format", "json", "--jobs", 2)
    begun(process, folder / "out")
    os.killpg(process.pid, sent) if sent == signal.SIGINT else process.send_signal(sent)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    kept = r"(quadpred: \d+ recordings? predicted and kept; run the same command again .*\n)?"
    said = f"{kept}quadpred: interrupted\n" if sent == signal.SIGINT else ""
    assert re.fullmatch(said, errors.decode())
    assert not list((folder / "out").rglob("*.part"))
    assert_gone(process.pid)


@pytest.fixture
def small_disk(folder):
    """A disk of 100 kB, and a function that makes it so many bytes large."""
    disk = folder / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    options = ["-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)]
    if not mount or subprocess.run([mount, *options], capture_output=True).returncode:
        pytest.skip("a tmpfs cannot be mounted here")

    def remount(option):
        subprocess.run([mount, "-o", f"remount,{option}", str(disk)], check=True)

    yield disk, remount
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_fills_and_is_enlarged(many, small_disk):
    disk, remount = small_disk
    kept, reason = run(
        "music", "-o", "disk/out", "--format", "json", "--jobs", 1, code=2
    ).stderr.splitlines()
    assert reason.startswith(f"quadpred: {disk}/out/")
    assert reason.endswith(": No space left on device; free some space or choose another folder")
    assert not (disk / "out/summary.csv").exists()
    finished = [line["name"] for line in ledger_lines(disk / "out")]
    assert 0 < len(finished) < 60
    count = int(re.findall(r"\d+", kept)[0])
    assert kept == (
        f"quadpred: {count} recordings predicted and kept; run the same command again for the rest"
    )
    assert count <= len(finished)
    for path in disk.rglob("*.json"):
        assert len(json.loads(path.read_bytes())["times"]) == 40
    assert not list(disk.rglob("*.part"))
    remount("size=5m")
    said = run("music", "-o", "disk/out", "--format", "json", "--jobs", 1).stdout
    assert f"{len(finished)} unchanged, 0 failed" in said
    assert len(table(disk / "out/summary.csv")) == 60


def test_a_disk_that_is_read_only(music, small_disk):
    disk, remount = small_disk
    remount("ro")
    line = complaint("music", "-o", "disk/out", "--jobs", 1)
    assert line == f"{disk}/out/summary.csv: Read-only file system; choose another folder"
