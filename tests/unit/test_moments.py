import csv
import itertools
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from helpers.sounds import music
from helpers.tiny_model import write_model
from quadpred.cli.app import app
from quadpred.formats.intervals import read_intervals
from quadpred.formats.moments import MOMENT_FORMATS, moment_document
from quadpred.library.moments import (
    HIGHLIGHTS,
    Interval,
    IntervalError,
    find_segments,
    highlights,
    interval_means,
)
from quadpred.library.moods import Vocabulary
from quadpred.prediction import ModelInfo, Prediction

MODEL = ModelInfo("tiny", "english", "english", "ab" * 32, min_margin_clip=0.1)
LABELS = {0: (0.9, 0.8), 1: (0.8, 0.2), 2: (0.2, 0.1), 3: (0.1, 0.9)}  # arousal, valence


def predicted(quadrants, *, sure=0.7, silent=(), duration=None):
    """A prediction whose seconds have these quadrants, 0 to 3."""
    rows = np.full((len(quadrants), 4), (1 - sure) / 3, np.float32)
    rows[np.arange(len(quadrants)), quadrants] = sure
    arousal, valence = np.array([LABELS[each] for each in quadrants], np.float32).T
    return Prediction(
        quadrant=rows,
        arousal=np.column_stack([1 - arousal, arousal]),
        valence=np.column_stack([1 - valence, valence]),
        silent=np.isin(np.arange(len(quadrants)), silent),
        duration=float(duration or len(quadrants)),
        model=MODEL,
        source="song.flac",
    )


def outline(segments):
    return [(each.start, each.end, each.quadrant) for each in segments]


def test_segments_have_a_minimum_length():
    quadrants = [0] * 20 + [2] + [0] * 9 + [3] * 15 + [1] * 4  # the last is too short
    segments = find_segments(predicted(quadrants), shortest=10)
    assert outline(segments) == [(0, 30, "Q1"), (30, 49, "Q4")]
    assert outline(find_segments(predicted(quadrants), shortest=4))[-1] == (45, 49, "Q2")
    assert len(find_segments(predicted(quadrants), shortest=1)) == 5
    first = segments[0]
    assert first.confidence == pytest.approx((29 * 0.7 + 0.1) / 30)
    assert first.arousal == pytest.approx((29 * 0.9 + 0.2) / 30)
    assert not first.uncertain


@pytest.mark.parametrize("shortest", [1, 2, 3])
def test_segments_are_the_most_probable_ones(shortest):
    """Compared with the best of all possible segmentations of a few seconds."""

    def segmentations(rows, before=None):
        if not rows:
            yield ()
        for size in range(shortest, rows + 1):
            for quadrant in range(4):
                if quadrant != before:
                    for rest in segmentations(rows - size, quadrant):
                        yield ((size, quadrant), *rest)

    random = np.random.default_rng(shortest)
    for _ in range(5):
        prediction = predicted([0] * 6)
        prediction.quadrant[:] = random.dirichlet([1] * 4, 6)
        logs = np.log(prediction.quadrant)

        def score(segments, logs=logs):
            labels = list(itertools.chain(*([quadrant] * size for size, quadrant in segments)))
            return logs[np.arange(6), labels].sum()

        found = [
            (int(each.end - each.start), int(each.quadrant[1]) - 1)
            for each in find_segments(prediction, shortest=shortest)
        ]
        assert all(size >= shortest for size, _ in found)
        assert score(found) == pytest.approx(max(map(score, segmentations(6))))


def test_short_and_silent_recordings_are_one_segment():
    assert outline(find_segments(predicted([1, 2, 2], duration=2.6))) == [(0, 2.6, "Q3")]
    silence = predicted([1] * 15, silent=range(15))
    (segment,) = find_segments(silence, shortest=10)
    assert segment.uncertain
    assert segment.quadrant == silence.winner


