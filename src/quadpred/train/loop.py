"""What pre-training and transfer share: a run's folder, epochs, schedules, checkpoints, the log."""

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel

from quadpred.errors import QuadpredError
from quadpred.train.corpora import DataSheet
from quadpred.train.recipe import Recipe

__all__ = [
    "DivergedError",
    "Run",
    "RunError",
    "Stage",
    "autocast",
    "completed",
    "device",
    "fit",
    "placed",
    "progress_bar",
]

M = TypeVar("M", bound=nn.Module)
Validate = Callable[[nn.Module], dict[str, float]] | None

AVERAGE_DECAY = 0.99  # of the running average of weights: about the last hundred steps


class RunError(QuadpredError):
    """A run's folder that cannot be used. One line: the folder and the reason."""


class DivergedError(RunError):
    """A run whose loss is no finite number any more."""


def device() -> torch.device:
    """Return the GPU when PyTorch sees one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def placed(model: M) -> M:
    """Move a network to the device, in the memory layout in which convolutions are fastest."""
    moved = model.to(device())
    return moved.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def autocast(precision: str) -> torch.autocast:
    """Context in which the network computes in a recipe's precision."""
    return torch.autocast(device().type, torch.bfloat16, enabled=precision == "bfloat16")


def progress_bar() -> Progress:
    """Progress on a terminal's standard error, nothing in a pipe."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        disable=not sys.stderr.isatty(),
    )


@dataclass(frozen=True)
class Stage:
    """A stretch of training with one learning rate schedule over some of the parameters.

    Modules that stand `still` keep their statistics too.
    """

    name: str
    epochs: int
    learning_rate: float
    schedule: Literal["constant", "plateau", "one-cycle"]
    parameters: tuple[nn.Parameter, ...]
    weight_decay: float = 0.0
    still: tuple[nn.Module, ...] = ()


class Run:
    """A folder with `run.json` (what was asked), `log.jsonl`, `checkpoint.pt` and `model.pt`.

    Opening a folder again continues it, if what is asked is the same.
    """

    def __init__(self, folder: Path, asked: Mapping[str, Any]):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        description = folder / "run.json"
        if not description.is_file():
            description.write_text(_told(asked))
        elif _told(_decisive(self.describe(folder))) != _told(_decisive(asked)):
            raise RunError(f"{folder}: holds another run; choose a new folder or remove this one")

    @staticmethod
    def describe(folder: Path) -> dict[str, Any]:
        """Return what a run was asked to do, with defaults for what recipes have gained since.

        Raises:
            RecipeError: its recipe has a key or value that recipes no longer have.
            RunError: the folder holds no run.

        """
        try:
            described = json.loads((folder / "run.json").read_text())
        except OSError:
            raise RunError(f"{folder}: holds no run") from None
        return completed(described)

    @staticmethod
    def result(folder: Path) -> dict[str, Any]:
        """Return what a finished run saved.

        Raises:
            RunError: the folder holds no finished run.

        """
        try:
            saved: dict[str, Any] = torch.load(
                folder / "model.pt", map_location="cpu", weights_only=True
            )
        except FileNotFoundError:
            raise RunError(f"{folder}: holds no finished run") from None
        return saved

    @property
    def finished(self) -> bool:
        """Whether the final weights are there."""
        return (self.folder / "model.pt").is_file()

    def finish(self, result: Mapping[str, Any]) -> None:
        """Save the final weights, and drop the checkpoint."""
        self._save("model.pt", result)
        (self.folder / "checkpoint.pt").unlink(missing_ok=True)

    def checkpoint(self) -> dict[str, Any] | None:
        """Return the state to continue from, if there is one."""
        path = self.folder / "checkpoint.pt"
        if not path.is_file():
            return None
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Replace the checkpoint, atomically."""
        self._save("checkpoint.pt", state)

    def log(self, record: Mapping[str, Any]) -> None:
        """Append one line to the log."""
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")

    @staticmethod
    def records(folder: Path) -> list[dict[str, Any]]:
        """Return the lines of a run's log.

        Raises:
            RunError: the folder holds no log.

        """
        try:
            lines = (folder / "log.jsonl").read_text().splitlines()
        except OSError:
            raise RunError(f"{folder}: holds no log") from None
        return [json.loads(line) for line in lines]

    def _save(self, name: str, state: Mapping[str, Any]) -> None:
        part = self.folder / f"{name}.part"
        torch.save(dict(state), part)
        part.replace(self.folder / name)


class _Keeper:
    """Decides which weights remain: a running average, or those that validate best."""

    def __init__(self, model: nn.Module, keep: Literal["best", "average"], validate: Validate):
        self.model, self.validate = model, validate
        self.average: AveragedModel | None = None
        if keep == "average":
            self.average = AveragedModel(model, avg_fn=_average, use_buffers=True)
        self.best: dict[str, Any] = {"loss": float("inf"), "weights": None}

    def scores(self) -> dict[str, float]:
        """Validate the weights that would be kept now, and remember the best."""
        candidate = self.average.module if self.average else self.model
        candidate.eval()
        scores = self.validate(candidate) if self.validate else {}
        if scores and not self.average and scores["loss"] < self.best["loss"]:
            weights = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
            self.best = {"loss": scores["loss"], "weights": weights}
        return scores

    def step(self) -> None:
        """Account for a step of the optimiser."""
        if self.average:
            self.average.update_parameters(self.model)

    def restore_best(self) -> None:
        """Go back to the best weights seen, if any were."""
        if self.best["weights"] is not None:
            self.model.load_state_dict(self.best["weights"])

    def state_dict(self) -> dict[str, Any]:
        average = self.average.state_dict() if self.average else None
        return {"best": self.best, "average": average}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best = state["best"]
        if self.average:
            self.average.load_state_dict(state["average"])


