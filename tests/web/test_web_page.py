"""The page, in a real browser."""

import csv
import io
import json
import re
import shutil
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("fastapi")
pytest.importorskip("playwright.sync_api")

from playwright.sync_api import (
    Browser,
    Locator,
    Page,
    Route,
    WebSocketRoute,
    expect,
    sync_playwright,
)

from helpers.serving import serving
from helpers.sounds import music
from quadpred.formats.documents import to_json
from quadpred.labels import HEADS, QUADRANT
from quadpred.prediction import ModelInfo, Prediction
from quadpred.web.limits import Limits

pytestmark = pytest.mark.slow

RATE = 16_000
WIDTHS = [360, 768, 1440]

PATIENCE = 60_000  # milliseconds; a picture's first fonts may take a while

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if not program:
        pytest.skip("Chromium is not installed")
    heard = tmp_path_factory.mktemp("heard") / "heard.wav"
    soundfile.write(heard, music(4, 48_000), 48_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            args=[
                "--autoplay-policy=no-user-gesture-required",
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-audio-capture={heard}",
            ],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(Limits(bytes=5_000_000)) as client:
        yield str(client.base_url)


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page, opened; at the end, nothing may have gone wrong, nor to another host."""
    wrong, asked = [], []
    page = browser.new_page(viewport={"width": 1280, "height": 900}, base_url=address)
    page.set_default_timeout(PATIENCE)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if _alarming(said) else None)
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    page.goto("/")
    expect(page.locator("body.ready")).to_be_attached()
    yield page
    page.context.close()
    assert wrong == []
    here = (address, f"blob:{address}", address.replace("http", "ws"))
    assert [url for url in asked if not url.startswith(here)] == []


def _alarming(said: Any) -> bool:
    # What a server refuses is logged by the browser itself.
    return said.type == "error" and "Failed to load resource" not in said.text


@pytest.fixture
def song(sound_file: Callable[..., Path]) -> Path:
    return sound_file("song.wav", music(6, RATE), RATE)


def done(page: Page, models: int = 1) -> None:
    expect(page.locator("#downloads a")).to_have_count(3 * models)
    expect(page.locator("#work")).to_be_hidden()


def saved(page: Page, title: str) -> tuple[str, bytes]:
    """Click on a download; return the file's name and content."""
    with page.expect_download() as download:
        page.locator("#downloads").get_by_role("link", name=title, exact=True).click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def predicted(page: Page, title: str = "JSON") -> dict[str, Any]:
    return json.loads(saved(page, title)[1])


def told(quadrant: list[list[float]], silent: list[int] = [], doubtful: float = 0.0) -> Prediction:  # noqa: B006
    """A prediction of these rows."""
    rows = np.array(quadrant, np.float32)
    arousal = rows[:, :2].sum(1, keepdims=True)
    valence = rows[:, [0, 3]].sum(1, keepdims=True)
    return Prediction(
        rows,
        np.hstack([1 - arousal, arousal]),
        np.hstack([1 - valence, valence]),
        np.isin(np.arange(len(rows)), silent),
        len(rows),
        ModelInfo("english-to-english", "english", "english", 64 * "0", "", doubtful, doubtful),
        "song.wav",
    )


def tell(page: Page, predictions: dict[str, Prediction]) -> None:
    """Answer uploads of files of these names with these predictions, in place of the server."""

    def submit(route: Route) -> None:
        sent = route.request.post_data_buffer or b""
        name = re.search(rb'filename="(.*?)"', sent)[1].decode()
        route.fulfill(status=202, json={"id": name, "status": "queued"})

    def events(route: Route) -> None:
        whole = to_json(predictions[route.request.url.split("/")[-2]])
        rows = {head.name: whole[head.name]["rows"] for head in HEADS}
        rows |= {"from": 0, "silent": whole["silent"], "uncertain": whole["uncertain"]}
        job = {"result": whole, "warning": None}
        body = f"event: rows\ndata: {json.dumps(rows)}\n\nevent: done\ndata: {json.dumps(job)}\n\n"
        route.fulfill(content_type="text/event-stream", body=body)

    page.route("**/v1/predictions?*", submit)
    page.route("**/v1/predictions/*/events", events)


def test_rows_are_shown_as_they_come(page: Page, sound_file: Callable[..., Path]) -> None:
    page.evaluate("""() => {
        globalThis.seen = [];
        new MutationObserver(() => {
            const text = document.getElementById("work-text").textContent;
            const share = document.getElementById("work-bar").value;
            if (text.startsWith("Predicting")) seen.push([text, share]);
        }).observe(document.getElementById("work-text"), {childList: true});
    }""")
    page.set_input_files("#files", sound_file("long.wav", music(540, 8000), 8000, subtype="PCM_U8"))
    done(page)
    # A busy browser draws several minutes at once, but hardly all nine.
    texts, shares = zip(*page.evaluate("seen"), strict=True)
    assert texts[0] != "Predicting 9:00 of 9:00"
    assert all(re.fullmatch(r"Predicting \d:\d\d of 9:00", text) for text in texts)
    assert list(shares) == sorted(set(shares))
    assert list(texts) == sorted(set(texts))
    expect(page.locator("#said")).to_contain_text("long.wav: Q")


def test_a_song_is_dropped_and_summed_up(page: Page, song: Path) -> None:
    page.evaluate(
        """(content) => {
            const data = new DataTransfer();
            const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
            data.items.add(new File([bytes], "dropped.wav"));
            document.body.dispatchEvent(
                new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
        }""",
        b64encode(song.read_bytes()).decode(),
    )
    done(page)
    result = predicted(page)
    number = QUADRANT.classes.index(result["winner"]) + 1
    expect(page.locator("#song-name")).to_have_text("dropped.wav")
    expect(page.locator(".verdict")).to_contain_text(f"Q{number}")
    expect(page.locator(".verdict")).to_contain_text(f"{100 * result['confidence']:.0f} %")
    title = QUADRANT.titles[number - 1]
    assert page.locator(".side > p").inner_text() in title
    assert page.locator(".unsure").is_visible() == result["unsure"]
    # The outline of the sound is drawn, from end to end.
    inked = page.locator(".outline").evaluate("""(canvas) => {
        const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        const columns = new Set();
        data.forEach((v, i) => { if (i % 4 === 3 && v) columns.add((i >> 2) % canvas.width); });
        return columns.size / canvas.width;
    }""")
    assert inked > 0.5


def test_every_second_has_its_colour_and_its_place(page: Page, song: Path) -> None:
    rows = [[0.9, 0.1, 0, 0], [0, 0.8, 0.2, 0], [0.25] * 4, [0.1, 0.2, 0.3, 0.4], [0.25] * 4]
    tell(page, {"song.wav": told([*rows, [0, 0, 0, 1]], silent=[3], doubtful=0.3)})
    page.set_input_files("#files", song)
    done(page)
    # Undo the mixing of a lane's own colour and that of the quadrant, in all points of a second.
    shares = page.locator("canvas.quadrant").evaluate(
        """(canvas, colours) => {
            const rgb = (c) => [1, 3, 5].map((i) => parseInt(c.slice(i, i + 2), 16));
            const lane = rgb(getComputedStyle(document.documentElement).getPropertyValue("--lane"));
            const pen = canvas.getContext("2d");
            const [wide, tall] = [canvas.width / 6, canvas.height / 4];
            return [0, 1, 2, 3, 4, 5].map((k) => colours.map((colour, c) => {
                const box = [(k + 0.1) * wide, c * tall + 2, wide * 0.8, tall - 6].map(Math.round);
                const {data} = pen.getImageData(...box);
                const full = rgb(colour);
                const away = full.map((v, i) => Math.abs(v - lane[i]));
                const clear = away.indexOf(Math.max(...away)); // the channel that tells most
                const found = [];
                for (let i = clear; i < data.length; i += 4) {
                    found.push((data[i] - lane[clear]) / (full[clear] - lane[clear]));
                }
                return [Math.min(...found), Math.max(...found)];
            }));
        }""",
        QUADRANT.colours,
    )
    for second in 0, 1, 5:  # sure: one even colour, the fuller the more probable
        probable = [*rows, [0, 0, 0, 1]][second]
        np.testing.assert_allclose(shares[second], np.stack([probable] * 2, 1), atol=0.02)
    for second in 2, 4:  # hatched, and paler
        assert all(low < 0.15 < high for low, high in shares[second])
    for low, high in shares[3]:  # dotted, and without a colour
        assert abs(low) < 0.02 < high
    seek = page.locator("#seek")
    for key, said in [("Home", "Q1 happy 90 %"), ("ArrowRight", "Q2 tense 80 %")]:
        seek.press(key)
        expect(page.locator("#now")).to_have_text(said)
    seek.press("ArrowRight")
    expect(seek).to_have_attribute("aria-valuetext", "0:02: Q1 happy 25 %, uncertain")
    expect(page.locator(".present.uncertain")).to_be_visible()
    seek.press("ArrowRight")
    expect(page.locator("#now")).to_have_text("silent")
    expect(page.locator(".present")).to_be_hidden()
    # Silent seconds are no part of the path.
    expect(page.locator("circle.second")).to_have_count(5)
    expect(page.locator("circle.second.uncertain")).to_have_count(2)


def test_an_unsure_clip_is_marked(page: Page, song: Path) -> None:
    tell(page, {"song.wav": told([[0.3, 0.25, 0.25, 0.2]], doubtful=0.5)})
    page.set_input_files("#files", song)
    expect(page.locator(".unsure")).to_be_visible()
    expect(page.locator("#said")).to_have_text("song.wav: Q1 happy, 30 %, unsure")


def test_seek_and_play(page: Page, sound_file: Callable[..., Path]) -> None:
    page.set_input_files("#files", sound_file("song.wav", music(40, RATE), RATE))
    done(page)
    seek, box = page.locator("#seek"), page.locator("#seek").bounding_box()
    seek.click(position={"x": box["width"] * 0.76, "y": 60})
    expect(seek).to_have_attribute("aria-valuenow", "30")
    expect(page.locator("#clock")).to_have_text("0:30")
    head = page.locator("#playhead").bounding_box()
    assert head["x"] == pytest.approx(box["x"] + box["width"] * 0.76, abs=3)
    for key, second in [("ArrowLeft", 29), ("PageUp", 39), ("Home", 0), ("ArrowUp", 1)]:
        seek.press(key)
        expect(seek).to_have_attribute("aria-valuenow", str(second))
    seek.press(" ")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(seek).to_have_attribute("aria-valuenow", re.compile(r"^([2-9]|\d\d)$"))
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_two_models_side_by_side(page: Page, song: Path) -> None:
    page.set_input_files("#files", song)
    done(page)
    page.get_by_label("Compare with").select_option("mandarin-to-mandarin")
    done(page, models=2)
    expect(page.locator(".side h3")).to_have_text(
        [
            "A · English speech → English music",
            "B · Mandarin speech → Mandarin music (experimental)",
        ]
    )
    expect(page.locator("canvas.quadrant")).to_have_count(2)
    one, other = predicted(page, "JSON A"), predicted(page, "JSON B")
    assert other["model"]["name"] == "mandarin-to-mandarin"
    winners = [np.argmax(each["quadrant"]["rows"], axis=1) for each in (one, other)]
    same = np.mean(winners[0] == winners[1])
    agreed = f"Both name the same quadrant in {100 * same:.0f} % of the seconds"
    expect(page.locator("#tracks")).to_contain_text(agreed)
    page.get_by_label("Compare with").select_option("")
    done(page)
    expect(page.locator(".side")).to_have_count(1)


def test_languages_are_chosen(page: Page, song: Path) -> None:
    page.locator("#speech").select_option("mixed")
    page.set_input_files("#files", song)
    done(page)
    assert predicted(page)["model"]["name"] == "mixed-to-english"
    # A song that is there already is predicted again.
    page.locator("#music").select_option("mandarin")
    expect(page.locator("#model-note")).to_contain_text("experimental")
    expect(page.locator("#song-about")).to_contain_text("Mandarin music")
    done(page)
    assert predicted(page)["model"]["name"] == "mixed-to-mandarin"


def test_downloads(page: Page, song: Path) -> None:
    page.set_input_files("#files", song)
    done(page)
    name, content = saved(page, "JSON")
    result = json.loads(content)
    assert (name, result["source"], len(result["times"])) == ("song.json", "song.wav", 6)
    name, content = saved(page, "CSV")
    assert name == "song.csv"
    table = list(csv.reader(io.StringIO(content.decode())))
    assert [[float(v) for v in row[1:5]] for row in table[1:]] == result["quadrant"]["rows"]
    name, content = saved(page, "PNG")
    assert name == "song.png"
    assert content.startswith(b"\x89PNG")


def test_several_songs(page: Page, tmp_path: Path, song: Path) -> None:
    tell(
        page,
        {
            "sad.wav": told([[0, 0, 0.9, 0.1]]),
            "merry.wav": told([[0.6, 0.2, 0, 0.2]]),
            "merrier.wav": told([[0.8, 0.2, 0, 0]]),
            "gentle.wav": told([[0, 0, 0.4, 0.6]], doubtful=0.7),
        },
    )
    names = ["sad", "merry", "gentle", "merrier"]
    paths = [shutil.copy(song, tmp_path / f"{name}.wav") for name in names]
    page.set_input_files("#files", paths)
    listed = page.locator("#songs li")
    expect(listed.locator(".state")).to_have_text(
        ["Q1 happy · 80 %", "Q1 happy · 60 %", "Q3 sad · 90 %", "Q4 calm · 60 % · unsure"]
    )
    expect(listed.locator(".name")).to_have_text(
        ["merrier.wav", "merry.wav", "sad.wav", "gentle.wav"]
    )
    expect(page.locator("#song-name")).to_have_text("sad.wav")
    marks = page.locator("#map").get_by_role("button")
    expect(marks).to_have_count(4)
    places = {mark.get_attribute("aria-label"): mark.bounding_box() for mark in marks.all()}
    happy, sad = places["merrier.wav: Q1"], places["sad.wav: Q3"]
    assert happy["x"] > sad["x"]
    assert happy["y"] < sad["y"]
    page.get_by_role("button", name="gentle.wav: Q4, unsure").press("Enter")
    expect(page.locator("#song-name")).to_have_text("gentle.wav")
    listed.nth(1).get_by_role("button").click()
    expect(page.locator("#song-name")).to_have_text("merry.wav")
    page.get_by_role("button", name="Remove").click()
    expect(listed).to_have_count(3)
    expect(marks).to_have_count(3)


def test_microphone(page: Page, address: str) -> None:
    page.context.grant_permissions(["microphone"], origin=address)
    page.get_by_role("button", name="Microphone").click()
    stop = page.get_by_role("button", name="Stop")
    expect(stop).to_be_focused()
    expect(page.locator("#clock")).to_have_text(re.compile(r"^0:(0[3-9]|[1-5]\d)$"))
    expect(page.locator("#now")).to_have_text(re.compile(r"^Q\d \w+ \d+ %"))
    stop.click()
    done(page)
    name, content = saved(page, "WAV")
    assert re.fullmatch(r"Microphone .*\.wav", name)
    samples, rate = soundfile.read(io.BytesIO(content))
    result = predicted(page)
    assert len(result["times"]) == pytest.approx(len(samples) / rate, abs=0.5)
    assert np.abs(samples).max() > 0.01
    table = saved(page, "CSV")[1].decode().splitlines()
    assert len(table) == len(result["times"]) + 1
    # The recording is a song like others now.
    expect(page.get_by_role("button", name="Play")).to_be_enabled()
    page.get_by_label("Compare with").select_option("mixed-to-english")
    expect(page.locator(".side")).to_have_count(2)
    expect(page.locator("#downloads a")).to_have_count(6)


def test_a_recording_outlives_the_server(page: Page, address: str) -> None:
    def lose(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        blocks = []

        def hear(message: str | bytes) -> None:
            blocks.append(message)
            if len(blocks) < 30:
                server.send(message)
            else:
                socket.close(code=1011)

        socket.on_message(hear)

    page.route_web_socket("**/v1/live*", lose)
    page.context.grant_permissions(["microphone"], origin=address)
    page.get_by_role("button", name="Microphone").click()
    expect(page.locator("#work-text")).to_contain_text("The connection to the server was lost")
    samples, rate = soundfile.read(io.BytesIO(saved(page, "WAV")[1]))
    assert len(samples) / rate > 1
    page.get_by_role("button", name="Try again").click()  # this time as a file
    expect(page.locator("#downloads a")).to_have_count(4)


def test_a_refused_microphone(page: Page) -> None:
    page.get_by_role("button", name="Microphone").click()
    expect(page.get_by_role("alert")).to_contain_text("The microphone was refused.")
    expect(page.get_by_role("button", name="Microphone")).to_be_enabled()
    page.get_by_role("button", name="Close this message").click()
    expect(page.get_by_role("alert")).to_be_hidden()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"no music" * 100, "other.mp3: not audio"),
        (b"\0" * 5_100_000, "other.mp3: The file has 5.1 MB; this server takes 5 MB at most."),
    ],
    ids=["unreadable", "too-large"],
)
def test_a_file_that_cannot_be_predicted(
    page: Page, tmp_path: Path, content: bytes, line: str
) -> None:
    (tmp_path / "other.mp3").write_bytes(content)
    page.set_input_files("#files", tmp_path / "other.mp3")
    expect(page.locator("#work-text")).to_contain_text(line)
    expect(page.locator("#said")).to_contain_text(line)
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    expect(page.locator("#stage")).to_be_hidden()


