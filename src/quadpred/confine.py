"""Children that end with their parent and cannot take the machine with them.

Run as a script, it becomes the program named on its command line, under the limits below.
"""

import os
import signal
import sys
from contextlib import suppress

__all__ = ["confined", "die_with_parent", "limit_memory"]

_MEMORY = 2 << 30  # bytes of addresses; decoding takes a tenth of them
_CPU = 1800  # seconds; ten hours of film take one or two hundred
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def confined(command: list[str]) -> list[str]:
    """Return the command line that runs `command` with limits, as a child that dies with us.

    It may take `_MEMORY` and `_CPU`, and write no file. Where the system knows no such limits
    (Windows), or there is no interpreter to set them, the command is returned as it is.
    """
    if os.name != "posix" or not sys.executable:
        return command
    # Not in a function between fork and exec: other threads may hold locks that it would need.
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def die_with_parent(parent: int) -> None:
    """Have Linux kill this process when the thread that started it ends; `parent` is its id."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was faster
        os.kill(os.getpid(), signal.SIGKILL)


def limit_memory(most: int) -> None:
    """Refuse this process more bytes of addresses than that, where the system can."""
    import resource

    with suppress(ValueError, OSError):  # macOS
        _limit(resource.RLIMIT_AS, most)


def _limit(kind: int, most: int) -> None:
    """Set a limit, unless there is a stricter one."""
    import resource

    hard = resource.getrlimit(kind)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))


def _become(parent: int, command: list[str]) -> None:
    import resource

    die_with_parent(parent)
    limit_memory(_MEMORY)
    _limit(resource.RLIMIT_CPU, _CPU)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    for number in signal.SIGPIPE, signal.SIGXFSZ:  # which Python ignores
        signal.signal(number, signal.SIG_DFL)
    os.execv(command[0], command)


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
