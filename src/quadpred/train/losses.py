"""The multi-task loss of fine-tuning: one method per kind of label."""

from collections.abc import Sequence

import torch
from torch import Tensor

from quadpred.labels import HEADS, QUADRANT, membership, signs_of
from quadpred.train.data.assembly import TrainingSet
from quadpred.train.data.sampling import Batch
from quadpred.train.loop import autocast
from quadpred.train.network import Classifier, Outputs, log_odds
from quadpred.train.recipe import Recipe

__all__ = ["MultiTaskLoss"]


class MultiTaskLoss:
    """Weighted sum of the losses of quadrants, ratings, dynamics, distillation and outliers.

    Args:
        recipe: holds the weights.
        examples: the labels, in the order in which batches number the clips.
    """

    def __init__(self, recipe: Recipe, examples: TrainingSet):
        self.recipe, self.config = recipe, recipe.transfer
        self.examples = examples
        self.weights = [_balanced(head) for head in examples.targets.heads]

    def __call__(
        self, model: Classifier, frames: Tensor, clips: Batch, pieces: Batch | None
    ) -> Tensor:
        """Loss of a batch, a scalar.

        Args:
            model: the classifier.
            frames: augmented crops without their mean level: those of `clips`, then of `pieces`;
                any crops after these are outliers.
            clips: where the first crops are from.
            pieces: where the next crops, consecutive ones of one piece with dynamics, are from.
        """
        with autocast(self.recipe.precision):
            outputs = model.outputs(frames)
        music = len(clips.clips)
        run = len(pieces.clips) if pieces else 0
        losses = [self.quadrants(model, _part(outputs, slice(music)), clips)]
        if self.config.ratings and self.examples.has_ratings:
            losses.append(
                self.config.ratings * self.ratings(model, _part(outputs, slice(music)), clips)
            )
        if self.config.distillation and outputs.student is not None:
            batches = [clips, pieces] if pieces else [clips]
            part = _part(outputs, slice(music + run))
            losses.append(self.config.distillation * self.distillation(part, batches))
        if pieces:
            part = _part(outputs, slice(music, music + run))
            losses.append(self.config.dynamics.weight * self.dynamics(part, pieces))
        if len(frames) > music + run:
            part = _part(outputs, slice(music + run, None))
            losses.append(self.config.outliers * self.outliers(part))
        return torch.stack(losses).sum()

    def quadrants(self, model: Classifier, outputs: Outputs, batch: Batch) -> Tensor:
        """Class-weighted cross-entropy of every row with its clip's labels, summed over heads.

        Soft labels count as distributions; those of arousal and valence are their marginals.
        """
        targets = self.examples.quadrants_of(batch, outputs.logits[0].shape[1])
        arousal, valence = (targets @ torch.tensor(membership(head)) for head in HEADS[1:])
        odds = log_odds(outputs.logits)
        corpora = self.examples.links[batch.clips].to(odds.device)
        linked = model.link(odds, corpora[:, None].expand(odds.shape[:2]))
        logits = _with_added_odds(outputs.logits, linked - odds)
        losses = [
            _cross_entropy(rows, target.to(rows.device), weight)
            for rows, target, weight in zip(
                logits, (targets, arousal, valence), self.weights, strict=True
            )
        ]
        return torch.stack(losses).sum()

    def ratings(self, model: Classifier, outputs: Outputs, batch: Batch) -> Tensor:
        """Squared error of the mean log-odds of a crop, linked to the ratings of its corpus."""
        odds = log_odds(outputs.logits).mean(1)
        corpora = self.examples.links[batch.clips].to(odds.device)
        ratings = self.examples.ratings_of(batch, outputs.logits[0].shape[1]).to(odds.device)
        rated = ~ratings.isnan()
        errors = (model.link(odds, corpora) - ratings.nan_to_num()).square() * rated
        loss: Tensor = errors.sum(1).mean()
        return loss

    def dynamics(self, outputs: Outputs, batch: Batch) -> Tensor:
        """1 minus the correlation of log-odds and ratings within one piece, summed over axes."""
        odds = log_odds(outputs.logits).flatten(0, 1)
        ratings = self.examples.dynamics_of(batch, outputs.logits[0].shape[1]).to(odds.device)
        rated = ~ratings.isnan().any(-1)
        if rated.sum() < 3:
            return odds.sum() * 0
        return (1 - _correlation(odds[rated], ratings[rated])).sum()

    def distillation(self, outputs: Outputs, batches: Sequence[Batch]) -> Tensor:
        """Mean squared error of the student, over all crops; without a teacher it is 0."""
        assert outputs.student is not None
        rows = outputs.student.shape[1]
        taught = [self.examples.teacher_of(batch, rows) for batch in batches]
        values, present = (
            torch.cat(part).to(outputs.student.device) for part in zip(*taught, strict=True)
        )
        errors = (outputs.student - values).square().mean(-1) * present[:, None]
        return errors.mean()

    def outliers(self, outputs: Outputs) -> Tensor:
        """Cross-entropy with a uniform distribution, summed over heads (outlier exposure)."""
        return torch.stack([-rows.log_softmax(-1).mean() for rows in outputs.logits]).sum()


def _part(outputs: Outputs, crops: slice) -> Outputs:
    student = None if outputs.student is None else outputs.student[crops]
    return Outputs(tuple(rows[crops] for rows in outputs.logits), outputs.embedding[crops], student)


def _with_added_odds(logits: Sequence[Tensor], shift: Tensor) -> tuple[Tensor, ...]:
    """Logits after log-odds of arousal and valence have changed by `shift` (batch, rows, 2)."""
    signs = shift.new_tensor([signs_of(name) for name in QUADRANT.classes]) - 0.5
    by_class = (shift @ signs.T, shift[..., :1] * shift.new_tensor([-0.5, 0.5]))
    valence = shift[..., 1:] * shift.new_tensor([-0.5, 0.5])
    return tuple(rows + change for rows, change in zip(logits, (*by_class, valence), strict=True))


def _balanced(one_hot: Tensor) -> Tensor:
    """Weights inverse to the classes' frequency, 1 on average over the labelled clips."""
    counts = one_hot.sum(0)
    return counts.sum() / (counts.clamp_min(1) * (counts > 0).sum().clamp_min(1))


def _cross_entropy(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean over all crops; those without a label, whose target is all zeros, count as 0."""
    log_probabilities = logits.log_softmax(-1).mean(1)
    return -(log_probabilities * target * weight.to(target.device)).sum(1).mean()


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson correlation of each column."""
    a, b = a - a.mean(0), b - b.mean(0)
    spread = (a.square().sum(0) * b.square().sum(0)).clamp_min(1e-6).sqrt()
    return (a * b).sum(0) / spread
