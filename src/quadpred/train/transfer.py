"""Stage two: the speech encoder, with new heads, learns the emotion of music."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import repeat
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from quadpred.labels import HEADS
from quadpred.train.corpora import Clip, Manifest, ManifestError
from quadpred.train.dataset import (
    CropSampler,
    LogMels,
    Targets,
    augment,
    teacher_values,
)
from quadpred.train.encoders import describe, start_weights
from quadpred.train.foreign import noises
from quadpred.train.lesson import Lesson
from quadpred.train.loop import Run, RunError, Stage, fit, placed, progress_bar
from quadpred.train.network import Classifier
from quadpred.train.reading import read
from quadpred.train.recipe import Recipe

FOREIGN_SHARE = 8  # crops of music to one that is none
NOISES = 40, 20.0  # how many clips of noise, of how many seconds

Half = NDArray[np.float16]

__all__ = ["clip_logits", "load_classifier", "transfer"]


def transfer(
    recipe: Recipe,
    manifests: Sequence[Manifest],
    folder: Path,
    *,
    foreign: Sequence[Manifest] = (),
    start: Path | None = None,
    validation: Sequence[str] = (),
    test: Sequence[str] = (),
    cache: Path | None = None,
) -> None:
    """Fine-tune on music into a run's folder; continues a run that was interrupted.

    Args:
        recipe: front end, network and schedule.
        manifests: music; clips without a quadrant serve the teacher alone, and so may all.
        folder: of the run.
        foreign: recordings that are no music, beside the noise that is made where a recipe weighs
            these at all.
        start: what to start from: the run or the file (`.npz`) of a pre-trained encoder, or the run
            of a whole classifier, whose heads are then kept; without one the network starts from
            random weights.
        validation: splits to validate on after every epoch.
        test: splits kept apart for `evaluate`.
        cache: folder of computed log-mels.

    Raises:
        AudioError: a recording that cannot be read.
        ManifestError: neither two quadrants to learn from, nor clips for a teacher alone; or an
            archive that is not what a data sheet says.
        RunError: `folder` holds another run, or `start` no finished one that fits the recipe.

    """
    origin = describe(start) if start else None
    asked = {
        "kind": "transfer",
        "recipe": asdict(recipe),
        "corpora": [asdict(manifest.sheet) for manifest in manifests],
        "foreign": [asdict(manifest.sheet) for manifest in foreign],
        "validation": list(validation),
        "test": list(test),
        "start": origin,
    }
    run = Run(folder, asked)
    if run.finished:
        return
    config = recipe.transfer
    teacher = teacher_values(manifests) if config.teacher else {}
    opinion = teacher_values(manifests, "opinion") if recipe.network.head.opinion else {}
    clips = [
        clip
        for manifest in manifests
        for clip in manifest.without([*validation, *test])
        if clip.quadrant or clip.path in teacher
    ]
    kept = [c for manifest in manifests for c in manifest.subset(validation) if c.quadrant]
    quadrants = {clip.quadrant for clip in clips} - {""}
    if len(quadrants) < 2 and (quadrants or not clips):
        raise ManifestError(f"{manifests[0].sheet.name}: fewer than two quadrants to learn from")
    special = {corpus.name: corpus for corpus in config.corpora}
    specials = {
        clip.path: special[manifest.sheet.name]
        for manifest in manifests
        if manifest.sheet.name in special
        for clip in manifest.clips
    }
    lesson = Lesson(recipe, clips, teacher, opinion, specials)
    strange = [clip for manifest in foreign for clip in manifest.clips] if config.foreign else []
    log_mels = LogMels(recipe.features, cache)
    with progress_bar() as bar:
        task = bar.add_task("log-mels", total=len(clips) + len(kept) + len(strange), note="")

        def load(part: Sequence[Clip]) -> list[Half]:
            return log_mels.load(part, lambda: bar.advance(task))

        crop = recipe.features.frames_per_row * config.crop
        covered = [
            specials[c.path].coverage if c.path in specials else config.coverage for c in clips
        ]
        train = CropSampler(load(clips), crop, config.batch, covered)
        held, unmusical = load(kept), load(strange)
    strangers = None
    if config.foreign:
        unmusical += noises(recipe.features, *NOISES, seed=recipe.seed)
        few = max(1, config.batch // FOREIGN_SHARE)
        heard = crop * few * len(train) / sum(map(len, unmusical))
        strangers = CropSampler(unmusical, crop, few, heard)
    torch.manual_seed(recipe.seed)
    model = _classifier(recipe, lesson.extras)
    encoder = {name for name in model.state_dict() if name.startswith("encoder.")}
    joined = _begin_from(model, start, lesson.extras.get("teacher", 0)) if start else frozenset()
    frozen = joined or encoder
    model = placed(model)
    still = tuple(part for part in (model.encoder, model.copy) if part is not None)

    def losses(position: tuple[int, int]) -> Iterator[Tensor]:
        seed = (recipe.seed, *position)
        rng = np.random.default_rng([*seed, 1])
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        others = strangers.epoch([*seed, 2]) if strangers else repeat(None)
        for batch, other in zip(train.epoch(seed), others, strict=False):
            frames = batch.frames if other is None else torch.cat([batch.frames, other.frames])
            frames = augment(frames, config.augment, recipe.features.silence, generator)
            yield lesson.loss(model, frames, batch)

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

    fit(
        run,
        model,
        [
            Stage(
                "frozen" if stage.frozen else "full",
                stage.epochs,
                stage.learning_rate,
                stage.schedule,
                tuple(
                    weight
                    for name, weight in model.named_parameters()
                    if not stage.frozen or name not in frozen
                ),
                config.weight_decay,
                still if stage.frozen and joined else (),
            )
            for stage in config.stages
        ],
        steps=len(train),
        losses=losses,
        validate=validate if held else None,
        keep=config.keep,
        seed=recipe.seed,
    )
    if config.reading and model.copy is not None:
        model.eval()
        plain = [n for n, clip in enumerate(clips) if clip.quadrant and clip.path not in specials]
        if not plain:
            raise ManifestError(
                f"{manifests[0].sheet.name}: no labelled clip to learn to read from"
            )
        songs, known = [train.clips[n] for n in plain], lesson.targets[torch.tensor(plain)]
        others = strangers.clips if strangers else []
        read(model, songs, known, config.reading, others, config.foreign)
    run.finish({"classifier": model.state_dict(), "extras": lesson.extras})


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
    _furnish(model, saved["classifier"])
    model.load_state_dict(saved["classifier"])
    return model.eval(), recipe


def clip_logits(model: Classifier, frames: Half, recipe: Recipe) -> tuple[Tensor, ...]:
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


def _furnish(model: Classifier, state: Mapping[str, Tensor]) -> None:
    """Give a network the reading that a state has, and the copy that is read."""
    if "reading.weight" in state:
        model.open_copy(len(state["copy.layers.3.bias"]))
        model.open_reading()


def _part(state: Mapping[str, Tensor], *names: str) -> list[tuple[str, Tensor]]:
    return [(key, value) for key, value in state.items() if key.startswith(names)]


def _classifier(recipe: Recipe, extras: Mapping[str, int]) -> Classifier:
    features = recipe.features
    return Classifier(recipe.network, features.mels, features.frames_per_row, extras)


def _begin_from(model: Classifier, start: Path, width: int) -> frozenset[str]:
    """Take a start's weights; return the names of those that experts have joined, if any have."""
    saved = start_weights(start)
    try:
        if "encoder" in saved:
            model.encoder.load_state_dict(saved["encoder"])
            return frozenset()
        state = saved["classifier"]
        _furnish(model, state)
        if model.copy is not None and width not in (0, model.copy.layers[-1].out_features):
            raise RunError(f"{start}: reads a teacher of another number of values")
        here = model.state_dict()
        # The copy of another teacher is of no use.
        copied = all(k in here and here[k].shape == v.shape for k, v in _part(state, "copy."))
        left = ("extras.",) if copied else ("extras.", "copy.")
        kept = {k: v for k, v in state.items() if not k.startswith(left)}
        # A start need not have the auxiliary outputs, nor experts beside the first.
        grown = dict(_part(here, "extras.", "copy.", "late."))
        model.load_state_dict(grown | kept)
    except RuntimeError:
        raise RunError(f"{start}: its network is not the recipe's") from None
    join = any(name.startswith("late.") and name not in kept for name in grown)
    return frozenset(kept) if join else frozenset()
