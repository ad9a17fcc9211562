"""The networks: an encoder of log-mels, its mirror for pre-training, and the heads for music.

Arrays are (batch, frames, mels) outside, (batch, channels, time, mel) inside. Everything is
convolutional over time, so one network serves crops of any number of rows.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quadpred.labels import HEADS, QUADRANT, VALENCE, signs_of
from quadpred.train.dataset import PATCH
from quadpred.train.recipe import HeadConfig, NetworkConfig

__all__ = ["Classifier", "Decoder", "Encoder", "Outputs"]

_COPY = 512  # hidden units between a patch's statistics and what a teacher says of it


def _convolution(
    inputs: int, outputs: int, norm: str, step: tuple[int, int] = (1, 1)
) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.ReLU(), nn.BatchNorm2d(outputs)]
    if norm == "before":
        layers.reverse()
    size = 2 * step[0] + 1, 2 * step[1] + 1
    convolution = nn.Conv2d(inputs, outputs, size, step, padding=step, bias=norm == "after")
    return [convolution, *layers]


class Encoder(nn.Module):
    """Log-mels (batch, frames, mels) to a latent (batch, channels, time, mel)."""

    def __init__(self, config: NetworkConfig, mels: int):
        super().__init__()
        self.stem = config.stem
        # Over mel bands: each band is standardised by its own mean and deviation.
        self.standardise = nn.BatchNorm1d(mels, affine=False)
        layers: list[nn.Module] = []
        channels = 1
        for block in config.blocks:
            if block.strided:
                layers += _convolution(channels, block.channels, config.norm, block.pool)
                channels = block.channels
            else:
                for _ in range(block.convolutions):
                    layers += _convolution(channels, block.channels, config.norm)
                    channels = block.channels
                if max(block.pool) > 1:
                    layers.append(nn.MaxPool2d(block.pool))
            if config.dropout:
                layers.append(nn.Dropout(config.dropout))
        self.layers = nn.Sequential(*layers)
        self.channels = channels
        self.time_pool = config.stem * math.prod(block.pool[0] for block in config.blocks)
        self.latent_mels = mels // math.prod(block.pool[1] for block in config.blocks)

    def standardised(self, frames: Tensor) -> Tensor:
        """Standardise each band and average by the stem, to (batch, 1, time, mels)."""
        bands: Tensor = self.standardise(frames.transpose(1, 2))
        if self.stem > 1:
            bands = F.avg_pool1d(bands, self.stem)
        return bands.transpose(1, 2).unsqueeze(1)

    def forward(self, frames: Tensor) -> Tensor:
        """Encode clean log-mels."""
        latent: Tensor = self.layers(self.standardised(frames))
        return latent

    def reach(self, config: NetworkConfig) -> int:
        """Frames before or after its own that a latent step may depend on."""
        scale, reach = config.stem, 0
        for block in config.blocks:
            reach += (block.pool[0] if block.strided else block.convolutions) * scale
            scale *= block.pool[0]
        return reach


class Decoder(nn.Module):
    """The encoder's mirror: nearest up-sampling in place of pooling, then convolutions."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        layers: list[nn.Module] = []
        widths = [1, *(block.channels for block in config.blocks)]
        for block, (below, width) in reversed(
            list(zip(config.blocks, pairwise(widths), strict=True))
        ):
            if max(block.pool) > 1:
                layers.append(nn.Upsample(scale_factor=block.pool, mode="nearest"))
            for step in range(block.convolutions, 0, -1):
                last = step == 1
                if last and below == 1:
                    layers.append(nn.Conv2d(width, 1, 3, padding=1))
                else:
                    layers += _convolution(width, below if last else width, config.norm)
        self.layers = nn.Sequential(*layers)

    def forward(self, latent: Tensor) -> Tensor:
        """Decode to standardised log-mels, (batch, 1, time, mels)."""
        decoded: Tensor = self.layers(latent)
        return decoded


class _Flatten(nn.Module):
    """The latent of one row as one vector."""

    def __init__(self, encoder: Encoder, frames_per_row: int):
        super().__init__()
        steps = frames_per_row // encoder.time_pool
        self.width = encoder.channels * steps * encoder.latent_mels

    def forward(self, latent: Tensor) -> Tensor:
        return latent.flatten(1).unsqueeze(1)


class _Statistics(nn.Module):
    """Mean, deviation and maximum over a row and `context` rows on either side of it."""

    def __init__(self, encoder: Encoder, frames_per_row: int, context: int):
        super().__init__()
        if frames_per_row % encoder.time_pool:
            raise ValueError(
                f"{frames_per_row} frames a row are not divisible by pooling {encoder.time_pool}"
            )
        self.steps = frames_per_row // encoder.time_pool
        self.context = context
        self.width = 4 * encoder.channels * encoder.latent_mels

    def forward(self, latent: Tensor) -> Tensor:
        series, pad = _series(latent), self.steps * self.context
        wide = _statistics(series, self.steps + 2 * pad, self.steps, pad)
        local = F.avg_pool1d(series, self.steps)
        return torch.cat([*wide, local], 1).transpose(1, 2)


