"""Emotions read from the copy of a teacher, by a logistic regression on what is heard of clips."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from quadpred.train.dataset import Targets
from quadpred.train.loop import device
from quadpred.train.network import Classifier

__all__ = ["read"]

Half = NDArray[np.float16]


def read(
    model: Classifier,
    clips: Sequence[Half],
    targets: Targets,
    strength: float,
    foreign: Sequence[Half] = (),
    weight: float = 0.0,
) -> None:
    """Fit the model's reading to clips whose quadrants are known.

    Heads learn a few hundred clips by heart; a regression on what a teacher would say cannot, and
    errs elsewhere than they do, so both together are better than either. It sees a clip's mean of
    each copied value, standardised, and pays half its squared weights over `strength`.

    Args:
        model: has a copy; is left with the reading, in place of any that it had.
        clips: log-mels, each of shape (frames, mels).
        targets: of these clips, in this order.
        strength: the inverse of the penalty.
        foreign: log-mels of sounds that are no music, of which it is to be unsure.
        weight: of one of these, where a clip weighs 1.
    """
    assert model.copy is not None
    values = model.copy.layers[-1]
    assert isinstance(values, nn.Linear)
    heard = torch.stack([_heard(model, clip) for clip in [*clips, *foreign]]).double()
    last, offset = values.weight.detach().cpu().double(), values.bias.detach().cpu().double()
    copies, music = heard @ last.T + offset, len(clips)
    mean = copies[:music].mean(0)
    deviation = copies[:music].std(0, unbiased=False).clamp_min(1e-6)
    level = (copies - mean) / deviation
    weights = torch.tensor([1.0] * music + [weight] * len(foreign)).double()
    rows, offsets = [], []
    for target in targets.heads:
        even = torch.full((len(foreign), target.shape[1]), 1 / target.shape[1])
        slopes, constant = _regression(level, torch.cat([target, even]).double(), weights, strength)
        # What reads the copy, and the copy's last layer, are one linear layer of its hidden units.
        slopes = slopes / deviation
        rows.append(slopes @ last)
        offsets.append(constant + slopes @ (offset - mean))
    reading = model.open_reading()
    with torch.no_grad():
        reading.weight.copy_(torch.cat(rows))
        reading.bias.copy_(torch.cat(offsets))


def _heard(model: Classifier, clip: Half) -> Tensor:
    frames = torch.from_numpy(clip[None].astype(np.float32)).to(device())
    with torch.inference_mode():
        return model.heard(model.encoder(frames)).mean((0, 1)).cpu()


def _regression(
    level: Tensor, truth: Tensor, weights: Tensor, strength: float
) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression: slopes (classes, values), and constants (classes,)."""
    classes = truth.shape[1]
    slopes = torch.zeros(classes, level.shape[1], dtype=torch.double, requires_grad=True)
    constant = torch.zeros(classes, dtype=torch.double, requires_grad=True)
    optimiser = torch.optim.LBFGS([slopes, constant], max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        errors = F.cross_entropy(level @ slopes.T + constant, truth, reduction="none")
        total = weights @ errors + slopes.square().sum() / (2 * strength)
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    return slopes.detach(), constant.detach()
