"""A real server on a free port, in a thread."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from quadpred.web.limits import Limits
from quadpred.web.run import listen_at, make_server
from quadpred.web.security import AccessPolicy


@contextmanager
def serving(
    limits: Limits | None = None,
    policy: AccessPolicy | None = None,
    workers: int = 1,
    prefix: str = "",
) -> Iterator[httpx.Client]:
    """Serve, and yield a client whose `base_url` is the server's address."""
    with listen_at("127.0.0.1", 0) as listening:
        served = make_server(policy or AccessPolicy(), limits or Limits(), workers, prefix)
        thread = threading.Thread(target=served.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            until(lambda: served.started or not thread.is_alive())
            address = f"http://127.0.0.1:{listening.getsockname()[1]}"
            with httpx.Client(base_url=address, timeout=60) as client:
                yield client
        finally:
            served.should_exit = True
            thread.join()


def until(condition) -> None:
    """Wait for what must come true."""
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it never came true")


def workers() -> set[int]:
    """Ids of this process's children that predict for a server."""
    found = set()
    for child in children():
        with suppress(OSError):  # it has just gone
            if b"quadpred.web.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.add(child)
    return found


def children(parent: int | str = "self") -> list[int]:
    """Ids of a process's children; of its main thread alone, unless `parent` is "self"."""
    found = []
    for task in Path(f"/proc/{parent}/task").iterdir():
        with suppress(OSError):  # the thread has just ended
            found += map(int, (task / "children").read_text().split())
    return found
