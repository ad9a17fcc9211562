"""Bayesian optimisation of the learning rates and weight decay of a transfer.

As in the paper (Gómez-Cañón et al., EUSIPCO 2020), the learning rates of both stages minimise the
validation loss. The sampler is the tree-structured Parzen estimator (Bergstra et al., NIPS 2011).
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from quadpred.files import atomic_write, digest_of
from quadpred.train.corpora import Manifest, ManifestError, check_splits
from quadpred.train.encoders import describe
from quadpred.train.loop import DivergedError
from quadpred.train.recipe import Recipe
from quadpred.train.run import Run
from quadpred.train.transfer import transfer

__all__ = ["Tuned", "tune"]

LEARNING_RATES = (1e-5, 1e-2)
WEIGHT_DECAYS = (1e-6, 1e-1)
_STUDY = "transfer"


@dataclass(frozen=True)
class Tuned:
    """Result of `tune`.

    Attributes:
        recipe: file of the best trial's recipe, based on the one that was tuned.
        loss: validation loss of the best trial.
        first: validation loss of the recipe before tuning; `None` if training diverged.
        trials: number of trials.
    """

    recipe: Path
    loss: float
    first: float | None
    trials: int


def tune(
    recipe: str,
    manifest: Manifest,
    folder: Path,
    *,
    start: Path | None = None,
    trials: int = 20,
    validation: str = "",
    test: tuple[str, ...] = (),
    seed: int | None = None,
    cache: Path | None = None,
    on_progress: Callable[[str], None] = lambda text: None,
) -> Tuned:
    """Try learning rates and weight decays, and write the best as `best.toml` in the folder.

    The recipe's own values are tried first. The folder stores all trials: the same call continues
    an interrupted study, and a larger `trials` extends it.

    Args:
        recipe: name or file.
        manifest: labelled music.
        folder: for the trials, their database and the best recipe.
        start: initial weights of every trial, as in `transfer`.
        trials: total number of trials.
        validation: split whose loss is minimised; by default the first by name that is not in
            `test`.
        test: splits that no trial uses.
        seed: replaces the recipe's.
        cache: folder of computed log-mels.
        on_progress: called with one line per trial.

    Raises:
        AudioError: a recording cannot be read.
        ManifestError: there is no split to validate on.
        RecipeError: no such recipe.
        RunError: the folder holds another study, `start` does not match the recipe's network, or
            every trial diverged.
    """
    loaded = Recipe.load(recipe)
    loaded = loaded if seed is None else replace(loaded, seed=seed)
    held_out = _validation_split(manifest, validation, test)
    Run(folder, _description(loaded, manifest, start, held_out, test))
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = _study(folder, loaded)

    def objective(trial: optuna.Trial) -> float:
        candidate = _suggested(loaded, trial)
        run = folder / f"trial-{digest_of(trial.params, 12)}"
        try:
            transfer(
                candidate,
                [manifest],
                run,
                start=start,
                validation=[held_out],
                test=test,
                cache=cache,
            )
        except DivergedError as error:
            raise optuna.TrialPruned(str(error)) from None
        return _validation_loss(run, loaded)

    def report(study: optuna.Study, trial: FrozenTrial) -> None:
        outcome = "diverged" if trial.value is None else f"validation loss {trial.value:.4f}"
        values = ", ".join(f"{name} {value:.2g}" for name, value in trial.params.items())
        on_progress(f"trial {trial.number + 1}: {outcome} ({values})")
        if trial.value is not None:
            _write_best(folder / "best.toml", recipe, loaded, study.best_trial)

    study.optimize(objective, max(0, trials - len(_finished(study))), callbacks=[report])
    return _outcome(study, folder)


def _validation_split(manifest: Manifest, validation: str, test: tuple[str, ...]) -> str:
    """Return the split to validate on."""
    check_splits([manifest], test)
    splits = sorted({clip.split for clip in manifest.clips if clip.quadrant} - set(test))
    name = manifest.sheet.name
    if len(splits) < 2:
        raise ManifestError(
            f"{name}: needs two labelled splits besides --test, to train and to validate on"
        )
    if validation and validation not in splits:
        raise ManifestError(f"{name}: no labelled clips in split {validation!r}")
    return validation or splits[0]


def _description(
    recipe: Recipe, manifest: Manifest, start: Path | None, validation: str, test: tuple[str, ...]
) -> dict[str, object]:
    """Describe the study for its `run.json`."""
    return {
        "kind": "tune",
        "recipe": asdict(recipe),
        "corpora": [asdict(manifest.sheet)],
        "clips": digest_of([clip.digest() for clip in manifest.clips], 12),
        "validation": validation,
        "test": list(test),
        "start": describe(start) if start else None,
    }


def _study(folder: Path, recipe: Recipe) -> optuna.Study:
    """Open or create the study, and queue its interrupted trials again."""
    storage = f"sqlite:///{(folder / 'study.db').resolve()}"
    study = optuna.create_study(
        storage=storage, study_name=_STUDY, load_if_exists=True, direction="minimize"
    )
    if not study.trials:
        study.enqueue_trial(_recipe_values(recipe))
    for trial in study.get_trials(states=(TrialState.RUNNING,)):  # interrupted
        study.tell(trial.number, state=TrialState.FAIL)
    queued = [trial.params for trial in _finished(study)]
    queued += [
        t.system_attrs["fixed_params"] for t in study.get_trials(states=(TrialState.WAITING,))
    ]
    for trial in study.get_trials(states=(TrialState.FAIL,)):
        if trial.params and trial.params not in queued:
            study.enqueue_trial(trial.params)
            queued.append(trial.params)
    # With the same seed, a continued study would repeat its earlier draws.
    study.sampler = optuna.samplers.TPESampler(seed=recipe.seed + len(study.trials))
    return study


def _finished(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))


def _recipe_values(recipe: Recipe) -> dict[str, float]:
    stages = recipe.transfer.stages
    values = {_rate(index): stage.learning_rate for index, stage in enumerate(stages)}
    return values | {"weight_decay": max(recipe.transfer.weight_decay, WEIGHT_DECAYS[0])}


def _rate(index: int) -> str:
    return f"learning_rate_{index + 1}"


def _suggested(recipe: Recipe, trial: optuna.Trial) -> Recipe:
    """Return the recipe with suggested values; the ranges include the recipe's own values."""
    values = {}
    for name, value in _recipe_values(recipe).items():
        low, high = WEIGHT_DECAYS if name == "weight_decay" else LEARNING_RATES
        values[name] = trial.suggest_float(name, min(low, value), max(high, value), log=True)
    return _with_values(recipe, values)


