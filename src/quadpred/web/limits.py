"""Resource limits of the server."""

from dataclasses import dataclass

__all__ = ["MEGABYTE", "Limits", "per_address"]

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Limits:
    """What the server accepts. One address may use half of `connections`, `queue` and `live`.

    Attributes:
        bytes: largest upload.
        seconds: longest recording and longest live session, in decoded audio.
        queue: uploads that are arriving or wait for a worker.
        work: seconds that a worker may spend on one upload.
        idle: seconds that an upload, or a live session, may pause.
        upload: seconds within which an upload must arrive.
        request: seconds within which the headers of a request must arrive.
        unattended: seconds after which an unfinished prediction is dropped that no client follows.
        kept: finished predictions in memory.
        expiry: seconds that a finished prediction is kept.
        live: live sessions at the same time.
        connections: open connections.
        memory: bytes of address space per worker.
    """

    bytes: int = 200 * MEGABYTE
    seconds: float = 3600
    queue: int = 16
    work: float = 300
    idle: float = 30
    upload: float = 600
    request: float = 10
    unattended: float = 600
    kept: int = 128
    expiry: float = 3600
    live: int = 4
    connections: int = 200
    memory: int = 4 << 30


def per_address(limit: int) -> int:
    """Return how much of a limit the clients of one address may use together.

    >>> per_address(16), per_address(1)
    (8, 1)
    """
    return max(1, limit // 2)
