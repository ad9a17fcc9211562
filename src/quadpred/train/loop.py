"""The optimisation that pre-training and transfer share: stages, epochs, checkpoints, the log."""

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from quadpred.train.run import Run, RunError

__all__ = [
    "DivergedError",
    "Stage",
    "Trainer",
    "Validate",
    "autocast",
    "device",
    "placed",
    "progress_bar",
]

M = TypeVar("M", bound=nn.Module)
Validate = Callable[[nn.Module], dict[str, float]]
_Tensors = tuple[Tensor, ...] | list[Tensor]

AVERAGE_DECAY = 0.99  # of the running average of weights: about the last hundred steps
MAX_NORM = 5.0  # of the gradient


class DivergedError(RunError):
    """The loss of a run became NaN or infinite."""


def device() -> torch.device:
    """Return the GPU when PyTorch sees one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def placed(model: M) -> M:
    """Move a network to the device, in the memory layout in which convolutions are fastest."""
    moved = model.to(device())
    return moved.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def autocast(precision: str) -> torch.autocast:
    """Context in which the network computes in a recipe's precision.

    A CPU without AVX-512 would only emulate bfloat16, which is slower than float32.
    """
    place = device().type
    fast = place != "cpu" or torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return torch.autocast(place, torch.bfloat16, enabled=fast and precision == "bfloat16")


def progress_bar() -> Progress:
    """Progress on a terminal's standard error, nothing in a pipe."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )


@dataclass(frozen=True)
class Stage:
    """Consecutive epochs with one learning rate schedule over some of the parameters."""

    name: str
    epochs: int
    learning_rate: float
    schedule: Literal["constant", "plateau", "one-cycle"]
    parameters: tuple[nn.Parameter, ...]
    weight_decay: float = 0.0


class _Selection:
    """Selects the weights to keep: a running average, or those with the best validation loss."""

    def __init__(
        self, model: nn.Module, keep: Literal["best", "average"], validate: Validate | None
    ):
        self.model, self.validate = model, validate
        self.average: AveragedModel | None = None
        if keep == "average":
            self.average = AveragedModel(model, multi_avg_fn=_average, use_buffers=True)
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
        """Go back to the best weights so far, if any were validated."""
        if self.best["weights"] is not None:
            self.model.load_state_dict(self.best["weights"])

    def finish(self) -> None:
        """Leave the model with the running average, if that is kept."""
        if self.average:
            self.model.load_state_dict(self.average.module.state_dict())

    def state_dict(self) -> dict[str, Any]:
        average = self.average.state_dict() if self.average else None
        return {"best": self.best, "average": average}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best = state["best"]
        if self.average:
            self.average.load_state_dict(state["average"])


