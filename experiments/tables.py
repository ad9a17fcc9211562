"""Write the tables of README.md and docs/experiments.md from experiments/results/*.json.

    python -m experiments.tables

A table stands between `<!-- NAME -->` and `<!-- end of NAME -->`. Tables whose results do not exist
stay as they are.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments import results as storage
from experiments.data import SOUNDFONTS
from experiments.markdown import replace_block, table
from experiments.report import HEAD_NAMES, QUOTED, SPLIT_HALF, cells, interval
from experiments.scoring import AXES
from quadpred.files import atomic_write
from quadpred.labels import QUADRANT

__all__ = ["BLOCKS", "PAGES", "main"]

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs/experiments.md")

SYSTEMS = {
    "vibenet": "VibeNet 0.1.0",
    "teachers": "all teachers, linear regression",
    "baseline": "mixture of experts",
    "english-first": "shared network, first recipe",
    "english-second": "shared network, second recipe",
    "english-third": "shared network, third recipe",
    "english": "**quadpred, English to English**",
}
"""Titles of the compared systems by the name of their results, in the order of the tables."""
MODEL = "english"  # the results that the other tables describe

Results = Mapping[str, Mapping[str, Any]]
Lines = list[str]


def scores_table(results: Results) -> Lines:
    """Main measure of each set, with intervals."""
    rows = []
    for found in results[MODEL]["sets"].values():
        title = found["title"] + (f", {found['remark']}" if found["remark"] else "")
        size = f"{title}: {found['clips']} clips"
        if "ratings" in found:
            rows.append([size, "Spearman", *cells(found["ratings"]["spearman"])])
        else:
            rows.append([size, "macro F1", *cells(found["classes"]["macro_f1"])])
        if "within_piece" in found:
            rows.append([title, "r within a piece", *cells(found["within_piece"]["correlation"])])
    return table(["set", "measure", *HEAD_NAMES], rows)


def comparison_table(results: Results) -> Lines:
    """Macro F1 of all systems on the sets with labels, without the weak ones."""
    quoted = next(cells for title, _, cells in QUOTED if title.startswith("4Q"))
    rows = [["4Q", SYSTEMS["baseline"] + ", one seed", *quoted]]
    for key in ("4q", *(f"emopia-{soundfont}" for soundfont in SOUNDFONTS)):
        for name, system in SYSTEMS.items():
            if found := results.get(name, {}).get("sets", {}).get(key):
                rows.append([found["title"], system, *cells(found["classes"]["macro_f1"])])
    return table(["set", "system", *HEAD_NAMES], rows)


def ratings_table(results: Results) -> Lines:
    """Agreement with ratings of all systems: clips, pieces and bars."""
    rows = []
    for name, title in SYSTEMS.items():
        for found in results.get(name, {}).get("sets", {}).values():
            if "ratings" in found:
                spearman = found["ratings"]["spearman"]
                rows.append([found["title"], "Spearman", title, *cells(spearman, AXES)])
            if "within_piece" in found:
                within = found["within_piece"]["correlation"]
                rows.append([found["title"], "r within a piece", title, *cells(within, AXES)])
    rows.append(["VGMIDI", "r within a piece", "half of the listeners", *SPLIT_HALF[1:]])
    rows.sort(key=lambda row: row[:2])
    return table(["set", "measure", "system", *AXES], rows)


def criterion_table(results: Results) -> Lines:
    """Normalised losses of the selection criterion, by recipe."""
    found = {
        name: results[name]["criterion"]
        for name in SYSTEMS
        if results.get(name, {}).get("criterion")
    }
    rows = [
        [loss, *(f"{np.mean(one['losses'][loss]):.4f}" for one in found.values())]
        for loss in next(iter(found.values()), {"losses": {}})["losses"]
    ]
    rows.append(["**criterion**", *(f"{one['value']:.4f}" for one in found.values())])
    return table(["normalised loss", *(SYSTEMS[name] for name in found)], rows)


def calibration_table(results: Results) -> Lines:
    """Calibration and selective prediction of quadrants, per set."""
    rows = []
    for found in results[MODEL]["sets"].values():
        if classes := found.get("classes"):
            name = QUADRANT.name
            rows.append(
                [
                    found["title"],
                    str(classes["clips"]),
                    interval(classes["calibration_error"][name]),
                    f"{classes['accuracy'][name]['value']:.3f}",
                    interval(classes["gain"][name]),
                    f"{classes['uncertain']:.0%}".replace("%", " %"),
                ]
            )
    header = ["set", "clips", "calibration error", "accuracy", "gain at 70 %", "uncertain"]
    return table(header, rows)


def robustness_table(results: Results) -> Lines:
    """Differences that changes of the audio make, per set."""
    rows = []
    for name, changes in results[MODEL]["robustness"].items():
        title = results[MODEL]["sets"][name]["title"]
        for change, found in changes.items():
            rows.append(
                [
                    title,
                    change,
                    *(
                        f"{found['difference'][head]['value']:+.3f}"
                        if head in found["difference"]
                        else ""
                        for head in HEAD_NAMES
                    ),
                    f"{found['confidence']:.2f}",
                    f"{found['certain_to_other']:.1%}".replace("%", " %"),
                ]
            )
    header = ["set", "audio", *HEAD_NAMES, "confidence", "changes quadrant"]
    return table(header, rows)


def non_music_table(results: Results) -> Lines:
    """Share of non-music that is flagged uncertain."""
    rows = [
        [
            kind,
            str(found["recordings"]),
            f"{found['uncertain']:.0%}".replace("%", " %"),
            f"{found['uncertain_seconds']:.0%}".replace("%", " %"),
            f"{found['confidence']:.2f}",
        ]
        for kind, found in results[MODEL]["non_music"].items()
    ]
    header = ["input", "clips", "uncertain clips", "uncertain seconds", "mean confidence"]
    return table(header, rows)


BLOCKS: dict[str, Callable[[Results], Lines]] = {
    "scores": scores_table,
    "comparison": comparison_table,
    "ratings": ratings_table,
    "criterion": criterion_table,
    "calibration": calibration_table,
    "robustness": robustness_table,
    "non-music": non_music_table,
}
"""The tables by the name in their markers."""


def main(folder: Path = storage.FOLDER, pages: Iterable[Path] = PAGES) -> None:
    """Write every table whose results exist."""
    results = {path.stem: storage.load(path) for path in sorted(folder.glob("*.json"))}
    if MODEL not in results:
        print(f"{folder / MODEL}.json: missing, so no table was written")
        return
    for page in pages:
        text = page.read_text()
        for name, lines in BLOCKS.items():
            text = replace_block(text, name, lines(results))
        with atomic_write(page) as (file,):
            file.write(text.encode())


if __name__ == "__main__":
    main()
