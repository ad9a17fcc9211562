"""Stage two: the speech encoder, with a new trunk and heads, is fine-tuned on music."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from quadpred.files import digest_of
from quadpred.labels import HEADS
from quadpred.train.corpora import Clip, Manifest, ManifestError, check_clips, check_splits
from quadpred.train.data.assembly import Example, TrainingSet, examples_of
from quadpred.train.data.augment import augment
from quadpred.train.data.log_mels import Frames, Half, LogMels, Stored
from quadpred.train.data.noise import noises
from quadpred.train.data.sampling import Batch, CropSampler, PieceSampler
from quadpred.train.data.targets import Targets
from quadpred.train.encoders import describe, start_weights
from quadpred.train.inference import clip_logits
from quadpred.train.loop import Stage, Trainer, device, placed, progress_bar
from quadpred.train.losses import MultiTaskLoss
from quadpred.train.network import Classifier, mean_level
from quadpred.train.recipe import Recipe, TransferConfig
from quadpred.train.run import Run, RunError

OUTLIER_RATIO = 8  # crops of music per crop of an outlier
NOISES = 40, 20.0  # number of clips of noise, and their length in seconds

__all__ = ["transfer"]


def transfer(
    recipe: Recipe,
    manifests: Sequence[Manifest],
    folder: Path,
    *,
    outliers: Sequence[Manifest] = (),
    start: Path | None = None,
    validation: Sequence[str] = (),
    test: Sequence[str] = (),
    cache: Path | None = None,
) -> None:
    """Fine-tune on music into a run's folder; continues a run that was interrupted.

    Args:
        recipe: front end, network and schedule.
        manifests: music; clips without labels serve distillation alone.
        folder: of the run.
        outliers: recordings that are not music, added to generated noise, for outlier exposure.
        start: initial weights: the run or the file of a pre-trained encoder, or the run of a
            classifier; without one they are random.
        validation: splits to validate on after every epoch.
        test: splits kept apart for `evaluate`.
        cache: folder of computed log-mels.

    Raises:
        AudioError: a recording cannot be read.
        ManifestError: no manifest has one of the splits; two have the same recording; there are
            neither two quadrants, nor ratings, nor a teacher to learn from; or an archive is not
            what its data sheet says.
        OSError: a recording is missing.
        RunError: `folder` holds another run, or `start` no finished one that fits the recipe.

    """
    config, features = recipe.transfer, recipe.features
    check_clips(manifests)
    check_splits(manifests, [*validation, *test])
    examples = examples_of(config, manifests, [*validation, *test])
    _check(examples, manifests)
    held = [c for manifest in manifests for c in manifest.subset(validation) if c.quadrant]
    noise_clips = [c for manifest in outliers for c in manifest.clips] if config.outliers else []
    digests = [example.digest() for example in examples]
    digests += [clip.digest() for clip in (*held, *noise_clips)]
    run = Run(
        folder,
        {
            "kind": "transfer",
            "recipe": asdict(recipe),
            "corpora": [asdict(manifest.sheet) for manifest in manifests],
            "outliers": [asdict(manifest.sheet) for manifest in outliers],
            "validation": list(validation),
            "test": list(test),
            "start": describe(start) if start else None,
            "data": digest_of(digests, 16),
            "trained_on": sorted(e.clip.checksum() for e in examples),
        },
    )
    if run.finished:
        return
    log_mels = LogMels(features, cache)
    with progress_bar() as bar:
        total = len(examples) + len(held) + len(noise_clips)
        task = bar.add_task("log-mels", total=total, note="")

        def load(clips: Sequence[Clip]) -> list[Stored]:
            return log_mels.load(clips, lambda: bar.advance(task))

        frames = load([example.clip for example in examples])
        held_frames, outlier_frames = load(held), load(noise_clips)
    crop = features.frames_per_row * config.crop
    training = TrainingSet(examples, features.frames_per_row)
    crops = _Crops(recipe, frames, crop, examples, outlier_frames)
    sizes = {"teacher": training.teacher_width, "corpora": training.corpora}
    torch.manual_seed(recipe.seed)
    model = Classifier(recipe.network, features, **sizes)
    if start:
        _begin_from(model, start)
    model = placed(model)
    loss = MultiTaskLoss(recipe, training)

    def losses(position: tuple[int, int]) -> Iterator[Tensor]:
        for clips, pieces, inputs in crops.epoch((recipe.seed, *position)):
            yield loss(model, inputs, clips, pieces)

    trainer = Trainer(
        run,
        model,
        steps=len(crops),
        losses=losses,
        validate=_validation(held, held_frames, recipe) if held else None,
        keep=config.keep,
        seed=recipe.seed,
    )
    trainer.fit(_stages(config, model))
    run.finish({"classifier": model.state_dict(), "sizes": sizes})


def _stages(config: TransferConfig, model: Classifier) -> list[Stage]:
    """Return the stages; those named "frozen" leave the encoder's weights as they are."""
    return [
        Stage(
            "frozen" if stage.frozen else "full",
            stage.epochs,
            stage.learning_rate,
            stage.schedule,
            tuple(
                weight
                for name, weight in model.named_parameters()
                if not (stage.frozen and name.startswith("encoder."))
            ),
            config.weight_decay,
        )
        for stage in config.stages
    ]


