import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.summaries import clip, write_csv, write_parquet
from quadpred.library.summary import (
    SummaryError,
    SummaryRow,
    escape_cell,
    read_summary,
    unescape_cell,
)
from quadpred.prediction import ModelInfo, Prediction

CLIPS = [
    clip('a "quoted", name.mp3', "Q3", arousal=0.125, valence=1 / 3, confidence=0.5),
    clip("two\nlines.flac", uncertain=True, duration=0.5),
    clip("音乐.ogg", "Q4"),
]


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_what_was_written_is_read(tmp_path, write):
    name = "summary.csv" if write is write_csv else "summary.PARQUET"
    assert read_summary(write(tmp_path / name, CLIPS)) == CLIPS


def test_a_table_that_a_spreadsheet_has_saved(tmp_path):
    path = write_csv(tmp_path / "summary.csv", CLIPS)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"False", b"FALSE"))
    assert read_summary(path) == CLIPS


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_table_with_decimal_commas(tmp_path, separator):
    numbers = replace(CLIPS[0], arousal=0.125, valence=0.25)
    path = write_csv(tmp_path / "summary.csv", [numbers])
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    for row in rows[1:]:
        row[:] = [cell.replace(".", ",") if cell[:1].isdigit() else cell for cell in row]
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, delimiter=separator).writerows(rows)
    assert read_summary(path) == [numbers]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1.mp3", "'=1+1.mp3"),
        ("+a", "'+a"),
        ("-rf.wav", "'-rf.wav"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\uff1d1", "'\uff1d1"),
        ("'=1", "''=1"),
        ("''-", 3 * "'" + "-"),
        ("'round midnight.mp3", "'round midnight.mp3"),
        ("a=1.mp3", "a=1.mp3"),
        ("", ""),
    ],
)
def test_no_cell_is_a_formula(text, cell):
    assert escape_cell(text) == cell
    assert unescape_cell(cell) == text


def test_names_that_look_like_formulas_are_read_as_they_were(tmp_path):
    formula = clip("=1+1.mp3")
    path = write_csv(tmp_path / "summary.csv", [replace(formula, path=escape_cell(formula.path))])
    assert read_summary(path) == [formula]


def test_names_that_are_not_utf8(tmp_path):
    odd = clip(b"\xff.mp3".decode("utf-8", "surrogateescape"))
    assert read_summary(write_csv(tmp_path / "summary.csv", [odd])) == [odd]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b"", "must be a .csv or .parquet file"),
        ("a.csv", b"", "column 'path' is missing"),
        ("a.csv", b"path,file\na,b\n", "column 'duration' is missing"),
        ("a.parquet", b"nonsense", "not a Parquet file"),
        ("a.csv", b"path,file\x00", "column|not CSV"),
    ],
)
def test_tables_that_are_none(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SummaryError, match=reason) as error:
        read_summary(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"arousal": float("nan")}, "row 2: arousal is not between 0 and 1"),
        ({"valence": 1.5}, "row 2: valence is not between 0 and 1"),
        ({"valence": -0.25}, "row 2: valence is not between 0 and 1"),
        ({"arousal": -1}, "row 2: arousal is not between 0 and 1"),
        ({"confidence": -0.5}, "row 2: confidence is not between 0 and 1"),
        ({"duration": float("inf")}, "row 2: duration is inf"),
        ({"quadrant": "Q5"}, "row 2: quadrant is 'Q5', not one of"),
        ({"file": "a.mp3"}, "row 2: file is not an absolute path"),
        ({"file": ""}, "row 2: file is not an absolute path"),
        ({"confidence": "high"}, "row 2: a value is not a number"),
        ({"uncertain": "perhaps"}, "row 2: a value is not a number, or not true or false"),
    ],
)
def test_values_that_cannot_be(tmp_path, values, reason):
    bad = clip(**{"quadrant": "Q1", **values})
    path = write_csv(tmp_path / "summary.csv", [CLIPS[0], bad])
    with pytest.raises(SummaryError, match=reason):
        read_summary(path)


def test_a_row_that_is_cut_off(tmp_path):
    path = write_csv(tmp_path / "summary.csv", CLIPS[:1])
    path.write_bytes(path.read_bytes()[:-120])
    with pytest.raises(SummaryError, match="row 1"):
        read_summary(path)


def test_a_prediction_is_a_row():
    quadrant = np.array([[0.1, 0.2, 0.3, 0.4]], np.float32)
    arousal, valence = np.array([[0.6, 0.4]], np.float32), np.array([[0.3, 0.7]], np.float32)
    info = ModelInfo("tiny", "english", "english", "", min_margin_clip=0.2)
    silent = np.array([False])
    made = SummaryRow.of(Prediction(quadrant, arousal, valence, silent, 1.2, info, "a/b.mp3"))
    assert (made.path, made.file) == ("a/b.mp3", str(Path("a/b.mp3").absolute()))
    assert (made.quadrant, made.uncertain, made.duration) == ("Q4", True, 1.2)
    assert (made.arousal, made.valence, made.confidence) == pytest.approx((0.4, 0.7, 0.4))
