"""The page can be used with a keyboard, a screen reader, own colours, and a small screen."""

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import Locator, Page, expect

from helpers.page import StubServer, prediction, visit
from helpers.serving import serving
from helpers.states import LOOKS, STATES, States, look
from quadpred.web.security import AccessPolicy

pytestmark = pytest.mark.slow

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
RULES = {
    "dark": ["color-contrast"],
    "forced": ["color-contrast"],
    "small": ["scrollable-region-focusable", "target-size"],
}
"""The rules whose outcome may differ from that in the first look."""
TOKEN = "correct-horse-battery"
ANSWER = prediction(
    [[0.4, 0.3, 0.2, 0.1]] * 80 + [[0.1, 0.1, 0.7, 0.1]] * 20,
    silent=(3, 4),
    uncertain=tuple(range(10, 40)),
    clip_uncertain=True,
    arousal=[0.2] * 100,
)


def violations(page: Page, name: str) -> list[str]:
    """What axe-core finds in a look: WCAG 2.2 A and AA, and best practices."""
    if not AXE.is_file():
        pytest.skip("axe-core is not installed; run npm ci")
    if page.evaluate("!window.axe"):
        page.evaluate(AXE.read_text())
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if name in RULES:
        options["runOnly"] = RULES[name]
    found = page.evaluate("(options) => axe.run(options)", options)["violations"]
    return [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]


@pytest.mark.parametrize("state", STATES)
def test_axe_finds_nothing_in_any_state(
    page: Page, sound_file: Callable[..., Path], state: str
) -> None:
    getattr(States(page, sound_file), state)()
    found = {}
    for name in LOOKS:
        look(page, name)
        found[name] = violations(page, name)
        if name == "small" and page.evaluate("document.documentElement.scrollWidth") > 360:
            found[name].append("wider than the screen")
    assert found == {name: [] for name in LOOKS}


@pytest.mark.parametrize("name", LOOKS)
def test_axe_finds_nothing_in_the_form_for_the_token(browser: Any, name: str) -> None:
    with serving(policy=AccessPolicy("127.0.0.1", TOKEN)) as client:
        context = browser.new_context(base_url=str(client.base_url))
        with closing(context), closing(context.new_page()) as page:
            page.goto("./")
            look(page, name)
            assert violations(page, name) == []
            page.get_by_label("Token").fill("wrong")
            page.keyboard.press("Enter")
            expect(page.get_by_role("alert")).to_be_visible()
            assert violations(page, name) == []


def test_explanations_can_be_read_in_forced_colours(
    page: Page, sound_file: Callable[..., Path]
) -> None:
    States(page, sound_file).done()
    look(page, "forced")
    page.get_by_role("button", name="48 % probable").hover()
    explanation = page.locator("#explanation")
    expect(explanation).to_be_visible()
    # Behind each line of text the browser paints the colour on which that of the page can be read.
    colour = explanation.evaluate("(box) => getComputedStyle(box).color")
    assert colour == page.evaluate("getComputedStyle(document.body).color")
    page.set_viewport_size({"width": 360, "height": 640})
    expect(explanation).to_be_hidden()


def test_uncertain_seconds_stand_out(page: Page) -> None:
    visit(page)
    for scheme in "light", "dark":
        page.emulate_media(color_scheme=scheme)
        pairs = page.evaluate("""() => {
            const style = getComputedStyle(document.documentElement);
            const pen = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
            const paint = (...names) => {
                for (const name of names) {
                    pen.fillStyle = style.getPropertyValue(name);
                    pen.fillRect(0, 0, 1, 1);
                }
                return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
            };
            const light = (rgb) => rgb
                .map((v) => v / 255)
                .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
                .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
            return ["--lane", "--q1", "--q2", "--q3", "--q4"].map((below) => {
                const [a, b] = [light(paint(below)), light(paint(below, "--hatch"))];
                return [below, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
            });
        }""")
        assert [pair for pair in pairs if pair[1] < 3] == []


