"""Songs are added, predicted by a real server, listed and removed."""

import io
import re
import shutil
import unicodedata
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import Page, WebSocketRoute, expect

from helpers.page import CALLS_OF_ABS, StubServer, download, prediction, reload, visit
from helpers.serving import serving
from helpers.sounds import music
from quadpred.audio.folders import ENDINGS, SYSTEM_FOLDERS
from quadpred.web.limits import Limits

pytestmark = pytest.mark.slow

READY = re.compile(r"Q\d \w+")


def finished(page: Page) -> None:
    expect(page.locator("#spoken")).to_have_text(re.compile(r": Q\d \w+, \d+ %"))
    expect(page.locator("#work")).to_be_hidden()


def test_a_song_is_dropped_and_predicted(page: Page, song: Path) -> None:
    visit(page)
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
    finished(page)
    result = download(page, "JSON")
    expect(page.locator("#song-name")).to_have_text("dropped.wav")
    expect(page.locator(".verdict")).to_contain_text(result["winner"], use_inner_text=True)
    expect(page.locator(".verdict")).to_contain_text(
        f"{100 * result['confidence']:.0f} % probable", use_inner_text=True
    )
    assert page.locator(".verdict .badge", has_text="uncertain").is_visible() == result["uncertain"]
    expect(page.locator("#song-about")).to_contain_text("0:06")


def test_one_click_predicts_the_example(page: Page) -> None:
    visit(page)
    page.get_by_role("button", name="Try an example").click()
    finished(page)
    expect(page.locator("#song-name")).to_have_text("Ode to Joy (example).ogg")
    expect(page.get_by_role("button", name="Play")).to_be_enabled()


PASSED_OVER = "._one.wav", ".Trash/three.wav", "@eaDir/four.wav"
"""What a library run leaves out of a folder as well."""


def test_a_folder_is_searched_for_audio(page: Page, tmp_path: Path, song: Path) -> None:
    folder = tmp_path / "album"
    (folder / "disc 2").mkdir(parents=True)
    shutil.copy(song, folder / "one.wav")
    (folder / "disc 2" / "two.wav").write_bytes(song.read_bytes() + b"\0" * 64)
    (folder / "cover.jpg").write_bytes(b"no audio")
    for name in PASSED_OVER:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(song, folder / name)
    StubServer(page)
    page.set_input_files("#folder", folder)
    expect(page.locator("#songs .name")).to_have_text(["one.wav", "two.wav"])
    expect(page.locator("#songs button").nth(1)).to_have_attribute("title", "album/disc 2/two.wav")


def test_the_page_takes_the_extensions_of_a_library_run(page: Page) -> None:
    visit(page)
    taken = page.evaluate(
        """async (endings) => {
            const {chosen} = await import(new URL("static/actions/files.js", document.baseURI));
            const files = endings.map((ending) => {
                const webkitRelativePath = `folder/song.${ending.toUpperCase()}`;
                return {name: `song.${ending.toUpperCase()}`, type: "", webkitRelativePath};
            });
            return chosen(files).map(({file}) => file.name.split(".")[1].toLowerCase());
        }""",
        [*ENDINGS, "jpg", "txt", "pdf"],
    )
    assert set(taken) == ENDINGS


def test_the_page_passes_over_the_system_folders_of_a_library_run(page: Page) -> None:
    visit(page)
    paths = [f"album/{name.upper()}/song.wav" for name in SYSTEM_FOLDERS]
    kept = ["album/Recycled.wav", "Recycled/song.wav"]
    taken = page.evaluate(
        """async (paths) => {
            const {chosen} = await import(new URL("static/actions/files.js", document.baseURI));
            const name = (path) => path.split("/").at(-1);
            const files = paths.map((path) => ({name: name(path), webkitRelativePath: path}));
            return chosen(files).map(({path}) => path);
        }""",
        [*paths, *kept],
    )
    assert taken == kept


def drop(page: Page, path: Path) -> None:
    """Drop a file or folder, as from the desktop."""
    protocol = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in "dragEnter", "dragOver", "drop":
        event = {"type": kind, "x": 300, "y": 200, "data": data}
        protocol.send("Input.dispatchDragEvent", event)