def _series(latent: Tensor) -> Tensor:
    """The latent as series over time, (batch, channels times mel, time).

    What is left of the mel axis stays apart: register tells emotions from each other.
    """
    return latent.transpose(2, 3).flatten(1, 2).float()


def _statistics(series: Tensor, size: int, step: int, pad: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, deviation and maximum of every window, at the ends of what there is of it."""

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool1d(values, size, step, pad, count_include_pad=False)

    centre = mean(series)
    deviation = (mean(series**2) - centre**2).clamp_min(1e-5).sqrt()
    return centre, deviation, F.max_pool1d(series, size, step, pad)


class _Copy(nn.Module):
    """What a teacher says of patches of a few seconds, from the statistics of each alone.

    It has neither the dropout nor the wide context of the heads: a teacher's values are many, and
    right, so there is much to learn from them and little to be wary of.
    """

    def __init__(self, encoder: Encoder, frames_per_row: int, width: int):
        super().__init__()
        self.row = frames_per_row // encoder.time_pool
        self.steps = max(1, round(PATCH * self.row))
        inputs = 3 * encoder.channels * encoder.latent_mels
        self.layers = nn.Sequential(
            nn.BatchNorm1d(inputs), nn.Linear(inputs, _COPY), nn.ReLU(), nn.Linear(_COPY, width)
        )

    def forward(self, latent: Tensor, begins: Tensor, there: Tensor) -> Tensor:
        """Values (patches, width) of those patches that are `there`.

        Args:
            latent: of crops.
            begins: of patches in each, in seconds, shape (crops, patches).
            there: which of them to speak of, of the same shape.
        """
        series, last = _series(latent), latent.shape[2] - self.steps
        crops, first = there.nonzero()[:, 0], (begins[there] * self.row).round().long()
        steps = first.clamp(0, last)[:, None] + torch.arange(self.steps, device=first.device)
        patches = series.transpose(1, 2)[crops[:, None], steps].transpose(1, 2)
        pooled = torch.cat(_statistics(patches, self.steps, self.steps, 0), 1)
        values: Tensor = self.layers(pooled.flatten(1))
        return values

    def hidden(self, latent: Tensor, context: int) -> Tensor:
        """Hidden units (batch, rows, units) of the patch around each row.

        They are averaged over `context` rows on either side.
        """
        pad = (self.steps - self.row) // 2
        pooled = torch.cat(_statistics(_series(latent), self.steps, self.row, pad), 1)
        norm, dense, rectified, _ = self.layers
        units: Tensor = rectified(dense(norm(pooled).transpose(1, 2))).transpose(1, 2)
        size = 2 * context + 1
        return F.avg_pool1d(units, size, 1, context, count_include_pad=False).transpose(1, 2)


def _dense(widths: Sequence[int], dropout: float) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(dropout)]
    return layers


def _trunk(width: int, head: HeadConfig) -> nn.Sequential:
    return nn.Sequential(*_dense([width, *head.trunk], head.dropout))


def _heads(head: HeadConfig) -> nn.ModuleDict:
    widths = [head.trunk[-1], *head.branch]
    return nn.ModuleDict(
        {
            h.name: nn.Sequential(
                *_dense(widths, head.dropout), nn.Linear(widths[-1], len(h.classes))
            )
            for h in HEADS
        }
    )


def _said(heads: nn.ModuleDict, trunk: Tensor) -> tuple[Tensor, ...]:
    return tuple(heads[h.name](trunk).float() for h in HEADS)


class _LateExperts(nn.Module):
    """Experts that join a trained one, the gate between all of them, and an opinion on valence.

    They learn in a few epochs what to make of an encoder that is there, so what they read of it is
    standardised.
    """

    def __init__(self, width: int, head: HeadConfig):
        super().__init__()
        self.standardise = nn.BatchNorm1d(width, affine=False)
        self.gate = nn.Linear(width, head.experts)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)
        nn.init.constant_(self.gate.bias[:1], 4.0)  # until it has learned, the first is trusted
        late = range(1, head.experts)
        self.trunks = nn.ModuleList(_trunk(width, head) for _ in late)
        self.heads = nn.ModuleList(_heads(head) for _ in late)
        self.opinion = nn.Linear(width, 1) if head.opinion else None
        if self.opinion:
            nn.init.zeros_(self.opinion.weight)
            nn.init.zeros_(self.opinion.bias)

    def forward(self, pooled: Tensor) -> tuple[Tensor, list[tuple[Tensor, ...]], Tensor | None]:
        level = self.standardise(pooled.transpose(1, 2)).transpose(1, 2)
        pairs = zip(self.trunks, self.heads, strict=True)
        said = [_said(cast(nn.ModuleDict, heads), trunk(level)) for trunk, heads in pairs]
        return self.gate(level).float(), said, self.opinion(level).float() if self.opinion else None


@dataclass(frozen=True)
class Outputs:
    """All that a classifier says.

    Attributes:
        logits: one tensor of shape (batch, rows, classes) a head, in the order of `labels.HEADS`.
        extras: the auxiliary outputs by name, (batch, rows, width).
        latent: of the encoder.
        gate: logits of the experts, (batch, rows, experts); `None` where there is only one.
        opinion: on valence, (batch, rows, 1), 0 for none; `None` where no opinion is heard.
    """

    logits: tuple[Tensor, ...]
    extras: dict[str, Tensor]
    latent: Tensor
    gate: Tensor | None = None
    opinion: Tensor | None = None


class Classifier(nn.Module):
    """Encoder and heads: log-mels (batch, frames, mels) to logits (batch, rows, classes) a head.

    Several experts (Jacobs et al. 1991) read what was pooled, each with its own trunk and heads,
    and a gate says in each second how much to trust either. The first also hears an opinion on
    valence, learned from another network than its own valence is. `extras` are auxiliary outputs
    and their widths: words about the clip ("tags") share the first expert's trunk, while a copy of
    a teacher's values ("teacher") hears the latent. Where the copy is read, the first expert's
    probabilities are averaged with what is read there.
    """

    def __init__(
        self,
        config: NetworkConfig,
        mels: int,
        frames_per_row: int,
        extras: Mapping[str, int] | None = None,
    ):
        super().__init__()
        self.encoder = Encoder(config, mels)
        head: HeadConfig = config.head
        self.pool = (
            _Statistics(self.encoder, frames_per_row, head.context)
            if head.pooling == "statistics"
            else _Flatten(self.encoder, frames_per_row)
        )
        self.trunk, self.heads = _trunk(self.pool.width, head), _heads(head)
        self.late = _LateExperts(self.pool.width, head) if head.experts > 1 else None
        self.frames_per_row, self.wide = frames_per_row, head.context
        self.extras = nn.ModuleDict()
        self.copy: _Copy | None = None
        self.reading: nn.Linear | None = None
        for name, width in (extras or {}).items():
            if name == "teacher":
                self.open_copy(width)
            else:
                self.extras[name] = nn.Linear(head.trunk[-1], width)
        self.sway = head.opinion
        self.margin = math.ceil(self.encoder.reach(config) / frames_per_row)
        self.stands_alone = head.pooling == "flatten"

    @property
    def context(self) -> int:
        """Rows on either side that a row depends on, 0 where each row stands alone."""
        patch = 0 if self.reading is None else math.ceil(PATCH / 2 - 0.5)
        return 0 if self.stands_alone else self.wide + self.margin + patch

    def open_copy(self, width: int) -> None:
        """Add a copy of a teacher's `width` values, in place of any."""
        self.copy = _Copy(self.encoder, self.frames_per_row, width)

    def open_reading(self) -> nn.Linear:
        """Add what reads the copy, in place of any, and return it."""
        self.reading = nn.Linear(_COPY, sum(len(h.classes) for h in HEADS)).to(
            next(self.parameters()).device
        )
        return self.reading

    def heard(self, latent: Tensor) -> Tensor:
        """Hidden units of the copy, (batch, rows, units), as they are read."""
        assert self.copy is not None
        return self.copy.hidden(latent, self.wide)

    def outputs(self, frames: Tensor) -> Outputs:
        """Return logits with what only training needs."""
        latent = self.encoder(frames)
        pooled = self.pool(latent)
        trunk = self.trunk(pooled)
        extras = {name: layer(trunk).float() for name, layer in self.extras.items()}
        first = _said(self.heads, trunk)
        if self.reading is not None:
            read = self.reading(self.heard(latent)).float()
            first = _averaged(first, read.split([len(h.classes) for h in HEADS], -1))
        if self.late is None:
            return Outputs(first, extras, latent)
        gate, others, opinion = self.late(pooled)
        if opinion is not None:
            # Labels teach nothing of it: it is to stay another's.
            first = _swayed(first, self.sway * opinion.detach())
        logits = tuple(_mixed(gate, said) for said in zip(first, *others, strict=True))
        return Outputs(logits, extras, latent, gate, opinion)

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Logits of quadrant, arousal and valence, in the order of `labels.HEADS`."""
        return self.outputs(frames).logits


def _swayed(logits: Sequence[Tensor], log_odds: Tensor) -> tuple[Tensor, ...]:
    """Logits after an opinion on the log-odds of positive valence has been added to them."""
    positive = {QUADRANT: [signs_of(name)[1] for name in QUADRANT.classes], VALENCE: [False, True]}
    return tuple(
        rows + log_odds * (rows.new_tensor(positive[head]) - 0.5) if head in positive else rows
        for head, rows in zip(HEADS, logits, strict=True)
    )


def _averaged(logits: Sequence[Tensor], others: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Logarithms of the mean of the probabilities that two say."""
    return tuple(
        torch.logaddexp(one.log_softmax(-1), other.log_softmax(-1)) - math.log(2)
        for one, other in zip(logits, others, strict=True)
    )


def _mixed(gate: Tensor, logits: Sequence[Tensor]) -> Tensor:
    """Logarithm of the experts' probabilities, averaged as the gate weighs them."""
    said = torch.stack(tuple(logits), -1).log_softmax(-2)
    return (said + gate.log_softmax(-1).unsqueeze(-2)).logsumexp(-1)
