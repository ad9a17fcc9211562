"""Stage one: an encoder learns from speech, by the objective that the recipe names."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from quadpred.train.corpora import Manifest, ManifestError, check_splits
from quadpred.train.data.log_mels import LogMels
from quadpred.train.data.sampling import Batch, CropSampler
from quadpred.train.data.targets import tag_vocabulary, tags_of
from quadpred.train.loop import Stage, Trainer, autocast, device, placed, progress_bar
from quadpred.train.pretext import objective_of
from quadpred.train.recipe import Recipe
from quadpred.train.run import Run

__all__ = ["pretrain"]


def pretrain(
    recipe: Recipe,
    manifests: Sequence[Manifest],
    folder: Path,
    *,
    validation: Sequence[str] = (),
    cache: Path | None = None,
) -> None:
    """Train a speech encoder into a run's folder; continues a run that was interrupted.

    Args:
        recipe: front end, network, objective and schedule.
        manifests: speech; only the objective "emotion" uses labels, the tags.
        folder: of the run.
        validation: splits kept apart to measure the loss.
        cache: folder of computed log-mels.

    Raises:
        AudioError: a recording that cannot be read.
        ManifestError: no two tags to tell apart, where that is the objective.
        RecipeError: crops too short for the objective.
        RunError: the folder holds another run.

    """
    check_splits(manifests, validation)
    asked = {
        "kind": "pretrain",
        "recipe": asdict(recipe),
        "corpora": [asdict(manifest.sheet) for manifest in manifests],
        "validation": list(validation),
    }
    run = Run(folder, asked)
    if run.finished:
        return
    config = recipe.pretrain
    clips = [clip for m in manifests for clip in m.without(validation)]
    kept = [clip for m in manifests for clip in m.subset(validation)]
    vocabulary = tag_vocabulary(clips) if config.objective == "emotion" else ()
    if config.objective == "emotion" and len(vocabulary) < 2:
        raise ManifestError(f"{manifests[0].sheet.name}: no two tags to tell apart")
    crop = recipe.features.frames_per_row * config.crop
    log_mels = LogMels(recipe.features, cache)
    with progress_bar() as bar:
        task = bar.add_task("log-mels", total=len(clips) + len(kept), note="")
        train = CropSampler(
            log_mels.load(clips, lambda: bar.advance(task)), crop, config.batch, config.coverage
        )
        held = log_mels.load(kept, lambda: bar.advance(task))
    torch.manual_seed(recipe.seed)
    model = placed(objective_of(recipe, len(vocabulary)))
    tags, kept_tags = (tags_of(part, vocabulary) for part in (clips, kept))

    def loss_of(model: torch.nn.Module, batch: Batch, tags: Tensor) -> Tensor:
        loss: Tensor = model(batch.frames.to(device()), tags[batch.clips].to(device()))
        return loss

    def losses(position: tuple[int, int]) -> Iterator[Tensor]:
        for batch in train.epoch((recipe.seed, *position)):
            with autocast(recipe.precision):
                loss = loss_of(model, batch, tags)
            yield loss

    def validate(candidate: torch.nn.Module) -> dict[str, float]:
        sampler = CropSampler(held, crop, config.batch, config.coverage)
        with torch.inference_mode():
            values = [loss_of(candidate, b, kept_tags).item() for b in sampler.epoch((0,))]
        return {"loss": sum(values) / len(values)}

    trainer = Trainer(
        run,
        model,
        steps=len(train),
        losses=losses,
        validate=validate if held else None,
        keep="best",
        seed=recipe.seed,
    )
    trainer.fit(
        [
            Stage(
                "pre-training",
                config.epochs,
                config.learning_rate,
                config.schedule,
                tuple(model.parameters()),
            )
        ]
    )
    run.finish({"encoder": model.encoder.state_dict()})