def test_a_dropped_folder_is_searched_for_audio(page: Page, tmp_path: Path, song: Path) -> None:
    folder = tmp_path / "album"
    (folder / "disc 2").mkdir(parents=True)
    shutil.copy(song, folder / "one.wav")
    (folder / "disc 2" / "two.wav").write_bytes(song.read_bytes() + b"\0" * 64)
    (folder / "cover.jpg").write_bytes(b"no audio")
    for name in PASSED_OVER:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(song, folder / name)
    (tmp_path / "empty").mkdir()
    StubServer(page)
    drop(page, tmp_path / "empty")
    expect(page.locator("#message-text")).to_have_text("There is no audio file in what you chose.")
    drop(page, folder)
    expect(page.locator("#songs .name")).to_have_text(["two.wav", "one.wav"])
    expect(page.locator("#songs button").first).to_have_attribute("title", "album/disc 2/two.wav")


def test_what_the_browser_cannot_read_of_a_dropped_folder_is_named(
    page: Page, tmp_path: Path, song: Path
) -> None:
    folder = tmp_path / "album"
    (folder / "disc 2").mkdir(parents=True)
    for name in "one.wav", "broken.wav", "disc 2/two.wav":
        shutil.copy(song, folder / name)
    StubServer(page)
    page.evaluate("""() => {
        const real = DataTransferItem.prototype.webkitGetAsEntry;
        const fails = ["broken.wav", "disc 2"];
        const wrap = (entry) => {
            const {name, isFile, isDirectory} = entry;
            const ask = (get) => (resolve, reject) =>
                fails.includes(name) ? reject(new Error("NotReadable")) : get(resolve, reject);
            return {
                name, isFile, isDirectory,
                file: ask((resolve, reject) => entry.file(resolve, reject)),
                createReader: () => {
                    const reader = entry.createReader();
                    return {readEntries: ask((resolve, reject) =>
                        reader.readEntries((some) => resolve(some.map(wrap)), reject))};
                },
            };
        };
        DataTransferItem.prototype.webkitGetAsEntry = function () {
            return wrap(real.call(this));
        };
    }""")
    drop(page, folder)
    expect(page.locator("#song-name")).to_have_text("one.wav")
    expect(page.locator("#message-text")).to_contain_text("broken.wav and disc 2/ cannot be read")


def test_a_long_song_is_shown_as_it_is_predicted(
    page: Page, sound_file: Callable[..., Path]
) -> None:
    visit(page)
    page.evaluate("""() => {
        globalThis.seen = [];
        new MutationObserver(() => {
            const {textContent} = document.getElementById("work-text");
            if (textContent.startsWith("Predicting")) globalThis.seen.push(textContent);
        }).observe(document.getElementById("work-text"), {childList: true});
    }""")
    page.set_input_files("#files", sound_file("long.wav", music(540, 8000), 8000, subtype="PCM_U8"))
    finished(page)
    texts = page.evaluate("globalThis.seen")
    assert texts[0] != "Predicting 9:00 of about 9:00"
    assert all(re.fullmatch(r"Predicting \d:\d\d of about 9:00", text) for text in texts)
    assert list(texts) == sorted(set(texts))
    expect(page.locator("#overview")).to_be_visible()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"no music" * 100, "not audio"),
        (b"\0" * 5_100_000, "The file has 5.1 MB. This server accepts up to 5 MB."),
    ],
    ids=["unreadable", "too-large"],
)
def test_a_file_that_cannot_be_predicted(
    page: Page, tmp_path: Path, content: bytes, line: str
) -> None:
    visit(page)
    (tmp_path / "other.mp3").write_bytes(content)
    page.set_input_files("#files", tmp_path / "other.mp3")
    expect(page.locator("#work-text")).to_contain_text(line)
    expect(page.locator("#spoken")).to_contain_text(line)
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    expect(page.locator("#stage")).to_be_hidden()


