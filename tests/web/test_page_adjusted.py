"""The user's labels shift what is shown for music that sounds alike, and the switch undoes it."""

import csv
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import Locator, Page, expect

from helpers.page import StubServer, download, prediction, reload, visit
from helpers.sounds import music

pytestmark = pytest.mark.slow

STRENGTH, POWER, LEAST = 6, 4, 0.01  # as in state/adjustment.js
SAD = [0.05, 0.15, 0.7, 0.1]
WIDTH = 16
# Three kinds of sound: the first two are somewhat alike, the third is like neither.
SOUNDS = np.zeros((3, WIDTH))
SOUNDS[0, :4] = 1
SOUNDS[1, 1:5] = 1
SOUNDS[2, 8:12] = 1
HALVES = np.repeat(SOUNDS[[0, 1, 2]], (3, 2, 1), axis=0)  # of the seconds of a song of 6 s


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def reference(
    directions: np.ndarray,
    quadrants: list[int],
    model: np.ndarray,
    rows: np.ndarray,
    at: np.ndarray,
) -> np.ndarray:
    """The probabilities of rows after the shifts of labels, by plain gradient steps."""

    def unit(values: np.ndarray) -> np.ndarray:
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    directions, at = unit(directions), unit(at)
    alike = np.maximum(directions @ directions.T, 0) ** POWER
    given = np.eye(4)[quadrants]
    shifts = np.zeros_like(given)
    for _ in range(50_000):
        due = STRENGTH * (given - softmax(np.log(model) + alike @ shifts))
        shifts += 0.01 * (due - shifts)
    reached = np.maximum(at @ directions.T, 0) ** POWER
    return softmax(np.log(rows) + reached @ shifts)


def adjusted(page: Page, document: dict[str, Any], at: np.ndarray, labels: list[Any]) -> Any:
    """What the page's own code makes of a document; None where nothing changes."""
    return page.evaluate(
        """async ([result, rows, labels]) => {
            const load = (name) => import(new URL(`static/state/${name}.js`, document.baseURI));
            const {Adjustment} = await load("adjustment");
            const {Embeddings} = await load("embeddings");
            const made = (seconds) =>
                new Embeddings(seconds[0].length, Int8Array.from(seconds.flat()));
            const points = labels.map(([seconds, quadrant, model]) => ({
                direction: made(seconds).direction([...seconds.keys()]), quadrant, model}));
            return new Adjustment(points).apply(result, made(rows));
        }""",
        [document, at.tolist(), labels],
    )


def test_the_shifts_are_those_of_a_regularised_regression(page: Page) -> None:
    visit(page)
    random = np.random.default_rng(0)
    rows = np.round(random.dirichlet(np.ones(4), 12), 6)
    at = random.integers(0, 128, (12, WIDTH)) * (random.random((12, WIDTH)) < 0.3)
    at[:, 0] += 1
    at[11] = 0
    at[11, -1] = 1  # like nothing else
    at[:11, -1] = 0
    kinds, model = [0, 3, 3], np.round(random.dirichlet(np.ones(4), 3), 6)
    labels = [[[at[k].tolist()], kinds[k], model[k].tolist()] for k in range(3)]
    document = prediction(rows.tolist(), silent=(5,))
    found = adjusted(page, document, at, labels)
    expected = reference(at[:3].astype(float), kinds, model, rows, at.astype(float))
    changed = np.abs(expected - rows).max(axis=1) >= LEAST
    changed[5] = False  # silent
    assert 3 <= changed.sum() < 11
    assert found["adjusted"] == {"labels": 3, "seconds": changed.tolist()}
    expected[~changed] = rows[~changed]
    np.testing.assert_allclose(found["quadrant"]["rows"], expected, atol=2e-5)
    # The rest follows from the rows, and the input is unchanged.
    sounding = np.arange(12) != 5
    means = expected[sounding].mean(axis=0)
    np.testing.assert_allclose(list(found["means"]["quadrant"].values()), means, atol=2e-5)
    assert found["winner"] == f"Q{means.argmax() + 1}"
    first, second = np.sort(means)[::-1][:2]
    assert found["uncertain"] == bool(first - second < 0.1)
    ordered = np.sort(expected, axis=1)[:, ::-1]
    small = ordered[:, 0] - ordered[:, 1] < 0.1
    assert np.array(found["uncertain_seconds"])[changed].tolist() == small[changed].tolist()
    for name, pair in (("arousal", [0, 1]), ("valence", [0, 3])):
        # In these documents an axis is the sum of its quadrants, and stays so.
        positive = np.array(found[name]["rows"])[:, 1]
        np.testing.assert_allclose(positive, expected[:, pair].sum(axis=1), atol=2e-5)
    assert found["source"] == document["source"]


