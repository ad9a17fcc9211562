"""From manifests to what a training run needs: one record per clip, and tensors of labels."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quadpred.labels import QUADRANT
from quadpred.train.corpora import Clip, Manifest
from quadpred.train.data.log_mels import Half
from quadpred.train.data.sampling import Batch
from quadpred.train.data.soft_labels import soft_labels
from quadpred.train.data.targets import Targets, read_dynamics
from quadpred.train.data.teachers import teacher_values
from quadpred.train.recipe import CorpusConfig, TransferConfig

__all__ = ["Example", "TrainingSet", "examples_of"]


@dataclass(frozen=True, slots=True)
class Example:
    """One clip with all that is known of it.

    Attributes:
        clip: the recording and its labels per clip.
        corpus: the settings of its corpus.
        teacher: values of the teacher, (seconds, values), or `None`.
        dynamics: arousal and valence over time, (seconds, 2), or `None`.
    """

    clip: Clip
    corpus: CorpusConfig
    teacher: Half | None = None
    dynamics: NDArray[np.float32] | None = None

    @property
    def labelled(self) -> bool:
        """Whether the clip has any label."""
        return bool(self.clip.quadrant) or None not in (self.clip.arousal, self.clip.valence)

    def digest(self) -> str:
        """Return a checksum of the clip, as `Clip.digest` has it, and its values over time.

        Raises:
            OSError: the recording is missing.
        """
        value = hashlib.sha256(self.clip.digest().encode())
        for array in (self.teacher, self.dynamics):
            value.update(b"-" if array is None else array.tobytes())
        return value.hexdigest()[:16]


def examples_of(
    config: TransferConfig, manifests: Sequence[Manifest], excluded: Iterable[str]
) -> list[Example]:
    """Collect the clips outside the `excluded` splits that have a label or a teacher.

    Raises:
        ManifestError: an archive or a file of dynamics is not usable.
    """
    settings = {corpus.name: corpus for corpus in config.corpora}
    teacher = teacher_values(manifests) if config.distillation else {}
    examples = []
    for manifest in manifests:
        name = manifest.sheet.name
        corpus = settings.get(name, CorpusConfig(name, config.coverage))
        ratings = {}
        if manifest.sheet.dynamics and config.dynamics.weight:
            ratings = read_dynamics(Path(manifest.sheet.dynamics), config.dynamics.delay)
        for clip in manifest.without(excluded):
            example = Example(clip, corpus, teacher.get(clip.path), ratings.get(clip.path.stem))
            if example.labelled or example.teacher is not None or example.dynamics is not None:
                examples.append(example)
    return examples


class TrainingSet:
    """Labels of examples as tensors, addressed by the numbers that batches carry.

    Args:
        examples: in the order in which batches number the clips.
        frames_per_row: frames per second.
    """

    def __init__(self, examples: Sequence[Example], frames_per_row: int):
        self.examples, self.frames_per_row = examples, frames_per_row
        linked = sorted({e.corpus.name for e in examples if e.corpus.linked})
        names = sorted({e.corpus.name for e in examples})
        self.corpora = len(linked)
        """Number of corpora with a link of their own."""
        corpora = [names.index(e.corpus.name) for e in examples]
        self.targets = Targets.of([e.clip for e in examples], corpora)
        sources = [e.corpus.soft_labels or e.corpus.name for e in examples]
        self.links = torch.tensor([linked.index(s) + 1 if s in linked else 0 for s in sources])
        self.has_ratings = bool((~self.targets.ratings.isnan()).any())
        widths = {e.teacher.shape[1] for e in examples if e.teacher is not None}
        self.teacher_width = max(widths, default=0)
        self._scale = self._teacher_scale()
        self._soft = soft_labels(examples, self.targets.ratings.numpy(), self._scale)

    def _teacher_scale(self) -> float:
        """Factor that makes the mean variance of the teacher's values 1.

        Their relative weights remain. Adam's steps would be too large for targets of a much smaller
        scale.
        """
        teachers = [e.teacher for e in self.examples if e.teacher is not None]
        if not teachers:
            return 1.0
        sample = np.concatenate(teachers[:: max(1, len(teachers) // 500)]).astype(np.float32)
        return float(1 / np.sqrt(max(sample.var(0).mean(), 1e-12)))

    def teacher_of(self, batch: Batch, rows: int) -> tuple[Tensor, Tensor]:
        """Scaled values of the teacher for the rows of crops, and 1 for clips that have them.

        Returns:
            Tensors of shape (crops, rows, values) and (crops,).
        """
        empty = np.zeros((rows, self.teacher_width), np.float32)
        values, has_teacher = [], []
        for number, start in zip(batch.clips.tolist(), batch.starts.tolist(), strict=True):
            teacher = self.examples[number].teacher
            has_teacher.append(teacher is not None)
            values.append(empty if teacher is None else self._rows(teacher, start, rows))
        return torch.from_numpy(np.stack(values)), torch.tensor(has_teacher).float()

    def quadrants_of(self, batch: Batch, rows: int) -> Tensor:
        """Probabilities of quadrants for crops, (crops, 4); 0 where there is no label."""
        probabilities = self.targets.heads[0][batch.clips].clone()
        for crop, log_odds in self._soft_of(batch, rows, len(QUADRANT.classes)):
            probabilities[crop] = log_odds.softmax(-1)
        return probabilities

    def ratings_of(self, batch: Batch, rows: int) -> Tensor:
        """Arousal and valence for crops, (crops, 2); NaN where unknown."""
        ratings = self.targets.ratings[batch.clips].clone()
        for crop, estimates in self._soft_of(batch, rows, 2):
            ratings[crop] = estimates
        return ratings

    def _soft_of(self, batch: Batch, rows: int, labels: int) -> Iterator[tuple[int, Tensor]]:
        """Yield the mean soft labels of the crops that have as many of them."""
        for crop, number in enumerate(batch.clips.tolist()):
            soft = self._soft.get(number)
            if soft is not None and soft.shape[1] == labels:
                first = min(int(batch.starts[crop]) // self.frames_per_row, len(soft) - 1)
                yield crop, torch.from_numpy(soft[first : first + rows].mean(0))

    def dynamics_of(self, batch: Batch, rows: int) -> Tensor:
        """Arousal and valence over the rows of consecutive crops, (crops times rows, 2)."""
        values = []
        for number, start in zip(batch.clips.tolist(), batch.starts.tolist(), strict=True):
            dynamics = self.examples[number].dynamics
            assert dynamics is not None
            first = start // self.frames_per_row
            part = dynamics[first : first + rows]
            padding = ((0, rows - len(part)), (0, 0))
            values.append(np.pad(part, padding, constant_values=np.nan))
        return torch.from_numpy(np.concatenate(values))

    def _rows(self, values: Half, start: int, rows: int) -> NDArray[np.float32]:
        """Interpolate values per second at the rows of a crop that starts at frame `start`."""
        times = start / self.frames_per_row + np.arange(rows)
        below = np.minimum(times.astype(int), len(values) - 1)
        above = np.minimum(below + 1, len(values) - 1)
        share = (times - np.floor(times)).astype(np.float32)[:, None]
        scaled: NDArray[np.float32] = np.float32(self._scale) * (
            (1 - share) * values[below] + share * values[above]
        )
        return scaled
