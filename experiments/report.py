"""Results in the terminal."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments import markdown
from quadpred.labels import HEADS, QUADRANT

__all__ = [
    "HEAD_NAMES",
    "QUOTED",
    "SPLIT_HALF",
    "cells",
    "interval",
    "markdown_scores",
    "print_report",
]

Row = tuple[str, str, Sequence[str]]

HEAD_NAMES = tuple(head.name for head in HEADS)
QUOTED: tuple[Row, ...] = (
    ("4Q (quoted: one seed, old recipe)", "macro F1", ("0.713", "0.879", "0.794")),
    ("Emotify (quoted: one seed, old recipe)", "Spearman", ("", "0.73", "0.42")),
)
"""Scores of the models before this evaluation existed, whose runs are gone."""
SPLIT_HALF = ("", "0.29", "0.30")  # of VGMIDI's listeners; quoted from the README of DATA


def print_report(
    results: Mapping[str, Any], console: Console, baseline: Mapping[str, Any] | None = None
) -> None:
    """Print the scores of all sets, then calibration, robustness, non-music and criterion.

    Args:
        results: as JSON holds them.
        console: to print to.
        baseline: the results of the model before any training, to be quoted.
    """
    table = Table("set", "measure", *HEAD_NAMES, title=f"Scores of {results['subject']}, 95 % CI")
    rows: list[Row] = [*QUOTED]
    rows += _score_rows(baseline or {}, " (before training)", ("spearman", "within"))
    for row in rows:
        _add(table, row)
    table.add_section()
    for row in _score_rows(results):
        _add(table, row)
    console.print(table)
    console.print(_calibration_table(results["sets"]))
    for name, changes in results.get("robustness", {}).items():
        console.print(_robustness_table(results["sets"][name]["title"], changes))
    if "non_music" in results:
        console.print(_non_music_table(results["non_music"]))
    if results.get("criterion"):
        console.print(_criterion_table(results["criterion"]))


def markdown_scores(results: Mapping[str, Any]) -> str:
    """Write the scores of all sets as a Markdown table, with 95 % intervals."""
    rows = ((title, measure, *cells) for title, measure, cells in _score_rows(results))
    return "\n".join(markdown.table(("set", "measure", *HEAD_NAMES), rows))


def interval(score: Mapping[str, Any]) -> str:
    """Write a score with its interval."""
    return f"{score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"


def _add(table: Table, row: Row) -> None:
    title, measure, cells = row
    table.add_row(title, measure, *cells)


def _score_rows(
    results: Mapping[str, Any], suffix: str = "", measures: Sequence[str] = ()
) -> Iterator[Row]:
    """Rows of the sets; all measures, or only those named."""
    for scores in results.get("sets", {}).values():
        title = scores["title"] + (f" ({scores['remark']})" if scores["remark"] else "") + suffix
        if "within_piece" in scores:
            found = scores["within_piece"]["correlation"]
            if not measures or "within" in measures:
                yield title, "r within a piece", cells(found)
                yield title, "half of the listeners", SPLIT_HALF
        for key, name in (
            ("spearman", "Spearman"), ("r_squared", "R²"), ("concordance", "CCC"),
        ):  # fmt: skip
            if "ratings" in scores and (not measures or key in measures):
                yield title, name, cells(scores["ratings"][key])
        for key, name in (("macro_f1", "macro F1"), ("log_loss", "log loss")):
            if "classes" in scores and (not measures or key in measures):
                yield title, name, cells(scores["classes"][key])


def cells(by_head: Mapping[str, Any], heads: Sequence[str] = HEAD_NAMES) -> list[str]:
    """Scores with their intervals, one for each head; empty where there is none."""
    return [interval(by_head[head]) if head in by_head else "" for head in heads]


def _calibration_table(sets: Mapping[str, Any]) -> Table:
    table = Table(
        "set", "clips", "ECE quadrant", "ECE arousal", "ECE valence",
        "accuracy", "gain at 70 %", "confidence", "uncertain",
        title="Calibration; quadrants, unless a head is named",
    )  # fmt: skip
    for scores in sets.values():
        if classes := scores.get("classes"):
            table.add_row(
                scores["title"],
                str(classes["clips"]),
                *(interval(classes["calibration_error"][head]) for head in HEAD_NAMES),
                interval(classes["accuracy"][QUADRANT.name]),
                interval(classes["gain"][QUADRANT.name]),
                f"{classes['confidence']:.2f}",
                f"{classes['uncertain']:.0%}" if "uncertain" in classes else "",
            )
    return table


def _robustness_table(title: str, changes: Mapping[str, Any]) -> Table:
    heads = [head for head in HEAD_NAMES if head in changes["as it is"]["difference"]]
    measure = "macro F1" if QUADRANT.name in heads else "Spearman"
    table = Table(
        "", *heads, "change", "changes quadrant", "uncertain", "confidence",
        title=f"Robustness, {title}: difference of {measure}",
    )  # fmt: skip
    for name, scores in changes.items():
        table.add_row(
            name,
            *(interval(scores["difference"][head]) for head in heads),
            f"{scores['change']:.3f}",
            f"{scores['certain_to_other']:.1%}",
            f"{scores['uncertain']:.0%}",
            f"{scores['confidence']:.2f}",
        )
    return table


def _non_music_table(kinds: Mapping[str, Any]) -> Table:
    table = Table("not music", "recordings", "uncertain", "uncertain seconds", "confidence")
    for kind, scores in kinds.items():
        table.add_row(
            kind,
            str(scores["recordings"]),
            f"{scores['uncertain']:.0%}",
            f"{scores['uncertain_seconds']:.0%}",
            f"{scores['confidence']:.2f}",
        )
    return table


def _criterion_table(found: Mapping[str, Any]) -> Table:
    seeds = range(len(found["seeds"]))
    table = Table("normalised loss", *(f"run set {k}" for k in seeds), title="Selection criterion")
    for name, losses in found["losses"].items():
        table.add_row(name, *(f"{loss:.4f}" for loss in losses))
    table.add_section()
    table.add_row("criterion", *(f"{value:.4f}" for value in found["seeds"]))
    table.caption = f"mean {found['value']:.4f}; lower is better"
    return table