def test_a_file_that_has_changed_is_named_as_the_cause(
    page: Page, tmp_path: Path, song: Path
) -> None:
    visit(page)
    page.route(re.compile(r"/v1/predictions\?"), lambda route: route.abort("connectionrefused"))
    page.set_input_files("#files", song)
    expect(page.locator("#work-text")).to_contain_text("Next try in")
    song.write_bytes(song.read_bytes() + b"\0" * 64)
    expect(page.locator("#work-text")).to_contain_text("it was changed, moved or deleted")


def test_songs_are_listed_by_mood_and_placed_on_the_map(page: Page, moods: Any) -> None:
    moods(page)
    listed = page.locator("#songs li")
    expect(listed.locator(".state")).to_have_text(
        ["Q1 happy · 80 %", "Q1 happy · 60 %", "Q3 sad · 90 %", "Q4 calm · 60 % · uncertain"]
    )
    expect(listed.locator(".name")).to_have_text(
        ["merrier.wav", "merry.wav", "sad.wav", "gentle.wav"]
    )
    marks = page.locator("#map").get_by_role("button")
    expect(marks).to_have_count(4)
    places = {mark.get_attribute("aria-label"): mark.bounding_box() for mark in marks.all()}
    happy, sad = places["1 merrier.wav: Q1 happy"], places["3 sad.wav: Q3 sad"]
    assert happy["x"] > sad["x"]
    assert happy["y"] < sad["y"]
    page.locator("#map").get_by_role("button", name="1 merrier.wav").hover()
    expect(page.get_by_role("tooltip")).to_have_text("merrier.wav")
    page.get_by_role("button", name="4 gentle.wav: Q4 calm, uncertain").press("Enter")
    expect(page.locator("#song-name")).to_have_text("gentle.wav")


def test_the_list_is_sorted_and_filtered(page: Page, moods: Any) -> None:
    moods(page)
    names = page.locator("#songs .name")
    page.get_by_label("Sort by").select_option("name")
    expect(names).to_have_text(["gentle.wav", "merrier.wav", "merry.wav", "sad.wav"])
    page.get_by_label("Sort by").select_option("arousal")
    expect(names.last).to_have_text("gentle.wav")
    page.get_by_label("Show", exact=True).select_option("0")
    expect(names).to_have_count(2)
    page.get_by_label("Find songs by name").fill("merrier")
    expect(names).to_have_text(["merrier.wav"])
    page.get_by_label("Find songs by name").fill("nothing")
    expect(page.locator("#none-found")).to_be_visible()


def test_an_empty_file_is_refused(page: Page, tmp_path: Path) -> None:
    """As the browser shows a file that was deleted after it was chosen."""
    stub = StubServer(page)
    (tmp_path / "empty.wav").touch()
    page.set_input_files("#files", tmp_path / "empty.wav")
    expect(page.locator("#message-text")).to_have_text(
        "empty.wav: It is empty, cannot be read, or was moved or deleted after you chose it."
    )
    expect(page.locator("#desk")).to_be_hidden()
    assert stub.uploads == 0


@pytest.mark.parametrize(
    ("count", "names"), [(3, "0.wav, 1.wav and 2.wav"), (5, "0.wav, 1.wav and 3 more")]
)
def test_all_unreadable_files_are_told(page: Page, tmp_path: Path, count: int, names: str) -> None:
    StubServer(page)
    files = [tmp_path / f"{number}.wav" for number in range(count)]
    for file in files:
        file.touch()
    page.set_input_files("#files", files)
    expect(page.locator("#message-text")).to_have_text(
        f"{names} cannot be read: they are empty, or were changed, moved or deleted after you "
        "chose them."
    )


def test_marks_that_are_moved_apart_stay_in_their_quadrant(page: Page, sound_file: Any) -> None:
    names = [f"{number}.wav" for number in range(9)]
    answer = prediction([[0.05, 0.49, 0.44, 0.02]])
    StubServer(page, dict.fromkeys(names, answer))
    files = [sound_file(name, music(1, 8000, seed), 8000) for seed, name in enumerate(names, 1)]
    page.set_input_files("#files", files)
    marks = page.locator("#map [role=button]")
    expect(marks).to_have_count(9)
    places = [re.findall(r"[\d.]+", mark.get_attribute("transform")) for mark in marks.all()]
    assert len(set(map(tuple, places))) == 9
    middle = 22 + 280 / 2  # of the map, in its own units
    assert all(float(left) < middle and float(top) < middle for left, top in places)