@pytest.mark.parametrize("count", [1, 2, 50, 1000])
def test_labels_of_the_same_music_share_their_effect(page: Page, count: int) -> None:
    visit(page)
    document = prediction([SAD] * 6)
    labels = [[SOUNDS[:1].astype(int).tolist(), 3, SAD]] * count
    found = adjusted(page, document, HALVES.astype(int), labels)
    kept = min(count, 200)  # the last ones
    start = np.log(SAD)
    shift = np.zeros(4)  # of all labels together
    for _ in range(20_000):
        due = STRENGTH * kept * (np.eye(4)[3] - softmax(start + shift))
        shift += (due - shift) / (1 + STRENGTH * kept / 2)
    np.testing.assert_allclose(found["quadrant"]["rows"][0], softmax(start + shift), atol=1e-3)
    same, alike, other = (found["quadrant"]["rows"][k] for k in (0, 3, 5))
    assert SAD[3] < alike[3] < same[3] < 1
    assert other == SAD
    assert found["adjusted"] == {"labels": kept, "seconds": [True] * 5 + [False]}


def test_labels_against_each_other_end_between_them(page: Page) -> None:
    visit(page)
    document = prediction([[0.25] * 4] * 6)
    sound = SOUNDS[:1].astype(int).tolist()
    labels = [[sound, quadrant, [0.25] * 4] for quadrant in (0, 3)]
    row = adjusted(page, document, HALVES.astype(int), labels)["quadrant"]["rows"][0]
    np.testing.assert_allclose(row[0], row[3], atol=1e-5)
    assert row[0] > 0.4
    assert row[1] < 0.1


def test_without_an_effect_there_is_no_other_result(page: Page) -> None:
    visit(page)
    silent = prediction([SAD] * 6, silent=tuple(range(6)))
    label = [SOUNDS[:1].astype(int).tolist(), 3, SAD]
    assert adjusted(page, silent, HALVES.astype(int), [label]) is None
    other = [SOUNDS[2:].astype(int).tolist(), 3, SAD]
    assert adjusted(page, prediction([SAD] * 5), HALVES[:5].astype(int), [other]) is None
    assert adjusted(page, prediction([SAD] * 6), HALVES.astype(int), []) is None


@pytest.fixture
def songs(page: Page, sound_file: Callable[..., Path]) -> dict[str, Any]:
    """Two sad songs on the page, whose first 3 s sound the same; a third one sounds otherwise."""
    answers = {
        "one.wav": prediction([SAD] * 6),
        "two.wav": prediction([SAD] * 5 + [[0.1, 0.2, 0.6, 0.1]]),
        "far.wav": prediction([[0.1, 0.2, 0.6, 0.1]] * 6),
    }
    for name, document in answers.items():
        document["source"] = name
    stub = StubServer(page, answers)
    stub.sounds = {"one.wav": HALVES, "two.wav": HALVES, "far.wav": np.repeat(SOUNDS[2:], 6, 0)}
    files = [sound_file(name, music(6, 8000, seed), 8000) for seed, name in enumerate(answers, 1)]
    page.set_input_files("#files", files)
    expect(page.locator("#map [role=button]")).to_have_count(3)
    show(page, "one.wav")
    return answers


def show(page: Page, name: str) -> None:
    page.locator("#songs").get_by_role("button", name=name).click()
    expect(page.locator("#song-name")).to_have_text(name)


def seek(page: Page) -> Locator:
    return page.get_by_role("slider", name="Position in the song")


def switch(page: Page) -> Locator:
    return page.get_by_role("switch", name="Adjusted by your corrections")


