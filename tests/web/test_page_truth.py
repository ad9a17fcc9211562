"""What the page shows is what was predicted for this song by this model, or is called unknown."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import Page, Route, expect

from helpers.page import CALLS_OF_ABS, StubServer, download, prediction, reload, visit
from helpers.sounds import music
from quadpred.labels import QUADRANT

pytestmark = pytest.mark.slow

HAPPY = [[0.9, 0.1, 0.0, 0.0]] * 6
TENSE = [[0.1, 0.8, 0.1, 0.0]] * 6
CALM = [[0.0, 0.0, 0.1, 0.9]] * 6
SAD = [[0.0, 0.1, 0.7, 0.2]] * 6
OTHER = "mixed-to-english"


@pytest.fixture
def files(sound_file: Callable[..., Path]) -> Callable[..., list[Path]]:
    """Different recordings of 6 s with these names."""

    def write(*names: str) -> list[Path]:
        return [sound_file(name, music(6, 8000, seed), 8000) for seed, name in enumerate(names, 1)]

    return write


def verdict(page: Page, which: int = 0) -> Any:
    return page.locator(".verdict").nth(which)


def test_a_waiting_song_shows_no_values_of_another(page: Page, files: Any) -> None:
    stub = StubServer(page, {"happy.wav": prediction(HAPPY)})
    page.set_input_files("#files", files("happy.wav", "later.wav"))
    expect(verdict(page)).to_contain_text("Q1 happy", use_inner_text=True)
    page.locator("#songs").get_by_role("button", name="later.wav").click()
    expect(page.locator("#song-name")).to_have_text("later.wav")
    expect(verdict(page)).to_have_text("Not known yet", use_inner_text=True)
    expect(page.locator(".bars .number")).to_have_text(["?"] * 6)
    expect(page.locator("#map [role=button]")).to_have_count(1)
    stub.job("later.wav").fail(422, "not audio")
    expect(verdict(page)).to_have_text("Not predicted", use_inner_text=True)
    expect(page.locator("#work-text")).to_have_text("not audio")
    expect(page.locator("#map [role=button]")).to_have_count(1)


def test_another_model_starts_from_nothing(page: Page, files: Any) -> None:
    stub = StubServer(page, {"song.wav": prediction(HAPPY)})
    page.set_input_files("#files", files("song.wav"))
    expect(verdict(page)).to_contain_text("Q1 happy", use_inner_text=True)
    stub.answers.clear()
    page.get_by_role("combobox", name="Model", exact=True).select_option(OTHER)
    expect(verdict(page)).to_have_text("Not known yet", use_inner_text=True)
    expect(page.locator("#now")).to_have_text("not predicted yet")
    expect(page.locator("#downloads")).to_be_hidden()
    stub.job("song.wav", OTHER).done(prediction(SAD))
    expect(verdict(page)).to_contain_text("Q3 sad", use_inner_text=True)
    page.get_by_role("combobox", name="Model", exact=True).select_option("english-to-english")
    expect(verdict(page)).to_contain_text("Q1 happy 90 % probable", use_inner_text=True)
    assert stub.uploads == 2


def test_moments_are_those_of_the_chosen_model(page: Page, files: Any) -> None:
    """Also where those of another model lie at the same second."""
    stub = StubServer(page, {"song.wav": prediction(HAPPY[:1])})
    page.set_input_files("#files", files("song.wav"))
    moments = page.locator("#moments button")
    expect(moments).to_have_text(["Clearest happy 0:00"])
    stub.answers = {"song.wav": prediction(SAD[:1])}
    model = page.get_by_role("combobox", name="Model", exact=True)
    model.select_option(OTHER)
    expect(moments).to_have_text(["Clearest sad 0:00"])
    model.select_option("english-to-english")
    expect(moments).to_have_text(["Clearest happy 0:00"])


def test_a_second_that_is_not_predicted_yet_is_unknown(page: Page, files: Any) -> None:
    stub = StubServer(page)
    page.set_input_files("#files", files("song.wav"))
    expect(page.locator("#work-text")).to_have_text("Waiting for the first second")
    job = stub.job("song.wav")
    job.progress(2, 6)
    job.rows(prediction(TENSE), 0, 2)
    expect(verdict(page)).to_contain_text("80 % so far", use_inner_text=True)
    expect(page.locator("#work-text")).to_have_text("Predicting 0:02 of about 0:06")
    seek = page.get_by_role("slider", name="Position in the song")
    seek.press("Home")
    expect(page.locator("#now")).to_have_text("Q2 tense 80 %")
    for _ in range(3):
        seek.press("ArrowRight")
    expect(page.locator("#now")).to_have_text("not predicted yet")
    expect(seek).to_have_attribute("aria-valuetext", "0:03: not predicted yet")
    expect(page.locator(".present")).to_be_hidden()


def test_a_length_that_is_not_known_is_not_invented(page: Page, files: Any) -> None:
    stub = StubServer(page)
    page.set_input_files("#files", files("song.wav"))
    expect(page.locator("#work-text")).to_have_text("Waiting for the first second")
    job = stub.job("song.wav")
    job.progress(4, None)
    job.rows(prediction(TENSE), 0, 4)
    expect(page.locator("#work-text")).to_have_text("Predicting 0:04")
    expect(page.locator("#length")).to_have_text(" / length not known yet")
    assert page.locator("#work-bar").get_attribute("value") is None
    job.done(prediction(TENSE, duration=5.5))
    expect(page.locator("#length")).to_have_text(" / 0:05")


def test_a_length_that_a_header_states_may_be_wrong(page: Page, files: Any) -> None:
    """As that of an mp3 file, which may follow from its size alone."""
    stub = StubServer(page)
    page.set_input_files("#files", files("song.wav"))
    expect(page.locator("#work-text")).to_have_text("Waiting for the first second")
    job = stub.job("song.wav")
    job.progress(2, 4)
    job.rows(prediction(TENSE), 0, 2)
    expect(page.locator("#length")).to_have_text(" / about 0:04")
    expect(page.locator("#song-about")).to_contain_text("about 0:04")
    job.progress(6, 4)
    job.rows(prediction(TENSE), 2, 6)
    expect(page.locator("#work-text")).to_have_text("Predicting 0:06")
    expect(page.locator("#length")).to_have_text(" / length not known yet")
    seek = page.get_by_role("slider", name="Position in the song")
    seek.press("End")
    expect(seek).to_have_attribute("aria-valuemax", "6")
    job.done(prediction(TENSE))
    expect(page.locator("#length")).to_have_text(" / 0:06")


@pytest.mark.parametrize(("rest", "text"), [(0, "Q2 tense 80 %"), (0.4, "too short to predict")])
def test_a_rest_without_a_row_has_no_value(page: Page, files: Any, rest: float, text: str) -> None:
    StubServer(page, {"song.wav": prediction(TENSE, duration=len(TENSE) + rest)})
    page.set_input_files("#files", files("song.wav"))
    expect(page.locator("#now")).to_have_text("Q2 tense 80 %")
    page.get_by_role("slider", name="Position in the song").press("End")
    expect(page.locator("#now")).to_have_text(text)


def test_a_sound_that_the_browser_places_elsewhere_is_noted(page: Page, files: Any) -> None:
    """As that of a video whose sound starts late: the browser plays silence before it."""
    StubServer(page, {"late.wav": prediction(TENSE[:4]), "song.wav": prediction(TENSE)})
    page.set_input_files("#files", files("late.wav", "song.wav"))
    note = "The browser plays 6.0 s, but quadpred decoded 4.0 s. Audio and values may not match."
    expect(page.locator("#notes")).to_have_text(note)
    # It goes on playing after the end of what is shown. A mark there is one of the end.
    page.get_by_role("slider", name="Position in the song").press("End")
    page.get_by_role("button", name="Play").click()
    page.wait_for_timeout(1500)
    page.get_by_role("button", name="Mark this moment").click()
    expect(page.get_by_role("button", name="⚑ 0:04")).to_be_visible()
    page.locator("#songs").get_by_role("button", name="song.wav").click()
    expect(page.locator("#song-name")).to_have_text("song.wav")
    expect(page.locator("#notes")).to_be_hidden()


def test_silence_has_no_emotion(page: Page, files: Any) -> None:
    answer = prediction(TENSE, silent=tuple(range(6)), clip_uncertain=True)
    StubServer(page, {"silent.wav": answer, "calm.wav": prediction(CALM)})
    page.set_input_files("#files", files("silent.wav", "calm.wav"))
    for order in "mood", "arousal", "valence", "probability":
        page.get_by_label("Sort by").select_option(order)
        expect(page.locator("#songs .name")).to_have_text(["calm.wav", "silent.wav"])
    expect(verdict(page)).to_contain_text("Silent: no emotion", use_inner_text=True)
    expect(page.locator("#now")).to_have_text("silent")
    expect(page.locator("#songs .state")).to_have_text(["Q4 calm · 90 %", "Silent"])
    expect(page.locator("#map [role=button]")).to_have_count(1)


def test_experimental_models_stay_marked(page: Page, files: Any) -> None:
    StubServer(page, {"song.wav": prediction(HAPPY)})
    page.get_by_role("combobox", name="Model", exact=True).select_option("english-to-mandarin")
    expect(page.locator("#model-about")).to_contain_text("Experimental")
    page.set_input_files("#files", files("song.wav"))
    expect(verdict(page)).to_contain_text("experimental model", use_inner_text=True)
    expect(page.locator("#model-about")).to_contain_text("Experimental")


def test_the_accuracy_of_the_model_is_shown(page: Page) -> None:
    visit(page)
    offer = page.evaluate("fetch('v1/models').then((answer) => answer.json())")
    for model in offer["models"]:
        page.get_by_role("combobox", name="Model", exact=True).select_option(model["name"])
        first, *_ = model["scores"]
        text = f"{100 * first['accuracy']:.0f} % of {first['clips']} clips"
        expect(page.locator("#model-about")).to_contain_text(text)
        expect(page.locator("#score-rows tr")).to_have_count(len(model["scores"]))


def test_a_verdict_apart_from_the_plane_is_explained(page: Page, files: Any) -> None:
    answer = prediction(HAPPY, arousal=[0.2] * 6)
    stub = StubServer(page, {"song.wav": answer})
    page.set_input_files("#files", files("song.wav"))
    expect(verdict(page)).to_contain_text("Q1 happy", use_inner_text=True)
    page.get_by_role("button", name="Means in another quadrant").hover()
    expect(page.get_by_role("tooltip")).to_contain_text(
        "the means of arousal and valence lie in another quadrant"
    )
    page.keyboard.press("Escape")
    expect(page.get_by_role("tooltip")).to_be_hidden()
    # The same on the map.
    stub.answers["other.wav"] = prediction(SAD)
    page.set_input_files("#files", files("song.wav", "other.wav")[1])
    page.locator("#map").get_by_role("button", name="1 song.wav: Q1 happy").hover()
    expect(page.get_by_role("tooltip")).to_have_text(
        "song.wav. The most probable quadrant is Q1 happy; mean arousal and valence lie in Q4 calm."
    )
    page.locator("#map").get_by_role("button", name="2 other.wav: Q3 sad").hover()
    expect(page.get_by_role("tooltip")).to_have_text("other.wav")


def test_a_result_of_an_older_model_says_so(page: Page, files: Any) -> None:
    stub = StubServer(page, {"song.wav": prediction(HAPPY)})
    page.set_input_files("#files", files("song.wav"))
    expect(verdict(page)).to_contain_text("Q1 happy", use_inner_text=True)
    expect(page.locator("#notes")).to_be_hidden()
    stub.sha256 = 64 * "1"
    reload(page)
    expect(page.locator("#notes")).to_contain_text("made with an earlier version of the model")


def test_other_models_are_noticed_though_the_first_requests_fail(page: Page, files: Any) -> None:
    stub = StubServer(page, {"song.wav": prediction(HAPPY)})
    page.set_input_files("#files", files("song.wav"))
    expect(verdict(page)).to_contain_text("Q1 happy", use_inner_text=True)
    asked = 0

    def models(route: Route) -> None:
        nonlocal asked
        asked += 1
        stub.sha256 = 64 * "1" if asked > 1 else stub.sha256
        if 1 < asked < 5:
            route.abort()
        else:
            route.fallback()

    once = 'retry: 3600000\n\nevent: jobs\ndata: {"jobs": []}\n\n'
    page.context.route("**/v1/models", models)
    page.context.route(
        re.compile(r"/v1/events\?"),
        lambda route: route.fulfill(content_type="text/event-stream", body=once),
    )
    reload(page)
    expect(page.locator("#notes")).to_contain_text("made with an earlier version of the model")


def test_of_several_earlier_results_the_last_is_shown(page: Page, files: Any) -> None:
    # The checksums are not in the order of time.
    stub = StubServer(page, {"song.wav": prediction(HAPPY)})
    for checksum, rows, quadrant in (("2", HAPPY, "Q1 happy"), ("1", SAD, "Q3 sad")):
        stub.sha256 = 64 * checksum
        stub.answers["song.wav"] = prediction(rows)
        stub.answers["song.wav"]["model"]["sha256"] = stub.sha256
        reload(page)
        page.set_input_files("#files", files("song.wav"))
        expect(verdict(page)).to_contain_text(quadrant, use_inner_text=True)
    stub.sha256 = 64 * "3"
    stub.answers = {}
    for _ in "reload", "again":
        reload(page)
        expect(page.locator("#notes")).to_contain_text("made with an earlier version of the model")
        expect(verdict(page)).to_contain_text("Q3 sad", use_inner_text=True)
    stub.answers["song.wav"] = prediction(CALM)
    page.locator("#correct-choices").get_by_role("button", name="Q4 calm").click()
    page.set_input_files("#files", [*files("other.wav")])
    expect(page.locator("#songs .state").filter(has_text="corrected by you")).to_contain_text(
        "earlier model"
    )


def test_an_earlier_result_stays_until_the_new_model_has_one(page: Page, files: Any) -> None:
    earlier = prediction(HAPPY)
    stub = StubServer(page, {"song.wav": earlier, "other.wav": prediction(CALM)})
    song, other = files("song.wav", "other.wav")
    page.set_input_files("#files", [song, other])
    expect(page.locator("#songs .state")).to_have_text(["Q1 happy · 90 %", "Q4 calm · 90 %"])
    stub.sha256 = 64 * "1"
    stub.answers = {}
    reload(page)
    item = page.locator("#songs .state").first
    expect(item).to_have_text("Q1 happy · 90 % · earlier model")

    def shows_the_earlier() -> None:
        expect(verdict(page)).to_contain_text("Q1 happy", use_inner_text=True)
        expect(page.locator("#notes")).to_contain_text("made with an earlier version of the model")
        assert download(page, "JSON") == earlier

    # While the new one is made.
    stub.forget()
    page.set_input_files("#files", song)
    new = prediction(SAD)
    new["model"]["sha256"] = stub.sha256
    stub.job("song.wav").rows(new, 0, 4)
    expect(page.locator("#work-text")).to_contain_text("Predicting 0:04")
    expect(item).to_contain_text("Q1 happy · 90 % · earlier model · Predicting 0:04")
    shows_the_earlier()
    # After it has failed.
    stub.job("song.wav").fail(422, "damaged")
    expect(page.locator("#work-text")).to_have_text("damaged")
    expect(item).to_have_text("Q1 happy · 90 % · earlier model · damaged")
    shows_the_earlier()
    reload(page)
    expect(page.locator("#work-text")).to_have_text("damaged")
    shows_the_earlier()
    # After a server that ended with it.
    stub.forget()
    page.set_input_files("#files", song)
    expect(page.locator("#work-text")).to_have_text("Waiting for the first second")
    reload(page)
    stub.forget()
    expect(page.locator("#notes")).to_contain_text("The server no longer has this prediction")
    shows_the_earlier()
    # After it was made.
    stub.answers = {"song.wav": new}
    page.set_input_files("#files", song)
    expect(verdict(page)).to_contain_text("Q3 sad", use_inner_text=True)
    expect(page.locator("#notes")).to_be_hidden()
    assert download(page, "JSON") == new


def test_a_model_that_changed_on_the_way_is_noticed(page: Page, files: Any) -> None:
    stub = StubServer(page)
    page.set_input_files("#files", files("song.wav"))
    expect(page.locator("#work-text")).to_have_text("Waiting for the first second")
    answer = prediction(HAPPY)
    answer["model"]["sha256"] = 64 * "1"
    stub.job("song.wav").done(answer)
    expect(page.locator("#notes")).to_contain_text("made with an earlier version of the model")


def test_every_second_has_its_colour(page: Page, files: Any) -> None:
    rows = [[0.9, 0.1, 0, 0], [0, 0.8, 0.2, 0], [0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]]
    StubServer(page, {"song.wav": prediction(rows, silent=(3,), uncertain=(2,))})
    page.set_input_files("#files", files("song.wav"))
    expect(verdict(page)).to_contain_text("Q1 happy", use_inner_text=True)
    page.wait_for_timeout(100)  # for the next frame
    # The share of the quadrant's colour in all pixels of a second's lane, lowest and highest.
    shares = page.locator("canvas.quadrant").evaluate(
        """(canvas, colours) => {
            const rgb = (c) => [1, 3, 5].map((i) => parseInt(c.slice(i, i + 2), 16));
            const lane = rgb(getComputedStyle(document.documentElement).getPropertyValue("--lane"));
            const pen = canvas.getContext("2d");
            const [wide, tall] = [canvas.width / 4, canvas.height / 4];
            return [0, 1, 2, 3].map((k) => colours.map((colour, c) => {
                const box = [(k + 0.1) * wide, c * tall + 2, wide * 0.8, tall - 6].map(Math.round);
                const {data} = pen.getImageData(...box);
                const full = rgb(colour);
                const away = full.map((v, i) => Math.abs(v - lane[i]));
                const clear = away.indexOf(Math.max(...away)); // the channel that differs most
                const found = [];
                for (let i = clear; i < data.length; i += 4) {
                    found.push((data[i] - lane[clear]) / (full[clear] - lane[clear]));
                }
                return [Math.min(...found), Math.max(...found)];
            }));
        }""",
        list(QUADRANT.colours),
    )
    for second in 0, 1:  # certain: one even colour, the fuller the more probable
        np.testing.assert_allclose(shares[second], np.stack([rows[second]] * 2, 1), atol=0.02)
    assert all(high - low > 0.3 for low, high in shares[2])  # hatched
    for low, _ in shares[3]:  # dotted, without a colour
        assert abs(low) < 0.02


def test_the_waveform_is_that_of_all_channels(page: Page, sound_file: Callable[..., Path]) -> None:
    visit(page)
    stereo = np.stack([np.zeros(48_000), music(6, 8000)], 1)
    page.set_input_files("#files", sound_file("right.wav", stereo, 8000))
    expect(verdict(page)).to_contain_text("probable", use_inner_text=True)
    page.wait_for_timeout(100)
    tall = page.locator("canvas.waveform").evaluate("""(canvas) => {
        const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        const rows = new Set();
        data.forEach((v, i) => {
            if (i % 4 === 3 && v) rows.add(Math.floor((i >> 2) / canvas.width));
        });
        return rows.size / canvas.height;
    }""")
    assert tall > 0.8


def test_corrections_are_the_users_and_reversible(page: Page, files: Any) -> None:
    StubServer(page, {"song.wav": prediction(SAD)})
    page.set_input_files("#files", files("song.wav"))
    expect(verdict(page)).to_contain_text("Q3 sad", use_inner_text=True)
    calm = page.locator("#correct-choices").get_by_role("button", name="Q4 calm")
    calm.click()
    expect(calm).to_have_attribute("aria-pressed", "true")
    expect(verdict(page)).to_contain_text("Q4 calm, corrected by you", use_inner_text=True)
    expect(verdict(page)).to_contain_text("Q3 sad 70 % probable", use_inner_text=True)
    page.evaluate("Date.now = () => 0")  # a clock that was set back
    calm.click()
    expect(verdict(page)).not_to_contain_text("corrected", use_inner_text=True)


def test_two_models_are_told_apart(page: Page, files: Any) -> None:
    stub = StubServer(page, {"song.wav": prediction(HAPPY)})
    page.set_input_files("#files", files("song.wav"))
    expect(verdict(page)).to_contain_text("Q1 happy", use_inner_text=True)
    stub.answers["song.wav"] = prediction([*HAPPY[:3], *SAD[:3]])
    page.get_by_label("Compare with").select_option(OTHER)
    expect(page.locator(".verdict-box h3")).to_have_text(
        [
            "A · English music, from English speech",
            "B · English music, from English and Mandarin speech",
        ]
    )
    expect(page.locator("#moments button")).to_contain_text(["A · Clearest happy"])
    agreed = re.compile("same quadrant in 50 % of the seconds")
    expect(page.locator("#tracks")).to_contain_text(agreed)
    page.get_by_role("slider", name="Position in the song").press("End")
    expect(page.locator("#now")).to_have_text(re.compile(r"A: Q1 happy 90 %\s+B: Q3 sad 70 %"))


def test_the_readout_under_a_resting_pointer_stays_true(page: Page, files: Any) -> None:
    stub = StubServer(page, {"happy.wav": prediction(HAPPY)})
    page.set_input_files("#files", files("happy.wav", "later.wav"))
    expect(verdict(page)).to_contain_text("Q1 happy", use_inner_text=True)
    expect(page.locator("#songs .state").last).to_have_text("Waiting for the first second")
    job = stub.job("later.wav")
    job.progress(2, 6)
    job.rows(prediction(TENSE), 0, 2)
    expect(page.locator("#songs .state").last).to_contain_text("Predicting 0:02")
    seek = page.get_by_role("slider", name="Position in the song")
    seek.scroll_into_view_if_needed()
    box = seek.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.65, box["y"] + box["height"] / 2)
    readout = page.locator("#readout")
    expect(readout).to_contain_text("0:03Q1 happy 90 %")
    # Another song, while the pointer rests.
    page.locator("#songs button", has_text="later.wav").evaluate("(item) => item.click()")
    expect(readout).to_have_text("0:03not predicted yet")
    job.rows(prediction(TENSE), 2, 6)
    expect(readout).to_contain_text("0:03Q2 tense 80 %")
    # Another part of the song.
    seek.press("Home")
    seek.press("+")
    expect(readout).to_contain_text("0:03Q2 tense")
    shown = float(page.locator("#hover").evaluate("(e) => e.style.getPropertyValue('--place')"))
    assert shown == pytest.approx(0.65, abs=0.02)


def test_silence_at_the_start_is_no_verdict(page: Page, files: Any) -> None:
    answer = prediction(TENSE, silent=(0, 1))
    stub = StubServer(page)
    page.set_input_files("#files", files("song.wav"))
    expect(page.locator("#work-text")).to_have_text("Waiting for the first second")
    job = stub.job("song.wav")
    job.rows(answer, 0, 2)
    expect(verdict(page)).to_contain_text("Silent so far", use_inner_text=True)
    job.rows(answer, 2, 6)
    job.done(answer)
    expect(verdict(page)).to_contain_text("Q2 tense", use_inner_text=True)


def test_models_agree_in_what_both_have_predicted(page: Page, files: Any) -> None:
    stub = StubServer(page, {"song.wav": prediction(HAPPY)})
    page.set_input_files("#files", files("song.wav"))
    expect(verdict(page)).to_contain_text("Q1 happy", use_inner_text=True)
    stub.answers.clear()
    page.get_by_label("Compare with").select_option(OTHER)
    expect(page.locator("#work-text")).to_contain_text("Waiting for the first second")
    other = prediction([*HAPPY[:3], *SAD[:3]])
    job = stub.job("song.wav", OTHER)
    job.rows(other, 0, 3)
    title = page.locator(".track-title").last
    expect(title).to_have_text("Both models name the same quadrant in 100 % of the seconds so far")
    job.rows(other, 3, 6)
    job.done(other)
    expect(title).to_have_text("Both models name the same quadrant in 50 % of the seconds")


def test_the_loudest_sample_is_found_once(page: Page) -> None:
    visit(page)
    loudest, first, others = page.evaluate(
        """async () => {
            const {Peaks} = await import(new URL("static/state/peaks.js", document.baseURI));
            const block = (from, ...bytes) =>
                ({per_second: 50, from, data: btoa(String.fromCharCode(...bytes))});
            const peaks = new Peaks(50, Int8Array.of(-2, 1));
            const loudest = [peaks.loudest];
            for (const each of [block(1, 256 - 64, 5), block(2, 0, 3), block(0, 0, 127)]) {
                peaks.put(each);
                loudest.push(peaks.loudest);
            }
            const long = new Peaks(50, new Int8Array(5000));
            const count = """
        + CALLS_OF_ABS
        + """;
            return [loudest, count(() => long.loudest), count(() => long.loudest)];
        }"""
    )
    assert loudest == [2 / 127, 64 / 127, 64 / 127, 1]
    assert (first, others) == (5000, 0)


def test_a_large_file_that_was_changed_is_another_one(page: Page, tmp_path: Path) -> None:
    """Wherever it was changed, and if its length stayed the same."""
    visit(page)
    prints = page.evaluate("""async () => {
        const {fingerprint} = await import(new URL("static/actions/files.js", document.baseURI));
        const bytes = new Uint8Array(24_000_003);
        const made = [await fingerprint(new File([bytes], "a.wav"))];
        const last = bytes.length - 1;
        for (const changed of [[0], [1_048_575], [17_091_000], [last], [3, 7], [3, last - 4]]) {
            for (const at of changed) bytes[at] ^= 128; // as the sign of a sample
            made.push(await fingerprint(new File([bytes], "a.wav")));
            for (const at of changed) bytes[at] ^= 128;
        }
        return made;
    }""")
    assert len(set(prints)) == len(prints) == 7
