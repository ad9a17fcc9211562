"""Log-mels of clips, computed once and cached."""

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError

import numpy as np
from numpy.lib.format import read_array_header_1_0, read_magic
from numpy.typing import NDArray
from platformdirs import user_cache_path

from quadpred.features import FeatureConfig, file_log_mel
from quadpred.files import atomic_write, digest_of, printable
from quadpred.train.corpora import Clip

__all__ = ["Frames", "Half", "LogMels", "Stored"]

Half = NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Stored:
    """The log-mel of a clip in a file; each slice of frames is read when it is needed.

    A memory map per clip would keep a file descriptor each, and large corpora have more clips than
    a process may have of either.

    Attributes:
        path: of the file.
        start: offset of the first value, in bytes.
        frames: how many there are.
        width: values per frame.
    """

    path: Path
    start: int
    frames: int
    width: int

    def __len__(self) -> int:
        return self.frames

    def __getitem__(self, part: slice) -> Half:
        """Return consecutive frames, shape (frames, values per frame).

        Raises:
            OSError: the file cannot be read.
        """
        first, end, _ = part.indices(self.frames)
        size = self.width * np.dtype(np.float16).itemsize
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.start + first * size)
            content = file.read((end - first) * size)
        return np.frombuffer(content, np.float16).reshape(-1, self.width)


Frames = Half | Stored
"""Log-mels of a clip, shape (frames, values per frame), in memory or in a file."""


_AT_ONCE = 1024  # clips


def _print_warning(text: str) -> None:
    print(f"quadpred: warning: {printable(text)}", file=sys.stderr, flush=True)


class LogMels:
    """Log-mels of clips, computed once and kept as half-precision files in the user's cache folder.

    A file's name depends on the front end and on the recording's path, size and time. A changed
    recording, a changed front end and a damaged file are therefore computed again. `QUADPRED_CACHE`
    sets the folder.

    Args:
        config: of the front end.
        folder: instead of the cache folder.
        on_warning: takes one line for each damaged file.
    """

    def __init__(
        self,
        config: FeatureConfig,
        folder: Path | None = None,
        *,
        on_warning: Callable[[str], None] = _print_warning,
    ):
        self._on_warning = on_warning
        root = folder or os.environ.get("QUADPRED_CACHE") or user_cache_path("quadpred")
        self.config = config
        self.folder = Path(root) / "log-mel" / digest_of(config.as_dict(), 20)
        self.folder.mkdir(parents=True, exist_ok=True)

    def load(
        self, clips: Sequence[Clip], progress: Callable[[], None] = lambda: None
    ) -> list[Stored]:
        """Return the log-mel of each clip; its frames stay in the file.

        Raises:
            AudioError: a recording cannot be read.
            OSError: the cache cannot be read or written.
        """

        def one(clip: Clip) -> Stored:
            stored = self.load_one(clip)
            progress()
            return stored

        loaded: list[Stored] = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            # The pool holds a few hundred bytes for each clip that waits.
            for first in range(0, len(clips), _AT_ONCE):
                loaded += pool.map(one, clips[first : first + _AT_ONCE])
        return loaded

    def load_one(self, clip: Clip) -> Stored:
        """Return the log-mel of one clip, in this thread.

        Raises:
            AudioError: the recording cannot be read.
            OSError: the cache cannot be read or written.
        """
        try:
            stat = clip.path.stat()
            key = digest_of([str(clip.path.resolve()), stat.st_size, stat.st_mtime_ns], 20)
        except OSError:
            key = ""  # file_log_mel raises an error that names the reason
        cached = self.folder / f"{key}.npy"
        if cached.is_file():
            try:
                return self._stored(cached)
            except (ValueError, SyntaxError, TokenError):
                self._on_warning(f"{cached}: damaged; computing it again")
        frames = np.concatenate(list(file_log_mel(clip.path, self.config))).astype(np.float16)
        with atomic_write(cached) as (file,):
            np.save(file, frames)
        return self._stored(cached)

    def _stored(self, path: Path) -> Stored:
        """Read the header of a file.

        Raises:
            OSError: the file cannot be read.
            ValueError, SyntaxError, TokenError: the file is damaged.
        """
        with path.open("rb") as file:
            if read_magic(file) != (1, 0):
                raise ValueError("of another version")
            shape, by_column, kind = read_array_header_1_0(file)
            start, size = file.tell(), os.fstat(file.fileno()).st_size
        expected = len(shape) == 2 and shape[0] > 0 and shape[1] == self.config.width
        if kind != np.float16 or by_column or not expected:
            raise ValueError("of another shape or type")
        if size < start + shape[0] * shape[1] * kind.itemsize:
            raise ValueError("cut short")
        return Stored(path, start, *shape)
