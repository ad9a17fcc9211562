"""The networks: an encoder of log-mels, its mirror for pre-training, and the classifier of music.

Arrays are (batch, frames, values) outside, (batch, channels, time, mel) inside; the values of a
frame are its mel bands and, with some front ends, its chroma. Everything is convolutional over
time, so one network serves crops of any number of rows.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quadpred.features import PITCH_CLASSES, FeatureConfig
from quadpred.labels import HEADS, QUADRANT, signs_of
from quadpred.train.recipe import HeadConfig, NetworkConfig

__all__ = [
    "Classifier",
    "Decoder",
    "Encoder",
    "Link",
    "Outputs",
    "Tonality",
    "log_odds",
    "marginals",
    "mean_level",
    "shifted",
]


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
    """Frames (batch, frames, values) to a latent (batch, channels, time, mel), without chroma."""

    def __init__(self, config: NetworkConfig, mels: int):
        super().__init__()
        self.stem, self.mels = config.stem, mels
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
        bands: Tensor = self.standardise(frames[..., : self.mels].transpose(1, 2))
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
    """Convolutions over time, then mean, deviation and maximum over each row and its context."""

    def __init__(self, encoder: Encoder, frames_per_row: int, head: HeadConfig):
        super().__init__()
        if frames_per_row % encoder.time_pool:
            raise ValueError(
                f"{frames_per_row} frames per row are not divisible by pooling {encoder.time_pool}"
            )
        self.steps = frames_per_row // encoder.time_pool
        self.context = head.context
        widths = [encoder.channels * encoder.latent_mels, *head.temporal]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            convolution = nn.Conv1d(inputs, outputs, 3, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm1d(outputs), nn.ReLU()]
        self.temporal = nn.Sequential(*layers)
        self.width = 6 * widths[-1]

    def forward(self, latent: Tensor) -> Tensor:
        # The rest of the mel axis is flattened, not averaged: pitch range distinguishes emotions.
        series = self.temporal(latent.transpose(2, 3).flatten(1, 2)).float()
        pad = self.steps * self.context
        wide = _statistics(series, self.steps + 2 * pad, self.steps, pad)
        row = _statistics(series, self.steps, self.steps, 0)
        return torch.cat([*wide, *row], 1).transpose(1, 2)


def _statistics(series: Tensor, size: int, step: int, pad: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, deviation and maximum of every window; at the ends, of the part that exists."""

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool1d(values, size, step, pad, count_include_pad=False)

    centre = mean(series)
    deviation = (mean(series**2) - centre**2).clamp_min(1e-5).sqrt()
    return centre, deviation, F.max_pool1d(series, size, step, pad)


