"""What a batch of music teaches a classifier: heads, words, a teacher, and whom to trust when."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from quadpred.train.corpora import Clip
from quadpred.train.dataset import Batch, Targets, Teacher, tag_vocabulary
from quadpred.train.loop import autocast, device
from quadpred.train.network import Classifier
from quadpred.train.recipe import CorpusConfig, Recipe

__all__ = ["Lesson"]


class Lesson:
    """The losses of a recipe's transfer, over all the clips that it hears.

    Args:
        recipe: weighs them.
        clips: in the order in which batches number them.
        teacher: what another network says, by the clip's path; may be empty.
        opinion: what one says of valence; the same.
        special: what is special about a clip's corpus, by the clip's path.
    """

    def __init__(
        self,
        recipe: Recipe,
        clips: Sequence[Clip],
        teacher: Mapping[Path, NDArray[np.float32]],
        opinion: Mapping[Path, NDArray[np.float32]],
        special: Mapping[Path, CorpusConfig] | None = None,
    ):
        special = special or {}
        self.recipe, self.config = recipe, recipe.transfer
        vocabulary = tag_vocabulary(clips) if self.config.tags else ()
        arousal_only = {path for path, corpus in special.items() if corpus.arousal_only}
        self.targets = Targets.of(clips, vocabulary, arousal_only)
        self.teacher = Teacher(clips, teacher) if teacher else None
        self.opinion = Teacher(clips, opinion) if opinion else None
        self.weights = [_balanced(head) for head in self.targets.heads]
        experts = [special[c.path].expert if c.path in special else 0 for c in clips]
        self.experts = torch.tensor(experts) if any(experts) else None
        widths = {"tags": len(vocabulary), "teacher": self.teacher.width if self.teacher else 0}
        self.extras = {name: width for name, width in widths.items() if width}
        """Widths of the auxiliary outputs that there are targets for, by name."""

    def loss(self, model: Classifier, frames: Tensor, batch: Batch) -> Tensor:
        """Loss of a batch, a scalar.

        Args:
            model: has the auxiliary outputs `extras`.
            frames: the batch's crops as they are heard, augmented; any crops that follow them are
                no music.
            batch: where the crops are from.
        """
        with autocast(self.recipe.precision):
            said = model.outputs(frames.to(device()))
        wanted, music = self.targets[batch.clips], len(batch.clips)
        losses = [
            _cross_entropy(rows[:music], target.to(device()), weight)
            for rows, target, weight in zip(said.logits, wanted.heads, self.weights, strict=True)
        ]
        if len(frames) > music:
            losses += [
                self.config.foreign * -rows[music:].log_softmax(-1).mean() for rows in said.logits
            ]
        if self.experts is not None and said.gate is not None:
            chosen = self.experts[batch.clips, None].expand(-1, said.gate.shape[1])
            losses.append(F.cross_entropy(said.gate[:music].mT, chosen.to(device())))
        if "tags" in said.extras:
            # Words describe the clip as a whole, so it is the crop's mean that answers.
            words = said.extras["tags"][:music].mean(1)
            errors = F.binary_cross_entropy_with_logits(
                words, wanted.tags.to(device()), reduction="none"
            )
            losses.append(self.config.tags * (errors * wanted.tagged.to(device())).mean())
        starts = batch.starts / self.recipe.features.frames_per_row
        if self.teacher and model.copy is not None:
            seconds = frames.shape[1] / self.recipe.features.frames_per_row
            begins, values, there = self.teacher.whole(batch.clips, starts, seconds)
            if there.sum() > 1:  # one alone cannot be standardised
                copies = model.copy(said.latent, begins.to(device()), there.to(device()))
                error = F.mse_loss(copies, values[there].to(device()))
                losses.append(self.config.teacher * error)
        if self.opinion and said.opinion is not None:
            guesses = said.opinion[:music]
            values, known = self.opinion.rows(batch.clips, starts, guesses.shape[1])
            errors = F.smooth_l1_loss(guesses, values.to(device()), reduction="none")
            losses.append((errors * known.to(device())).mean())
            if len(frames) > music:  # nobody has an opinion on what is no music
                none = torch.zeros_like(said.opinion[music:])
                losses.append(self.config.foreign * F.smooth_l1_loss(said.opinion[music:], none))
        return torch.stack(losses).sum()


def _balanced(one_hot: Tensor) -> Tensor:
    """Weights inverse to the classes' frequency, 1 on average over the labelled clips."""
    counts = one_hot.sum(0)
    return counts.sum() / (counts.clamp_min(1) * (counts > 0).sum().clamp_min(1))


def _cross_entropy(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Surprise of every row at its clip's classes, any of them, weighed by class."""
    possible = target[:, None] > 0
    known = possible.any(-1)
    log_probabilities = logits.log_softmax(-1).masked_fill(known[..., None] & ~possible, -torch.inf)
    surprise = -(log_probabilities.logsumexp(-1) * known).mean(1)
    weights = (target * weight.to(target.device)).sum(1) / target.sum(1).clamp_min(1)
    return (surprise * weights).mean()