def test_a_map_of_many_songs_compares_only_neighbours(page: Page) -> None:
    visit(page)
    first, others = page.evaluate(
        """async () => {
            const {Chart} = await import(new URL("static/views/plane.js", document.baseURI));
            const entries = Array.from({length: 1000}, (_, k) => ({
                song: {name: `${k}.wav`},
                number: k + 1,
                label: `${k}.wav`,
                shown: false,
                adjusted: false,
                summary: {
                    valence: (k * 0.618) % 1,
                    arousal: (k * 0.7549) % 1,
                    winner: k % 4,
                    uncertain: false,
                },
            }));
            const chart = new Chart(() => {});
            const draw = () => chart.draw(entries);
            const count = """
        + CALLS_OF_ABS
        + """;
            return [count(draw), count(draw)];
        }"""
    )
    assert 0 < first < 6_000_000  # all pairs in 60 rounds would be 30 million
    assert others == 0  # since nothing has moved


def test_a_song_that_is_removed_while_its_file_is_read_again_stays_removed(
    page: Page, moods: Any, sound_file: Callable[..., Path]
) -> None:
    visit(page)
    moods(page)
    page.locator("#songs").get_by_role("button", name="sad.wav").click()
    page.evaluate("""() => {
        const {arrayBuffer} = Blob.prototype;
        let reads = 0;
        globalThis.going = new Promise((go) => { globalThis.go = go; });
        Blob.prototype.arrayBuffer = async function () {
            reads += 1;
            if (reads > 1) await going; // the first read finds the song
            return arrayBuffer.call(this);
        };
    }""")
    page.set_input_files("#files", sound_file("sad.wav", music(1, 8000, 1), 8000))
    page.wait_for_timeout(500)
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.locator("#song-name")).not_to_have_text("sad.wav")
    page.evaluate("go()")
    page.wait_for_timeout(500)
    expect(page.locator("#song-name")).not_to_have_text("sad.wav")
    page.locator("#undo").click()
    expect(page.locator("#song-name")).to_have_text("sad.wav")


def test_what_was_removed_comes_back(page: Page, moods: Any) -> None:
    moods(page)
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.locator("#songs li")).to_have_count(3)
    page.locator("#all summary").click()
    page.get_by_role("button", name="Remove all").click()
    expect(page.locator("#desk")).to_be_hidden()
    expect(page.locator("#removed-text")).to_have_text("Removed 3 songs.")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#songs li")).to_have_count(3)
    expect(page.locator(".verdict")).to_contain_text(READY, use_inner_text=True)
    expect(page.locator("#removed-text")).to_have_text("Removed sad.wav.")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#songs li")).to_have_count(4)
    expect(page.locator("#removed")).to_be_hidden()


def test_songs_that_are_not_shown_are_not_removed_with_the_others(page: Page, moods: Any) -> None:
    moods(page)
    page.get_by_label("Find songs by name").fill("merr")
    page.locator("#all summary").click()
    page.get_by_role("button", name="Remove the 2 shown").click()
    expect(page.locator("#removed-text")).to_have_text("Removed 2 songs.")
    page.get_by_label("Find songs by name").fill("")
    expect(page.locator("#songs .name")).to_have_text(["sad.wav", "gentle.wav"])


def test_no_message_takes_the_undo_of_a_removal_away(
    page: Page, moods: Any, tmp_path: Path
) -> None:
    moods(page)
    page.get_by_role("button", name="Remove", exact=True).click()
    (tmp_path / "empty.wav").touch()
    page.set_input_files("#files", tmp_path / "empty.wav")
    expect(page.locator("#message-text")).to_contain_text("empty.wav")
    page.locator("#all summary").click()
    with page.expect_download():
        page.get_by_role("button", name="Download all (zip)").click()
    expect(page.locator("#message-text")).to_have_text("Downloaded quadpred.zip.")
    page.get_by_role("button", name="Close this message").click()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#song-name")).to_have_text("sad.wav")
    page.get_by_role("button", name="Remove", exact=True).click()
    page.get_by_role("button", name="Close this note").click()
    expect(page.locator("#removed")).to_be_hidden()


