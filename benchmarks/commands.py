"""What a command costs."""

import os
import subprocess
import time
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Cost", "cost_of"]


class Cost(NamedTuple):
    """Wall seconds, CPU seconds with those of child processes, and peak memory in MB."""

    wall: float
    cpu: float
    peak: float


def cost_of(command: Sequence[str]) -> Cost:
    """Run a command without its standard output. It must not fail."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"failed: {' '.join(command)}")
    wall = time.perf_counter() - started
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
