"""Clips to cached log-mels, and log-mels to batches of augmented crops."""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from platformdirs import user_cache_path
from torch import Tensor
from torch.nn.functional import one_hot

from quadpred.features import FeatureConfig, file_log_mel
from quadpred.files import atomic_write, printable
from quadpred.labels import HEADS, QUADRANT, VALENCE, signs_of
from quadpred.train.corpora import Clip, Manifest, ManifestError
from quadpred.train.recipe import AugmentConfig

__all__ = [
    "Batch",
    "CropSampler",
    "LogMels",
    "Targets",
    "Teacher",
    "augment",
    "tag_vocabulary",
    "teacher_values",
]

Half = NDArray[np.float16]

_AT_ONCE = 1024  # clips
PATCH = 3.0  # seconds, of what a teacher hears at a time


def _print_warning(text: str) -> None:
    print(f"quadpred: warning: {printable(text)}", file=sys.stderr, flush=True)


class LogMels:
    """Log-mels of clips, computed once and kept as half-precision files in the user's cache folder.

    A file's name depends on the front end and on the recording's path, size and time, so a changed
    recording or front end is computed anew, and so is a damaged file. `QUADPRED_CACHE` moves the
    folder.

    Args:
        config: of the front end.
        folder: instead of the cache folder.
        warn: takes one line for each damaged file.
    """

    def __init__(
        self,
        config: FeatureConfig,
        folder: Path | None = None,
        *,
        warn: Callable[[str], None] = _print_warning,
    ):
        self._warn = warn
        root = folder or os.environ.get("QUADPRED_CACHE") or user_cache_path("quadpred")
        self.config = config
        self.folder = Path(root) / "log-mel" / _digest(config.as_dict())
        self.folder.mkdir(parents=True, exist_ok=True)

    def load(
        self, clips: Sequence[Clip], progress: Callable[[], None] = lambda: None
    ) -> list[Half]:
        """Return one array of shape (frames, mels) a clip, memory-mapped.

        Raises:
            AudioError: a recording that cannot be read.

        """

        def one(clip: Clip) -> Half:
            frames = self._one(clip.path)
            progress()
            return frames

        loaded: list[Half] = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            # The pool holds a few hundred bytes for each clip that waits.
            for first in range(0, len(clips), _AT_ONCE):
                loaded += pool.map(one, clips[first : first + _AT_ONCE])
        return loaded

    def _one(self, path: Path) -> Half:
        try:
            stat = path.stat()
            key = _digest([str(path.resolve()), stat.st_size, stat.st_mtime_ns])
        except OSError:
            key = ""  # reading it will say what is wrong
        cached = self.folder / f"{key}.npy"
        if cached.is_file():
            loaded = self._cached(cached)
            if loaded is not None:
                return loaded
            self._warn(f"{cached}: is damaged, and is computed again")
        frames = np.concatenate(list(file_log_mel(path, self.config))).astype(np.float16)
        with atomic_write(cached) as (file,):
            np.save(file, frames)
        computed: Half = np.load(cached, mmap_mode="r")
        return computed

    def _cached(self, path: Path) -> Half | None:
        """Return a file's log-mel; `None` if the file is not one."""
        try:
            frames = np.load(path, mmap_mode="r")
        except (EOFError, OSError, ValueError):
            return None
        if not isinstance(frames, np.memmap) or frames.dtype != np.float16:
            return None
        return frames if frames.shape[1:] == (self.config.mels,) and len(frames) else None


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:20]


def tag_vocabulary(clips: Sequence[Clip], least: int = 10) -> tuple[str, ...]:
    """Tags that at least `least` clips carry, sorted."""
    names, counts = np.unique([tag for clip in clips for tag in set(clip.tags)], return_counts=True)
    return tuple(str(name) for name, count in zip(names, counts, strict=True) if count >= least)


def teacher_values(
    manifests: Sequence[Manifest], kind: Literal["teacher", "opinion"] = "teacher"
) -> dict[Path, NDArray[np.float32]]:
    """Return what other networks say of each patch of each clip, standardised over all patches.

    Args:
        manifests: whose data sheets name the archives.
        kind: of archive, as the data sheet names it.

    Returns:
        Arrays of shape (patches, values) by the clip's path; empty where no corpus has an archive.

    Raises:
        ManifestError: an archive that holds anything else, or corpora whose archives differ.
    """
    said: dict[Path, NDArray[np.float32]] = {}
    for manifest in manifests:
        if archive := getattr(manifest.sheet, kind):
            said |= _archived(manifest.clips, archive)
    widths = {values.shape[1] for values in said.values()}
    if len(widths) > 1 or (kind == "opinion" and widths - {1}):
        corpora = ", ".join(m.sheet.name for m in manifests if getattr(m.sheet, kind))
        found = " and ".join(map(str, sorted(widths)))
        wanted = "1" if kind == "opinion" else "one number for all"
        raise ManifestError(f"{corpora}: {kind} of {found} values a patch, not of {wanted}")
    if not said:
        return {}
    patches = np.concatenate(list(said.values()))
    mean, deviation = patches.mean(0), np.maximum(patches.std(0), 1e-6)
    return {path: (values - mean) / deviation for path, values in said.items()}