def _dense(widths: Sequence[int], dropout: float) -> list[nn.Module]:
    """Linear layers with ReLU; dropout before each but the first."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Dropout(dropout)] if layers else []
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return layers


class Link(nn.Module):
    """Scale and offset between log-odds of arousal and valence and the labels of each corpus.

    Corpus 0 is the reference: its labels are compared with the log-odds directly.

    Args:
        corpora: number of other corpora.
    """

    def __init__(self, corpora: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(corpora, 2))
        self.offset = nn.Parameter(torch.zeros(corpora, 2))

    def forward(self, log_odds: Tensor, corpora: Tensor) -> Tensor:
        """Link log-odds of shape (..., 2) to the labels of corpora given as indices (...)."""
        scale = torch.cat([self.scale.new_ones(1, 2), self.scale])
        offset = torch.cat([torch.zeros_like(scale[:1]), self.offset])
        return log_odds * scale[corpora] + offset[corpora]


# How well pitch classes fit a major and a minor key, from the tonic (Krumhansl and Kessler 1982).
_MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)


class Tonality(nn.Module):
    """Chroma to the key of each row and its context, as features that do not depend on the tonic.

    The shares of the pitch classes are averaged over a row and `context` rows on either side, and
    standardised. Their correlations with the profiles of the 24 keys give the best key.

    The features are the correlation with the best major key less that with the best minor key, the
    larger of the two, and the shares of the pitch classes from the tonic of the best key upwards.
    """

    width = 2 + PITCH_CLASSES
    keys: Tensor
    order: Tensor

    def __init__(self, frames_per_row: int, context: int):
        super().__init__()
        self.frames_per_row, self.context = frames_per_row, context
        profiles = torch.tensor([_MAJOR, _MINOR])
        keys = torch.stack(
            [profile.roll(tonic) for profile in profiles for tonic in range(PITCH_CLASSES)]
        )
        self.register_buffer("keys", _standardised(keys).T / PITCH_CLASSES, persistent=False)
        classes = torch.arange(PITCH_CLASSES)
        order = (classes[:, None] + classes) % PITCH_CLASSES  # from each tonic
        self.register_buffer("order", order, persistent=False)

    def forward(self, chroma: Tensor) -> Tensor:
        """Log energies (batch, frames, 12) to features (batch, rows, 14)."""
        shares = F.avg_pool1d(chroma.softmax(-1).transpose(1, 2), self.frames_per_row)
        size = 2 * self.context + 1
        shares = F.avg_pool1d(shares, size, 1, self.context, count_include_pad=False)
        classes = _standardised(shares.transpose(1, 2))
        keys = classes @ self.keys
        major, minor = (part.amax(-1) for part in keys.tensor_split(2, -1))
        tonic = keys.argmax(-1) % PITCH_CLASSES
        aligned = classes.gather(-1, self.order[tonic])
        clarity = torch.maximum(major, minor)
        return torch.cat([(major - minor)[..., None], clarity[..., None], aligned], -1)


def _standardised(values: Tensor) -> Tensor:
    """Subtract the mean of the last axis and divide by its deviation; equal values become 0."""
    centred = values - values.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True).sqrt() + 1e-4)


@dataclass(frozen=True)
class Outputs:
    """All outputs of a classifier.

    Attributes:
        logits: one tensor of shape (batch, rows, classes) per head, in the order of `labels.HEADS`.
        embedding: activations of the trunk, (batch, rows, width).
        student: estimate of the teacher's values, (batch, rows, values); `None` without a teacher.
    """

    logits: tuple[Tensor, ...]
    embedding: Tensor
    student: Tensor | None = None


class Classifier(nn.Module):
    """Encoder, trunk and heads: frames (batch, frames, values) to logits (batch, rows, classes).

    Args:
        config: sizes.
        features: the front end. With its chroma, a linear layer adds to the log-odds of valence
            what follows from the key (late fusion). Its weights are 0 until `fusion.fuse` sets it.
        teacher: number of the teacher's values that a linear distillation head estimates from the
            trunk (Hinton et al. 2015, arXiv:1503.02531; Romero et al. 2015, arXiv:1412.6550).
        corpora: number of corpora with a link of their own.
    """

    def __init__(
        self,
        config: NetworkConfig,
        features: FeatureConfig,
        teacher: int = 0,
        corpora: int = 0,
    ):
        super().__init__()
        head: HeadConfig = config.head
        frames_per_row = features.frames_per_row
        self.mels = features.mels
        self.encoder = Encoder(config, features.mels)
        self.single_row = head.pooling == "flatten"
        self.pool: nn.Module
        if self.single_row:
            self.pool = _Flatten(self.encoder, frames_per_row)
            self.standardise: nn.Module = nn.Identity()
        else:
            self.pool = _Statistics(self.encoder, frames_per_row, head)
            self.standardise = nn.BatchNorm1d(self.pool.width)
        self.trunk = nn.Sequential(*_dense([self.pool.width, *head.trunk], head.dropout))
        self.joint = head.joint
        self.heads = nn.ModuleDict(
            {
                h.name: nn.Sequential(
                    nn.Dropout(head.dropout),
                    *_dense([head.trunk[-1], *head.branch], head.dropout),
                    *([nn.Dropout(head.dropout)] if head.branch else []),
                    nn.Linear([head.trunk[-1], *head.branch][-1], len(h.classes)),
                )
                for h in (HEADS[:1] if head.joint else HEADS)
            }
        )
        self.distillation = nn.Linear(head.trunk[-1], teacher) if teacher else None
        self.link = Link(corpora)
        self.tonality: Tonality | None = None
        if features.chroma:
            if not head.joint:
                raise ValueError("chroma needs joint heads")
            self.tonality = Tonality(frames_per_row, config.level)
            self.fusion = nn.Linear(Tonality.width, 1)
            nn.init.zeros_(self.fusion.weight)
            nn.init.zeros_(self.fusion.bias)
        self.level, self.frames_per_row = config.level, frames_per_row
        reach = self.encoder.reach(config) + len(head.temporal) * self.encoder.time_pool
        self.receptive_field = math.ceil(reach / frames_per_row)
        self.context_rows = 0 if self.single_row else head.context

    @property
    def context(self) -> int:
        """Rows on either side that a row depends on; 0 if each depends on itself only."""
        if self.single_row:
            return 0
        return self.context_rows + self.receptive_field + self.level

    def outputs(self, frames: Tensor) -> Outputs:
        """Return all outputs for frames from whose log-mels the level has been subtracted."""
        pooled = self.pool(self.encoder(frames))
        pooled = self.standardise(pooled.transpose(1, 2)).transpose(1, 2)
        trunk: Tensor = self.trunk(pooled)
        student = self.distillation(trunk).float() if self.distillation else None
        logits = tuple(head(trunk).float() for head in self.heads.values())
        if self.tonality:
            shift = self.fusion(self.tonality(frames[..., self.mels :]))
            logits = (shifted(logits[0], shift),)
        return Outputs(marginals(logits[0]) if self.joint else logits, trunk, student)

    def levelled(self, frames: Tensor) -> Tensor:
        """Subtract the mean level of the context from the log-mels of frames."""
        mels, chroma = frames[..., : self.mels], frames[..., self.mels :]
        mels = mels - mean_level(mels, self.level * self.frames_per_row)
        return torch.cat([mels, chroma], -1) if self.tonality else mels

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Logits of quadrant, arousal and valence, in the order of `labels.HEADS`."""
        return self.outputs(self.levelled(frames)).logits


