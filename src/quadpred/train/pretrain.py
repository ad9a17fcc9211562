"""Pre-training: train an encoder on speech with the pretext task that the recipe names."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from quadpred.files import digest_of
from quadpred.train.corpora import Manifest, ManifestError, check_clips, check_splits
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
    """Train a speech encoder in a run's folder; an interrupted run is continued.

    Args:
        recipe: front end, network, pretext task and schedule.
        manifests: speech; only the pretext task "emotion" uses labels, the tags.
        folder: of the run.
        validation: splits that are held out to measure the loss.
        cache: folder of computed log-mels.

    Raises:
        AudioError: a recording cannot be read.
        ManifestError: no manifest has one of the splits; two have the same recording; or the
            pretext task "emotion" finds fewer than two tags.
        OSError: a recording is missing.
        RecipeError: crops are too short for the pretext task.
        RunError: the folder holds another run.

    """
    check_clips(manifests)
    check_splits(manifests, validation)
    clips = [clip for m in manifests for clip in m.without(validation)]
    held_out = [clip for m in manifests for clip in m.subset(validation)]
    description = {
        "kind": "pretrain",
        "recipe": asdict(recipe),
        "corpora": [asdict(manifest.sheet) for manifest in manifests],
        "validation": list(validation),
        "data": digest_of([clip.digest() for clip in (*clips, *held_out)], 16),
    }
    run = Run(folder, description)
    if run.finished:
        return
    config = recipe.pretrain
    vocabulary = tag_vocabulary(clips) if config.objective == "emotion" else ()
    if config.objective == "emotion" and len(vocabulary) < 2:
        raise ManifestError(
            f"{manifests[0].sheet.name}: objective 'emotion' needs at least two tags"
        )
    crop = recipe.features.frames_per_row * config.crop
    log_mels = LogMels(recipe.features, cache)
    with progress_bar() as bar:
        task = bar.add_task("log-mels", total=len(clips) + len(held_out), note="")
        train = CropSampler(
            log_mels.load(clips, lambda: bar.advance(task)), crop, config.batch, config.coverage
        )
        held_out_frames = log_mels.load(held_out, lambda: bar.advance(task))
    torch.manual_seed(recipe.seed)
    model = placed(objective_of(recipe, len(vocabulary)))
    tags, held_out_tags = (tags_of(part, vocabulary) for part in (clips, held_out))

    def loss_of(model: torch.nn.Module, batch: Batch, tags: Tensor) -> Tensor:
        loss: Tensor = model(batch.frames.to(device()), tags[batch.clips].to(device()))
        return loss

    def losses(position: tuple[int, int]) -> Iterator[Tensor]:
        for batch in train.epoch((recipe.seed, *position)):
            with autocast(recipe.precision):
                loss = loss_of(model, batch, tags)
            yield loss

    def validate(candidate: torch.nn.Module) -> dict[str, float]:
        sampler = CropSampler(held_out_frames, crop, config.batch, config.coverage)
        with torch.inference_mode():
            values = [loss_of(candidate, b, held_out_tags).item() for b in sampler.epoch((0,))]
        return {"loss": sum(values) / len(values)}

    trainer = Trainer(
        run,
        model,
        steps=len(train),
        losses=losses,
        validate=validate if held_out else None,
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