def test_failed_songs_are_tried_again_together(page: Page, tmp_path: Path) -> None:
    stub = StubServer(page)
    names = ["one.mp3", "two.mp3"]
    for name in names:
        (tmp_path / name).write_text(name)
    page.set_input_files("#files", [tmp_path / name for name in names])
    expect(page.locator("#songs .state")).to_have_text(["Waiting for the first second"] * 2)
    for name in names:
        stub.job(name).fail(422, "not audio")
    expect(page.locator("#songs .state.error")).to_have_text(["not audio"] * 2)
    stub.answers = dict.fromkeys(names, prediction([[0.7, 0.1, 0.1, 0.1]]))
    page.locator("#all summary").click()
    page.get_by_role("button", name="Try all failed again").click()
    expect(page.locator("#songs .state")).to_have_text(["Q1 happy · 70 %"] * 2)


# The bytes of the parts that the last file was made of.
PARTS = """
globalThis.File = class extends File {
    constructor(parts, ...more) {
        super(parts, ...more);
        globalThis.parts = parts.map(({byteLength}) => byteLength);
    }
};"""


def test_microphone(page: Page, address: str) -> None:
    page.add_init_script(PARTS)
    visit(page)
    page.context.grant_permissions(["microphone"], origin=address)
    page.get_by_role("button", name="Microphone").click()
    stop = page.get_by_role("button", name="Stop")
    expect(page.locator("#clock")).to_have_text(re.compile(r"^0:(0[3-9]|[1-5]\d)$"))
    expect(page.locator("#now")).to_have_text(re.compile(r"^Q\d \w+ \d+ %"))
    stop.click()
    finished(page)
    content = download(page, "WAV", raw=True)
    samples, rate = soundfile.read(io.BytesIO(content))
    result = download(page, "JSON")
    assert len(result["times"]) == pytest.approx(len(samples) / rate, abs=0.5)
    assert np.abs(samples).max() > 0.01
    header, *blocks = page.evaluate("parts")  # nothing is copied into one buffer
    assert header + sum(blocks) == len(content) == 44 + 2 * len(samples)
    assert max(blocks) < 10_000
    # The recording is kept, and is a song like others from now on.
    reload(page)
    finished(page)
    expect(page.get_by_role("button", name="Play")).to_be_enabled()
    page.get_by_label("Compare with").select_option("mixed-to-english")
    expect(page.locator(".verdict-box")).to_have_count(2)
    expect(page.locator(".verdict").nth(1)).to_contain_text("probable", use_inner_text=True)


def test_a_recording_names_the_model_file_that_predicted_it(page: Page, address: str) -> None:
    StubServer(page)  # offers other files of the models than the server that listens
    page.context.grant_permissions(["microphone"], origin=address)
    page.get_by_role("button", name="Microphone").click()
    expect(page.locator("#clock")).to_have_text(re.compile(r"^0:(0[3-9]|[1-5]\d)$"))
    page.get_by_role("button", name="Stop").click()
    for _ in "stopped", "reloaded":
        expect(page.locator("#notes")).to_contain_text("an earlier version of the model")
        reload(page)


def test_a_recording_that_the_server_ends_says_so(browser: Any) -> None:
    with serving(Limits(seconds=3)) as client:
        context = browser.new_context(base_url=str(client.base_url))
        with closing(context), closing(context.new_page()) as page:
            context.grant_permissions(["microphone"])
            visit(page)
            page.get_by_role("button", name="Microphone").click()
            message = page.locator("#message-text")
            expect(message).to_contain_text("The recording ended after 0:03.")


def test_copies_in_two_folders_are_two_songs(page: Page, song: Path, tmp_path: Path) -> None:
    StubServer(page)
    page.set_input_files("#files", song)
    expect(page.locator("#song-name")).to_have_text("song.wav")
    for name in "a", "b":
        (tmp_path / "albums" / name).mkdir(parents=True)
        shutil.copy(song, tmp_path / "albums" / name)
    page.set_input_files("#folder", tmp_path / "albums")
    expect(page.locator("#songs button")).to_have_count(2)  # the first is one of the two


