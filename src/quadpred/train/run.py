"""The folder of a training run: its description, log, checkpoint and result."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from quadpred.errors import QuadpredError
from quadpred.files import atomic_write
from quadpred.train.corpora import DataSheet
from quadpred.train.recipe import Recipe

__all__ = ["Run", "RunError", "parse_description"]

_DESCRIPTION, _LOG, _CHECKPOINT, _RESULT = "run.json", "log.jsonl", "checkpoint.pt", "model.pt"


class RunError(QuadpredError):
    """A run's folder cannot be used. The message is one line: the folder and the reason."""


class Run:
    """A folder with `run.json` (the description), `log.jsonl`, `checkpoint.pt` and `model.pt`.

    Opening a folder again continues its run, if the description is the same.

    Raises:
        RunError: the folder holds a run with another description.
    """

    def __init__(self, folder: Path, description: Mapping[str, Any]):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / _DESCRIPTION).is_file():
            with atomic_write(folder / _DESCRIPTION) as (file,):
                file.write(_as_json(description).encode())
            return
        differing = _differing(_decisive(self.describe(folder)), _decisive(description))
        if differing:
            raise RunError(
                f"{folder}: holds a run with other {', '.join(differing)};"
                " choose another folder or remove this one"
            )

    @staticmethod
    def files(folder: Path) -> list[Path]:
        """Return the paths of a run's files; some may not exist."""
        return [folder / name for name in (_DESCRIPTION, _LOG, _CHECKPOINT, _RESULT)]

    @staticmethod
    def describe(folder: Path, *required: str) -> dict[str, Any]:
        """Return the description of a run, with defaults for settings that recipes have gained.

        Args:
            folder: of the run.
            required: keys that the description must have.

        Raises:
            RunError: the folder holds no run, or `parse_description` refuses its description.

        """
        path = folder / _DESCRIPTION
        try:
            text = path.read_bytes()
        except OSError:
            raise RunError(f"{folder}: holds no run of quadpred train") from None
        return parse_description(text, path, *required)

    @staticmethod
    def result(folder: Path) -> dict[str, Any]:
        """Return what a finished run saved.

        Raises:
            RunError: the folder holds no finished run, or its file is damaged.

        """
        return _load(folder / _RESULT, f"{folder}: holds no finished run")

    @property
    def finished(self) -> bool:
        """Whether the final weights exist."""
        return (self.folder / _RESULT).is_file()

    def finish(self, result: Mapping[str, Any]) -> None:
        """Save the final weights, and delete the checkpoint."""
        self._save(_RESULT, result)
        (self.folder / _CHECKPOINT).unlink(missing_ok=True)

    def checkpoint(self) -> dict[str, Any] | None:
        """Return the state to continue from, if there is one.

        Raises:
            RunError: the checkpoint is damaged.
        """
        path = self.folder / _CHECKPOINT
        return _load(path, f"{path}: missing") if path.is_file() else None

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Replace the checkpoint, atomically."""
        self._save(_CHECKPOINT, state)

    def log(self, record: Mapping[str, Any]) -> None:
        """Append one line to the log."""
        with (self.folder / _LOG).open("a") as file:
            file.write(json.dumps(record) + "\n")

    def shorten_log(self, lines: int) -> None:
        """Keep so many lines of the log: those of the epochs before the checkpoint.

        A killed run may have left more, of which the last may be cut short.
        """
        path = self.folder / _LOG
        found = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
        if len(found) > lines:
            with atomic_write(path) as (file,):
                file.write(b"".join(found[:lines]))

    @staticmethod
    def records(folder: Path) -> list[dict[str, Any]]:
        """Return the lines of a run's log.

        Raises:
            RunError: the folder holds no log, or a line is damaged.

        """
        try:
            lines = (folder / _LOG).read_text().splitlines()
            return [json.loads(line) for line in lines]
        except OSError:
            raise RunError(f"{folder}: holds no log; train again in another folder") from None
        except (ValueError, RecursionError):
            raise RunError(f"{folder / _LOG}: damaged; remove the folder") from None

    def _save(self, name: str, state: Mapping[str, Any]) -> None:
        with atomic_write(self.folder / name) as (file,):
            torch.save(dict(state), file)


def _load(path: Path, missing: str) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise RunError(missing) from None
    except Exception as error:  # a damaged file raises errors of pickle, zip and torch
        raise RunError(f"{path}: damaged ({type(error).__name__}); remove the folder") from error
    return loaded


def parse_description(text: str | bytes, path: Path, *required: str) -> dict[str, Any]:
    """Return a run's description, with defaults for settings that recipes have gained.

    Args:
        text: the description as JSON.
        path: of its file, for messages.
        required: keys that the description must have.

    Raises:
        RunError: it is damaged, lacks a required key, or its recipe has a key or value that recipes
            no longer have.
    """
    try:
        described = _completed(json.loads(text))
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise RunError(f"{path}: damaged ({error}); train again in another folder") from None
    for key in required:
        if key not in described:
            raise RunError(f"{path}: lacks {key!r}; train again in another folder")
    return described


def _completed(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return a description with defaults for settings that it lacks, as JSON has it."""
    whole = dict(described)
    if "recipe" in whole:
        whole["recipe"] = json.loads(json.dumps(asdict(Recipe.from_dict(whole["recipe"]))))
    for corpora in {"corpora", "outliers"} & set(whole):
        whole[corpora] = [asdict(DataSheet(**sheet)) for sheet in whole[corpora]]
    if whole.get("start"):
        whole["start"] = _completed(whole["start"])
    return whole


def _as_json(description: Mapping[str, Any]) -> str:
    return json.dumps(description, indent=2, sort_keys=True) + "\n"


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Names of the settings in which two descriptions differ."""
    names = sorted({*one, *other})
    return [n for n in names if _as_json({n: one.get(n)}) != _as_json({n: other.get(n)})]


def _decisive(description: Mapping[str, Any]) -> dict[str, Any]:
    """Drop settings without effect: in a recipe for pre-training, those of heads and transfer."""
    decisive = dict(description)
    if decisive.get("kind") == "pretrain":
        recipe = {key: value for key, value in decisive["recipe"].items() if key != "transfer"}
        unused = {"head", "level"}
        network = {key: value for key, value in recipe["network"].items() if key not in unused}
        decisive["recipe"] = recipe | {"network": network}
    if decisive.get("start"):
        decisive["start"] = _decisive(decisive["start"])
    return decisive