def _with_values(recipe: Recipe, values: Mapping[str, float]) -> Recipe:
    stages = tuple(
        replace(stage, learning_rate=values[_rate(index)])
        for index, stage in enumerate(recipe.transfer.stages)
    )
    changed = replace(recipe.transfer, stages=stages, weight_decay=values["weight_decay"])
    return replace(recipe, transfer=changed)


def _validation_loss(run: Path, recipe: Recipe) -> float:
    """Return the validation loss of the weights that the run kept."""
    losses = [record["validation_loss"] for record in Run.records(run)]
    loss: float = min(losses) if recipe.transfer.keep == "best" else losses[-1]
    if not math.isfinite(loss):
        raise optuna.TrialPruned(f"{run}: the validation loss is NaN or infinite")
    return loss


def _outcome(study: optuna.Study, folder: Path) -> Tuned:
    finished = _finished(study)
    losses = [trial.value for trial in finished if trial.value is not None]
    if not losses:
        raise DivergedError(
            f"{folder}: the loss of every trial became NaN or infinite; lower the learning rates"
        )
    return Tuned(folder / "best.toml", min(losses), finished[0].value, len(finished))


def _write_best(path: Path, name: str, recipe: Recipe, best: FrozenTrial) -> None:
    """Write a recipe with the best trial's values, based on the recipe that was tuned."""
    tuned = _with_values(recipe, best.params)
    source = Path(name)
    base = str(source.resolve().with_suffix("")) if source.is_file() else name
    lines = [
        f"# Validation loss {best.value:.4f}, trial {best.number + 1}.",
        f"base = {json.dumps(base)}",
        f"name = {json.dumps(f'{recipe.name}-tuned')}",
        "",
        "[transfer]",
        f"weight_decay = {tuned.transfer.weight_decay:.4g}",
        "stages = [",
    ]
    for stage in tuned.transfer.stages:
        frozen = "true" if stage.frozen else "false"
        lines.append(
            f"    {{ frozen = {frozen}, epochs = {stage.epochs},"
            f' learning_rate = {stage.learning_rate:.4g}, schedule = "{stage.schedule}" }},'
        )
    with atomic_write(path) as (file,):
        file.write(("\n".join([*lines, "]"]) + "\n").encode())
