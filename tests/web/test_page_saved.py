"""What is saved from the page is what was predicted, in the forms of the command line."""

import csv
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import Page, expect

from helpers.page import StubServer, download, prediction, reload
from helpers.sounds import music
from quadpred.library.summary import COLUMNS

pytestmark = pytest.mark.slow

ROWS = [[0.1, 0.6, 0.2, 0.1], [0.1, 0.5, 0.3, 0.1], [0.2, 0.2, 0.3, 0.3], [0.4, 0.1, 0.2, 0.3]]
ANSWER = prediction(ROWS, silent=(2,), uncertain=(3,), duration=3.5)


@pytest.fixture
def predicted(page: Page, song: Path) -> Page:
    StubServer(page, {"song.wav": ANSWER})
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("Q2 tense", use_inner_text=True)
    return page


def test_json_is_the_document_of_the_server(predicted: Page) -> None:
    assert download(predicted, "JSON") == ANSWER


def test_csv_has_one_row_per_second(predicted: Page) -> None:
    table = list(csv.DictReader(io.StringIO(download(predicted, "CSV", raw=True).decode())))
    columns = ["second", "Q1", "Q2", "Q3", "Q4", "arousal", "valence", "uncertain", "silent"]
    assert list(table[0]) == columns
    assert [[float(row[f"Q{c}"]) for c in (1, 2, 3, 4)] for row in table] == ROWS
    assert [row["uncertain"] for row in table] == ["false", "false", "true", "true"]
    assert [row["silent"] for row in table] == ["false", "false", "true", "false"]
    arousal = [values[1] for values in ANSWER["arousal"]["rows"]]
    assert [float(row["arousal"]) for row in table] == arousal


def test_jams_has_an_observation_per_second_with_sound(predicted: Page) -> None:
    content = download(predicted, "JAMS")
    (annotation,) = content["annotations"]
    assert annotation["namespace"] == "mood_thayer"
    assert [each["time"] for each in annotation["data"]] == [0, 1, 3]
    assert [each["duration"] for each in annotation["data"]] == [1, 1, 0.5]
    valence, arousal = annotation["data"][0]["value"]
    assert (valence, arousal) == pytest.approx((0.2, 0.7))
    assert content["file_metadata"]["duration"] == 3.5


def test_audacity_has_a_label_per_run(predicted: Page) -> None:
    lines = download(predicted, "Audacity labels", raw=True).decode().splitlines()
    assert lines == ["0.000000\t2.000000\tQ2", "3.000000\t3.500000\tQ1?"]


def test_the_picture_shows_every_lane(predicted: Page) -> None:
    content = download(predicted, "PNG", raw=True)
    assert content.startswith(b"\x89PNG")
    colours = predicted.evaluate(
        """async (bytes) => {
            const blob = new Blob([Uint8Array.from(bytes)], {type: "image/png"});
            const image = await createImageBitmap(blob);
            const pen = new OffscreenCanvas(image.width, image.height).getContext("2d");
            pen.drawImage(image, 0, 0);
            const {data} = pen.getImageData(0, 0, image.width, image.height);
            const found = new Set();
            for (let i = 0; i < data.length; i += 4) found.add(data.slice(i, i + 3).join());
            return [image.width, image.height, found.size];
        }""",
        list(content),
    )
    assert colours[:2] == [2560, 1440]
    assert colours[2] > 20


def test_names_tell_compared_models_apart(page: Page, song: Path) -> None:
    StubServer(page, {"song.wav": ANSWER})
    page.set_input_files("#files", song)
    page.get_by_label("Compare with").select_option("mixed-to-english")
    expect(page.locator(".verdict").nth(1)).to_contain_text("Q2 tense", use_inner_text=True)
    page.locator("#downloads summary").click()
    names = []
    for which in "AB":
        with page.expect_download() as saved:
            page.get_by_role("button", name=f"CSV {which}").click()
        names.append(saved.value.suggested_filename)
    assert names == ["song.english-to-english.csv", "song.mixed-to-english.csv"]


def test_all_songs_are_saved_in_one_archive(page: Page, moods: Any) -> None:
    moods(page)
    page.locator("#correct-choices").get_by_role("button", name="Q2 tense").click()
    page.locator("#all summary").click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download all (zip)").click()
    expect(page.locator("#message-text")).to_have_text("Downloaded quadpred.zip.")
    archive = zipfile.ZipFile(saved.value.path())
    assert archive.testzip() is None
    names = archive.namelist()
    endings = [".json", ".csv", ".png", ".jams", ".labels.txt"]
    assert {f"merry{ending}" for ending in endings} <= set(names)
    assert len(names) == 4 * len(endings) + 2
    summary = list(csv.DictReader(io.TextIOWrapper(archive.open("summary.csv"), newline="")))
    assert [row["path"] for row in summary] == [
        "sad.wav",
        "merry.wav",
        "gentle.wav",
        "merrier.wav",
    ]
    assert [row["quadrant"] for row in summary] == ["Q3", "Q1", "Q4", "Q1"]
    assert summary[2]["uncertain"] == "true"
    assert summary[0]["corrected"] == "Q2"
    assert tuple(summary[0]) == (*COLUMNS, "corrected", "adjusted", "earlier_model")
    assert summary[0]["earlier_model"] == "false"
    assert summary[0]["sha256"] == ""  # that of the recording is unknown; the model has another
    assert archive.read("labels.csv") == b"file,quadrant\nsad.wav,Q2\n"


