"""Log-mels of clips, computed once and cached."""

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from platformdirs import user_cache_path

from quadpred.features import FeatureConfig, file_log_mel
from quadpred.files import atomic_write, digest_of, printable
from quadpred.train.corpora import Clip

__all__ = ["Half", "LogMels"]

Half = NDArray[np.float16]


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
    ) -> list[Half]:
        """Return one array of shape (frames, values per frame) per clip, memory-mapped.

        Raises:
            AudioError: a recording cannot be read.

        """

        def one(clip: Clip) -> Half:
            frames = self.load_one(clip)
            progress()
            return frames

        loaded: list[Half] = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            # The pool holds a few hundred bytes for each clip that waits.
            for first in range(0, len(clips), _AT_ONCE):
                loaded += pool.map(one, clips[first : first + _AT_ONCE])
        return loaded

    def load_one(self, clip: Clip) -> Half:
        """Return the array of one clip, in this thread.

        Raises:
            AudioError: the recording cannot be read.
        """
        try:
            stat = clip.path.stat()
            key = digest_of([str(clip.path.resolve()), stat.st_size, stat.st_mtime_ns], 20)
        except OSError:
            key = ""  # file_log_mel raises an error that names the reason
        cached = self.folder / f"{key}.npy"
        if cached.is_file():
            loaded = self._cached(cached)
            if loaded is not None:
                return loaded
            self._on_warning(f"{cached}: damaged; computing it again")
        frames = np.concatenate(list(file_log_mel(clip.path, self.config))).astype(np.float16)
        with atomic_write(cached) as (file,):
            np.save(file, frames)
        computed: Half = open_memmap(cached, mode="r")
        return computed

    def _cached(self, path: Path) -> Half | None:
        """Return the log-mel of a file; `None` if the file is damaged."""
        try:
            frames = open_memmap(path, mode="r")
        except (EOFError, OSError, ValueError):
            return None
        whole = frames.dtype == np.float16 and frames.shape[1:] == (self.config.width,)
        return frames if whole and len(frames) else None