def label_the_start(page: Page) -> None:
    """Say that the first 3 s are calm."""
    seek(page).press("Home")
    for _ in range(3):
        seek(page).press("Shift+ArrowRight")
    expect(page.locator("#selection-text")).to_have_text("Selected 0:00 to 0:03")
    page.locator("#correct-choices").get_by_role("button", name="Q4 calm").click()


def everything(page: Page) -> dict[str, Any]:
    """What the page shows of a song and of all songs."""
    read = page.locator
    canvases = page.evaluate(
        "() => [...document.querySelectorAll('#tracks canvas.quadrant, #tracks canvas.axis')]"
        ".map((canvas) => canvas.toDataURL())"
    )
    return {
        "verdict": read(".verdict").inner_text(),
        "bars": read(".bars .number").all_inner_texts(),
        "list": read("#songs .state").all_inner_texts(),
        "map": [
            (mark.get_attribute("aria-label"), mark.get_attribute("transform"))
            for mark in read("#map [role=button]").all()
        ],
        "plane": read("#sides .plane").inner_html(),
        "now": read("#now").inner_text(),
        "seek": seek(page).get_attribute("aria-valuetext"),
        "moments": read("#moments").inner_text(),
        "tag-gram": canvases,
        "json": download(page, "JSON"),
        "csv": download(page, "CSV", raw=True),
        "audacity": download(page, "Audacity labels", raw=True),
        "jams": download(page, "JAMS"),
    }


def test_a_label_shifts_what_sounds_alike(page: Page, songs: dict[str, Any]) -> None:
    expect(page.locator("#adjust")).to_be_hidden()
    label_the_start(page)
    expect(switch(page)).to_be_checked()
    expect(page.locator("#adjust-about")).to_have_text("Adjusted in this song: 5 seconds.")
    expect(page.locator(".verdict")).to_contain_text(
        "adjusted by your corrections", use_inner_text=True
    )
    expect(page.locator(".verdict-box")).to_contain_text("The model alone: Q3 sad · 70 %")
    seek(page).press("Home")
    expect(page.locator("#now")).to_have_text("Q4 calm 67 %, adjusted · Q4 calm, corrected by you")
    seek(page).press("End")
    expect(page.locator("#now")).to_have_text("Q3 sad 70 %")
    expect(page.locator("canvas.adjusted")).to_be_visible()
    # Another song that sounds like it, and one that does not.
    states = page.locator("#songs .state")
    expect(states.filter(has_text="adjusted")).to_have_count(2)
    expect(states.filter(has_text="Q3 sad · 60 %")).to_have_text("Q3 sad · 60 %")
    marks = page.locator("#map").get_by_role("button")
    expect(marks.and_(page.locator("[aria-label$=', adjusted']"))).to_have_count(2)
    show(page, "two.wav")
    expect(page.locator(".verdict")).to_contain_text("adjusted", use_inner_text=True)
    show(page, "far.wav")
    expect(page.locator("#adjust-about")).to_have_text(
        "No second of this song sounds enough like what you labelled."
    )
    assert download(page, "JSON") == songs["far.wav"]


def test_the_switch_restores_every_value(page: Page, songs: dict[str, Any]) -> None:
    show(page, "two.wav")
    before = everything(page)
    assert before["json"] == songs["two.wav"]
    show(page, "one.wav")
    label_the_start(page)
    show(page, "two.wav")
    expect(page.locator(".verdict")).to_contain_text("adjusted", use_inner_text=True)
    page.wait_for_timeout(100)  # for the next frame
    during = everything(page)
    assert [name for name, value in before.items() if during[name] == value] == []
    switch(page).uncheck()
    expect(page.locator("#adjust-about")).to_have_text("The page shows the values of the model.")
    page.wait_for_timeout(100)
    assert everything(page) == before
    # It is kept, off as well as on.
    reload(page)
    expect(switch(page)).not_to_be_checked()
    show(page, "two.wav")
    page.wait_for_timeout(100)
    assert everything(page) == before
    switch(page).check()
    reload(page)
    show(page, "two.wav")
    expect(page.locator(".verdict")).to_contain_text("adjusted", use_inner_text=True)
    page.wait_for_timeout(100)
    assert everything(page) == during
    # Without labels, there is nothing to switch.
    show(page, "one.wav")
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.locator("#adjust")).to_be_hidden()
    show(page, "two.wav")
    expect(page.locator(".verdict")).not_to_contain_text("adjusted", use_inner_text=True)
    assert download(page, "JSON") == songs["two.wav"]
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".verdict")).to_contain_text("adjusted", use_inner_text=True)


