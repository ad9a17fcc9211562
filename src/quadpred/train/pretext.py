"""Pretext tasks of pre-training: modules whose output is the loss, around the encoder to train."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quadpred.train.network import Decoder, Encoder
from quadpred.train.recipe import ContrastConfig, NetworkConfig, Recipe, RecipeError

__all__ = ["Autoencoder", "ContrastiveCoder", "Objective", "TagClassifier", "objective_of"]


class Objective(nn.Module):
    """A network whose output is the loss of a batch of crops."""

    def __init__(self, config: NetworkConfig, mels: int):
        super().__init__()
        self.encoder = Encoder(config, mels)

    def forward(self, frames: Tensor, tags: Tensor) -> Tensor:
        """Loss, a scalar, of log-mels (batch, frames, mels) and their clips' tags (batch, tags)."""
        raise NotImplementedError


class Autoencoder(Objective):
    """Sparse convolutional autoencoder (SCAE): denoises standardised log-mels.

    As in the paper, the latent is over-complete; noise in the input prevents the identity.
    """

    def __init__(self, config: NetworkConfig, mels: int, noise: float):
        super().__init__(config, mels)
        self.decoder = Decoder(config)
        self.noise = noise

    def forward(self, frames: Tensor, tags: Tensor) -> Tensor:
        """Mean squared error of the reconstruction."""
        clean = self.encoder.standardised(frames)
        noisy = clean + self.noise * torch.randn_like(clean) if self.training else clean
        decoded = self.decoder(self.encoder.layers(noisy))
        # Pooling drops the last frames if their number is not a multiple of its factor.
        return F.mse_loss(decoded, clean[:, :, : decoded.shape[2]])


class ContrastiveCoder(Objective):
    """Contrastive predictive coding (CPC, van den Oord et al. 2018, arXiv:1807.03748) of rows.

    Each row is encoded separately, as are image patches in that paper: convolutions over the whole
    crop would include the rows to predict. A recurrent network summarises the rows so far. For each
    distance, a linear map predicts the row that many rows ahead. The negatives are all other rows
    of the batch, including those of the same crop.
    """

    def __init__(
        self, config: NetworkConfig, mels: int, frames_per_row: int, contrast: ContrastConfig
    ):
        super().__init__(config, mels)
        self.frames_per_row = frames_per_row
        self.embed = nn.Linear(_width(self.encoder), contrast.width)
        self.context = nn.GRU(contrast.width, contrast.context, batch_first=True)
        self.predictions = nn.ModuleList(
            nn.Linear(contrast.context, contrast.width) for _ in range(contrast.ahead)
        )

    def forward(self, frames: Tensor, tags: Tensor) -> Tensor:
        """InfoNCE loss, the mean over distances."""
        crops, _, mels = frames.shape
        rows = frames.reshape(-1, self.frames_per_row, mels)
        embedded = self.embed(_summary(self.encoder(rows)))
        embedded = embedded.reshape(crops, -1, self.embed.out_features)
        context, _ = self.context(embedded)
        losses = [
            _info_nce(predict(context[:, :-distance]), embedded[:, distance:])
            for distance, predict in enumerate(self.predictions, 1)
        ]
        return torch.stack(losses).mean()


class TagClassifier(Objective):
    """Classifies tags, such as acted emotions, by a linear layer on the latent's mean over time."""

    def __init__(self, config: NetworkConfig, mels: int, tags: int):
        super().__init__(config, mels)
        self.output = nn.Linear(_width(self.encoder), tags)

    def forward(self, frames: Tensor, tags: Tensor) -> Tensor:
        """Cross-entropy; the target of a clip is uniform over its tags."""
        target = tags / tags.sum(1, keepdim=True).clamp_min(1)
        logits: Tensor = self.output(_summary(self.encoder(frames)))
        return F.cross_entropy(logits.float(), target)


def objective_of(recipe: Recipe, tags: int) -> Objective:
    """Build the pretext task that a recipe names.

    Args:
        recipe: front end, network and pretext task.
        tags: size of the vocabulary of tags.

    Raises:
        RecipeError: crops are too short for the distances to predict.

    """
    config, mels = recipe.pretrain, recipe.features.mels
    match config.objective:
        case "scae":
            return Autoencoder(recipe.network, mels, config.noise)
        case "cpc":
            if config.crop <= config.contrast.ahead:
                raise RecipeError(
                    f"{recipe.name}: pretrain.crop ({config.crop}) must be larger than"
                    f" pretrain.contrast.ahead ({config.contrast.ahead})"
                )
            rows = recipe.features.frames_per_row
            return ContrastiveCoder(recipe.network, mels, rows, config.contrast)
        case "emotion":
            return TagClassifier(recipe.network, mels, tags)


def _width(encoder: Encoder) -> int:
    return encoder.channels * encoder.latent_mels


def _summary(latent: Tensor) -> Tensor:
    """Mean over time of a latent, shape (batch, channels times mel)."""
    return latent.mean(2).flatten(1)


def _info_nce(predicted: Tensor, actual: Tensor) -> Tensor:
    """Cross-entropy of each prediction's own row among all; both (crops, rows, width)."""
    predicted, actual = predicted.flatten(0, 1), actual.flatten(0, 1)
    scores = (predicted @ actual.T).float() / math.sqrt(predicted.shape[1])
    return F.cross_entropy(scores, torch.arange(len(scores), device=scores.device))
