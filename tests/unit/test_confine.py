"""What a child under limits cannot do; it is a Python here, where it is ffmpeg elsewhere."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from quadpred.confine import confined

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have other limits")


def child(code: str) -> "subprocess.CompletedProcess[str]":
    command = confined([sys.executable, "-c", code])
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def test_it_is_the_program_asked_for() -> None:
    assert child("import sys; print(sys.argv); sys.exit(7)").stdout == "['-c']\n"
    assert child("import sys; sys.exit(7)").returncode == 7


def test_it_cannot_take_much_memory() -> None:
    assert not child("import mmap; mmap.mmap(-1, 1 << 30)").returncode
    assert "Cannot allocate memory" in child("import mmap; mmap.mmap(-1, 2 << 30)").stderr


@pytest.mark.slow
def test_it_cannot_write_files(tmp_path: Path) -> None:
    path = tmp_path / "a"
    code = f"import os; os.write(os.open({str(path)!r}, os.O_CREAT | os.O_WRONLY), b'a')"
    assert child(code).returncode
    assert not path.stat().st_size


def test_it_cannot_compute_for_ever() -> None:
    limits = child("import resource; print(resource.getrlimit(resource.RLIMIT_CPU))").stdout
    assert limits == "(1800, 1800)\n"


def test_a_stricter_limit_stays() -> None:
    code = "import resource as r; r.setrlimit(r.RLIMIT_CPU, (60, 60)); import os, sys; "
    command = confined(
        [sys.executable, "-c", "import resource as r; print(r.getrlimit(r.RLIMIT_CPU))"]
    )
    # The second is the parent's id, which is that of the process that has the stricter limit.
    code += "command = sys.argv[1:]; command[4] = str(os.getppid()); os.execv(command[0], command)"
    result = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, timeout=30
    )
    assert result.stdout == "(60, 60)\n"


def test_it_dies_with_its_parent() -> None:
    code = f"""
import subprocess, sys, time
sys.path.insert(0, {str(Path(__file__).parents[2] / "src")!r})
from quadpred.confine import confined
sleep = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"]
subprocess.Popen(confined(sleep))
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    grandchild = int(parent.stdout.readline())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    for _ in range(100):
        status = Path(f"/proc/{grandchild}/stat")
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)
    os.kill(grandchild, signal.SIGKILL)
    pytest.fail("it lives on")