def test_names_are_found_however_their_accents_are_stored(page: Page, song: Path) -> None:
    cafe = shutil.copy(song, song.with_name(unicodedata.normalize("NFD", "Café.wav")))
    StubServer(page)
    page.set_input_files("#files", [song, cafe])
    expect(page.locator("#songs button")).to_have_count(2)
    page.get_by_label("Find songs by name").fill("café")
    expect(page.locator("#songs button")).to_have_count(1)


def test_a_browser_without_an_audio_device_says_so(page: Page, address: str) -> None:
    page.add_init_script("""
        AudioContext.prototype.resume = () => new Promise(() => {});
        Object.defineProperty(AudioContext.prototype, "state", {get: () => "suspended"});
        const {setTimeout} = window;
        window.setTimeout = (act, pause) => setTimeout(act, pause / 100);
    """)
    visit(page)
    page.context.grant_permissions(["microphone"], origin=address)
    page.get_by_role("button", name="Microphone").click()
    expect(page.locator("#message-text")).to_contain_text("Connect an audio device")
    expect(page.get_by_role("button", name="Microphone")).to_be_enabled()


def test_the_browser_asks_until_a_recording_is_saved(page: Page, address: str) -> None:
    page.add_init_script("""
        const {arrayBuffer} = Blob.prototype;
        Blob.prototype.arrayBuffer = async function () {
            while (!window.fast) await new Promise((go) => setTimeout(go, 50));
            return arrayBuffer.apply(this);
        };
    """)
    visit(page)
    page.context.grant_permissions(["microphone"], origin=address)
    page.get_by_role("button", name="Microphone").click()
    expect(page.locator("#clock")).to_have_text(re.compile(r"^0:(0[1-9]|[1-5]\d)$"))
    page.get_by_role("button", name="Stop").click()
    finished(page)
    leave = "dispatchEvent(new Event('beforeunload', {cancelable: true}))"  # false: it asks
    assert page.evaluate(leave) is False
    page.evaluate("window.fast = true")
    while not page.evaluate(leave):
        page.wait_for_timeout(50)
    reload(page)
    expect(page.get_by_role("button", name="Play")).to_be_enabled()


def test_a_model_chosen_before_the_microphone_is_allowed(page: Page, address: str) -> None:
    page.add_init_script("""
        const {mediaDevices} = navigator;
        const ask = mediaDevices.getUserMedia.bind(mediaDevices);
        mediaDevices.getUserMedia = async (wanted) => {
            while (!window.allowed) await new Promise((go) => setTimeout(go, 50));
            return ask(wanted);
        };
    """)
    visit(page)
    page.context.grant_permissions(["microphone"], origin=address)
    page.get_by_role("button", name="Microphone").click()
    page.get_by_role("combobox", name="Model", exact=True).select_option("mixed-to-english")
    page.evaluate("window.allowed = true")
    expect(page.locator("#clock")).to_have_text(re.compile(r"^0:(0[1-9]|[1-5]\d)$"))
    page.get_by_role("button", name="Stop").click()
    finished(page)