def test_a_busy_server_is_asked_again(page: Page, song: Path) -> None:
    busy = {"title": "Too Many Requests", "status": 429, "detail": "16 are waiting already"}
    page.route(
        "**/v1/predictions?*",
        lambda route: route.fulfill(status=429, headers={"Retry-After": "3"}, json=busy),
        times=1,
    )
    page.set_input_files("#files", song)
    line = re.compile(r"^The server is busy; trying again in [123] s\.$")
    expect(page.locator("#work-text")).to_have_text(line)
    done(page)


def test_a_server_that_has_gone(page: Page, song: Path) -> None:
    page.route("**/v1/predictions?*", lambda route: route.abort("connectionrefused"))
    page.set_input_files("#files", song)
    expect(page.locator("#work-text")).to_have_text(
        "song.wav: The server does not answer. Is quadpred serve still running?"
    )
    page.unroute("**/v1/predictions?*")
    page.get_by_role("button", name="Try again").click()
    done(page)


def test_with_the_keyboard_alone(page: Page, song: Path) -> None:
    def tab_to(control: Locator) -> None:
        for _ in range(30):
            page.keyboard.press("Tab")
            if control.evaluate("(element) => element === document.activeElement"):
                outline = control.evaluate("(element) => getComputedStyle(element).outlineStyle")
                assert outline == "solid"
                return
        raise AssertionError("cannot be reached")

    page.on("filechooser", lambda chooser: chooser.set_files(song))
    tab_to(page.get_by_role("button", name="Choose files"))
    page.keyboard.press("Enter")
    done(page)
    tab_to(page.locator("#speech"))
    page.keyboard.press("ArrowDown")
    expect(page.locator("#song-about")).to_contain_text("Mandarin speech")
    done(page)
    tab_to(page.locator("#downloads a").first)
    tab_to(page.get_by_role("button", name="Play"))
    tab_to(page.get_by_role("slider"))
    page.keyboard.press("End")
    expect(page.get_by_role("slider")).to_have_attribute("aria-valuenow", "6")
    tab_to(page.get_by_role("button", name="Remove"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Choose files")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_names_and_contrast(page: Page, tmp_path: Path, song: Path, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    tell(page, dict.fromkeys(["song.wav", "two.wav"], told([[0.4, 0.3, 0.2, 0.1]], doubtful=0.5)))
    page.set_input_files("#files", [song, shutil.copy(song, tmp_path / "two.wav")])
    expect(page.locator("#songs .state")).to_contain_text(["unsure", "unsure"])
    page.get_by_label("Compare with").select_option("mixed-to-english")
    done(page, models=2)
    # Whoever hears the page hears what each control does.
    tree = page.locator("body").aria_snapshot()
    controls = re.findall(
        r"^\s*- (button|combobox|slider|link|img|group|progressbar)\b(.*)", tree, re.M
    )
    assert len(controls) > 20
    assert [control for control in controls if '"' not in control[1]] == []
    pale = page.evaluate("""() => {
        const pen = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
        const paint = (colours) => {
            for (const colour of colours) { pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1); }
            return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
        };
        const luminance = (rgb) => rgb
            .map((v) => v / 255)
            .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
        const found = [];
        let checked = 0;
        for (const element of document.querySelectorAll("body *:not(option)")) {
            const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
            if (!own || !element.checkVisibility() || element.disabled) continue;
            checked += 1;
            const behind = [];
            for (let e = element; e; e = e.parentElement) {
                behind.unshift(getComputedStyle(e).backgroundColor);
            }
            const style = getComputedStyle(element);
            const drawn = element.closest("svg");
            const text = drawn ? style.fill : style.color;
            if (drawn?.closest(".plane") && element.closest(".mark")) continue; // on its own disc
            const [light, dark] = [paint(behind), paint([...behind, text])]
                .map(luminance).sort((a, b) => b - a);
            const ratio = (light + 0.05) / (dark + 0.05);
            if (ratio < 4.5) found.push([element.textContent, ratio]);
        }
        return checked > 40 ? found : "too little to check";
    }""")
    assert pale == []


@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits(page: Page, tmp_path: Path, song: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    name = f"a-{'very-' * 20}long-name.wav"
    tell(page, dict.fromkeys(["song.wav", name], told([[0.4, 0.3, 0.2, 0.1]] * 90)))
    page.set_input_files("#files", [shutil.copy(song, tmp_path / name), song])
    page.get_by_label("Compare with").select_option("mixed-to-mandarin")
    done(page, models=2)
    assert page.evaluate("() => document.documentElement.scrollWidth") == width
    for track in page.locator("#tracks canvas").all():
        assert track.bounding_box()["width"] > width * 0.45
