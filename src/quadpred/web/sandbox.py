"""Limits for a worker process: it ends with its parent and cannot take all memory."""

import os
import signal
import sys
from contextlib import suppress

__all__ = ["die_with_parent", "limit_memory"]

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(parent: int) -> None:
    """Have Linux kill this process when the thread that started it ends; `parent` is its id."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended already
        os.kill(os.getpid(), signal.SIGKILL)


def limit_memory(most: int) -> None:
    """Limit the address space of this process to `most` bytes, where the system can."""
    if os.name != "posix":
        return
    import resource

    with suppress(ValueError, OSError):  # macOS
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