def test_a_recording_outlives_its_connection(page: Page, address: str) -> None:
    visit(page)

    def lose(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        blocks = []

        def forward(message: str | bytes) -> None:
            blocks.append(message)
            if len(blocks) < 30:
                server.send(message)
            else:
                socket.close(code=1011)

        socket.on_message(forward)

    page.route_web_socket("**/v1/live*", lose)
    page.context.grant_permissions(["microphone"], origin=address)
    page.get_by_role("button", name="Microphone").click()
    expect(page.locator("#work-text")).to_contain_text("The connection to the server was lost")
    samples, rate = soundfile.read(io.BytesIO(download(page, "WAV", raw=True)))
    assert len(samples) / rate > 1
    page.get_by_role("button", name="Try again").click()  # this time as a file
    finished(page)


def test_a_refused_microphone(page: Page) -> None:
    # The tests' browser allows every microphone.
    page.add_init_script(
        "navigator.mediaDevices.getUserMedia = () =>"
        " Promise.reject(new DOMException('Permission denied', 'NotAllowedError'));"
    )
    visit(page)
    page.get_by_role("button", name="Microphone").click()
    expect(page.locator("#message-text")).to_contain_text("The browser refused the microphone.")
    page.get_by_role("button", name="Close this message").click()
    expect(page.locator("#message")).to_be_hidden()


def test_the_same_recording_in_two_folders_is_listed_twice(
    page: Page, tmp_path: Path, song: Path
) -> None:
    folder = tmp_path / "music"
    for album in "first", "second":
        (folder / album).mkdir(parents=True)
        shutil.copy(song, folder / album / "song.wav")
    StubServer(page, {"song.wav": prediction([[0.7, 0.1, 0.1, 0.1]])})
    page.set_input_files("#folder", folder)
    states = page.locator("#songs .state")
    expect(states).to_have_text(["Q1 happy · 70 %"] * 2)
    # Known from now on, also if an inner folder is chosen, or the file alone.
    reload(page)
    page.set_input_files("#folder", folder / "second")
    expect(page.get_by_role("button", name="Play")).to_be_enabled()
    shown = page.locator("#songs [aria-current=true]")
    expect(shown).to_have_attribute("title", "music/second/song.wav")
    page.set_input_files("#files", song)
    expect(page.get_by_role("button", name="Play")).to_be_enabled()
    expect(states).to_have_count(2)


def test_two_clicks_start_one_recording(page: Page, address: str) -> None:
    visit(page)
    page.context.grant_permissions(["microphone"], origin=address)
    page.get_by_role("button", name="Microphone").dblclick()
    expect(page.locator("#clock")).to_have_text(re.compile(r"^0:0[1-9]$"))
    expect(page.locator("#library")).to_be_hidden()
    page.get_by_role("button", name="Stop").click()
    finished(page)
    # And the next one starts as usual.
    page.get_by_role("button", name="Microphone").click()
    expect(page.locator("#songs li")).to_have_count(2)
    page.get_by_role("button", name="Stop").click()
    finished(page)


def test_a_deleted_file_is_not_called_unplayable(page: Page, song: Path, tmp_path: Path) -> None:
    StubServer(
        page,
        {
            "song.wav": prediction([[0.7, 0.1, 0.1, 0.1]] * 6),
            "other.wav": prediction([[0.1, 0.7, 0.1, 0.1]] * 6),
        },
    )
    other = tmp_path / "other.wav"
    shutil.copy(song, other)
    page.set_input_files("#files", [song, other])
    expect(page.locator("#map [role=button]")).to_have_count(2)
    other.unlink()
    page.locator("#songs").get_by_role("button", name="other.wav").click()
    expect(page.locator("#sound-missing")).to_be_visible()
    expect(page.locator("#no-sound")).to_be_hidden()
    expect(page.locator(".verdict")).to_contain_text("Q2 tense", use_inner_text=True)
    shutil.copy(song, other)
    page.set_input_files("#attach-file", other)
    expect(page.get_by_role("button", name="Play")).to_be_enabled()


def test_closing_asks_while_files_are_being_read(page: Page, song: Path) -> None:
    """They are in the list only when their content is known."""
    StubServer(page)
    page.evaluate("() => { Blob.prototype.arrayBuffer = () => new Promise(() => {}); }")
    page.set_input_files("#files", song)
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.locator("h1").click()  # a browser asks only who has used the page
    page.close(run_before_unload=True)
    page.wait_for_event("close") if not page.is_closed() else None
    assert asked == ["beforeunload"]


def test_songs_added_at_once_keep_their_order(page: Page, sound_file: Callable[..., Path]) -> None:
    page.add_init_script("Date.now = () => 1_700_000_000_000;")
    names = [f"{number}.wav" for number in range(8)]
    StubServer(page)
    page.get_by_role("button", name="Choose files").wait_for()
    files = [sound_file(name, music(1, 8000, seed), 8000) for seed, name in enumerate(names, 1)]
    page.set_input_files("#files", files)
    expect(page.locator("#songs .name")).to_have_text(names)
    reload(page)
    expect(page.locator("#songs .name")).to_have_text(names)
