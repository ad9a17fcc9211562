"""Bayesian optimisation of a transfer's learning rates and weight decay.

As in the paper (Gómez-Cañón et al., EUSIPCO 2020), learning rates of both stages are chosen by the
validation loss; here by the tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011).
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from quadpred.files import atomic_write
from quadpred.train.corpora import Manifest, ManifestError, check_splits
from quadpred.train.encoders import describe
from quadpred.train.loop import DivergedError
from quadpred.train.recipe import Recipe
from quadpred.train.run import Run
from quadpred.train.transfer import transfer

__all__ = ["Tuned", "tune"]

RATES = (1e-5, 1e-2)
DECAYS = (1e-6, 1e-1)
_STUDY = "transfer"


@dataclass(frozen=True)
class Tuned:
    """The best of all trials.

    Attributes:
        recipe: the file of its recipe, a delta on the one that was tuned.
        loss: its validation loss.
        first: the validation loss of the recipe as it was; `None` if it diverged.
        trials: how many there were.
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
    tell: Callable[[str], None] = lambda text: None,
) -> Tuned:
    """Try learning rates and weight decays, and write the best as `best.toml` in the folder.

    The recipe's own values are tried first. A folder remembers its trials: the same call continues
    an interrupted one, more trials go on from those that there are.

    Args:
        recipe: name or file.
        manifest: labelled music.
        folder: of the trials, their database and the best recipe.
        start: what every trial starts from, as in `transfer`.
        trials: how many there shall be in all.
        validation: split whose loss decides; the first by name that is not in `test` without one.
        test: splits kept apart from all this.
        seed: instead of the recipe's.
        cache: folder of computed log-mels.
        tell: takes a line a trial.

    Raises:
        AudioError: a recording that cannot be read.
        ManifestError: no other split to validate on.
        RecipeError: no such recipe.
        RunError: the folder holds something else, `start` does not fit, or every trial diverged.
    """
    loaded = Recipe.load(recipe)
    loaded = loaded if seed is None else replace(loaded, seed=seed)
    held = _held(manifest, validation, test)
    Run(folder, _asked(loaded, manifest, start, held, test))
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = _study(folder, loaded)

    def objective(trial: optuna.Trial) -> float:
        tried = _suggested(loaded, trial)
        run = folder / f"trial-{_digest(trial.params)}"
        try:
            transfer(tried, [manifest], run, start=start, validation=[held], test=test, cache=cache)
        except DivergedError as error:
            raise optuna.TrialPruned(str(error)) from None
        return _validation_loss(run, loaded)

    def conclude(study: optuna.Study, trial: FrozenTrial) -> None:
        outcome = "diverged" if trial.value is None else f"validation loss {trial.value:.4f}"
        values = ", ".join(f"{name} {value:.2g}" for name, value in trial.params.items())
        tell(f"trial {trial.number + 1}: {outcome} ({values})")
        if trial.value is not None:
            _write_best(folder / "best.toml", recipe, loaded, study.best_trial)

    study.optimize(objective, max(0, trials - len(_concluded(study))), callbacks=[conclude])
    return _outcome(study, folder)


def _held(manifest: Manifest, validation: str, test: tuple[str, ...]) -> str:
    """Return the split to validate on."""
    check_splits([manifest], test)
    splits = sorted({clip.split for clip in manifest.clips if clip.quadrant} - set(test))
    name = manifest.sheet.name
    if len(splits) < 2:
        raise ManifestError(f"{name}: needs two splits, to train and to validate on")
    if validation and validation not in splits:
        raise ManifestError(f"{name}: no labelled clips in split {validation!r}")
    return validation or splits[0]


def _asked(
    recipe: Recipe, manifest: Manifest, start: Path | None, held: str, test: tuple[str, ...]
) -> dict[str, object]:
    return {
        "kind": "tune",
        "recipe": asdict(recipe),
        "corpora": [asdict(manifest.sheet)],
        "clips": _digest([[str(c.path), c.split, c.quadrant] for c in manifest.clips]),
        "validation": held,
        "test": list(test),
        "start": describe(start) if start else None,
    }


def _study(folder: Path, recipe: Recipe) -> optuna.Study:
    """Open the study; trials that were interrupted are put at the head of the queue."""
    storage = f"sqlite:///{(folder / 'study.db').resolve()}"
    study = optuna.create_study(
        storage=storage, study_name=_STUDY, load_if_exists=True, direction="minimize"
    )
    if not study.trials:
        study.enqueue_trial(_own_values(recipe))
    for trial in study.get_trials(states=(TrialState.RUNNING,)):  # killed
        study.tell(trial.number, state=TrialState.FAIL)
    known = [trial.params for trial in _concluded(study)]
    known += [
        t.system_attrs["fixed_params"] for t in study.get_trials(states=(TrialState.WAITING,))
    ]
    for trial in study.get_trials(states=(TrialState.FAIL,)):
        if trial.params and trial.params not in known:
            study.enqueue_trial(trial.params)
            known.append(trial.params)
    # Continued with the same seed, it would draw again what it has drawn before.
    study.sampler = optuna.samplers.TPESampler(seed=recipe.seed + len(study.trials))
    return study


def _concluded(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))


def _own_values(recipe: Recipe) -> dict[str, float]:
    stages = recipe.transfer.stages
    values = {_rate(index): stage.learning_rate for index, stage in enumerate(stages)}
    return values | {"weight_decay": max(recipe.transfer.weight_decay, DECAYS[0])}


def _rate(index: int) -> str:
    return f"learning_rate_{index + 1}"


def _suggested(recipe: Recipe, trial: optuna.Trial) -> Recipe:
    """Draw values, from ranges widened to hold the recipe's own, and put them into the recipe."""
    values = {}
    for name, own in _own_values(recipe).items():
        low, high = DECAYS if name == "weight_decay" else RATES
        values[name] = trial.suggest_float(name, min(low, own), max(high, own), log=True)
    return _with_values(recipe, values)


def _with_values(recipe: Recipe, values: Mapping[str, float]) -> Recipe:
    stages = tuple(
        replace(stage, learning_rate=values[_rate(index)])
        for index, stage in enumerate(recipe.transfer.stages)
    )
    changed = replace(recipe.transfer, stages=stages, weight_decay=values["weight_decay"])
    return replace(recipe, transfer=changed)


def _validation_loss(run: Path, recipe: Recipe) -> float:
    """Validation loss of the weights that the run kept."""
    losses = [record["validation_loss"] for record in Run.records(run)]
    loss: float = min(losses) if recipe.transfer.keep == "best" else losses[-1]
    if not math.isfinite(loss):
        raise optuna.TrialPruned(f"{run}: the validation loss is no finite number")
    return loss


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def _outcome(study: optuna.Study, folder: Path) -> Tuned:
    concluded = _concluded(study)
    losses = [trial.value for trial in concluded if trial.value is not None]
    if not losses:
        raise DivergedError(f"{folder}: the loss of every trial is no finite number")
    return Tuned(folder / "best.toml", min(losses), concluded[0].value, len(concluded))


def _write_best(path: Path, name: str, recipe: Recipe, best: FrozenTrial) -> None:
    """Write what the best trial changes, as a delta on the recipe that was tuned."""
    tuned = _with_values(recipe, best.params)
    file_of_recipe = Path(name)
    base = str(file_of_recipe.resolve().with_suffix("")) if file_of_recipe.is_file() else name
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
