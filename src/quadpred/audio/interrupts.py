"""Stop the program on a signal, also while PyAV reads a file."""

from types import FrameType

from quadpred.audio.source import FilePart

__all__ = ["interrupt", "raise_deferred"]

_CALLBACKS = {method.__code__ for method in (FilePart.read, FilePart.seek, FilePart.tell)}
_deferred: list[BaseException] = []


def interrupt(error: BaseException, frame: FrameType | None) -> None:
    """Raise an error from a signal handler; within PyAV, keep it for `raise_deferred`.

    PyAV loses what is raised in its callbacks or while it raises an error of its own, and goes on.

    Args:
        error: what stops the program.
        frame: where the signal came, as the handler gets it.
    """
    while frame is not None:
        if frame.f_code in _CALLBACKS or frame.f_code.co_name.startswith("av."):
            _deferred.append(error)
            return
        frame = frame.f_back
    raise error


def raise_deferred() -> None:
    """Raise the error that `interrupt` kept, if there is one."""
    if _deferred:
        error = _deferred[0]
        _deferred.clear()
        raise error