class _Crops:
    """Augmented crops of music, of pieces with dynamics, and of outliers, batch by batch."""

    def __init__(
        self,
        recipe: Recipe,
        frames: Sequence[Frames],
        crop: int,
        examples: Sequence[Example],
        outliers: Sequence[Frames],
    ):
        config, features = recipe.transfer, recipe.features
        self.recipe = recipe
        self.level = recipe.network.level * features.frames_per_row
        coverage = [example.corpus.coverage for example in examples]
        self.music = CropSampler(frames, crop, config.batch, coverage)
        self.pieces = [n for n, e in enumerate(examples) if e.dynamics is not None]
        self.runs = PieceSampler(
            [frames[n] for n in self.pieces], crop, config.dynamics.run, features.frames_per_row
        )
        self.outliers: CropSampler | None = None
        if config.outliers:
            clips = [*outliers, *noises(features, *NOISES, seed=recipe.seed)]
            few = max(1, config.batch // OUTLIER_RATIO)
            coverage_of_outliers = crop * few * len(self.music) / sum(map(len, clips))
            self.outliers = CropSampler(clips, crop, few, coverage_of_outliers)
        # Levels are subtracted as over the whole clip, of which a crop is a part.
        mels = features.mels
        self.levels = [_level(clip[:][:, :mels], self.level) for clip in self.music.clips]
        self.outlier_levels = [
            _level(clip[:][:, :mels], self.level)
            for clip in (self.outliers.clips if self.outliers else [])
        ]

    def __len__(self) -> int:
        return len(self.music)

    def epoch(self, seed: tuple[int, ...]) -> Iterator[tuple[Batch, Batch | None, Tensor]]:
        """Yield where the crops are from, those of music and of a piece, and all as input."""
        rng = np.random.default_rng([*seed, 1])
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        outliers = self.outliers.epoch([*seed, 2]) if self.outliers else repeat(None)
        runs = self.runs.forever([*seed, 3]) if self.pieces else repeat(None)
        for clips, run, other in zip(self.music.epoch(seed), runs, outliers, strict=False):
            parts = [(clips.frames, self._levels(self.levels, clips))]
            pieces = None
            if run is not None:
                numbers = torch.tensor(self.pieces)[run.clips]
                pieces = Batch(run.frames, numbers, run.starts)
                parts.append((pieces.frames, self._levels(self.levels, pieces)))
            if other is not None:
                parts.append((other.frames, self._levels(self.outlier_levels, other)))
            frames, level = (torch.cat(part).to(device()) for part in zip(*parts, strict=True))
            log_mels, chroma = frames.tensor_split([self.recipe.features.mels], -1)
            changed = augment(
                log_mels, self.recipe.transfer.augment, self.recipe.features.silence, generator
            )
            if self.level:
                level = level + (changed - log_mels).mean((1, 2), keepdim=True)
            yield clips, pieces, torch.cat([changed - level, chroma], -1)

    def _levels(self, levels: Sequence[Tensor], batch: Batch) -> Tensor:
        pairs = zip(batch.clips.tolist(), batch.starts.tolist(), strict=True)
        return torch.stack([levels[n][start : start + self.music.crop] for n, start in pairs])


def _level(frames: Half, radius: int) -> Tensor:
    """Mean level around every frame of a clip, (frames, 1)."""
    bands = torch.from_numpy(frames.mean(1, dtype=np.float32)).view(1, -1, 1)
    return mean_level(bands, radius)[0]


def _check(examples: Sequence[Example], manifests: Sequence[Manifest]) -> None:
    quadrants = {example.clip.quadrant for example in examples} - {""}
    other = any(e.teacher is not None or (e.labelled and not e.clip.quadrant) for e in examples)
    if len(quadrants) == 1 or not (quadrants or other):
        raise ManifestError(f"{manifests[0].sheet.name}: needs clips of two quadrants to train on")


def _validation(held: Sequence[Clip], frames: Sequence[Frames], recipe: Recipe) -> Any:
    """Return a function from a model to its loss and accuracies on the `held` clips."""
    targets = Targets.of(held)

    def validate(candidate: torch.nn.Module) -> dict[str, float]:
        assert isinstance(candidate, Classifier)
        scores = {"loss": 0.0}
        logits = [clip_logits(candidate, clip, recipe) for clip in frames]
        for index, head in enumerate(HEADS):
            rows = [clip[index].log_softmax(-1).mean(0) for clip in logits]
            truth = targets.heads[index].argmax(1)
            scores["loss"] += F.nll_loss(torch.stack(rows), truth).item()
            guesses = torch.stack([clip[index].softmax(-1).mean(0) for clip in logits]).argmax(1)
            scores[f"{head.name}_accuracy"] = (guesses == truth).float().mean().item()
        return scores

    return validate


def _begin_from(model: Classifier, start: Path) -> None:
    """Load the weights of a start; the classifier's corpora and teacher may be others."""
    saved = start_weights(start)
    try:
        if "encoder" in saved:
            model.encoder.load_state_dict(saved["encoder"])
            return
        own = model.state_dict()
        state: Mapping[str, Tensor] = saved["classifier"]
        other = {
            name
            for name in own
            if name.startswith(("distillation.", "link."))
            and (name not in state or state[name].shape != own[name].shape)
        }
        shared = {k: v for k, v in state.items() if k in own and k not in other}
        model.load_state_dict({name: own[name] for name in other} | shared)
    except RuntimeError:
        raise RunError(
            f"{start}: its network differs from the recipe's; choose its recipe with --recipe"
        ) from None
