"""The networks: an encoder of log-mels, its mirror for pre-training, and the heads for music.

Arrays are (batch, frames, mels) outside, (batch, channels, time, mel) inside. Everything is
convolutional over time, so one network serves crops of any number of rows.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quadpred.labels import HEADS
from quadpred.train.recipe import HeadConfig, NetworkConfig

__all__ = ["Classifier", "Decoder", "Encoder"]


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
        # What is left of the mel axis stays apart: register tells emotions from each other.
        series = latent.transpose(2, 3).flatten(1, 2).float()
        steps, pad = self.steps, self.steps * self.context
        size = steps + 2 * pad

        def mean(values: Tensor) -> Tensor:
            return F.avg_pool1d(values, size, steps, pad, count_include_pad=False)

        centre = mean(series)
        deviation = (mean(series**2) - centre**2).clamp_min(1e-5).sqrt()
        peak = F.max_pool1d(series, size, steps, pad)
        local = F.avg_pool1d(series, steps)
        return torch.cat([centre, deviation, peak, local], 1).transpose(1, 2)


def _dense(widths: Sequence[int], dropout: float) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(dropout)]
    return layers


class Classifier(nn.Module):
    """Encoder and heads: log-mels (batch, frames, mels) to logits (batch, rows, classes) a head.

    `extras` are further outputs and their widths (words about the clip, a teacher's values); they
    share the trunk while training and are left behind at export.
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
        self.trunk = nn.Sequential(*_dense([self.pool.width, *head.trunk], head.dropout))
        widths = [head.trunk[-1], *head.branch]
        self.heads = nn.ModuleDict(
            {
                h.name: nn.Sequential(
                    *_dense(widths, head.dropout), nn.Linear(widths[-1], len(h.classes))
                )
                for h in HEADS
            }
        )
        self.extras = nn.ModuleDict(
            {name: nn.Linear(head.trunk[-1], width) for name, width in (extras or {}).items()}
        )
        margin = math.ceil(self.encoder.reach(config) / frames_per_row)
        self.context = head.context + margin if head.pooling == "statistics" else 0
        """Rows on either side that a row depends on, 0 where each row stands alone."""

    def shared(self, frames: Tensor) -> Tensor:
        """Return the trunk's output, shape (batch, rows, width)."""
        trunk: Tensor = self.trunk(self.pool(self.encoder(frames)))
        return trunk

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Logits of quadrant, arousal and valence, in the order of `labels.HEADS`."""
        trunk = self.shared(frames)
        return tuple(self.heads[h.name](trunk) for h in HEADS)
