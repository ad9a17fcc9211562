"""Tables of the documentation from results."""

import json
from pathlib import Path
from typing import Any

import pytest
from experiments.markdown import replace_block
from experiments.tables import BLOCKS, PAGES, main


def score(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1}


def heads(value: float) -> dict[str, dict[str, float]]:
    return {head: score(value) for head in ("quadrant", "arousal", "valence")}


RESULTS: dict[str, Any] = {
    "sets": {
        "4q": {
            "title": "4Q", "remark": "", "clips": 628,
            "classes": {
                "clips": 628, "macro_f1": heads(0.75), "calibration_error": heads(0.04),
                "accuracy": heads(0.7), "gain": heads(0.1), "uncertain": 0.3,
            },
        },
        "vgmidi-tim": {
            "title": "VGMIDI (tim)", "remark": "", "clips": 128,
            "ratings": {"spearman": heads(0.5)}, "within_piece": {"correlation": heads(0.33)},
        },
    },
    "robustness": {
        "4q": {"-12 dB": {"difference": heads(-0.01), "confidence": 0.6, "certain_to_other": 0.004}}
    },
    "non_music": {
        "noise": {"recordings": 100, "uncertain": 0.9, "uncertain_seconds": 0.8, "confidence": 0.3}
    },
}  # fmt: skip


def test_tables_are_written_between_their_markers(tmp_path: Path) -> None:
    (tmp_path / "english.json").write_text(json.dumps(RESULTS))
    page = tmp_path / "page.md"
    page.write_text("".join(f"# {n}\n<!-- {n} -->\nold\n<!-- end of {n} -->\n" for n in BLOCKS))
    main(tmp_path, [page])
    text = page.read_text()
    assert "old" not in text
    for row in (
        "| 4Q: 628 clips | macro F1 | 0.750 [0.650, 0.850] |",
        "| VGMIDI | r within a piece | half of the listeners | 0.29 | 0.30 |",
        "| 4Q | 628 | 0.040 [-0.060, 0.140] | 0.700 | 0.100 [0.000, 0.200] | 30 % |",
        "| 4Q | -12 dB | -0.010 | -0.010 | -0.010 | 0.60 | 0.4 % |",
        "| noise | 100 | 90 % | 80 % | 0.30 |",
    ):
        assert row in text
    main(tmp_path, [page])
    assert page.read_text() == text


def test_without_results_pages_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- scores -->\nold\n<!-- end of scores -->\n")
    main(tmp_path, [page])
    assert "old" in page.read_text()
    assert "english.json: missing" in capsys.readouterr().out


def test_an_open_marker_is_an_error() -> None:
    assert replace_block("no marker", "scores", ["x"]) == "no marker"
    with pytest.raises(ValueError, match="no <!-- end of scores -->"):
        replace_block("<!-- scores -->\n", "scores", ["x"])


def test_pages_have_markers_of_known_tables() -> None:
    found = [name for page in PAGES for name in BLOCKS if f"<!-- {name} -->" in page.read_text()]
    assert "scores" in found
    assert len(found) == len(set(found))
