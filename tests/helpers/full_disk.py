"""What a full disk does, without one."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

LIMIT = 5000


@contextmanager
def large_files_refused() -> Iterator[None]:
    """Have the system refuse to write files beyond `LIMIT` bytes."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
