"""Model cards: what a model was trained on, under which terms, how well it does, what it is not."""

from collections.abc import Mapping, Sequence
from typing import Any

from quadpred.labels import HEADS, QUADRANT
from quadpred.train.export import Exported

__all__ = ["card", "encoder_card"]

_UNITS = ("clip", "window")

_LIMITS = (
    "It names the emotion that listeners perceive in music, not what one listener feels.",
    "Its labels are of whole clips; that single seconds differ is learned, not annotated.",
)


def card(
    described: Mapping[str, Any],
    exported: Exported,
    *,
    name: str,
    speech: str,
    music: str,
    sha256: str,
    scores: Sequence[tuple[str, Mapping[str, Any]]] = (),
    calibration: Mapping[str, Any] | None = None,
    experimental: str = "",
    notes: Sequence[str] = (),
) -> str:
    """Write the card of an exported model in Markdown.

    Args:
        described: what its run was asked to do, as `Run.describe` returns it.
        exported: how far the file is from the trained network.
        name: of the model.
        speech: language of the speech.
        music: language of the music, or "custom".
        sha256: of the ONNX file.
        scores: what each evaluation was of, in words, and its result.
        calibration: the one that the model was exported with.
        experimental: why the model is not to be trusted, or empty.
        notes: further things it is bad at.
    """
    recipe = described["recipe"]["name"]
    spoken = "English and Mandarin" if speech == "mixed" else speech.capitalize()
    heard = "somebody's own" if music == "custom" else music.capitalize()
    lines = [f"# {name}", ""]
    lines += [
        f"Perceived emotion of music, a row a second: an encoder pre-trained on {spoken} speech,"
        f" transferred to {heard} music (recipe `{recipe}`).",
        "",
    ]
    if experimental:
        lines += [f"**Experimental:** {experimental}", ""]
    lines += ["## Training data", "", "| stage: recipes | corpus | language | terms | note |"]
    lines += ["| --- | --- | --- | --- | --- |", *_corpora(described), ""]
    lines += [
        "None of these recordings comes with the model. Where a corpus is for research only, so is"
        " what was learned from it: check its terms before any other use.",
        "",
    ]
    for title, result in scores:
        lines += [*_scores(title, result), ""]
    if calibration:
        lines += [*_confidence(calibration, f"{name}-reliability.png"), ""]
    lines += ["## What it is bad at", "", *(f"- {limit}" for limit in (*_LIMITS, *notes)), ""]
    lines += [
        "## File",
        "",
        f"`{name}.onnx`, SHA-256 `{sha256}`. Largest difference in probability from the trained"
        f" network: {exported.float32:.1e} as exported, {exported.stored:.1e} with its weights"
        " as they are stored, in 8 and 16 bits.",
    ]
    return "\n".join(lines) + "\n"


def encoder_card(
    described: Mapping[str, Any],
    log: Sequence[Mapping[str, Any]],
    *,
    name: str,
    speech: str,
    sha256: str,
) -> str:
    """Write the card of a speech encoder in Markdown.

    Args:
        described: what its run was asked to do, as `Run.describe` returns it.
        log: the records of its run.
        name: of the encoder.
        speech: its language.
        sha256: of the file.
    """
    recipe = described["recipe"]
    spoken = speech if speech == "mixed" else speech.capitalize()
    errors = [record["validation_loss"] for record in log if "validation_loss" in record]
    kept = f"; best of {len(errors) - 1} epochs: {min(errors):.4f}" if len(errors) > 1 else ""
    lines = [f"# {name}", ""]
    lines += [
        f"An encoder of log-mels, pre-trained on {spoken} speech as a denoising autoencoder (recipe"
        f" `{recipe['name']}`). It knows nothing of emotion: `quadpred adapt` and `quadpred train"
        " transfer --from` put heads on it and train these on music.",
        "",
        "## Training data",
        "",
        "| stage: recipes | corpus | language | terms | note |",
        "| --- | --- | --- | --- | --- |",
        *_corpora(described),
        "",
        "None of these recordings comes with the encoder.",
        "",
        "## Reconstruction",
        "",
        "Mean squared error of standardised log-mels, without noise, on recordings kept for"
        f" validation (1 is the error of always saying the mean){kept}.",
        "",
        "## File",
        "",
        f"`{name}.npz`, SHA-256 `{sha256}`: a NumPy archive without objects, convolutions in half"
        " precision.",
    ]
    return "\n".join(lines) + "\n"