def test_highlights():
    quadrants = [2] * 30 + [0] * 30 + [3] * 30
    found = {each.kind: each for each in highlights(predicted(quadrants, silent=range(25)))}
    assert tuple(found) == HIGHLIGHTS
    assert (found["highest arousal"].start, found["highest arousal"].end) == (30, 60)
    assert (found["happiest"].start, found["happiest"].quadrant) == (30, "Q1")
    assert (found["calmest"].start, found["calmest"].quadrant) == (60, "Q4")
    # The window at the start is silent for more than half of its seconds.
    assert found["lowest arousal"].start == 60
    assert found["lowest arousal"].arousal == pytest.approx(0.1)
    short = highlights(predicted([0] * 5, duration=4.6), length=30)
    assert {(each.start, each.end) for each in short} == {(0, 4.6)}
    assert highlights(predicted([0] * 5, silent=range(3))) == []


def test_means_over_intervals():
    prediction = predicted([0] * 10 + [2] * 10, silent=[19])
    one, two = interval_means(prediction, [Interval(0, 10, "A"), Interval(9.5, 10.5)])
    assert (one.label, one.quadrant, one.arousal) == ("A", "Q1", pytest.approx(0.9))
    assert two.arousal == pytest.approx((0.9 + 0.2) / 2)
    assert two.uncertain  # two quadrants are equally probable
    (last,) = interval_means(prediction, [Interval(18, 99)])
    assert (last.end, last.arousal) == (20, pytest.approx(0.2))
    for start, end, reason in ((5, 5, "its end must be"), (20, 30, "outside the recording of 20")):
        with pytest.raises(IntervalError, match=reason):
            interval_means(prediction, [Interval(start, end)])


def test_an_interval_in_the_rest_without_a_row_has_the_values_of_the_last():
    prediction = predicted([0] * 10 + [2] * 20, duration=30.4)
    rest, both, longer = interval_means(
        prediction, [Interval(30.1, 30.4), Interval(9.5, 10.5), Interval(30.39, 31)]
    )
    assert (rest.quadrant, rest.arousal) == ("Q3", pytest.approx(0.2))
    assert (rest.start, rest.end) == (30.1, 30.4)
    assert both.arousal == pytest.approx((0.9 + 0.2) / 2)
    assert longer.end == 30.4
    with pytest.raises(IntervalError, match=r"outside the recording of 30\.4 s"):
        interval_means(prediction, [Interval(30.4, 31)])


SRT = "1\r\n00:00:01,500 --> 00:00:03,000\r\nFirst\r\nline\r\n\r\n2\r\n0:0:5,0 --> 0:1:0,0\r\nB\r\n"
VTT = "WEBVTT\n\nNOTE nothing\n\n00:01.500 --> 00:03.000 align:left\nFirst\nline\n\n"
VTT += "name\n00:05.000 --> 01:00.000\nB\n"
CSV = 'start,end,label\n1.5,3,First line\n5,1:00,"B"\n'
LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 60
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "TextTier"
        name = "points 3"
        xmin = 0
        xmax = 60
        points: size = 1
        points [1]:
            number = 7
            mark = "x"
    item [2]:
        class = "IntervalTier"
        name = "form"
        xmin = 0
        xmax = 60
        intervals: size = 3
        intervals [1]:
            xmin = 1.5
            xmax = 3
            text = "First line"
        intervals [2]:
            xmin = 3
            xmax = 5
            text = ""
        intervals [3]:
            xmin = 5
            xmax = 60
            text = "B"
