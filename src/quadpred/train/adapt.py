"""Train a model on a user's labelled songs: from a bundled speech encoder to a scored model file.

The groups (artists) are assigned to folds. For each fold, one network is trained on the other folds
and scored on this one. The network in the model file is trained on all groups.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from quadpred import registry
from quadpred.audio import AudioError
from quadpred.errors import QuadpredError
from quadpred.files import check_target, digest_of, sha256_of
from quadpred.labels import QUADRANT
from quadpred.train.card import check_card, export_with_card
from quadpred.train.corpora import Clip, Manifest, in_folds
from quadpred.train.corpora.labelled import read_labelled
from quadpred.train.data.log_mels import LogMels
from quadpred.train.evaluate import Evaluation, evaluate
from quadpred.train.loop import progress_bar
from quadpred.train.recipe import Recipe
from quadpred.train.transfer import transfer

__all__ = [
    "AdaptError",
    "Adapted",
    "adapt",
    "check_labels",
    "check_output",
    "folds_to_score",
    "without_copies",
]

Message = Callable[[str], None]

MIN_CLIPS = 10
FOLDS = 3
_UNCERTAIN = "on groups that it was not trained on, its quadrants are no better than chance"


class AdaptError(QuadpredError):
    """Songs or an output cannot be used. The message is one line: the file and the reason."""


@dataclass(frozen=True)
class Adapted:
    """Result of `adapt`.

    Attributes:
        model: the ONNX file.
        card: its model card.
        folder: holds the runs and scores.
        scores: as `evaluate` returns them; each group is scored by a network not trained on it.
        chance: macro F1 of uniform guesses among the quadrants of the songs.
    """

    model: Path
    card: Path
    folder: Path
    scores: Evaluation
    chance: float

    @property
    def uncertain(self) -> bool:
        """Whether the 95 % interval of the quadrants' macro F1 by clip includes chance."""
        return bool(self.scores.heads["quadrant"].clip.macro_f1.low <= self.chance)


def adapt(
    source: Path,
    output: Path,
    *,
    speech: str = "mixed",
    recipe: str = "adapt",
    cache: Path | None = None,
    on_warning: Message = lambda text: None,
    on_progress: Message = lambda text: None,
) -> Adapted:
    """Train, score and export a model; an interrupted call is continued.

    Runs and scores are kept in `NAME.adapt` beside the output, in one folder per set of songs,
    labels, speech and recipe.

    Args:
        source: labelled songs, in any form that `read_labelled` reads.
        output: the ONNX file; the card is written beside it.
        speech: language of the speech encoder to start from.
        recipe: name or file.
        cache: folder of computed log-mels.
        on_warning: called with one line per problem.
        on_progress: called with one line per step.

    Raises:
        AdaptError: too few songs, quadrants or groups, a damaged encoder, or a name of the output
            that does not end in `.onnx`.
        ExportError: the card would replace another document.
        LanguageError: the package has no encoder of this speech.
        ManifestError: the list of songs cannot be read.
        OSError: the output cannot be written.
        RecipeError: no such recipe.
        RunError: the loss became NaN or infinite, or the recipe's network does not match the
            encoder.
    """
    card_path = output.with_suffix(".md")
    check_output(output)
    encoder = registry.encoder(speech)
    if sha256_of(encoder.path) != encoder.sha256:
        raise AdaptError(f"{encoder.path}: damaged (wrong checksum); reinstall quadpred")
    loaded = Recipe.load(recipe)
    manifest = read_labelled(source)
    check_labels(manifest, source)
    manifest = replace(manifest, clips=tuple(without_copies(manifest.clips, on_warning)))
    manifest = _readable(manifest, LogMels(loaded.features, cache), on_warning)
    check_labels(manifest, source)
    notes = list(_limitations(manifest))
    for note in notes:
        on_warning(note)
    manifest = replace(manifest, clips=folds_to_score(manifest.clips, loaded.seed))
    folder = output.with_suffix(".adapt") / _digest(manifest, loaded, encoder.sha256)
    runs = _train(loaded, manifest, folder, encoder.path, cache, on_progress)
    on_progress("scoring")
    scores = evaluate(runs, manifest, cache=cache)
    scores.save(folder / "scores.json")
    quadrants = {clip.quadrant for clip in manifest.clips}
    adapted = Adapted(output, card_path, folder, scores, 1 / len(quadrants))
    _export(adapted, folder / "all", encoder.speech, manifest, notes)
    return adapted


def check_output(output: Path) -> None:
    """Check that the model file and its card can be written.

    Raises:
        AdaptError: the name does not end in `.onnx`.
        ExportError: the card would replace another document.
        OSError: the output cannot be written.
    """
    if output.suffix != ".onnx":
        raise AdaptError(f"{output}: the name of a model file must end in .onnx")
    check_target(output)
    check_card(output)


def check_labels(manifest: Manifest, source: Path) -> None:
    """Check that the songs suffice to train and to score a model.

    Raises:
        AdaptError: too few clips, quadrants or groups.
    """
    clips = manifest.clips
    if len(clips) < MIN_CLIPS:
        raise AdaptError(
            f"{source}: {len(clips)} labelled clips that can be read; at least {MIN_CLIPS} are"
            " needed, and 100 or more advised"
        )
    groups = _groups(clips)
    if len(groups) < 2:
        raise AdaptError(
            f"{source}: every clip is {clips[0].quadrant}; at least two quadrants are needed"
        )
    if len({clip.group for clip in clips}) < 2:
        raise AdaptError(
            f"{source}: only one group ({clips[0].group!r}); need two, so that one can be held out"
        )
    if sum(len(names) > 1 for names in groups.values()) < 2:
        raise AdaptError(
            f"{source}: two quadrants need clips of two groups each, one to train on and one to"
            " test on"
        )