def _corpora(described: Mapping[str, Any]) -> list[str]:
    """One table row a corpus and what it was heard for, with the recipes of all such stages."""
    heard: dict[tuple[str, str], tuple[list[str], str]] = {}
    for run in _stages(described):
        recipe = f"`{run['recipe']['name']}`"
        stage = {"pretrain": "pre-training", "transfer": "transfer"}[run["kind"]]
        strange = run.get("foreign", ())
        for use, corpora in (stage, run["corpora"]), ("no music, to be unsure of", strange):
            for c in corpora:
                note = c["note"] if use == stage else ""
                text = f"{c['name']} | {c['language']} | {c['licence']} | {note}"
                recipes, _ = heard.setdefault((use, c["name"]), ([], text))
                if recipe not in recipes:
                    recipes.append(recipe)
    return [f"| {use}: {', '.join(r)} | {text} |" for (use, _), (r, text) in heard.items()]


def _stages(described: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a run and those it started from were asked to do, earliest first."""
    earlier = _stages(described["start"]) if described.get("start") else []
    return [*earlier, described]


def _scores(title: str, result: Mapping[str, Any]) -> list[str]:
    seeds = len({run["seed"] for run in result["runs"]})
    by = "a network" if seeds == 1 else f"{seeds} networks, of {seeds} seeds,"
    lines = [
        f"## Scores: {title}",
        "",
        f"{result['clips']} clips of {result['groups']} groups (artists or songs), each scored by"
        f" {by} that heard none of its group. Macro F1 with the 95 % interval of a bootstrap over"
        " groups; a window is one second.",
        "",
        "| head | clips | windows | accuracy, clips |",
        "| --- | --- | --- | --- |",
    ]
    for head in HEADS:
        clip, window = result[head.name]["clip"], result[head.name]["window"]
        cells = (_interval(clip), _interval(window), f"{clip['accuracy']:.3f}")
        lines.append(f"| {head.name} | {' | '.join(cells)} |")
    lines += ["", "| class | precision, clips | recall, clips |", "| --- | --- | --- |"]
    for head in HEADS:
        clip = result[head.name]["clip"]
        lines += [
            f"| {title} | {clip['precision'][name]:.2f} | {clip['recall'][name]:.2f} |"
            for name, title in zip(head.classes, head.titles, strict=True)
        ]
    if len(result["runs"]) > 1:
        lines += ["", "| fold | seed | clips | quadrant | arousal | valence |"]
        lines += ["| --- | --- | --- | --- | --- | --- |"]
        lines += [
            f"| {', '.join(run['splits'])} | {run['seed']} | {run['clips']} | "
            + " | ".join(f"{run[head.name]:.3f}" for head in HEADS)
            + " |"
            for run in result["runs"]
        ]
    return lines


def _confidence(calibration: Mapping[str, Any], picture: str) -> list[str]:
    lines = [
        "## Confidence",
        "",
        "Each head's logits are divided by a temperature, fitted where the network had not heard"
        " the group. The errors (expected calibration error, ten bins) are with temperatures fitted"
        " on the other folds; in brackets, without any.",
        "",
        "| head | temperature | error, clips | error, seconds |",
        "| --- | --- | --- | --- |",
    ]
    for head in HEADS:
        fitted = calibration[head.name]
        errors = [f"{u['error']:.3f} ({u['error_before']:.3f})" for u in map(fitted.get, _UNITS)]
        lines.append(f"| {head.name} | {fitted['temperature']:.2f} | {' | '.join(errors)} |")
    lines += [
        "",
        f"![Probability of the guess against the share that is right]({picture})",
        "",
        "A clip is called uncertain when its most probable quadrant is less than"
        f" {calibration['min_margin_clip']:.2f} ahead of the next, a second when it is less than"
        f" {calibration['min_margin_second']:.2f} ahead: the closest 30 % of what was held out."
        " Accuracy of the quadrant where only those furthest ahead are kept:",
        "",
        "| kept | clips | seconds |",
        "| --- | --- | --- |",
    ]
    kept = [calibration[QUADRANT.name][unit]["coverage"] for unit in _UNITS]
    lines += [
        f"| {clip['coverage']:.0%} | {clip['accuracy']:.3f} | {second['accuracy']:.3f} |"
        for clip, second in zip(*kept, strict=True)
    ]
    return lines


def _interval(report: Mapping[str, Any]) -> str:
    f1 = report["macro_f1"]
    return f"{f1['value']:.3f} ({f1['low']:.3f} to {f1['high']:.3f})"
