"""The program: `quadpred`, or `python -m quadpred`.

Prepares the process for the command line, whatever environment it is started in, before the first
import that takes time.
"""

import os
import signal
import sys
import warnings

__all__ = ["main"]

_INTERRUPTED = 130  # exit code


def main() -> None:
    """Run the command line."""
    _open_standard_streams()
    _use_default_warnings()
    # Until the command line is loaded there is nothing to clean up, and an exception in the midst
    # of an import can become another one. A shell's background jobs ignore Ctrl-C.
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        signal.signal(signal.SIGINT, _end_now)
    from quadpred.cli.app import main as run

    if interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done but the interpreter's end


def _end_now(*_: object) -> None:
    os.write(2, b"quadpred: interrupted\n")
    os._exit(_INTERRUPTED)


def _open_standard_streams() -> None:
    """Give streams that are closed to the null device.

    Otherwise, the next file that is opened would take the descriptor, and with it all that
    libraries print. `sys.stdin` and `sys.__stdout__` stay `None` where they were closed.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # Takes the lowest descriptor that is free: this one. Child processes get it, too.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def _use_default_warnings() -> None:
    """Undo PYTHONWARNINGS and -W, also for child processes.

    They are for developers: with `error`, a deprecation in any package would end the command.
    """
    if not sys.warnoptions:
        return
    os.environ.pop("PYTHONWARNINGS", None)
    sys.warnoptions.clear()
    warnings.resetwarnings()
    for category in DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning:
        warnings.simplefilter("ignore", category)


if __name__ == "__main__":
    main()