def mean_level(frames: Tensor, radius: int) -> Tensor:
    """Mean log-mel over all bands and `radius` frames on either side, (batch, frames, 1).

    With a radius of 0 it is 0, and levels stay absolute.
    """
    if not radius:
        return torch.zeros_like(frames[:, :, :1])
    level = frames.mean(2).unsqueeze(1)
    size = 2 * radius + 1
    return F.avg_pool1d(level, size, 1, radius, count_include_pad=False).transpose(1, 2)


def shifted(quadrant: Tensor, shift: Tensor) -> Tensor:
    """Add (..., 1) to the log-odds of valence, in the logits of the quadrants (..., 4)."""
    positive = [float(signs_of(name)[1]) for name in QUADRANT.classes]
    return quadrant + shift * quadrant.new_tensor(positive)


def log_odds(logits: Sequence[Tensor]) -> Tensor:
    """Log-odds of positive arousal and valence, (batch, rows, 2), from the heads' logits."""
    return torch.stack([rows[..., 1] - rows[..., 0] for rows in logits[1:]], -1)


def marginals(quadrant: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities of quadrants, arousal and valence from the logits of the quadrants."""
    joint = quadrant.log_softmax(-1)
    signs = [signs_of(name) for name in QUADRANT.classes]
    marginals = [
        torch.stack(
            [
                joint[..., [k for k, sign in enumerate(signs) if sign[axis] == positive]].logsumexp(
                    -1
                )
                for positive in (False, True)
            ],
            -1,
        )
        for axis in (0, 1)
    ]
    return joint, marginals[0], marginals[1]
