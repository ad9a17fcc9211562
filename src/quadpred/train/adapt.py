"""A model of one's own songs: from a speech encoder on board to a model file with its scores.

The groups (artists) are dealt to folds. A network a fold is trained without it and scored on it;
the one that goes into the model file is trained on everything.
"""

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from quadpred import registry
from quadpred.audio import AudioError
from quadpred.errors import QuadpredError
from quadpred.files import atomic_write, check_target
from quadpred.labels import QUADRANT
from quadpred.train.card import card
from quadpred.train.corpora import Clip, Manifest, in_folds
from quadpred.train.corpora.labelled import read_labelled
from quadpred.train.data.log_mels import LogMels
from quadpred.train.evaluate import Evaluation, evaluate
from quadpred.train.export import export
from quadpred.train.loop import progress_bar
from quadpred.train.recipe import Recipe
from quadpred.train.report import save_reliability_of
from quadpred.train.run import Run
from quadpred.train.transfer import transfer

__all__ = ["FOLDS", "AdaptError", "Adapted", "adapt", "check_labels", "check_output"]

Say = Callable[[str], None]

LEAST_CLIPS = 10
FOLDS = 3
_UNCERTAIN = "on groups that it was not trained on, its quadrants are no better than chance"


class AdaptError(QuadpredError):
    """What cannot be adapted to, or written. One line: the file and the reason."""


@dataclass(frozen=True)
class Adapted:
    """What `adapt` made.

    Attributes:
        model: the ONNX file.
        card: its model card.
        folder: of the runs and scores.
        scores: as `evaluate` returns them, on groups not heard.
        chance: macro F1 of guessing among the quadrants that there are.
    """

    model: Path
    card: Path
    folder: Path
    scores: Evaluation
    chance: float

    @property
    def uncertain(self) -> bool:
        """Whether chance is within the interval of the quadrants' macro F1 by clip."""
        return bool(self.scores.heads["quadrant"].clip.macro_f1.low <= self.chance)


def adapt(
    source: Path,
    output: Path,
    *,
    speech: str = "mixed",
    recipe: str = "adapt",
    cache: Path | None = None,
    warn: Say = lambda text: None,
    tell: Say = lambda text: None,
) -> Adapted:
    """Train, score and export a model; continues where it was stopped.

    Runs and scores are kept in a folder beside the output, named after it and, within it, after
    what they were made of: other songs, labels, speech or recipe start anew.

    Args:
        source: labelled songs, in any form that `read_labelled` reads.
        output: the ONNX file; the card is written beside it.
        speech: language of the speech encoder to start from.
        recipe: name or file.
        cache: folder of computed log-mels.
        warn: takes a line on what is not as it should be.
        tell: takes a line on what is done now.

    Raises:
        AdaptError: too little to learn from, a damaged encoder, or an output that would destroy
            something.
        ManifestError: the songs' list cannot be read.
        OSError: the output cannot be written.
        RecipeError: no such recipe.
        RunError: the loss is no finite number any more, or the recipe's network is not the
            encoder's.
        ValueError: no encoder of this speech.
    """
    described = output.with_suffix(".md")
    check_output(output)
    encoder = registry.encoder(speech)
    if hashlib.sha256(encoder.path.read_bytes()).hexdigest() != encoder.sha256:
        raise AdaptError(f"{encoder.path}: is not the encoder on record; install quadpred again")
    loaded = Recipe.load(recipe)
    manifest = read_labelled(source)
    check_labels(manifest, source)
    manifest = _readable(manifest, LogMels(loaded.features, cache), warn)
    check_labels(manifest, source)
    notes = list(_shortcomings(manifest))
    for note in notes:
        warn(note)
    groups = len({clip.group for clip in manifest.clips})
    manifest = replace(manifest, clips=in_folds(manifest.clips, min(FOLDS, groups), loaded.seed))
    folder = output.with_suffix(".adapt") / _digest(manifest, loaded, encoder.sha256)
    runs = _train(loaded, manifest, folder, encoder.path, cache, tell)
    tell("scores")
    scores = evaluate(runs, manifest, cache=cache)
    scores.save(folder / "scores.json")
    quadrants = {clip.quadrant for clip in manifest.clips}
    adapted = Adapted(output, described, folder, scores, 1 / len(quadrants))
    _export(adapted, folder / "all", encoder.speech, manifest, notes)
    return adapted


def check_output(output: Path) -> None:
    """Refuse an output that is not a model file's, or whose card would replace something else.

    Raises:
        AdaptError: see above.
        OSError: the output cannot be written.
    """
    described = output.with_suffix(".md")
    if output.suffix != ".onnx":
        raise AdaptError(f"{output}: a model file's name ends in .onnx")
    check_target(output)
    check_target(described)
    if described.is_file() and not described.read_text("utf-8", "replace").startswith(
        _title(output)
    ):
        raise AdaptError(f"{described}: is no model card of {output.stem}, and would be replaced")


def _title(output: Path) -> str:
    return f"# {output.stem}\n"