class Trainer:
    """Trains a model in place through stages, and resumes from the run's checkpoint.

    Args:
        run: folder for checkpoints and the log.
        model: left with the weights that `keep` selects.
        steps: batches per epoch.
        losses: yields the loss of each batch of an epoch, given (stage, epoch).
        validate: scores of a model by name, of which "loss" selects the best.
        keep: "best" for the weights with the lowest validation loss, the initial ones included
            (without validation, the last), "average" for a running average.
        seed: of dropout and noise; with the epoch it determines everything random.
    """

    def __init__(
        self,
        run: Run,
        model: nn.Module,
        *,
        steps: int,
        losses: Callable[[tuple[int, int]], Iterator[Tensor]],
        validate: Validate | None,
        keep: Literal["best", "average"],
        seed: int,
    ):
        self.run, self.model, self.steps, self.losses, self.seed = run, model, steps, losses, seed
        self.selection = _Selection(model, keep, validate)

    def fit(self, stages: Sequence[Stage]) -> None:
        """Train through all stages.

        Raises:
            DivergedError: the loss became NaN or infinite.
            RunError: the checkpoint is damaged.
        """
        state = self.run.checkpoint() or {"stage": 0, "epoch": 0}
        epochs = sum(stage.epochs for stage in stages[: state["stage"]]) + state["epoch"]
        self.run.shorten_log(1 + epochs if "model" in state else 0)
        if "model" in state:
            self.model.load_state_dict(state["model"])
            self.selection.load_state_dict(state["selection"])
        else:
            self.run.log({"stage": "start", **_prefixed(self.selection.scores())})
        with progress_bar() as bar:
            for index, stage in enumerate(stages):
                if index >= state["stage"]:
                    self._run_stage(index, stage, state if index == state["stage"] else {}, bar)
        self.selection.finish()

    def _run_stage(self, index: int, stage: Stage, state: Mapping[str, Any], bar: Progress) -> None:
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)
        for parameter in stage.parameters:
            parameter.requires_grad_(True)
        optimiser = torch.optim.AdamW(
            stage.parameters, stage.learning_rate, weight_decay=stage.weight_decay
        )
        schedule = _schedule(optimiser, stage, self.steps)
        done = state.get("epoch", 0)
        if done:
            optimiser.load_state_dict(state["optimiser"])
            if schedule:
                schedule.load_state_dict(state["schedule"])
        total = stage.epochs * self.steps
        task = bar.add_task(stage.name, total=total, completed=done * self.steps, note="")
        for epoch in range(done, stage.epochs):
            started = time.monotonic()
            torch.manual_seed(_entropy(self.seed, index, epoch))
            self.model.train()
            loss = self._run_epoch((index, epoch), stage, optimiser, schedule, bar, task)
            if not math.isfinite(loss):
                raise DivergedError(
                    f"{self.run.folder}: loss became NaN or infinite in stage '{stage.name}';"
                    " lower learning_rate"
                )
            scores = self.selection.scores()
            if isinstance(schedule, ReduceLROnPlateau):
                schedule.step(scores.get("loss", loss))
            bar.update(task, note=f"loss {loss:.4f}")
            self.run.log(
                {
                    "stage": stage.name,
                    "epoch": epoch,
                    "loss": loss,
                    **_prefixed(scores),
                    "learning_rate": optimiser.param_groups[0]["lr"],
                    "seconds": round(time.monotonic() - started, 2),
                }
            )
            self.run.save_checkpoint(
                {
                    "stage": index,
                    "epoch": epoch + 1,
                    "model": self.model.state_dict(),
                    "selection": self.selection.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "schedule": schedule.state_dict() if schedule else None,
                }
            )
        self.selection.restore_best()

    def _run_epoch(
        self,
        position: tuple[int, int],
        stage: Stage,
        optimiser: torch.optim.Optimizer,
        schedule: LRScheduler | None,
        bar: Progress,
        task: Any,
    ) -> float:
        """Train for one epoch; return the mean loss."""
        total = 0.0
        for loss in self.losses(position):
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(stage.parameters, MAX_NORM)
            optimiser.step()
            self.selection.step()
            if isinstance(schedule, OneCycleLR):
                schedule.step()
            total += loss.item()
            bar.advance(task)
        return total / self.steps


def _average(averaged: _Tensors, current: _Tensors, count: Tensor | int) -> None:
    """Exponential average that gives the first steps little weight."""
    decay = min(AVERAGE_DECAY, (1 + float(count)) / (10 + float(count)))
    get_ema_multi_avg_fn(decay)(averaged, current, count)  # type: ignore[no-untyped-call]


def _prefixed(scores: Mapping[str, float]) -> dict[str, float]:
    return {f"validation_{name}": value for name, value in scores.items()}


def _entropy(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _schedule(optimiser: torch.optim.Optimizer, stage: Stage, steps: int) -> LRScheduler | None:
    match stage.schedule:
        case "one-cycle":
            total = max(2, stage.epochs * steps)  # its two phases need a step each
            warm_up = max(0.25, 1.5 / total)
            return OneCycleLR(optimiser, stage.learning_rate, total_steps=total, pct_start=warm_up)
        case "plateau":
            return ReduceLROnPlateau(optimiser, factor=0.5, patience=3)
        case "constant":
            return None