def fit(
    run: Run,
    model: nn.Module,
    stages: Sequence[Stage],
    *,
    steps: int,
    losses: Callable[[tuple[int, int]], Iterator[Tensor]],
    validate: Validate,
    keep: Literal["best", "average"],
    seed: int,
) -> None:
    """Train `model` in place through `stages`, resuming from the run's checkpoint.

    Args:
        run: where checkpoints and the log go.
        model: left with the weights that `keep` asks for.
        stages: in order.
        steps: batches an epoch.
        losses: yields the loss of each batch of an epoch, given (stage, epoch).
        validate: scores of a model by name, of which "loss" decides what is best.
        keep: "best" for the weights with the lowest validation loss, those at the start among them
            (without validation, the last), "average" for a running average.
        seed: of dropout and noise; with the epoch it determines everything random.

    Raises:
        DivergedError: the loss is not a finite number any more.
    """
    keeper = _Keeper(model, keep, validate)
    state = run.checkpoint() or {"stage": 0, "epoch": 0}
    if "model" in state:
        model.load_state_dict(state["model"])
        keeper.load_state_dict(state["keeper"])
    else:
        run.log({"stage": "start", **_prefixed(keeper.scores())})
    with progress_bar() as bar:
        for index, stage in enumerate(stages):
            if index < state["stage"]:
                continue
            for parameter in model.parameters():
                parameter.requires_grad_(False)
            for parameter in stage.parameters:
                parameter.requires_grad_(True)
            optimiser = torch.optim.AdamW(
                stage.parameters, stage.learning_rate, weight_decay=stage.weight_decay
            )
            schedule = _schedule(optimiser, stage, steps)
            done = state["epoch"] if index == state["stage"] else 0
            if done:
                optimiser.load_state_dict(state["optimiser"])
                if schedule:
                    schedule.load_state_dict(state["schedule"])
            total = stage.epochs * steps
            task = bar.add_task(stage.name, total=total, completed=done * steps, note="")
            for epoch in range(done, stage.epochs):
                started, loss_sum = time.monotonic(), 0.0
                torch.manual_seed(_entropy(seed, index, epoch))
                model.train()
                for module in stage.still:
                    module.eval()
                for loss in losses((index, epoch)):
                    optimiser.zero_grad(set_to_none=True)
                    loss.backward()  # type: ignore[no-untyped-call]
                    nn.utils.clip_grad_norm_(stage.parameters, 5.0)
                    optimiser.step()
                    keeper.step()
                    if isinstance(schedule, OneCycleLR):
                        schedule.step()
                    loss_sum += loss.item()
                    bar.advance(task)
                train_loss = loss_sum / steps
                if not math.isfinite(train_loss):
                    raise DivergedError(
                        f"{run.folder}: the loss is no finite number in {stage.name}"
                    )
                scores = keeper.scores()
                if isinstance(schedule, ReduceLROnPlateau):
                    schedule.step(scores.get("loss", train_loss))
                bar.update(task, note=f"loss {train_loss:.4f}")
                run.log(
                    {
                        "stage": stage.name,
                        "epoch": epoch,
                        "loss": train_loss,
                        **_prefixed(scores),
                        "learning_rate": optimiser.param_groups[0]["lr"],
                        "seconds": round(time.monotonic() - started, 2),
                    }
                )
                run.save_checkpoint(
                    {
                        "stage": index,
                        "epoch": epoch + 1,
                        "model": model.state_dict(),
                        "keeper": keeper.state_dict(),
                        "optimiser": optimiser.state_dict(),
                        "schedule": schedule.state_dict() if schedule else None,
                    }
                )
            keeper.restore_best()
    if keeper.average:
        model.load_state_dict(keeper.average.module.state_dict())


def _told(asked: Mapping[str, Any]) -> str:
    return json.dumps(asked, indent=2, sort_keys=True) + "\n"


def _decisive(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What decides a run's result: of a recipe for pre-training, neither heads nor transfer."""
    decisive = dict(asked)
    if decisive.get("kind") == "pretrain":
        recipe = {key: value for key, value in decisive["recipe"].items() if key != "transfer"}
        network = {key: value for key, value in recipe["network"].items() if key != "head"}
        decisive["recipe"] = recipe | {"network": network}
    if decisive.get("start"):
        decisive["start"] = _decisive(decisive["start"])
    return decisive


def completed(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's description with defaults for what it could not say yet, as JSON has it.

    Raises:
        RecipeError: its recipe has a key or value that recipes no longer have.
    """
    whole = dict(described)
    if "recipe" in whole:
        whole["recipe"] = json.loads(json.dumps(asdict(Recipe.from_dict(whole["recipe"]))))
    for corpora in {"corpora", "foreign"} & set(whole):
        whole[corpora] = [asdict(DataSheet(**sheet)) for sheet in whole[corpora]]
    if whole.get("start"):
        whole["start"] = completed(whole["start"])
    return whole


def _average(averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
    """Exponential average that first forgets where it began."""
    decay = min(AVERAGE_DECAY, (1 + float(count)) / (10 + float(count)))
    return decay * averaged + (1 - decay) * current


def _prefixed(scores: Mapping[str, float]) -> dict[str, float]:
    return {f"validation_{name}": value for name, value in scores.items()}


def _entropy(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _schedule(optimiser: torch.optim.Optimizer, stage: Stage, steps: int) -> LRScheduler | None:
    match stage.schedule:
        case "one-cycle":
            total = stage.epochs * steps
            return OneCycleLR(optimiser, stage.learning_rate, total_steps=total, pct_start=0.25)
        case "plateau":
            return ReduceLROnPlateau(optimiser, factor=0.5, patience=3)
        case "constant":
            return None