"""
SHORT = '"ooTextFile"\n"TextGrid"\n0\n60\n<exists>\n1\n"IntervalTier"\n"form"\n0\n60\n2\n'
SHORT += '1.5\n3\n"First line"\n5\n60\n"B"\n'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.srt", SRT.encode("utf-8-sig")),
        ("a.vtt", VTT.encode()),
        ("a.csv", CSV.encode()),
        ("semicolons.csv", b"\xef\xbb\xbfstart;end;label\r\n1,5;3;First line\r\n5;1:00;B\r\n"),
        ("tabs.csv", b"start\tend\tlabel\n1,5\t3\tFirst line\n5\t60\tB\n"),
        ("a.TextGrid", LONG.encode()),
        ("b.TextGrid", SHORT.encode("utf-16")),
    ],
)
def test_intervals_are_read(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert read_intervals(tmp_path / name) == [
        Interval(1.5, 3, "First line"),
        Interval(5, 60, "B"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b"", "must be a .csv, .srt, .vtt or .TextGrid"),
        ("a.csv", b"", "has no intervals"),
        ("a.csv", b"from,to\n1,2\n", "not a valid .csv"),
        ("a.csv", b"start,end\n1\n", "not a valid .csv"),
        ("a.csv", b"start,end\n-1,2\n", "not a valid .csv"),
        ("a.csv", b"start,end\n\xff,2\n", "not a valid .csv"),
        ("a.srt", b"00:00 --> x\n", "not a valid .srt"),
        ("a.vtt", b"WEBVTT\n", "has no intervals"),
        ("a.TextGrid", b"nonsense", "not a valid .TextGrid"),
        ("a.TextGrid", LONG.encode()[: len(LONG) // 2], "not a valid .TextGrid"),
    ],
)
def test_files_without_intervals(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(IntervalError, match=reason) as error:
        read_intervals(tmp_path / name)
    assert str(error.value).startswith(str(tmp_path / name))
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("label", ["verse [2]", "[1]", "[]", 'say "hi" [3]', "take 2"])
@pytest.mark.parametrize("content", [LONG, SHORT], ids=["long", "short"])
def test_labels_of_textgrids_are_read_as_they_are(tmp_path, content, label):
    quoted = label.replace('"', '""')
    (tmp_path / "a.TextGrid").write_text(content.replace('"B"', f'"{quoted}"'))
    assert [each.label for each in read_intervals(tmp_path / "a.TextGrid")] == ["First line", label]


def test_textgrids_that_are_written_are_read(tmp_path):
    from quadpred.formats.annotations import write_textgrid

    prediction = predicted([0, 0, 1, 3], silent=[2], duration=3.6)
    with (tmp_path / "song.TextGrid").open("wb") as file:
        write_textgrid(prediction, file)
    assert read_intervals(tmp_path / "song.TextGrid") == [
        Interval(0, 2, "Q1"),
        Interval(3, 3.6, "Q4"),
    ]


def written(form, prediction, found, tmp_path):
    with (tmp_path / form).open("wb") as file:
        MOMENT_FORMATS[form](prediction, found, Vocabulary(), file)
    return (tmp_path / form).read_text()


def test_moments_are_written(tmp_path):
    prediction = predicted([0] * 12 + [2] * 12)
    found = find_segments(prediction)
    document = json.loads(written("json", prediction, found, tmp_path))
    assert document == moment_document(prediction, found, Vocabulary())
    assert document["changes"] == [{"second": 12, "from": "Q1", "to": "Q3"}]
    assert [each["mood"] for each in document["moments"]] == ["happy", "sad"]
    lines = written("csv", prediction, found, tmp_path).splitlines()
    assert lines[0].startswith("kind,label,start,end,quadrant,mood,arousal,valence,confidence")
    assert lines[1].startswith("segment,,0.0,12.0,Q1,happy,0.9,0.8,0.7,false")
    (mean,) = interval_means(prediction, [Interval(0, 24, "both\tparts")])
    labels = written("audacity", prediction, [*found, mean], tmp_path).splitlines()
    assert labels[0] == "0.000000\t12.000000\thappy"
    assert labels[2].split("\t")[2].startswith("both parts: ")


@pytest.mark.parametrize("label", ["=1+1", "+1", "-1", "@SUM(A1)", "'=1+1", "'tis", "a=b"])
def test_spreadsheets_do_not_run_labels(label, tmp_path):
    prediction = predicted([0] * 12)
    found = interval_means(prediction, [Interval(0, 12, label)])
    table = written("csv", prediction, found, tmp_path)
    (row,) = csv.DictReader(table.splitlines())
    assert row["label"] == (f"'{label}" if label.lstrip("'")[0] in "=+-@" else label)
    (tmp_path / "again.csv").write_text(table)
    assert read_intervals(tmp_path / "again.csv") == [Interval(0, 12, label)]
    (record,) = json.loads(written("json", prediction, found, tmp_path))["moments"]
    assert record["label"] == label


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "tiny.onnx")
    soundfile.write("song.flac", music(12, 16_000), 16_000)

    def run(*arguments, code=0):
        result = CliRunner().invoke(
            app, ["moments", "song.flac", "--model", "tiny.onnx", *arguments]
        )
        assert result.exit_code == code, result.output
        return result

    lines = run().stdout.splitlines()
    assert sum("segment" in line for line in lines) >= 1
    for kind in HIGHLIGHTS:
        assert sum(kind in line for line in lines) == 1
    run("-o", "moments.json")
    document = json.loads((tmp_path / "moments.json").read_text())
    assert document["source"] == "song.flac"
    (tmp_path / "parts.csv").write_text("start,end,label\n0,4,A\n4,12,B\n")
    rows = run("--intervals", "parts.csv", "--format", "csv").stdout.splitlines()
    assert [row.split(",")[1] for row in rows[1:]] == ["A", "B"]
    run("--intervals", "parts.csv", "-o", "moments.csv")
    assert Path("moments.csv").read_text().splitlines() == rows
    (tmp_path / "odd.csv").write_text("start,end\n5,3\n")
    refused = run("--intervals", "odd.csv", code=2).stderr
    assert refused == "quadpred: odd.csv: interval 5 to 3 s: its end must be after its start\n"
    refused = run(
        "--intervals", "parts.csv", "--highlight", "30", "--shortest", "10", code=2
    ).stderr
    assert refused == "quadpred: --shortest, --highlight cannot be used with --intervals\n"
    run("-o", "moments.txt")
    assert Path("moments.txt").read_text().startswith("0.000000\t")
    assert "x.xml: choose .json, .csv or .txt" in run("-o", "x.xml", code=2).stderr
    before = Path("song.flac").read_bytes()
    overwriting = run("--format", "json", "-o", "./song.flac", code=2).stderr
    assert (
        overwriting
        == "quadpred: song.flac: is an input and would be overwritten; choose another -o\n"
    )
    table = ("--intervals", "parts.csv", "--format", "csv", "-o", "parts.csv")
    assert "is an input" in run(*table, code=2).stderr
    weights = Path("tiny.onnx").read_bytes()
    assert "is an input" in run("--format", "json", "-o", "tiny.onnx", code=2).stderr
    assert Path("tiny.onnx").read_bytes() == weights
    assert "is named like a recording" in run("--format", "json", "-o", "x.MP3", code=2).stderr
    assert Path("song.flac").read_bytes() == before
    Path("song.flac").write_bytes(before[:-9000])
    damaged = run("--format", "json").stderr
    assert damaged.startswith("quadpred: warning: song.flac: decoded ")
    assert damaged.count("\n") == 1


def test_frames_of_pandas():
    pandas = pytest.importorskip("pandas")
    prediction = predicted([0, 2, 3], silent=[2])
    frame = prediction.to_frame()
    assert list(frame) == ["Q1", "Q2", "Q3", "Q4", "arousal", "valence", "uncertain", "silent"]
    assert frame.index.name == "second"
    assert frame.loc[pandas.Timedelta(seconds=1), "Q3"] == pytest.approx(0.7)
    assert frame["silent"].tolist() == [False, False, True]
    assert frame.resample("2s").mean()["arousal"].iloc[0] == pytest.approx((0.9 + 0.2) / 2)


def test_elan_and_sonic_visualiser(tmp_path):
    from quadpred.formats import FORMATS, save

    prediction = predicted([0, 0, 1, 3], silent=[2], duration=3.6)
    names = ("elan", "sonic-visualiser", "moodbar")
    save(prediction, {name: tmp_path / f"song{FORMATS[name].suffix}" for name in names})
    elan = ElementTree.parse(tmp_path / "song.eaf")
    times = {each.get("TIME_SLOT_ID"): each.get("TIME_VALUE") for each in elan.iter("TIME_SLOT")}
    annotations = [
        (times[each.get("TIME_SLOT_REF1")], times[each.get("TIME_SLOT_REF2")], each[0].text)
        for each in elan.iter("ALIGNABLE_ANNOTATION")
    ]
    assert annotations == [("0", "2000", "Q1"), ("3000", "3600", "Q4")]
    layer = ElementTree.parse(tmp_path / "song.svl")
    points = [
        (each.get("frame"), each.get("duration"), each.get("value"), each.get("label"))
        for each in layer.iter("point")
    ]
    assert points == [("0", "2000", "0.900", "Q1"), ("3000", "600", "0.100", "Q4")]
    bar = np.frombuffer((tmp_path / "song.mood").read_bytes(), np.uint8).reshape(1000, 3)
    assert (bar[500:750] == 0).all()  # the silent second
    amber = bytes.fromhex("BC8B00")
    assert abs(bar[0].astype(int) - list(amber)).max() < 60