def test_every_control_is_reached_by_the_keyboard(page: Page, song: Path) -> None:
    def tab_to(control: Locator) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if control.evaluate("(element) => element === document.activeElement"):
                outline = control.evaluate("(element) => getComputedStyle(element).outlineStyle")
                assert outline == "solid"
                return
        raise AssertionError(f"{control} cannot be reached")

    StubServer(page, {"song.wav": prediction([[0.7, 0.1, 0.1, 0.1]] * 6)})
    page.on("filechooser", lambda chooser: chooser.set_files(song))
    tab_to(page.get_by_role("button", name="Choose files"))
    page.keyboard.press("Enter")
    expect(page.locator(".verdict")).to_contain_text("Q1 happy", use_inner_text=True)
    tab_to(page.get_by_role("combobox", name="Model", exact=True))
    page.keyboard.press("ArrowDown")
    expect(page.locator("#song-about")).to_contain_text("Mandarin")
    tab_to(page.locator("#downloads summary"))
    tab_to(page.get_by_role("button", name="Play"))
    seek = page.get_by_role("slider", name="Position in the song")
    tab_to(seek)
    page.keyboard.press("End")
    expect(seek).to_have_attribute("aria-valuenow", "6")
    tab_to(page.locator("#correct-choices button").first)
    page.locator("#song-name").focus()
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_role("link", name="Model card")).to_be_focused()
    tab_to(page.get_by_role("button", name="Remove", exact=True))
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Choose files")).to_be_focused()


def test_the_verdict_is_seen_at_once_on_a_small_screen(open_page: Any, song: Path) -> None:
    page = open_page(viewport={"width": 360, "height": 640})
    StubServer(page, {"song.wav": ANSWER})
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("Q1 happy", use_inner_text=True)
    page.evaluate("scrollTo(0, 0)")
    assert page.locator(".verdict").bounding_box()["y"] < 560


@pytest.mark.parametrize("width", [320, 360, 768, 1024, 1440, 1920])
def test_nothing_is_wider_than_the_screen(
    open_page: Any, tmp_path: Path, song: Path, width: int
) -> None:
    page = open_page(viewport={"width": width, "height": 800})
    name = f"a-{'very-' * 20}long-name.wav"
    StubServer(page, {"song.wav": ANSWER, name: ANSWER})
    (tmp_path / name).write_bytes(song.read_bytes() + b"\0" * 8)
    page.set_input_files("#files", [tmp_path / name, song])
    expect(page.locator("#songs .state", has_text="Q1")).to_have_count(2)
    assert page.evaluate("() => document.documentElement.scrollWidth") == width
    for track in page.locator("#tracks canvas:visible").all():
        assert track.bounding_box()["width"] > width * 0.4


def test_sizes_follow_the_users_font(page: Page, song: Path) -> None:
    StubServer(page, {"song.wav": ANSWER})
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("Q1 happy", use_inner_text=True)
    before = page.locator("#play").bounding_box()["height"]
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    assert page.locator("#play").bounding_box()["height"] == 2 * before
    assert page.evaluate("() => document.documentElement.scrollWidth") == 1280
    page.set_viewport_size({"width": 360, "height": 640})
    assert page.evaluate("() => document.documentElement.scrollWidth") == 360


def test_forced_colours_keep_what_colours_mean(open_page: Callable[..., Any], song: Path) -> None:
    page = open_page(forced_colors="active")
    StubServer(page, {"song.wav": ANSWER})
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("Q1 happy", use_inner_text=True)
    page.wait_for_timeout(300)
    fill = page.locator(".fill.q1").evaluate(
        "(element) => getComputedStyle(element).backgroundColor"
    )
    assert fill == "rgb(188, 139, 0)"
    ink = page.locator("canvas.time").evaluate("""(canvas) => {
        const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return data.some((v, i) => i % 4 === 3 && v);
    }""")
    assert ink


def test_terms_are_explained_on_tap(open_page: Any, song: Path) -> None:
    page = open_page(has_touch=True)
    StubServer(page, {"song.wav": ANSWER})
    page.set_input_files("#files", song)
    for name, text in [
        (re.compile("probable"), "The probability that the model gives"),
        (re.compile("^uncertain"), "two most probable quadrants are too close"),
        (re.compile("^Arousal$"), "The energy of the emotion"),
        (re.compile("^Valence$"), "How pleasant the emotion is"),
    ]:
        page.locator("#song").get_by_role("button", name=name).first.tap()
        expect(page.get_by_role("tooltip")).to_contain_text(text)
