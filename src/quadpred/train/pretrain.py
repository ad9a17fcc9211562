"""Stage one: an autoencoder learns to denoise speech, and its encoder is kept."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from quadpred.train.corpora import Manifest
from quadpred.train.dataset import CropSampler, LogMels
from quadpred.train.loop import Run, Stage, autocast, device, fit, placed, progress_bar
from quadpred.train.network import Autoencoder
from quadpred.train.recipe import Recipe

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
        recipe: front end, network and schedule.
        manifests: speech; labels are not used.
        folder: of the run.
        validation: splits kept apart to measure the reconstruction.
        cache: folder of computed log-mels.

    Raises:
        AudioError: a recording that cannot be read.
        RunError: the folder holds another run.

    """
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
    crop = recipe.features.frames_per_row * config.crop
    log_mels = LogMels(recipe.features, cache)
    with progress_bar() as bar:
        clips = [clip for m in manifests for clip in m.without(validation)]
        kept = [clip for m in manifests for clip in m.subset(validation)]
        task = bar.add_task("log-mels", total=len(clips) + len(kept), note="")
        train = CropSampler(
            log_mels.load(clips, lambda: bar.advance(task)), crop, config.batch, config.coverage
        )
        held = log_mels.load(kept, lambda: bar.advance(task))
    torch.manual_seed(recipe.seed)
    model = placed(Autoencoder(recipe.network, recipe.features.mels, config.noise))

    def losses(position: tuple[int, int]) -> Iterator[Tensor]:
        for batch in train.epoch((recipe.seed, *position)):
            with autocast(recipe.precision):
                loss = model(batch.frames.to(device()))
            yield loss

    def validate(candidate: torch.nn.Module) -> dict[str, float]:
        sampler = CropSampler(held, crop, config.batch, config.coverage)
        with torch.inference_mode():
            values = [candidate(b.frames.to(device())).item() for b in sampler.epoch((0,))]
        return {"loss": sum(values) / len(values)}

    fit(
        run,
        model,
        [
            Stage(
                "pre-training",
                config.epochs,
                config.learning_rate,
                config.schedule,
                tuple(model.parameters()),
            )
        ],
        steps=len(train),
        losses=losses,
        validate=validate if held else None,
        keep="best",
        seed=recipe.seed,
    )
    run.finish({"encoder": model.encoder.state_dict()})
