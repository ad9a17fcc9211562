"""The transfer grid's tables, from logs made here and from the committed one."""

import json
import math
from itertools import product
from pathlib import Path

import pytest
from matplotlib.figure import Figure

pytest.importorskip("scipy")

from experiments.transfer_table import (
    HEADS,
    MUSIC,
    PRETRAININGS,
    TRANSFERS,
    Cell,
    balanced,
    difference,
    estimate,
    read,
    scores,
    write,
)

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs"


def grid(path: Path, *, folds: int = 3, seeds: int = 2) -> Path:
    """A log in which CPC is always .1 better than none, and everything else as good."""
    conditions = product(PRETRAININGS, TRANSFERS, MUSIC, range(folds), range(seeds))
    lines = []
    for cell in map(Cell._make, conditions):
        f1 = 0.5 + 0.05 * cell.fold - 0.02 * cell.seed + 0.1 * (cell.pretraining == "cpc-mixed")
        heads = {head: {"second": f1, "clip": f1} for head in HEADS}
        lines.append(json.dumps(cell._asdict() | heads))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_difference_is_paired_by_fold_and_seed(tmp_path: Path) -> None:
    log = read(grid(tmp_path / "log"))
    found = difference(log, "arousal", "clip", "cpc-mixed", "none", "full", "english")
    assert found.mean == pytest.approx(0.1)
    assert found.half == pytest.approx(0, abs=1e-9)
    assert found.clear
    values = scores(log, "arousal", "clip", "none", "full", "english").values()
    assert estimate(list(values)).half > 0.05
    assert not difference(log, "arousal", "clip", "emotion", "none", "full", "english").clear


def test_interval_is_wider_than_of_independent_values() -> None:
    # t(3) = 3.182, deviation 1.291: 3.182 * 1.291 * sqrt(1/4 + 1/4)
    assert estimate([1.0, 2.0, 3.0, 4.0]) == pytest.approx((2.5, 2.905), abs=1e-3)
    assert math.isnan(estimate([1.0]).half)
    assert math.isnan(estimate([]).mean)


def test_page_keeps_its_prose_and_takes_new_tables(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n<!-- tables -->\noutdated\n<!-- end of tables -->\n\nThe end.\n")
    log = read(grid(tmp_path / "log"))
    write(log, page)
    text = page.read_text()
    assert text.startswith("# Title\n")
    assert text.endswith("\n\nThe end.\n")
    assert "outdated" not in text
    assert "| quadrant | CPC mixed minus none | full | **+0.100 ± 0.000** |" in text
    assert "| valence | SCAE English | full | 0.54 ± 0.08 | 0.66 |" in text
    assert "English music: 6 runs per condition, over 3 folds and 2 seeds." in text
    assert page.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    write(log, page)
    assert page.read_text() == text


def test_page_and_picture_are_replaced_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, picture = tmp_path / "page.md", tmp_path / "page.png"
    page.write_text("<!-- tables -->\noutdated\n<!-- end of tables -->\n")
    picture.write_bytes(b"older")
    before = page.read_text()
    log = read(grid(tmp_path / "log"))

    def die(figure: Figure, *arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Figure, "savefig", die)
    with pytest.raises(KeyboardInterrupt):
        write(log, page)
    assert page.read_text() == before
    assert picture.read_bytes() == b"older"


def test_round_that_was_stopped_counts_for_nothing(tmp_path: Path) -> None:
    log = read(grid(tmp_path / "log"))
    whole = {cell: line for cell, line in log.items() if (cell.fold, cell.seed) != (2, 1)}
    begun = Cell("none", "full", "english", 2, 1)
    assert balanced(whole | {begun: log[begun]}) == whole


def test_committed_tables_are_those_of_the_committed_log(tmp_path: Path) -> None:
    page = tmp_path / "transfer.md"
    committed = (DOCS / "transfer.md").read_text()
    page.write_text(committed)
    write(read(DOCS / "transfer.jsonl"), page)
    assert page.read_text() == committed
