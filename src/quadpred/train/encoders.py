"""Speech encoders in one small file, and what training can start from.

The file is a NumPy archive without objects, so reading it runs no code: an array a weight, and
under `described` what the encoder's run was asked to do, as the bytes of its JSON. Convolutions are
stored in half precision, everything small in full.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from quadpred.files import atomic_write
from quadpred.train.loop import Run, RunError, completed

__all__ = ["describe", "pack", "start_weights"]

SUFFIX = ".npz"
_DESCRIBED = "described"


def pack(run: Path, output: Path) -> None:
    """Write the encoder of a finished pre-training as one file.

    Args:
        run: its folder.
        output: the file, which should end in `.npz`.

    Raises:
        OSError: the file cannot be written.
        RunError: the folder holds no finished pre-training.
    """
    described = Run.describe(run)
    if described["kind"] != "pretrain":
        raise RunError(f"{run}: holds no speech encoder")
    arrays = {name: _stored(weight) for name, weight in Run.result(run)["encoder"].items()}
    arrays[_DESCRIBED] = np.frombuffer(json.dumps(described).encode(), np.uint8)
    with atomic_write(output) as (file,):
        np.savez_compressed(file, allow_pickle=False, **arrays)


def describe(start: Path) -> dict[str, Any]:
    """Return what the run behind a start was asked to do.

    Args:
        start: a run's folder, or a file of `pack`.

    Raises:
        RunError: neither.
    """
    if start.suffix != SUFFIX:
        return Run.describe(start)
    return completed(json.loads(_arrays(start)[_DESCRIBED].tobytes()))


def start_weights(start: Path) -> Mapping[str, Any]:
    """Return a start's weights, as `Run.result` does: `encoder`, or `classifier` and `extras`.

    Args:
        start: the folder of a finished run, or a file of `pack`.

    Raises:
        RunError: neither.
    """
    if start.suffix != SUFFIX:
        return Run.result(start)
    arrays = _arrays(start)
    del arrays[_DESCRIBED]
    return {"encoder": {name: _widened(array) for name, array in arrays.items()}}


def _stored(weight: Tensor) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = weight.numpy()
    return array.astype(np.float16) if array.ndim > 1 else array


def _widened(array: np.ndarray[Any, Any]) -> Tensor:
    weight = torch.from_numpy(array)
    return weight.float() if weight.is_floating_point() else weight


def _arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
    except OSError as error:
        raise RunError(f"{path}: {error.strerror or 'not a speech encoder'}") from None
    except (BadZipFile, EOFError, ValueError):
        raise RunError(f"{path}: not a speech encoder") from None
    if _DESCRIBED not in arrays:
        raise RunError(f"{path}: not a speech encoder")
    return arrays
