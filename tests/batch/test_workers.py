import os
import signal
import subprocess
import sys
import time
from multiprocessing import active_children

import pytest

from helpers.libraries import record, settings_of
from helpers.unreliable import NeverStarts, Unreliable
from quadpred.batch import BatchError
from quadpred.batch.discovery import Recording
from quadpred.batch.recording import Done, Failed, Task
from quadpred.batch.workers import Workers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="needs signals"),
]


@pytest.fixture
def outcomes(tmp_path):
    """Process recordings of these names, made here; return outcomes by name."""

    def process(*names, count=2, timeout=60.0, kind=Unreliable):
        settings = settings_of(tmp_path / "out", kind=kind)
        tasks = [Task(Recording(name, str(record(tmp_path / f"{name}.wav")))) for name in names]
        with Workers(count, settings, timeout=timeout) as workers:
            groups = list(workers.run(iter(tasks)))
        return {outcome.recording.name: outcome for group in groups for outcome in group}

    return process


def test_a_worker_that_is_killed_costs_one_line(outcomes):
    clips = [f"clip_{number}" for number in range(8)]
    result = outcomes(*clips[:4], "kill", "kill_once", "exit", *clips[4:])
    reasons = {name: each.reason for name, each in result.items() if isinstance(each, Failed)}
    assert reasons == {
        "kill": "the process that read it was killed by SIGKILL, 2 times",
        "exit": "the process that read it ended with code 3, 2 times",
    }
    assert {name for name, each in result.items() if isinstance(each, Done)} == {
        *clips,
        "kill_once",
    }


def test_a_worker_that_hangs_costs_one_line(outcomes):
    result = outcomes("clip_1", "hang", "clip_2", "clip_3", count=1, timeout=5.0)
    assert result["hang"].reason == "no result in 7 seconds; its process was killed"
    assert all(isinstance(result[f"clip_{number}"], Done) for number in (1, 2, 3))


SUSPENDED = """
import sys
from pathlib import Path
from helpers.libraries import record, settings_of
from helpers.unreliable import Unreliable
from quadpred.batch.recording import Task
from quadpred.batch.discovery import Recording
from quadpred.batch.workers import Workers

folder = Path(sys.argv[1])
tasks = [Task(Recording(name, str(record(folder / f"{name}.wav")))) for name in ("slow", "slower")]
with Workers(1, settings_of(folder / "out", kind=Unreliable), timeout=8.0) as workers:
    for group in workers.run(tasks):
        for outcome in group:
            print(type(outcome).__name__, flush=True)
"""


def test_suspended_time_is_no_timeout(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", SUSPENDED, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout.readline() == "Done\n"
    os.killpg(process.pid, signal.SIGSTOP)  # as Ctrl-Z does
    time.sleep(10)
    os.killpg(process.pid, signal.SIGCONT)
    assert process.communicate(timeout=120)[0] == "Done\n"


def test_a_fault_of_ours_costs_one_line_and_blas_has_one_thread(outcomes):
    result = outcomes("fault", "clip", "threads", count=1)
    assert result["fault"].reason == "cannot be predicted: RuntimeError: a fault"
    assert result["threads"].reason == "cannot be predicted: RuntimeError: 1"
    assert isinstance(result["clip"], Done)


def test_workers_that_never_start_end_the_run(outcomes):
    with pytest.raises(BatchError, match="do not start: each of 3 ended with code 9"):
        outcomes("a", "b", kind=NeverStarts)


def test_what_is_given_up_early_leaves_no_process(tmp_path):
    settings = settings_of(tmp_path / "out", kind=Unreliable)
    names = ["clip", *(f"hang_{number}" for number in range(50))]
    tasks = [Task(Recording(name, str(record(tmp_path / f"{name}.wav")))) for name in names]
    with Workers(2, settings) as workers:
        (done,) = next(workers.run(tasks))
        alive = [process.pid for process in active_children()]
    assert done.recording.name == "clip"
    assert len(alive) == 2
    for pid in alive:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
