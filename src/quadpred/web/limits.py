"""How much the server takes on: of one upload, and of all of them."""

from dataclasses import dataclass

__all__ = ["Limits"]

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Limits:
    """What is refused, dropped or ended beyond.

    Attributes:
        bytes: of an upload.
        seconds: of decoded audio, whatever its header says; of live audio too.
        queue: uploads that wait for a worker, those on their way here among them.
        work: seconds that a worker may take for an upload.
        upload: seconds without a byte of an upload.
        unattended: seconds after which unfinished work is dropped that nobody asks about.
        kept: finished predictions.
        expiry: seconds that a finished prediction is kept.
        live: listeners to a microphone.
        memory: bytes of addresses that a worker may take.
    """

    bytes: int = 200 * MEGABYTE
    seconds: float = 3600
    queue: int = 16
    work: float = 300
    upload: float = 30
    unattended: float = 60
    kept: int = 128
    expiry: float = 3600
    live: int = 4
    memory: int = 4 << 30