def test_files_say_that_values_are_adjusted(page: Page, songs: dict[str, Any]) -> None:
    label_the_start(page)
    expect(switch(page)).to_be_checked()
    expect(page.locator("#download-list .hint")).to_have_text("Values adjusted by your corrections")
    result = download(page, "JSON")
    assert result["adjusted"] == {"labels": 1, "seconds": [True] * 5 + [False]}
    table = list(csv.DictReader(io.StringIO(download(page, "CSV", raw=True).decode())))
    assert [row["adjusted"] for row in table] == ["true"] * 5 + ["false"]
    assert [float(table[0][f"Q{c}"]) for c in (1, 2, 3, 4)] == result["quadrant"]["rows"][0]
    lines = download(page, "Audacity labels", raw=True).decode().splitlines()
    assert lines[0] == "0.000000\t6.000000\tadjusted by the corrections of the user"
    rules = download(page, "JAMS")["annotations"][0]["annotation_metadata"]["annotation_rules"]
    assert rules.endswith("adjusted by the corrections of the user")
    page.locator("#downloads summary").click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="PNG").click()
    assert saved.value.suggested_filename == "one.adjusted.png"
    page.locator("#all summary").click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download all (zip)").click()
    archive = zipfile.ZipFile(saved.value.path())
    names = {name for name in archive.namelist() if name.endswith(".json")}
    assert names == {"one.adjusted.json", "two.adjusted.json", "far.json"}
    assert json.loads(archive.read("far.json")) == songs["far.wav"]
    summary = list(csv.DictReader(io.TextIOWrapper(archive.open("summary.csv"), newline="")))
    assert [row["adjusted"] for row in summary] == ["true", "true", "false"]


def test_each_model_is_adjusted_by_its_own_embeddings(page: Page, songs: dict[str, Any]) -> None:
    label_the_start(page)
    page.get_by_label("Compare with").select_option("mixed-to-english")
    expect(page.locator(".verdict")).to_have_count(2)
    expect(page.locator("#adjust-about")).to_have_text("Adjusted in this song: 5 and 5 seconds.")
    for which in "AB":
        assert download(page, f"JSON {which}")["adjusted"]["seconds"] == [True] * 5 + [False]


def test_a_result_without_embeddings_stays_as_it_is(page: Page, song: Path) -> None:
    answer = prediction([SAD] * 6)
    StubServer(page, {"song.wav": answer})
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    page.locator("#correct-choices").get_by_role("button", name="Q4 calm").click()
    expect(page.locator("#adjust-about")).to_contain_text("has no embeddings")
    assert download(page, "JSON") == answer


def test_a_real_song_is_adjusted(page: Page) -> None:
    visit(page)
    page.get_by_role("button", name="Try an example").click()
    expect(page.locator(".verdict")).to_contain_text("probable", use_inner_text=True)
    before = download(page, "JSON")
    page.locator("#correct-choices").get_by_role("button", name="Q3 sad").click()
    expect(page.locator(".verdict")).to_contain_text("adjusted", use_inner_text=True)
    after = download(page, "JSON")
    assert sum(after["adjusted"]["seconds"]) > len(before["times"]) / 2
    assert after["means"]["quadrant"]["Q3"] > before["means"]["quadrant"]["Q3"] + 0.2
    switch(page).uncheck()
    expect(page.locator(".verdict")).not_to_contain_text("adjusted", use_inner_text=True)
    assert download(page, "JSON") == before


def test_the_labels_that_were_given_last_count(page: Page) -> None:
    visit(page)
    shift = page.evaluate("""async () => {
        const {Adjustment} = await import("/static/state/adjustment.js");
        const model = Array(4).fill(0.25);
        const label = (given, quadrant, direction) =>
            ({given, quadrant, direction: Float64Array.from(direction), model});
        const many = Array.from({length: 200}, (_, k) => label(k, 2, [0, 1]));
        const last = label(200, 1, [1, 0]); // of a song that is listed before the others
        return new Adjustment([last, ...many]).shift({at: () => [1, 0]}, 0);
    }""")
    assert shift[1] > 1
