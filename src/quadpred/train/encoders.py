"""Speech encoders as safetensors files, and the initial weights of a training run.

The header of the file holds the description of the encoder's run under `quadpred`, as JSON.
Convolutions are stored in half precision, vectors in single precision.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from quadpred.files import atomic_write
from quadpred.train.run import Run, RunError, parse_description

__all__ = ["SUFFIX", "describe", "pack", "start_weights"]

SUFFIX = ".safetensors"
"""How the name of an encoder's file ends."""

_DESCRIPTION = "quadpred"


def pack(run: Path, output: Path) -> None:
    """Write the encoder of a finished pre-training as one file.

    Args:
        run: folder of the pre-training.
        output: the file; its name must end in `.safetensors`.

    Raises:
        OSError: the file cannot be written.
        RunError: the folder holds no finished pre-training.
    """
    described = Run.describe(run, "kind", "recipe")
    if described["kind"] != "pretrain":
        raise RunError(f"{run}: not a run of quadpred train pretrain")
    weights = {name: _stored(weight) for name, weight in Run.result(run)["encoder"].items()}
    with atomic_write(output) as (file,):
        file.write(save(weights, {_DESCRIPTION: json.dumps(described)}))


def describe(start: Path) -> dict[str, Any]:
    """Return the description of the run behind initial weights.

    Args:
        start: a run's folder, or a file of `pack`.

    Raises:
        RunError: `start` is neither, or its description is damaged.
    """
    if start.suffix != SUFFIX:
        return Run.describe(start, "kind", "recipe")
    return parse_description(_read(start)[0], start, "kind", "recipe")


def start_weights(start: Path) -> Mapping[str, Any]:
    """Return initial weights, as `Run.result` does: `encoder`, or `classifier` and `sizes`.

    Args:
        start: the folder of a finished run, or a file of `pack`.

    Raises:
        RunError: `start` is neither.
    """
    if start.suffix != SUFFIX:
        return Run.result(start)
    return {"encoder": {name: _widened(weight) for name, weight in _read(start)[1].items()}}


def _stored(weight: Tensor) -> Tensor:
    return (weight.half() if weight.ndim > 1 else weight).contiguous()


def _widened(weight: Tensor) -> Tensor:
    return weight.float() if weight.is_floating_point() else weight


def _read(path: Path) -> tuple[str, dict[str, Tensor]]:
    """Return the description and the weights of a file."""
    try:
        path.stat()  # safetensors' own error lacks the reason
        with safe_open(path, "pt") as file:
            description = (file.metadata() or {})[_DESCRIPTION]
            return description, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise RunError(f"{path}: {error.strerror or 'not a speech encoder'}") from None
    except (SafetensorError, KeyError):
        raise RunError(f"{path}: not a speech encoder") from None