def folds_to_score(clips: Sequence[Clip], seed: int) -> tuple[Clip, ...]:
    """Assign groups to three folds, or to more where a model could not be trained without one.

    Args:
        clips: that pass `check_labels`. With each group in a fold of its own, two quadrants remain
            whichever fold is left out.
        seed: of the order of groups with as many clips.
    """
    groups = len({clip.group for clip in clips})
    assigned = (in_folds(clips, folds, seed) for folds in range(min(FOLDS, groups), groups + 1))
    return next(each for each in assigned if _trainable(each))


def _trainable(clips: Sequence[Clip]) -> bool:
    """Return whether two quadrants remain whichever fold is left out."""
    folds = {clip.split for clip in clips}
    return all(len({c.quadrant for c in clips if c.split != fold}) > 1 for fold in folds)


def _groups(clips: Sequence[Clip]) -> dict[str, set[str]]:
    """Return the groups with clips of each quadrant."""
    groups = defaultdict(set)
    for clip in clips:
        groups[clip.quadrant].add(clip.group)
    return groups


def _limitations(manifest: Manifest) -> Iterator[str]:
    """Yield one line per limitation of a model trained on these clips."""
    groups = _groups(manifest.clips)
    if missing := [name for name in QUADRANT.classes if name not in groups]:
        yield f"no clip is {' or '.join(missing)}: the model cannot learn this"
    for name, names in sorted(groups.items()):
        if len(names) == 1:
            yield f"all clips of {name} are of one group, so its scores are meaningless"


def _readable(manifest: Manifest, log_mels: LogMels, on_warning: Message) -> Manifest:
    """Compute the log-mels, and leave out clips that cannot be read, each with a warning."""
    with progress_bar() as bar, ThreadPoolExecutor(os.cpu_count()) as pool:
        task = bar.add_task("reading", total=len(manifest.clips), note="")

        def compute(clip: Clip) -> str:
            """Return the error message, or an empty string."""
            try:
                log_mels.load_one(clip)
            except AudioError as error:
                return str(error)
            finally:
                bar.advance(task)
            return ""

        errors = list(pool.map(compute, manifest.clips))
    for message in filter(None, errors):
        on_warning(f"{message}; left out")
    pairs = zip(manifest.clips, errors, strict=True)
    return replace(manifest, clips=tuple(clip for clip, message in pairs if not message))


def without_copies(clips: Iterable[Clip], on_warning: Message) -> Iterator[Clip]:
    """Leave out copies of recordings, each with a warning: in two folds, they would be a leak."""
    first: dict[str, Clip] = {}
    for clip in clips:
        try:
            known = first.setdefault(clip.checksum(), clip) if clip.path.is_file() else clip
        except OSError:  # named by whoever reads the recording
            known = clip
        if known is clip:
            yield clip
        else:
            on_warning(f"{clip.path}: a copy of {known.path}; left out")


def _digest(manifest: Manifest, recipe: Recipe, encoder: str) -> str:
    """Return a checksum of the inputs of the runs."""
    songs = [clip.digest() for clip in manifest.clips]
    return digest_of([songs, asdict(manifest.sheet), asdict(recipe), encoder], 12)


def _train(
    recipe: Recipe,
    manifest: Manifest,
    folder: Path,
    start: Path,
    cache: Path | None,
    on_progress: Message,
) -> list[Path]:
    """Train one network per fold, without it, and one on all folds; return the former's folders."""
    folds = sorted({clip.split for clip in manifest.clips})
    runs = [folder / f"fold-{fold}" for fold in folds]
    for fold, run in zip(folds, runs, strict=True):
        on_progress(
            f"training {int(fold) + 1} of {len(folds) + 1}: without fold {fold}, for the scores"
        )
        transfer(recipe, [manifest], run, start=start, test=[fold], cache=cache)
    on_progress(f"training {len(folds) + 1} of {len(folds) + 1}: on all groups, for the model")
    transfer(recipe, [manifest], folder / "all", start=start, cache=cache)
    return runs


def _export(
    adapted: Adapted, run: Path, speech: str, manifest: Manifest, notes: Sequence[str]
) -> None:
    """Write the model file and its card."""
    has_name = manifest.sheet.language in registry.LANGUAGES.values()
    folds = len(adapted.scores.runs)
    export_with_card(
        run,
        adapted.model,
        speech=speech,
        music=manifest.sheet.language if has_name else "custom",
        caveat=_UNCERTAIN if adapted.uncertain else "",
        calibration=adapted.scores.calibration,
        scores=[
            (f"{folds} networks of the same recipe, each trained without one fold", adapted.scores)
        ],
        notes=[
            f"The scores are not of the weights in this file, which were trained on all"
            f" {adapted.scores.clips} clips, but of {folds} networks trained with the same recipe.",
            *(f"{note[0].upper()}{note[1:]}." for note in notes),
        ],
    )
