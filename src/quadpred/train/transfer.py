"""Stage two: the speech encoder, with new heads, learns the emotion of music."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from quadpred.labels import HEADS
from quadpred.train.corpora import Clip, Manifest, ManifestError
from quadpred.train.dataset import CropSampler, LogMels, Targets, augment, mix, tag_vocabulary
from quadpred.train.loop import Run, RunError, Stage, autocast, device, fit, progress_bar
from quadpred.train.network import Classifier
from quadpred.train.recipe import Recipe

__all__ = ["clip_logits", "load_classifier", "transfer"]


def transfer(
    recipe: Recipe,
    manifest: Manifest,
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
        manifest: labelled music.
        folder: of the run.
        start: a run to start from: a pre-trained encoder, or a whole classifier, whose heads are
            then kept; without one the network starts from random weights.
        validation: splits to validate on after every epoch.
        test: splits kept apart for `evaluate`.
        cache: folder of computed log-mels.

    Raises:
        AudioError: a recording that cannot be read.
        ManifestError: fewer than two quadrants to learn from.
        RunError: `folder` holds another run, or `start` no finished one that fits the recipe.

    """
    origin = Run.describe(start) if start else None
    asked = {
        "kind": "transfer",
        "recipe": asdict(recipe),
        "corpora": [asdict(manifest.sheet)],
        "validation": list(validation),
        "test": list(test),
        "start": origin,
    }
    run = Run(folder, asked)
    if run.finished:
        return
    config = recipe.transfer
    clips = _labelled(manifest.without([*validation, *test]))
    kept = _labelled(manifest.subset(validation))
    if len({clip.quadrant for clip in clips}) < 2:
        raise ManifestError(f"{manifest.sheet.name}: fewer than two quadrants to learn from")
    vocabulary = tag_vocabulary(clips) if config.tags else ()
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
    model = _classifier(recipe, len(vocabulary))
    if start:
        _begin_from(model, start)
    model.to(device(), memory_format=torch.channels_last)
    targets = Targets.of(clips, vocabulary)
    weights = [_balanced(head) for head in targets.heads]

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
                words = model.tags(trunk) if model.tags is not None else None
            loss = torch.stack(
                [
                    _cross_entropy(rows, target.to(device()), weight)
                    for rows, target, weight in zip(logits, wanted.heads, weights, strict=True)
                ]
            ).sum()
            if words is not None:
                # Words describe the clip as a whole, so it is the clip's mean that answers.
                loss = loss + config.tags * F.binary_cross_entropy_with_logits(
                    words.float().mean(1), wanted.tags.to(device())
                )
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
    run.finish({"classifier": model.state_dict(), "tags": list(vocabulary)})


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
    model = _classifier(recipe, len(saved["tags"]))
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


def _classifier(recipe: Recipe, tags: int) -> Classifier:
    features = recipe.features
    return Classifier(recipe.network, features.mels, features.frames_per_row, tags)


def _begin_from(model: Classifier, start: Path) -> None:
    saved = Run.result(start)
    try:
        if "encoder" in saved:
            model.encoder.load_state_dict(saved["encoder"])
        else:
            # Tags differ between corpora; everything else is kept.
            weights = {k: v for k, v in saved["classifier"].items() if not k.startswith("tags.")}
            model.load_state_dict(weights, strict=model.tags is None)
    except RuntimeError:
        raise RunError(f"{start}: its network is not the recipe's") from None


def _labelled(clips: Sequence[Clip]) -> tuple[Clip, ...]:
    return tuple(clip for clip in clips if clip.quadrant)


def _balanced(one_hot: Tensor) -> Tensor:
    """Weights inverse to the classes' frequency, 1 on average over the clips."""
    counts = one_hot.sum(0)
    return len(one_hot) / (counts.clamp_min(1) * (counts > 0).sum())


def _cross_entropy(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of every row against its clip's target, weighed by class."""
    log_probabilities = logits.float().log_softmax(-1).mean(1)
    return -(log_probabilities * target * weight.to(target.device)).sum(1).mean()
