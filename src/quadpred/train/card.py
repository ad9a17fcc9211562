"""Model cards in Markdown, from templates: data, terms, scores, calibration, limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from quadpred.files import atomic_write, check_target, sha256_of
from quadpred.labels import HEADS
from quadpred.train.evaluate import Calibration, Evaluation
from quadpred.train.export import Exported, ExportError, export
from quadpred.train.report import reliability_path, save_reliability_of
from quadpred.train.run import Run

__all__ = ["card", "check_card", "encoder_card", "export_with_card", "remove_card"]


@dataclass(frozen=True)
class _Use:
    """A corpus, what it was used for, and the recipes of those stages."""

    stage: str
    recipes: list[str]
    corpus: Mapping[str, Any]


def export_with_card(
    run: Path,
    output: Path,
    *,
    speech: str,
    music: str,
    caveat: str = "",
    calibration: Calibration | None = None,
    trained_on: Sequence[str] = (),
    scores: Sequence[tuple[str, Evaluation]] = (),
    notes: Sequence[str] = (),
    tables: Sequence[tuple[str, str]] = (),
) -> Exported:
    """Export a run's network as `export` does, with its card and its reliability diagram beside it.

    The model is called as its file. The other arguments are those of `export` and `card`.

    Raises:
        RunError: the folder holds no finished transfer.
        ExportError: ONNX Runtime's result differs from PyTorch's, or the card would replace another
            document.
        OSError: a file cannot be written.
    """
    about: dict[str, Any] = {
        "name": output.stem,
        "speech": speech,
        "music": music,
        "caveat": caveat,
        "calibration": calibration,
    }
    check_card(output)
    exported = export(run, output, **about, trained_on=trained_on)
    remove_card(output)
    text = card(
        Run.describe(run),
        exported,
        **about,
        sha256=sha256_of(output),
        scores=scores,
        notes=notes,
        tables=tables,
    )
    if calibration:
        save_reliability_of(calibration, output)
    with atomic_write(output.with_suffix(".md")) as (file,):
        file.write(text.encode(errors="backslashreplace"))
    return exported


def check_card(model: Path) -> None:
    """Check that the card of a model would replace no other document.

    Raises:
        ExportError: it would.
        OSError: the card cannot be written.
    """
    path = model.with_suffix(".md")
    check_target(path)
    if path.is_file() and f"\n# {model.stem}\n" not in path.read_text("utf-8", "replace"):
        raise ExportError(
            f"{path}: exists and is not {model.stem}'s model card; choose another output"
        )


def remove_card(model: Path) -> None:
    """Remove the card and the reliability diagram of an older model of this name."""
    for path in model.with_suffix(".md"), reliability_path(model):
        path.unlink(missing_ok=True)


def card(
    described: Mapping[str, Any],
    exported: Exported,
    *,
    name: str,
    speech: str,
    music: str,
    sha256: str,
    scores: Sequence[tuple[str, Evaluation]] = (),
    calibration: Calibration | None = None,
    caveat: str = "",
    notes: Sequence[str] = (),
    tables: Sequence[tuple[str, str]] = (),
) -> str:
    """Write the card of an exported model.

    Args:
        described: description of its run, as `Run.describe` returns it.
        exported: differences between the file and the trained network.
        name: of the model.
        speech: language of the speech.
        music: language of the music, or "custom".
        sha256: of the ONNX file.
        scores: title and result of each evaluation.
        calibration: the one that the model was exported with.
        caveat: why the model is experimental, or empty.
        notes: further limits.
        tables: title and Markdown of further sections with scores.
    """
    return _template("card.md.j2").render(
        name=name,
        speech=_language(speech),
        music="custom" if music == "custom" else _language(music),
        recipe=described["recipe"]["name"],
        caveat=caveat,
        uses=_uses(described),
        key="fusion" in described,
        scores=scores,
        tables=tables,
        calibration=calibration,
        notes=notes,
        sha256=sha256,
        exported=exported,
        heads=HEADS,
    )


def encoder_card(
    described: Mapping[str, Any],
    log: Sequence[Mapping[str, Any]],
    *,
    name: str,
    speech: str,
    sha256: str,
) -> str:
    """Write the card of a speech encoder.

    Args:
        described: description of its run, as `Run.describe` returns it.
        log: the records of its run.
        name: of the encoder.
        speech: its language.
        sha256: of the file.
    """
    return _template("encoder.md.j2").render(
        name=name,
        speech=_language(speech),
        recipe=described["recipe"]["name"],
        uses=_uses(described),
        errors=[record["validation_loss"] for record in log if "validation_loss" in record],
        sha256=sha256,
    )


@lru_cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("quadpred.train", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, not HTML
    )


def _template(name: str) -> Template:
    return _environment().get_template(name)


def _language(name: str) -> str:
    return "English and Mandarin" if name == "mixed" else name.capitalize()


def _uses(described: Mapping[str, Any]) -> list[_Use]:
    """Corpora of all stages of a run, earliest first, each once per use."""
    uses: dict[tuple[str, str], _Use] = {}
    for run in _stages(described):
        stage = {"pretrain": "pre-training", "transfer": "transfer"}[run["kind"]]
        for use, corpora in (
            (stage, run["corpora"]),
            ("outlier exposure", run.get("outliers", ())),
        ):
            for corpus in corpora:
                entry = uses.setdefault((use, corpus["name"]), _Use(use, [], corpus))
                if run["recipe"]["name"] not in entry.recipes:
                    entry.recipes.append(run["recipe"]["name"])
    return list(uses.values())


def _stages(described: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Descriptions of a run and of those it started from, earliest first."""
    earlier = _stages(described["start"]) if described.get("start") else []
    return [*earlier, described]