def _archived(clips: Sequence[Clip], path: str) -> dict[Path, NDArray[np.float32]]:
    """Read what an archive holds of clips."""
    try:
        with np.load(path) as archive:
            known = [clip.path for clip in clips if clip.path.stem in archive]
            named = {clip: archive[clip.stem].astype(np.float32) for clip in known}
    except (AttributeError, TypeError, ValueError, EOFError, BadZipFile):
        raise ManifestError(f"{path}: no NumPy archive (.npz) of numbers") from None
    for clip, values in named.items():
        if values.ndim != 2 or not len(values) or not np.isfinite(values).all():
            raise ManifestError(f"{path}: {clip.stem} is not (patches, values) of finite numbers")
    return named


class Teacher:
    """What a teacher says of every second of the clips it knows.

    Args:
        clips: in the order in which batches number them.
        values: by the clip's path, each of shape (patches, width).
    """

    def __init__(self, clips: Sequence[Clip], values: Mapping[Path, NDArray[np.float32]]):
        nothing = np.zeros((1, *next(iter(values.values())).shape[1:]), np.float32)
        said = [values.get(clip.path, nothing) for clip in clips]
        self.width = nothing.shape[1]
        self.last = torch.tensor([len(patches) - 1 for patches in said])
        longest = int(self.last.max()) + 1
        padded = [np.pad(patches, ((0, longest - len(patches)), (0, 0))) for patches in said]
        self.patches = torch.from_numpy(np.stack(padded))
        self.known = torch.tensor([float(clip.path in values) for clip in clips])

    def rows(self, clips: Tensor, starts: Tensor, rows: int) -> tuple[Tensor, Tensor]:
        """Values of the rows of crops, each those of the patch around its middle.

        Args:
            clips: their numbers, shape (crops,).
            starts: of the crops, in seconds, shape (crops,).
            rows: in each.

        Returns:
            Values of shape (crops, rows, width), and 1 where they are known, (crops, 1, 1).
        """
        middles = starts[:, None] + torch.arange(rows) + 0.5
        patches = (middles / PATCH).long().minimum(self.last[clips, None])
        return self.patches[clips[:, None], patches], self.known[clips].view(-1, 1, 1)

    def whole(self, clips: Tensor, starts: Tensor, seconds: float) -> tuple[Tensor, Tensor, Tensor]:
        """Values of the patches that lie in crops from end to end.

        Args:
            clips: their numbers, shape (crops,).
            starts: of the crops, in seconds, shape (crops,).
            seconds: of each crop.

        Returns:
            Where in its crop each patch begins, in seconds, (crops, patches); their values,
            (crops, patches, width); and whether there is such a patch and it is known, (crops,
            patches).
        """
        numbers = (starts / PATCH).ceil().long()[:, None] + torch.arange(int(seconds // PATCH))
        begins = numbers * PATCH - starts[:, None]
        last = self.last[clips, None]
        there = (begins + PATCH <= seconds) & (numbers <= last) & (self.known[clips, None] > 0)
        return begins, self.patches[clips[:, None], numbers.minimum(last)], there


@dataclass(frozen=True)
class Targets:
    """What the outputs should say, a row a clip or crop; an unknown target is all zeros.

    Attributes:
        heads: one float tensor of shape (clips, classes) a head, 1 for each class that is possible.
        tags: 1 for each of the vocabulary that a clip carries, shape (clips, words).
        tagged: 1 for clips whose tags are known, shape (clips, 1).
    """

    heads: tuple[Tensor, ...]
    tags: Tensor
    tagged: Tensor

    @classmethod
    def of(
        cls,
        clips: Sequence[Clip],
        vocabulary: Sequence[str] = (),
        arousal_only: Container[Path] = (),
    ) -> "Targets":
        """Targets of clips, with or without a quadrant, from which arousal and valence follow.

        Of clips whose paths are among `arousal_only`, valence is unknown, and so both quadrants of
        their arousal are possible.
        """
        signs = [signs_of(clip.quadrant) if clip.quadrant else (False, False) for clip in clips]
        quadrants = [QUADRANT.classes.index(clip.quadrant or "Q1") for clip in clips]
        labelled = torch.tensor([float(bool(clip.quadrant)) for clip in clips])[:, None]
        indices = (quadrants, [int(arousal) for arousal, _ in signs], [int(v) for _, v in signs])
        heads = tuple(
            one_hot(torch.tensor(index, dtype=torch.long), len(head.classes)).float() * labelled
            for head, index in zip(HEADS, indices, strict=True)
        )
        for number, clip in enumerate(clips):
            if clip.path in arousal_only:
                heads[HEADS.index(VALENCE)][number] = 0.0
                same = [signs_of(name)[0] == signs[number][0] for name in QUADRANT.classes]
                heads[HEADS.index(QUADRANT)][number] = torch.tensor(same) * labelled[number]
        words = torch.tensor([[float(tag in clip.tags) for tag in vocabulary] for clip in clips])
        tagged = torch.tensor([float(bool(clip.tags)) for clip in clips])[:, None]
        return cls(heads, words.reshape(len(clips), len(vocabulary)), tagged)

    def __getitem__(self, index: Tensor) -> "Targets":
        heads = tuple(head[index] for head in self.heads)
        return Targets(heads, self.tags[index], self.tagged[index])


@dataclass(frozen=True)
class Batch:
    """Crops of log-mels.

    Attributes:
        frames: shape (crops, frames, mels).
        clips: the number of the clip each is from, shape (crops,).
        starts: the frame of the clip at which each begins, shape (crops,).
    """

    frames: Tensor
    clips: Tensor
    starts: Tensor


class CropSampler:
    """Random crops of fixed length from every clip, in proportion to its length.

    An epoch is determined by its seed alone, so a resumed run repeats what was interrupted.
    `coverage` is the share of the audio in an epoch: of all, or one a clip.
    """

    def __init__(
        self, clips: Sequence[Half], crop: int, batch: int, coverage: float | Sequence[float]
    ):
        self.clips = [
            c if len(c) >= crop else np.pad(c, ((0, crop - len(c)), (0, 0)), "wrap") for c in clips
        ]
        self.crop, self.batch = crop, batch
        self.shares = np.asarray(coverage) * [len(c) / crop for c in self.clips]

    def __len__(self) -> int:
        """Batches an epoch, about."""
        return max(1, round(float(self.shares.sum()) / self.batch))

    def epoch(self, seed: Sequence[int]) -> Iterator[Batch]:
        """Yield `len(self)` batches."""
        rng = np.random.default_rng(list(seed))
        wanted = len(self) * self.batch
        # Each clip has the whole part of its share, and chance decides on the rest.
        counts = np.floor(self.shares + rng.random(len(self.shares))).astype(int)
        order = rng.permutation(np.repeat(np.arange(len(self.clips)), counts))
        if len(order) < wanted:
            share = self.shares / self.shares.sum()
            order = np.append(order, rng.choice(len(self.clips), wanted - len(order), p=share))
        for first in range(0, wanted, self.batch):
            chosen = order[first : first + self.batch]
            starts = [rng.integers(len(self.clips[index]) - self.crop + 1) for index in chosen]
            crops = [
                self.clips[index][start : start + self.crop]
                for index, start in zip(chosen, starts, strict=True)
            ]
            frames = torch.from_numpy(np.stack(crops)).float()
            yield Batch(frames, torch.from_numpy(chosen), torch.tensor(starts))


def augment(frames: Tensor, config: AugmentConfig, silence: float, rng: torch.Generator) -> Tensor:
    """Change gain, tilt and bandwidth of each crop, and mask stretches of time and bands.

    `silence` is the log-mel of digital silence, below which nothing falls.
    """
    crops, steps, mels = frames.shape

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=rng)

    nepers = np.log(10) / 20
    bands = torch.arange(mels)
    change = (2 * uniform(crops, 1, 1) - 1) * config.gain
    change = change + (2 * uniform(crops, 1, 1) - 1) * config.tilt * (bands / (mels - 1) - 0.5)
    if config.band_limit:
        # A codec, a telephone, a small loudspeaker: less and less above one band or below another,
        # between a gentle slope and a wall.
        steepness = 10 ** (2 * uniform(crops, 1, 1) - 0.3)  # dB a band
        for outside, farthest in ((bands + 1 - mels, 0.5), (-bands, 0.15)):
            limited = uniform(crops, 1, 1) < config.band_limit
            moved = limited * farthest * mels * uniform(crops, 1, 1)
            change = change - steepness * (outside + moved).clamp_min(0)
    frames = (frames + nepers * change).clamp_min(silence)
    floor = frames.mean((1, 2), keepdim=True)
    for _ in range(config.masks):
        for axis, size, longest in ((1, steps, steps // 6), (2, mels, mels // 8)):
            width = uniform(crops, 1, 1) * longest
            start = uniform(crops, 1, 1) * (size - width)
            places = torch.arange(size).view([1, -1, 1] if axis == 1 else [1, 1, -1])
            frames = torch.where((places >= start) & (places < start + width), floor, frames)
    return frames
