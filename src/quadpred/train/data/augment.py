"""Changes to log-mels that leave the perceived emotion alone."""

import numpy as np
import torch
from torch import Tensor

from quadpred.train.recipe import AugmentConfig

__all__ = ["augment"]


def augment(frames: Tensor, config: AugmentConfig, silence: float, rng: torch.Generator) -> Tensor:
    """Change gain, tilt and bandwidth of each crop, and mask ranges of time and bands.

    `silence` is the log-mel of digital silence, below which no value falls. `rng` is a generator of
    the CPU, so a seed gives the same changes on every device.
    """
    crops, steps, mels = frames.shape

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=rng).to(frames.device)

    nepers = np.log(10) / 20
    bands = torch.arange(mels, device=frames.device)
    change = (2 * uniform(crops, 1, 1) - 1) * config.gain
    change = change + (2 * uniform(crops, 1, 1) - 1) * config.tilt * (bands / (mels - 1) - 0.5)
    if config.band_limit:
        # As by a codec, a telephone or a small loudspeaker: attenuation grows above one band or
        # below another, gently or steeply.
        steepness = 10 ** (2 * uniform(crops, 1, 1) - 0.3)  # dB per band
        for outside, farthest in ((bands + 1 - mels, 0.5), (-bands, 0.25)):
            limited = uniform(crops, 1, 1) < config.band_limit
            moved = limited * farthest * mels * uniform(crops, 1, 1)
            change = change - steepness * (outside + moved).clamp_min(0)
    frames = (frames + nepers * change).clamp_min(silence)
    floor = frames.mean((1, 2), keepdim=True)
    for _ in range(config.masks):
        for axis, size, longest in ((1, steps, steps // 6), (2, mels, mels // 8)):
            width = uniform(crops, 1, 1) * longest
            start = uniform(crops, 1, 1) * (size - width)
            places = torch.arange(size, device=frames.device).view(
                [1, -1, 1] if axis == 1 else [1, 1, -1]
            )
            frames = torch.where((places >= start) & (places < start + width), floor, frames)
    return frames