def check_labels(manifest: Manifest, source: Path) -> None:
    """Refuse what nothing can be learned from, or what could not be judged."""
    clips = manifest.clips
    if len(clips) < LEAST_CLIPS:
        raise AdaptError(
            f"{source}: {len(clips)} labelled clips that can be read; {LEAST_CLIPS} are the least,"
            " and a hundred make sense"
        )
    groups = _groups(clips)
    if len(groups) < 2:
        raise AdaptError(
            f"{source}: every clip is {clips[0].quadrant}; a model needs two quadrants"
        )
    if len({clip.group for clip in clips}) < 2:
        raise AdaptError(
            f"{source}: every clip is of one group, {clips[0].group!r}; none is left to test on"
        )
    if sum(len(names) > 1 for names in groups.values()) < 2:
        raise AdaptError(
            f"{source}: two quadrants need clips of two groups each, one to learn from and one to"
            " test on"
        )


def _groups(clips: Sequence[Clip]) -> dict[str, set[str]]:
    """Names of the groups that each quadrant has clips of."""
    groups = defaultdict(set)
    for clip in clips:
        groups[clip.quadrant].add(clip.group)
    return groups


def _shortcomings(manifest: Manifest) -> Iterator[str]:
    """Say what a model of these clips cannot be good at."""
    groups = _groups(manifest.clips)
    if missing := [name for name in QUADRANT.classes if name not in groups]:
        yield f"no clip is {' or '.join(missing)}: the model has not heard any"
    for name, heard in sorted(groups.items()):
        if len(heard) == 1:
            yield f"all clips of {name} are of one group, so their scores say nothing"


def _readable(manifest: Manifest, log_mels: LogMels, warn: Say) -> Manifest:
    """Compute the log-mels, and drop clips that cannot be read, each with a warning."""
    with progress_bar() as bar, ThreadPoolExecutor(os.cpu_count()) as pool:
        task = bar.add_task("reading", total=len(manifest.clips), note="")

        def complaint(clip: Clip) -> str:
            try:
                log_mels.load([clip], lambda: bar.advance(task))
            except AudioError as error:
                return str(error)
            return ""

        complaints = list(pool.map(complaint, manifest.clips))
    for text in filter(None, complaints):
        warn(f"{text}; left out")
    kept = zip(manifest.clips, complaints, strict=True)
    return replace(manifest, clips=tuple(clip for clip, text in kept if not text))


def _digest(manifest: Manifest, recipe: Recipe, encoder: str) -> str:
    """Name what the runs are made of; recordings count by size and time of change."""
    songs = []
    for clip in manifest.clips:
        stat = clip.path.stat()
        path = os.fsencode(clip.path.resolve()).decode(errors="backslashreplace")
        songs.append([path, stat.st_size, stat.st_mtime_ns, clip.group, clip.split, clip.quadrant])
    told = json.dumps([songs, asdict(manifest.sheet), asdict(recipe), encoder])
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def _train(
    recipe: Recipe, manifest: Manifest, folder: Path, start: Path, cache: Path | None, tell: Say
) -> list[Path]:
    """Train a network without each fold, and one on all, `all`; return the former's folders."""
    folds = sorted({clip.split for clip in manifest.clips})
    runs = [folder / f"fold-{fold}" for fold in folds]
    for fold, run in zip(folds, runs, strict=True):
        tell(f"training {int(fold) + 1} of {len(folds) + 1}, without some groups, for the scores")
        transfer(recipe, [manifest], run, start=start, test=[fold], cache=cache)
    tell(f"training {len(folds) + 1} of {len(folds) + 1}, on all groups, for the model")
    transfer(recipe, [manifest], folder / "all", start=start, cache=cache)
    return runs


def _export(
    adapted: Adapted, run: Path, speech: str, manifest: Manifest, notes: Sequence[str]
) -> None:
    """Write the model file and its card."""
    known = manifest.sheet.language in registry.LANGUAGES.values()
    about: dict[str, Any] = {
        "name": adapted.model.stem,
        "speech": speech,
        "music": manifest.sheet.language if known else "custom",
        "caveat": _UNCERTAIN if adapted.uncertain else "",
        "calibration": adapted.scores.calibration,
    }
    exported = export(run, adapted.model, **about)
    save_reliability_of(about["calibration"], adapted.model)
    folds = len(adapted.scores.runs)
    text = card(
        Run.describe(run),
        exported,
        **about,
        sha256=hashlib.sha256(adapted.model.read_bytes()).hexdigest(),
        scores=[(f"{folds} networks of the same recipe, each without a fold", adapted.scores)],
        notes=[
            f"The scores are not of the weights in this file, which were trained on all"
            f" {adapted.scores.clips} clips, but of {folds} networks trained like it.",
            *(f"{note[0].upper()}{note[1:]}." for note in notes),
        ],
    )
    with atomic_write(adapted.card) as (file,):
        file.write(text.encode(errors="backslashreplace"))
