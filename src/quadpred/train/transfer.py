"""Stage two: the speech encoder, with new heads, learns the emotion of music."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from quadpred.labels import HEADS
from quadpred.train.corpora import Manifest, ManifestError
from quadpred.train.dataset import (
    CropSampler,
    LogMels,
    Targets,
    augment,
    mix,
    tag_vocabulary,
    teacher_values,
)
from quadpred.train.encoders import describe, start_weights
from quadpred.train.loop import Run, RunError, Stage, autocast, device, fit, placed, progress_bar
from quadpred.train.network import Classifier
from quadpred.train.recipe import Recipe

EXTRA_LOSSES = {
    "tags": partial(F.binary_cross_entropy_with_logits, reduction="none"),
    "teacher": partial(F.smooth_l1_loss, reduction="none"),
}

__all__ = ["clip_logits", "load_classifier", "transfer"]


def transfer(
    recipe: Recipe,
    manifests: Sequence[Manifest],
    folder: Path,
    *,
    start: Path | None = None,
    validation: Sequence[str] = (),
    test: Sequence[str] = (),
    cache: Path | None = None,
) -> None:
    """Fine-tune on music into a run's folder; continues a run that was interrupted.

    Args:
        recipe: front end, network and schedule.
        manifests: labelled music; clips without a quadrant serve the auxiliary targets alone.
        folder: of the run.
        start: what to start from: the run or the file (`.npz`) of a pre-trained encoder, or the run
            of a whole classifier, whose heads are then kept; without one the network starts from
            random weights.
        validation: splits to validate on after every epoch.
        test: splits kept apart for `evaluate`.
        cache: folder of computed log-mels.

    Raises:
        AudioError: a recording that cannot be read.
        ManifestError: fewer than two quadrants to learn from.
        RunError: `folder` holds another run, or `start` no finished one that fits the recipe.

    """
    origin = describe(start) if start else None
    asked = {
        "kind": "transfer",
        "recipe": asdict(recipe),
        "corpora": [asdict(manifest.sheet) for manifest in manifests],
        "validation": list(validation),
        "test": list(test),
        "start": origin,
    }
    run = Run(folder, asked)
    if run.finished:
        return
    config = recipe.transfer
    teacher = teacher_values(manifests) if config.teacher else {}
    clips = [
        clip
        for manifest in manifests
        for clip in manifest.without([*validation, *test])
        if clip.quadrant or clip.path in teacher
    ]
    kept = [c for manifest in manifests for c in manifest.subset(validation) if c.quadrant]
    if len({clip.quadrant for clip in clips} - {""}) < 2:
        raise ManifestError(f"{manifests[0].sheet.name}: fewer than two quadrants to learn from")
    vocabulary = tag_vocabulary(clips) if config.tags else ()
    targets = Targets.of(clips, vocabulary, teacher)
    weights = [_balanced(head) for head in targets.heads]
    log_mels = LogMels(recipe.features, cache)
    with progress_bar() as bar:
        task = bar.add_task("log-mels", total=len(clips) + len(kept), note="")
        train = CropSampler(
            log_mels.load(clips, lambda: bar.advance(task)),
            recipe.features.frames_per_row * config.crop,
            config.batch,
            config.coverage,
        )
        held = log_mels.load(kept, lambda: bar.advance(task))
    torch.manual_seed(recipe.seed)
    widths = {name: rows.shape[1] for name, rows in targets.extras.items()}
    model = _classifier(recipe, widths)
    if start:
        _begin_from(model, start)
    model = placed(model)
    extra_weights = {"tags": config.tags, "teacher": config.teacher}

    def losses(position: tuple[int, int]) -> Iterator[Tensor]:
        seed = (recipe.seed, *position)
        rng = np.random.default_rng([*seed, 1])
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        for batch in train.epoch(seed):
            wanted = targets[batch.clips]
            frames = augment(batch.frames, config.augment, recipe.features.silence, generator)
            if config.augment.mixup:
                frames, wanted = mix(frames, wanted, config.augment.mixup, rng)
            with autocast(recipe.precision):
                trunk = model.shared(frames.to(device()))
                logits = [model.heads[head.name](trunk) for head in HEADS]
                extras = {name: layer(trunk) for name, layer in model.extras.items()}
            loss = torch.stack(
                [
                    _cross_entropy(rows, target.to(device()), weight)
                    for rows, target, weight in zip(logits, wanted.heads, weights, strict=True)
                ]
            ).sum()
            for name, rows in extras.items():
                # These describe the clip as a whole, so it is the crop's mean that answers.
                said, truth = rows.float().mean(1), wanted.extras[name].to(device())
                known = wanted.known[name].to(device())
                loss = loss + extra_weights[name] * (EXTRA_LOSSES[name](said, truth) * known).mean()
            yield loss

    def validate(candidate: torch.nn.Module) -> dict[str, float]:
        assert isinstance(candidate, Classifier)
        wanted = Targets.of(kept)
        scores = {"loss": 0.0}
        logits = [clip_logits(candidate, frames, recipe) for frames in held]
        for index, head in enumerate(HEADS):
            rows = [clip[index].log_softmax(-1).mean(0) for clip in logits]
            truth = wanted.heads[index].argmax(1)
            scores["loss"] += F.nll_loss(torch.stack(rows), truth).item()
            guesses = torch.stack([clip[index].softmax(-1).mean(0) for clip in logits]).argmax(1)
            scores[f"{head.name}_accuracy"] = (guesses == truth).float().mean().item()
        return scores

    encoder = set(model.encoder.parameters())
    fit(
        run,
        model,
        [
            Stage(
                "frozen" if stage.frozen else "full",
                stage.epochs,
                stage.learning_rate,
                stage.schedule,
                tuple(p for p in model.parameters() if not stage.frozen or p not in encoder),
                config.weight_decay,
            )
            for stage in config.stages
        ],
        steps=len(train),
        losses=losses,
        validate=validate if held else None,
        keep=config.keep,
        seed=recipe.seed,
    )
    run.finish({"classifier": model.state_dict(), "extras": widths})


def load_classifier(folder: Path) -> tuple[Classifier, Recipe]:
    """Return a finished transfer run's network, in evaluation mode, and its recipe.

    Raises:
        RunError: the folder holds no finished transfer.

    """
    described = Run.describe(folder)
    if described["kind"] != "transfer":
        raise RunError(f"{folder}: holds an encoder, not a model of music")
    recipe = Recipe.from_dict(described["recipe"], str(folder))
    saved = Run.result(folder)
    model = _classifier(recipe, saved["extras"])
    model.load_state_dict(saved["classifier"])
    return model.eval(), recipe


def clip_logits(
    model: Classifier, frames: np.ndarray[Any, np.dtype[np.float16]], recipe: Recipe
) -> tuple[Tensor, ...]:
    """Logits of every whole second of a clip, shape (rows, classes) a head."""
    features = recipe.features
    rows = max(1, len(frames) // features.frames_per_row)
    whole = np.pad(frames, ((0, max(0, features.frames_per_row - len(frames))), (0, 0)), "edge")
    size = features.frames_per_row
    if model.context:
        windows = whole[None, : rows * size]
    else:
        starts = [min(features.row_start(k), len(whole) - size) for k in range(rows)]
        windows = np.stack([whole[start : start + size] for start in starts])
    place = next(model.parameters()).device
    with torch.inference_mode():
        logits = model(torch.from_numpy(windows.astype(np.float32)).to(place))
    return tuple(head.flatten(0, 1).float().cpu() for head in logits)


def _classifier(recipe: Recipe, extras: Mapping[str, int]) -> Classifier:
    features = recipe.features
    return Classifier(recipe.network, features.mels, features.frames_per_row, extras)


def _begin_from(model: Classifier, start: Path) -> None:
    saved = start_weights(start)
    try:
        if "encoder" in saved:
            model.encoder.load_state_dict(saved["encoder"])
        else:
            own = {k: v for k, v in model.state_dict().items() if k.startswith("extras.")}
            kept = {k: v for k, v in saved["classifier"].items() if not k.startswith("extras.")}
            model.load_state_dict(kept | own)
    except RuntimeError:
        raise RunError(f"{start}: its network is not the recipe's") from None


def _balanced(one_hot: Tensor) -> Tensor:
    """Weights inverse to the classes' frequency, 1 on average over the labelled clips."""
    counts = one_hot.sum(0)
    return counts.sum() / (counts.clamp_min(1) * (counts > 0).sum())


def _cross_entropy(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of every row against its clip's target, weighed by class."""
    log_probabilities = logits.float().log_softmax(-1).mean(1)
    return -(log_probabilities * target * weight.to(target.device)).sum(1).mean()
