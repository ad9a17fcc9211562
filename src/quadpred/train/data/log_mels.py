"""Log-mels of clips, computed once and cached."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from quadpred.features import FeatureConfig, file_log_mel
from quadpred.train.corpora import Clip

__all__ = ["Half", "LogMels"]

Half = NDArray[np.float16]


class LogMels:
    """Log-mels of clips, computed once and kept as half-precision files in the user's cache folder.

    A file's name depends on the front end and on the recording's path, size and time, so a changed
    recording or front end is computed anew. `QUADPRED_CACHE` moves the folder.
    """

    def __init__(self, config: FeatureConfig, folder: Path | None = None):
        root = folder or os.environ.get("QUADPRED_CACHE") or user_cache_path("quadpred")
        self.config = config
        self.folder = Path(root) / "log-mel" / _digest(config.as_dict())
        self.folder.mkdir(parents=True, exist_ok=True)

    def load(
        self, clips: Sequence[Clip], progress: Callable[[], None] = lambda: None
    ) -> list[Half]:
        """Return one array of shape (frames, mels) per clip, memory-mapped.

        Raises:
            AudioError: a recording cannot be read.

        """

        def one(clip: Clip) -> Half:
            frames = self._one(clip.path)
            progress()
            return frames

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(one, clips))

    def _one(self, path: Path) -> Half:
        try:
            stat = path.stat()
            key = _digest([str(path.resolve()), stat.st_size, stat.st_mtime_ns])
        except OSError:
            key = ""  # file_log_mel raises an error that names the reason
        cached = self.folder / f"{key}.npy"
        if not cached.is_file():
            frames = np.concatenate(list(file_log_mel(path, self.config))).astype(np.float16)
            part = cached.with_suffix(f".{os.getpid()}.part")
            with part.open("wb") as file:
                np.save(file, frames)
            part.replace(cached)
        loaded: Half = np.load(cached, mmap_mode="r")
        return loaded


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:20]
