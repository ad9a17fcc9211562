"""The timeline: playback, zoom, selection, marks, and what it says under the pointer."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import Locator, Page, expect

from helpers.page import StubServer, prediction, reload
from helpers.sounds import music

pytestmark = pytest.mark.slow

HOUR = prediction(
    [[0.7, 0.1, 0.1, 0.1]] * 1800 + [[0.1, 0.1, 0.2, 0.6]] * 1799 + [[0.05, 0.05, 0.05, 0.85]]
)


@pytest.fixture
def hour(page: Page, tmp_path: Path) -> Page:
    """A song of an hour, in a format that the browser cannot play."""
    (tmp_path / "song.ape").write_bytes(b"a format that no browser plays")
    StubServer(page, {"song.ape": HOUR})
    page.set_input_files("#files", tmp_path / "song.ape")
    expect(page.locator("#length")).to_have_text(" / 1:00:00")
    return page


def seek(page: Page) -> Locator:
    return page.get_by_role("slider", name="Position in the song")


def window(page: Page) -> Locator:
    return page.get_by_role("slider", name="Part of the song that is shown")


def test_an_hour_is_zoomed_and_scrolled(hour: Page) -> None:
    expect(window(hour)).to_have_attribute("aria-valuetext", "0:00 to 1:00:00")
    seek(hour).press("Home")
    for _ in range(3):
        hour.get_by_role("button", name="Zoom in").click()
    expect(window(hour)).to_have_attribute("aria-valuetext", "0:00 to 17:46")
    window(hour).press("End")
    expect(window(hour)).to_have_attribute("aria-valuetext", "42:13 to 1:00:00")
    box = hour.locator("#overview").bounding_box()
    hour.mouse.click(box["x"] + box["width"] / 2, box["y"] + 5)
    expect(window(hour)).to_have_attribute("aria-valuetext", "21:06 to 38:53")
    hour.get_by_role("button", name="All", exact=True).click()
    expect(window(hour)).to_have_attribute("aria-valuetext", "0:00 to 1:00:00")
    box = seek(hour).bounding_box()
    hour.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60)
    hour.keyboard.down("Control")
    hour.mouse.wheel(0, -100)
    hour.keyboard.up("Control")
    shown = re.compile(r"^(4:59|5:0\d) to (54:59|55:0\d)$")
    expect(window(hour)).to_have_attribute("aria-valuetext", shown)


def test_the_pointer_reads_a_second(hour: Page) -> None:
    box = seek(hour).bounding_box()
    hour.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 60)
    readout = hour.locator("#readout")
    expect(readout).to_contain_text(re.compile("45:0"))
    expect(readout).to_contain_text("Q4 calm 60 % (Q1 10 %, Q2 10 %, Q3 20 %)")
    expect(readout).to_contain_text("arousal 20 %, valence 70 %")
    hour.mouse.move(box["x"] + 5, box["y"] - 200)
    expect(readout).to_be_hidden()


def test_a_drag_selects_and_the_selection_can_be_labelled(hour: Page) -> None:
    box = seek(hour).bounding_box()
    hour.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 60)
    hour.mouse.down()
    hour.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 60, steps=3)
    hour.mouse.up()
    expect(hour.locator("#selection-text")).to_have_text(
        re.compile(r"Selected 1[45]:\d\d to 30:0\d")
    )
    expect(hour.locator("#correct-legend")).to_contain_text(re.compile("15:0|14:5"))
    hour.locator("#correct-choices").get_by_role("button", name="Q2 tense").click()
    expect(hour.locator("canvas.corrections")).to_be_visible()
    hour.get_by_role("button", name="Clear selection").click()
    seek(hour).scroll_into_view_if_needed()
    box = seek(hour).bounding_box()
    hour.mouse.click(box["x"] + box["width"] * 0.4, box["y"] + 60)
    expect(hour.locator("#now")).to_contain_text("Q2 tense, corrected by you")
    hour.mouse.click(box["x"] + box["width"] * 0.6, box["y"] + 60)
    expect(hour.locator("#now")).not_to_contain_text("corrected")


def test_moments_are_marked_and_lead_there(hour: Page) -> None:
    hour.get_by_role("button", name="Clearest calm").click()
    expect(seek(hour)).to_have_attribute("aria-valuenow", "3599")
    seek(hour).press("m")
    mark = hour.get_by_role("button", name="⚑ 59:59")
    expect(mark).to_be_visible()
    expect(hour.locator(".flag")).to_have_count(1)
    seek(hour).press("Home")
    mark.click()
    expect(seek(hour)).to_have_attribute("aria-valuenow", "3599")
    hour.get_by_role("button", name="Remove the mark at 59:59").click()
    expect(mark).to_have_count(0)


def test_segments_and_highlights_of_the_server_are_marked_and_kept(page: Page, song: Path) -> None:
    stub = StubServer(page)
    page.set_input_files("#files", song)
    expect(page.locator("#work-text")).to_have_text("Waiting for the first second")
    stub.job("song.wav").done(
        prediction([[0.7, 0.1, 0.1, 0.1]] * 60 + [[0.1, 0.1, 0.1, 0.7]] * 60, duration=120.4),
        moments=(
            ("segment", 0, 60),
            ("segment", 60, 120),
            ("highest arousal", 10, 40),
            ("calmest", 0, 120),
        ),
    )
    for _ in range(2):
        most = page.get_by_role("button", name="Highest arousal in this song: 0:10 to 0:40")
        expect(most).to_be_visible()
        # It lasts as long as the song.
        expect(page.get_by_role("button", name="Calmest")).to_have_count(0)
        expect(page.locator(".change")).to_have_count(1)
        place = page.locator(".change").evaluate("(line) => line.style.getPropertyValue('--place')")
        assert float(place) == pytest.approx(60 / 120.4)
        most.click()
        expect(page.locator("#selection-text")).to_have_text("Selected 0:10 to 0:40")
        reload(page)


def test_space_plays_and_a_selection_is_looped(page: Page, song: Path) -> None:
    StubServer(page, {"song.wav": prediction([[0.7, 0.1, 0.1, 0.1]] * 6)})
    page.set_input_files("#files", song)
    expect(page.get_by_role("button", name="Play")).to_be_enabled()
    page.locator("#song-name").click()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    seek(page).press("Home")
    seek(page).press("ArrowRight")
    seek(page).press("Shift+ArrowRight")
    page.get_by_label("Speed").select_option("2")
    page.evaluate("""() => {
        globalThis.times = [];
        new MutationObserver(() => {
            globalThis.times.push(document.getElementById("seek").getAttribute("aria-valuetext"));
        }).observe(document.getElementById("seek"), {attributes: true});
    }""")
    page.get_by_role("button", name="Loop").click()
    expect(page.get_by_role("button", name="Loop")).to_have_attribute("aria-pressed", "true")
    page.wait_for_timeout(3000)
    times = page.evaluate("globalThis.times")
    assert {time[:4] for time in times} <= {"0:01", "0:02"}
    seek(page).press("l")
    seek(page).press("Space")


def test_the_position_is_kept_when_songs_change(page: Page, moods: Any) -> None:
    moods(page)
    seek(page).press("End")
    expect(page.locator("#clock")).to_have_text("0:01")
    page.locator("#songs").get_by_role("button", name="merry.wav").click()
    expect(page.locator("#clock")).to_have_text("0:00")
    page.locator("#songs").get_by_role("button", name="sad.wav").click()
    expect(page.locator("#clock")).to_have_text("0:01")


def test_a_rest_without_a_row_cannot_be_selected(page: Page, song: Path) -> None:
    StubServer(page, {"song.wav": prediction([[0.0, 0.1, 0.7, 0.2]] * 6, duration=6.3)})
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    seek(page).press("End")
    page.get_by_role("button", name="Select from here").click()
    expect(page.locator("#selection-text")).to_have_text("Selected 0:05 to 0:06")
    page.get_by_role("button", name="Clear selection").click()
    seek(page).press("Home")
    seek(page).press("Shift+End")
    expect(page.locator("#selection-text")).to_have_text("Selected 0:00 to 0:06")


def test_marks_and_labels_behind_the_end_are_taken_back_when_it_is_known(
    page: Page, tmp_path: Path
) -> None:
    (tmp_path / "song.ape").write_bytes(b"a format that no browser plays")
    stub = StubServer(page)
    page.set_input_files("#files", tmp_path / "song.ape")
    answer = prediction([[0.7, 0.1, 0.1, 0.1]] * 10)
    stub.job("song.ape").rows(answer, 0, 3)
    stub.job("song.ape").progress(3, 40)  # by its header
    expect(page.locator("#length")).to_contain_text("about 0:40")
    for key in "PageUp", "m", "Home", "PageUp", "PageUp", "m", "Shift+ArrowRight":
        seek(page).press(key)
    expect(page.get_by_role("button", name="⚑ 0:20")).to_be_visible()
    page.locator("#correct-choices").get_by_role("button", name="Q2 tense").click()
    seek(page).press("Home")
    seek(page).press("m")
    stub.job("song.ape").done(answer)
    expect(page.locator("#message-text")).to_have_text(
        "song.ape ends at 0:10. Marks and labels behind that were removed."
    )
    expect(page.get_by_role("button", name="⚑ 0:20")).to_have_count(0)
    expect(page.get_by_role("button", name="⚑ 0:10")).to_be_visible()  # at the end
    expect(page.get_by_role("button", name="⚑ 0:00")).to_be_visible()
    expect(page.locator("#selection-text")).to_be_hidden()
    expect(page.locator("#export-labels")).to_be_hidden()


def test_labels_that_end_behind_the_end_become_one(page: Page, tmp_path: Path) -> None:
    (tmp_path / "song.ape").write_bytes(b"a format that no browser plays")
    stub = StubServer(page)
    page.set_input_files("#files", tmp_path / "song.ape")
    answer = prediction([[0.7, 0.1, 0.1, 0.1]] * 10)
    stub.job("song.ape").rows(answer, 0, 3)
    stub.job("song.ape").progress(3, 40)  # by its header
    expect(page.locator("#length")).to_contain_text("about 0:40")
    choices = page.locator("#correct-choices")
    for name in "Q2 tense", "Q3 sad":  # 0:00 to 0:20, then to 0:30
        seek(page).press("Shift+PageUp")
        seek(page).press("Shift+PageUp")
        choices.get_by_role("button", name=name).click()
    stub.job("song.ape").done(answer)
    expect(page.locator("#message-text")).to_contain_text("song.ape ends at 0:10.")
    seek(page).press("Home")
    expect(page.locator("#now")).to_contain_text("Q3 sad, corrected by you")
    seek(page).press("Shift+End")
    expect(choices.get_by_role("button", pressed=True)).to_have_text(["Q3 sad"])
    choices.get_by_role("button", name="Q3 sad").click()
    expect(page.locator("#now")).not_to_contain_text("corrected")


def test_what_a_browser_plays_otherwise_is_noted_and_kept(
    page: Page, sound_file: Callable[..., Path]
) -> None:
    stub = StubServer(page)
    files = {"odd.wav": ("tracks", "late", "header", "variable"), "short.wav": ("variable",)}
    for seed, (name, differences) in enumerate(files.items(), 1):
        page.set_input_files("#files", sound_file(name, music(6, 8000, seed), 8000))
        expect(page.locator("#song-name")).to_have_text(name)
        seconds = 300 if name == "odd.wav" else 6  # short files have exact tables
        answer = prediction([[0.7, 0.1, 0.1, 0.1]] * seconds)
        stub.job(name).done(answer, playback=differences)
        expect(page.locator(".verdict")).to_contain_text("Q1 happy", use_inner_text=True)
    expect(page.locator("#notes")).to_be_hidden()
    reload(page)
    page.locator("#songs").get_by_role("button", name="odd.wav").click()
    for text in "several audio tracks", "starts late", "states another length", "variable bit rate":
        expect(page.locator("#notes")).to_contain_text(text)


def test_a_mark_in_the_rest_of_the_last_second_stays(page: Page, tmp_path: Path) -> None:
    (tmp_path / "song.ape").write_bytes(b"a format that no browser plays")
    StubServer(page, {"song.ape": prediction([[0.7, 0.1, 0.1, 0.1]] * 10, duration=10.4)})
    page.set_input_files("#files", tmp_path / "song.ape")
    expect(page.locator("#length")).to_have_text(" / 0:10")
    seek(page).press("End")
    seek(page).press("m")
    page.get_by_label("Compare with").select_option("mixed-to-english")
    expect(page.locator(".verdict").nth(1)).to_contain_text("Q1 happy", use_inner_text=True)
    expect(page.get_by_role("button", name="⚑ 0:10")).to_be_visible()
    expect(page.locator("#message")).to_be_hidden()