def test_the_summary_marks_results_of_an_earlier_model(page: Page, moods: Any) -> None:
    moods(page).sha256 = 64 * "1"
    reload(page)
    expect(page.locator("#songs .state").first).to_contain_text("earlier model")
    page.locator("#all summary").click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download all (zip)").click()
    with zipfile.ZipFile(saved.value.path()) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("summary.csv").decode())))
    assert [row["earlier_model"] for row in rows] == 4 * ["true"]


def test_an_archive_is_of_one_moment(page: Page, moods: Any) -> None:
    moods(page)
    page.locator("#all summary").click()
    with page.expect_download() as saved:
        page.evaluate("""() => {
            document.querySelector("#export-all").click();
            document.querySelector("#correct-choices button").click();
        }""")
    with zipfile.ZipFile(saved.value.path()) as archive:
        assert "labels.csv" not in archive.namelist()
        table = io.StringIO(archive.read("summary.csv").decode())
    assert [row["corrected"] for row in csv.DictReader(table)] == 4 * [""]


def test_labels_are_what_adapt_reads(
    page: Page, tmp_path: Path, sound_file: Any, song: Path
) -> None:
    StubServer(page, {'a, "b".wav': ANSWER, "song.wav": ANSWER})
    odd = sound_file('a, "b".wav', music(2, 8000), 8000)
    page.set_input_files("#files", [odd, song])
    expect(page.locator("#songs .state")).to_have_count(2)
    page.locator("#songs").get_by_role("button", name="song.wav").click()
    page.locator("#correct-choices").get_by_role("button", name="Q1 happy").click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download labels").click()
    assert saved.value.suggested_filename == "labels.csv"
    assert Path(saved.value.path()).read_text() == "file,quadrant\nsong.wav,Q1\n"
    # A part of a song goes into a table of its own, since adapt reads whole songs.
    seek = page.get_by_role("slider", name="Position in the song")
    seek.press("Home")
    seek.press("Shift+ArrowRight")
    page.locator("#correct-choices").get_by_role("button", name="Q3 sad").click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download labels").click()
    archive = zipfile.ZipFile(saved.value.path())
    assert archive.read("parts.csv") == b"file,start,end,quadrant\nsong.wav,0,1,Q3\n"


def test_tables_that_name_a_path_twice_say_so(page: Page, song: Path, sound_file: Any) -> None:
    StubServer(page, {"song.wav": ANSWER})
    (song.parent / "other").mkdir()
    marks = page.locator("#map [role=button]")
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("probable", use_inner_text=True)
    page.set_input_files("#files", sound_file("other/song.wav", music(2, 8000), 8000))
    expect(marks).to_have_count(2)
    message = page.locator("#message-text")
    warning = (
        "Several songs have the same path: song.wav. Before you use the tables, add the folders of "
        "these songs to their paths. quadpred adapt refuses a path that is listed twice."
    )
    for mark in marks.all():
        expect(message).to_be_hidden()
        mark.click()
        page.locator("#correct-choices").get_by_role("button", name="Q1 happy").click()
        with page.expect_download() as saved:
            page.get_by_role("button", name="Download labels").click()
    expect(message).to_have_text(warning)
    assert Path(saved.value.path()).read_text().count("song.wav,Q1") == 2
    page.locator("#all summary").click()
    with page.expect_download():
        page.get_by_role("button", name="Download all (zip)").click()
    expect(message).to_have_text(f"Downloaded quadpred.zip. {warning}")


def test_no_two_files_of_an_archive_have_the_same_name(page: Page, sound_file: Any) -> None:
    names = ["summary.wav", "labels.wav", "parts.wav", "song.wav", "Song.wav"]
    StubServer(page, dict.fromkeys(names, ANSWER))
    files = [sound_file(name, music(2, 8000, seed), 8000) for seed, name in enumerate(names)]
    page.set_input_files("#files", files)
    expect(page.locator("#map [role=button]")).to_have_count(5)
    page.locator("#correct-choices").get_by_role("button", name="Q2 tense").click()
    page.locator("#all summary").click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download all (zip)").click()
    archive = zipfile.ZipFile(saved.value.path())
    saved_names = [name.lower() for name in archive.namelist()]  # as some file systems see them
    assert len(saved_names) == len(set(saved_names)) == 5 * 5 + 2
    assert archive.read("summary.csv").startswith(b"path,")
    assert archive.read("summary (2).csv").startswith(b"second,")


def test_downloads_are_of_the_model_that_their_button_names(page: Page, song: Path) -> None:
    stub = StubServer(page, {"song.wav": ANSWER})
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("probable", use_inner_text=True)
    stub.answers.clear()
    other = "mixed-to-english"
    page.get_by_label("Compare with").select_option(other)
    buttons = page.locator("#download-list button")
    expect(buttons.first).to_have_text("JSON A")
    page.evaluate(
        """([model, other]) => {
            for (const [id, value] of [["model", other], ["other", model]]) {
                const select = document.getElementById(id);
                if (![...select.options].some((each) => each.value === value))
                    select.append(new Option(value, value));
                select.value = value;
                select.dispatchEvent(new Event("change"));
            }
        }""",
        ["english-to-english", other],
    )
    expect(buttons.first).to_have_text("JSON B")
    assert download(page, "JSON B") == ANSWER
