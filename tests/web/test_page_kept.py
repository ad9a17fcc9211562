"""Songs, results and settings outlive a reload, a closed tab and a server that ends."""

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import Page, Route, expect

from helpers.page import PER_SECOND, StubServer, download, prediction, reload, saved, visit
from helpers.sounds import music

pytestmark = pytest.mark.slow

SAD = [[0.0, 0.1, 0.7, 0.2]] * 6
# A database that takes long to read.
SLOW = """
const { getAll } = IDBObjectStore.prototype;
IDBObjectStore.prototype.getAll = function (...range) {
    const request = getAll.apply(this, range);
    return {
        get result() { return request.result; },
        set onsuccess(act) { request.onsuccess = () => setTimeout(act, 500); },
    };
};"""
# The number of peaks of each stored song.
PEAKS = """() => new Promise((answer) => {
    indexedDB.open("quadpred").onsuccess = ({target}) => {
        const asked = target.result.transaction("songs").objectStore("songs").getAll();
        asked.onsuccess = () => answer(asked.result.map(({pairs}) => pairs.length));
    };
})"""
# A tab whose writes fail while `full` is true, as where the disk is full.
FULL = """
const { put } = IDBObjectStore.prototype;
IDBObjectStore.prototype.put = function (...record) {
    return full ? this.transaction.abort() : put.apply(this, record);
};
globalThis.full = true;"""
# A tab that does not learn what others save, as one that the browser has put to sleep.
DEAF = 'Object.defineProperty(BroadcastChannel.prototype, "onmessage", {set() {}});'


def test_results_labels_marks_and_settings_outlive_a_reload(page: Page, song: Path) -> None:
    answer = prediction(SAD)
    StubServer(page, {"song.wav": answer})
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    page.locator("#correct-choices").get_by_role("button", name="Q4 calm").click()
    page.get_by_role("slider", name="Position in the song").press("PageUp")
    page.get_by_role("slider", name="Position in the song").press("ArrowLeft")
    page.get_by_role("button", name="Mark this moment").click()
    page.get_by_label("Speed").select_option("1.5")
    other = page.context.new_page()  # as after a closed tab
    page.close()
    visit(other)
    expect(other.locator("#song-name")).to_have_text("song.wav")
    expect(other.locator(".verdict")).to_contain_text(
        "Q4 calm, corrected by you", use_inner_text=True
    )
    expect(other.get_by_role("button", name="⚑ 0:05")).to_be_visible()
    expect(other.get_by_label("Speed")).to_have_value("1.5")
    expect(other.locator("#clock")).to_have_text("0:05")
    assert download(other, "JSON") == answer
    # Only for playback the file is needed again, and it must be the same.
    expect(other.get_by_role("button", name="Play")).to_be_disabled()
    expect(other.locator("#sound-missing")).to_be_visible()
    (song.parent / "wrong.wav").write_bytes(b"another")
    other.set_input_files("#attach-file", song.parent / "wrong.wav")
    expect(other.locator("#message-text")).to_contain_text("is not the file")
    other.set_input_files("#attach-file", song)
    expect(other.get_by_role("button", name="Play")).to_be_enabled()


def test_a_known_file_is_not_predicted_twice(page: Page, song: Path) -> None:
    stub = StubServer(page, {"song.wav": prediction(SAD)})
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    reload(page)
    page.set_input_files("#files", song)
    expect(page.get_by_role("button", name="Play")).to_be_enabled()
    expect(page.locator("#library")).to_be_hidden()
    assert stub.uploads == 1


def test_a_known_file_is_recognised_while_the_page_loads(page: Page, song: Path) -> None:
    stub = StubServer(page, {"song.wav": prediction(SAD)})
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    saved(page)
    page.add_init_script(SLOW)
    page.reload()
    page.set_input_files("#files", song)
    expect(page.get_by_role("button", name="Play")).to_be_enabled()
    assert stub.uploads == 1


def test_a_file_given_before_the_server_answers_is_predicted(page: Page, song: Path) -> None:
    StubServer(page, {"song.wav": prediction(SAD)})
    page.add_init_script(
        "const {fetch} = window; window.fetch = (...request) =>"
        " new Promise((go) => setTimeout(go, 500)).then(() => fetch(...request));"
    )
    page.reload()
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)


def test_a_file_that_changed_before_its_prediction_is_taken(page: Page, song: Path) -> None:
    stub = StubServer(page)
    page.set_input_files("#files", song)
    expect(page.locator("#work-text")).to_have_text("Waiting for the first second")
    reload(page)
    stub.forget()
    expect(page.locator("#notes")).to_contain_text("Choose the file again")
    wrong = song.with_name("wrong.wav")
    wrong.write_bytes(song.read_bytes() + b"\0" * 8)
    page.set_input_files("#attach-file", wrong)
    message = page.locator("#message-text")
    expect(message).to_have_text("wrong.wav is not the file that was chosen as song.wav.")
    song.write_bytes(wrong.read_bytes())
    page.set_input_files("#attach-file", song)
    expect(page.locator("#work-text")).to_have_text("Waiting for the first second")
    expect(message).to_be_hidden()
    stub.job("song.wav").done(prediction(SAD))
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    reload(page)
    page.set_input_files("#files", song)
    expect(page.get_by_role("button", name="Play")).to_be_enabled()
    assert stub.uploads == 2


def test_a_changed_file_is_refused_while_the_one_before_is_predicted(
    page: Page, song: Path
) -> None:
    stub = StubServer(page)
    page.set_input_files("#files", song)
    expect(page.locator("#work-text")).to_have_text("Waiting for the first second")
    reload(page)
    song.write_bytes(song.read_bytes()[:-8] + b"\1" * 8)
    page.set_input_files("#attach-file", song)
    message = page.locator("#message-text")
    expect(message).to_have_text("song.wav is not the file that was predicted as song.wav.")
    stub.job("song.wav").done(prediction(SAD))
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    expect(page.get_by_role("button", name="Play")).to_be_disabled()
    assert stub.uploads == 1


def test_a_changed_file_is_another_song_in_all_tabs(page: Page, song: Path) -> None:
    stub = StubServer(page)
    page.route(
        re.compile(r"/v1/predictions\?"),
        lambda route: route.fulfill(status=429, headers={"Retry-After": "60"}, json={}),
    )
    page.set_input_files("#files", song)
    expect(page.locator("#work-text")).to_contain_text("Next try in")
    other = page.context.new_page()
    visit(other)
    changed = song.parent / "changed" / song.name
    changed.parent.mkdir()
    changed.write_bytes(song.read_bytes()[:-8] + b"\1" * 8)
    other.set_input_files("#attach-file", changed)
    expect(other.locator("#work-text")).to_have_text("Waiting for the first second")
    stub.job("song.wav").done(prediction(SAD))
    for each in page, other:
        expect(each.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    expect(page.locator("#sound-missing")).to_be_visible()
    page.set_input_files("#attach-file", song)
    message = page.locator("#message-text")
    expect(message).to_have_text("song.wav is not the file that was predicted as song.wav.")
    page.set_input_files("#attach-file", changed)
    expect(page.get_by_role("button", name="Play")).to_be_enabled()


def test_a_changed_file_has_nothing_of_the_one_before(page: Page, song: Path) -> None:
    stub = StubServer(page)
    page.set_input_files("#files", song)
    expect(page.locator("#work-text")).to_have_text("Waiting for the first second")
    stub.job("song.wav").rows(prediction(SAD), 0, 4)
    expect(page.locator("#now")).to_contain_text("Q3 sad")
    stub.job("song.wav").fail(422, "damaged")
    expect(page.locator("#work-text")).to_contain_text("damaged")
    song.write_bytes(song.read_bytes()[::-1])
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#work-text")).to_contain_text("Choose it again")
    page.set_input_files("#attach-file", song)
    expect(page.locator("#work-text")).to_have_text("Waiting for the first second")
    shorter = prediction(SAD[:2])
    stub.job("song.wav").rows(shorter, 0, 2)
    stub.job("song.wav").done(shorter)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    saved(page)
    assert page.evaluate(PEAKS) == [2 * 2 * PER_SECOND]


def test_a_file_chosen_again_takes_the_place_of_one_that_cannot_be_read(
    page: Page, song: Path
) -> None:
    StubServer(page, {"song.wav": prediction(SAD)})
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    content = song.read_bytes()
    song.unlink()
    page.wait_for_timeout(20)  # so that the time of its change differs
    song.write_bytes(content)
    page.set_input_files("#files", song)
    expect(page.get_by_role("button", name="Play")).to_be_enabled()
    page.get_by_label("Compare with").select_option("mixed-to-english")
    expect(page.locator(".verdict").nth(1)).to_contain_text("Q3 sad", use_inner_text=True)


def test_a_file_chosen_again_under_another_name_keeps_that_of_the_song(
    page: Page, song: Path
) -> None:
    song = song.rename(song.with_name('so"ng.wav'))
    stub = StubServer(page)
    page.set_input_files("#files", song)
    expect(page.locator("#work-text")).to_have_text("Waiting for the first second")
    reload(page)
    stub.forget()
    expect(page.locator("#notes")).to_contain_text("Choose the file again")
    page.set_input_files("#attach-file", song.rename(song.with_name("renamed.wav")))
    expect(page.locator("#work-text")).to_have_text("Waiting for the first second")
    stub.job("renamed.wav").done(prediction(SAD))
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    assert download(page, "JSON")["source"] == 'so"ng.wav'


def test_the_browser_asks_until_a_mark_is_saved(page: Page, song: Path) -> None:
    StubServer(page, {"song.wav": prediction(SAD)})
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    saved(page)
    leave = "dispatchEvent(new Event('beforeunload', {cancelable: true}))"  # false: it asks
    press = "document.querySelector('#mark').click()"
    assert page.evaluate(f"() => {{ {press}; return {leave}; }}") is False
    saved(page)
    assert page.evaluate(leave) is True


def test_a_file_that_changes_while_it_waits_is_asked_for_again(
    page: Page, song: Path, sound_file: Any
) -> None:
    stub = StubServer(page, {"song.wav": prediction(SAD)})
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    page.context.route(
        re.compile(r"/v1/predictions\?"),
        lambda route: route.fulfill(status=429, headers={"Retry-After": "5"}, json={}),
    )
    other = sound_file("other.wav", music(6, 8000), 8000)
    page.set_input_files("#files", other)
    item = page.locator("#songs button", has_text="other.wav")
    expect(item).to_contain_text("Next try in")
    page.locator("#songs button", has_text="song.wav").click()
    other.write_bytes(other.read_bytes()[::-1])
    item.click()
    expect(page.locator("#sound-missing")).to_be_visible()
    expect(page.locator("#work-text")).to_contain_text("Choose it again")
    assert stub.uploads == 1


def test_a_file_that_changes_while_it_is_sent_is_asked_for_again(page: Page, song: Path) -> None:
    StubServer(page, {"song.wav": prediction(SAD)})

    def changed(route: Route) -> None:
        song.write_bytes(song.read_bytes()[::-1])
        route.fallback()

    page.context.route(re.compile(r"/v1/predictions\?"), changed)
    page.set_input_files("#files", song)
    expect(page.locator("#work-text")).to_contain_text("Choose it again")
    expect(page.locator("#sound-missing")).to_be_visible()


def test_work_goes_on_after_a_reload(page: Page, song: Path) -> None:
    stub = StubServer(page)
    page.set_input_files("#files", song)
    expect(page.locator("#work-text")).to_have_text("Waiting for the first second")
    reload(page)
    expect(page.locator("#song-name")).to_have_text("song.wav")
    stub.job("song.wav").done(prediction(SAD))
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)


def test_a_restarted_server_gets_the_file_again(page: Page, song: Path) -> None:
    stub = StubServer(page)
    page.set_input_files("#files", song)
    expect(page.locator("#work-text")).to_have_text("Waiting for the first second")
    stub.answers = {"song.wav": prediction(SAD)}
    stub.forget()
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    assert stub.uploads == 2


def test_a_restarted_server_with_another_model_file_predicts_with_that(
    page: Page, song: Path
) -> None:
    stub = StubServer(page)
    page.set_input_files("#files", song)
    expect(page.locator("#work-text")).to_have_text("Waiting for the first second")
    stub.sha256 = 64 * "1"
    stub.forget()
    job = stub.job("song.wav")
    assert stub.uploads == 2
    job.rows(prediction(SAD), 0, 3)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    reload(page)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    expect(page.locator("#notes")).to_be_hidden()


def test_a_lost_job_without_its_file_says_what_to_do(page: Page, song: Path) -> None:
    stub = StubServer(page)
    page.set_input_files("#files", song)
    expect(page.locator("#work-text")).to_have_text("Waiting for the first second")
    reload(page)
    expect(page.locator("#song-name")).to_have_text("song.wav")
    stub.forget()
    expect(page.locator("#notes")).to_contain_text("Choose the file again")
    expect(page.locator(".verdict")).to_have_text("Not known", use_inner_text=True)


def test_a_server_that_is_away_is_awaited(page: Page, song: Path) -> None:
    away = {"now": True}

    def answer(route: Any) -> None:
        route.abort("connectionrefused") if away["now"] else route.fallback()

    StubServer(page, {"song.wav": prediction(SAD)})
    page.route("**/v1/**", answer)
    page.set_input_files("#files", song)
    expect(page.locator("#connection-text")).to_contain_text("The server does not answer.")
    expect(page.locator("#work-text")).to_contain_text(re.compile(r"Next try in \d+ s"))
    away["now"] = False
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    expect(page.locator("#connection")).to_be_hidden()


def test_a_busy_server_is_asked_again(page: Page, song: Path) -> None:
    stub = StubServer(page, {"song.wav": prediction(SAD)})
    busy = {"title": "Too Many Requests", "status": 429, "detail": "queue full"}
    page.route(
        re.compile(r"/v1/predictions\?"),
        lambda route: route.fulfill(status=429, headers={"Retry-After": "2"}, json=busy),
        times=1,
    )
    page.set_input_files("#files", song)
    expect(page.locator("#work-text")).to_have_text(
        re.compile(r"^The server is busy\. Next try in [12] s\.$")
    )
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    assert stub.uploads == 1


def test_a_server_that_wants_its_token_again(page: Page, song: Path) -> None:
    stub = StubServer(page, {"song.wav": prediction(SAD)})
    refused = {"title": "Unauthorized", "status": 401, "detail": "token needed"}
    page.route(
        re.compile(r"/v1/predictions\?"),
        lambda route: route.fulfill(status=401, json=refused),
        times=1,
    )
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text(
        "Q3 sad", use_inner_text=True
    )  # after the next try
    assert stub.uploads == 1


def test_two_tabs_show_the_same_songs(page: Page, song: Path) -> None:
    StubServer(page, {"song.wav": prediction(SAD)})
    other = page.context.new_page()
    visit(other)
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    expect(other.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(other.locator("#desk")).to_be_hidden()


def test_a_song_that_another_tab_brings_back_is_predicted(page: Page, song: Path) -> None:
    stub = StubServer(page)
    other = page.context.new_page()
    visit(other)
    page.set_input_files("#files", song)
    for each in page, other:
        expect(each.locator("#work-text")).to_have_text("Waiting for the first second")
        saved(each)
    other.get_by_role("button", name="Remove", exact=True).click()
    expect(page.locator("#desk")).to_be_hidden()
    with page.expect_request(re.compile(r"/v1/predictions\?")):
        other.get_by_role("button", name="Undo").click()
    for each in page, other:
        expect(each.locator("#work-text")).to_have_text("Waiting for the first second")
    stub.job("song.wav").done(prediction(SAD))
    for each in page, other:
        expect(each.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    expect(page.locator("#play")).to_be_enabled()  # it has the file
    assert stub.uploads == 2


def test_a_song_that_another_tab_brings_back_is_the_same(page: Page, song: Path) -> None:
    StubServer(page, {"song.wav": prediction(SAD)})
    other = page.context.new_page()
    visit(other)
    page.set_input_files("#files", song)
    page.get_by_role("button", name="Mark this moment").click()
    expect(other.get_by_role("button", name="⚑ 0:00")).to_be_visible()
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(other.locator("#desk")).to_be_hidden()
    page.get_by_role("button", name="Undo").click()
    other.get_by_role("button", name="Remove the mark").click()
    for each in page, other:
        expect(each.get_by_role("button", name="⚑ 0:00")).to_be_hidden()
    reload(page)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    expect(page.get_by_role("button", name="⚑ 0:00")).to_be_hidden()


def test_one_tab_of_two_has_the_server_forget_a_job(page: Page, song: Path) -> None:
    stub = StubServer(page)
    other = page.context.new_page()
    visit(other)
    ended = []
    page.context.on("request", lambda r: ended.append(r.url) if r.method == "DELETE" else None)
    page.set_input_files("#files", song)
    for each in page, other:
        expect(each.locator("#work-text")).to_have_text("Waiting for the first second")
    stub.job("song.wav").done(prediction(SAD))
    for each in page, other:
        expect(each.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
        saved(each)
    page.wait_for_timeout(500)
    assert len(ended) == 1


def test_a_browser_that_keeps_nothing_says_so(open_page: Any, song: Path) -> None:
    page = open_page()
    page.add_init_script("""
        Object.defineProperty(window, "indexedDB", {get() { throw new Error("denied"); }});
    """)
    StubServer(page, {"song.wav": prediction(SAD)})
    expect(page.locator("#not-kept")).to_contain_text("does not let the page save data")
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.locator("#song-name").click()  # a browser asks only who has used the page
    page.close(run_before_unload=True)
    page.wait_for_event("close") if not page.is_closed() else None
    assert asked == ["beforeunload"]


def test_data_that_the_user_clears_is_no_longer_kept(page: Page, song: Path, address: str) -> None:
    StubServer(page, {"song.wav": prediction(SAD)})
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    saved(page)
    expect(page.locator("#not-kept")).to_be_hidden()
    protocol = page.context.new_cdp_session(page)
    data = {"origin": address, "storageTypes": "indexeddb"}
    protocol.send("Storage.clearDataForOrigin", data)
    expect(page.locator("#not-kept")).to_be_visible()


# Where a tab writes, and what others tell it.
WRITES = """() => {
    const {put} = IDBObjectStore.prototype;
    globalThis.writes = [];
    IDBObjectStore.prototype.put = function (...record) {
        globalThis.writes.push(this.name);
        return put.apply(this, record);
    };
}"""
HEARD = """() => {
    globalThis.heard = 0;
    new BroadcastChannel("quadpred").onmessage = () => { globalThis.heard += 1; };
}"""


def test_a_position_is_a_small_write_of_one_tab(page: Page, song: Path) -> None:
    StubServer(page, {"song.wav": prediction(SAD)})
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    saved(page)
    other = page.context.new_page()
    visit(other)
    other.evaluate(HEARD)
    page.evaluate(WRITES)
    page.get_by_role("slider", name="Position in the song").press("PageUp")
    while not page.evaluate("writes.length"):
        page.wait_for_timeout(50)
    assert page.evaluate("writes") == ["settings"]
    page.get_by_role("button", name="Mark this moment").click()
    expect(other.get_by_role("button", name="⚑ 0:06")).to_be_visible()
    assert other.evaluate("heard") == 1  # of the mark
    page.get_by_role("button", name="Remove", exact=True).click()
    page.get_by_role("button", name="Undo").click()
    reload(page)
    expect(page.locator("#clock")).to_have_text("0:06")


def test_the_song_that_was_shown_is_shown_again(page: Page, sound_file: Any) -> None:
    names = [f"{number}.wav" for number in range(3)]
    StubServer(page, dict.fromkeys(names, prediction(SAD)))
    page.set_input_files(
        "#files", [sound_file(name, music(2, 8000, n), 8000) for n, name in enumerate(names)]
    )
    page.locator("#songs").get_by_role("button", name="1.wav").click()
    expect(page.locator("#song-name")).to_have_text("1.wav")
    reload(page)
    expect(page.locator("#song-name")).to_have_text("1.wav")
    page.locator("#remove").click()
    reload(page)
    expect(page.locator("#song-name")).to_have_text("2.wav")


# Counts the streams that are open, and lets a test hide the page.
STREAMS = """
globalThis.streams = 0;
globalThis.EventSource = class extends EventSource {
    constructor(address) { super(address); globalThis.streams += 1; }
    close() { if (this.readyState !== 2) globalThis.streams -= 1; super.close(); }
};
globalThis.hide = (hidden) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
};"""


def test_a_hidden_tab_holds_no_connection_unless_it_waits(page: Page, song: Path) -> None:
    page.add_init_script(STREAMS)
    stub = StubServer(page)
    page.set_input_files("#files", song)
    expect(page.locator("#work-text")).to_have_text("Waiting for the first second")
    page.evaluate("hide(true)")
    assert page.evaluate("streams") == 1
    answer = prediction(SAD)
    stub.job("song.wav").rows(answer, 0, 6)
    stub.job("song.wav").done(answer)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    page.evaluate("hide(true)")
    assert page.evaluate("streams") == 0
    page.evaluate("hide(false)")
    assert page.evaluate("streams") == 1


def test_each_tab_needs_one_stream(page: Page, sound_file: Any) -> None:
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    visit(page)
    files = [sound_file(f"{n}.wav", music(2, 8000, n), 8000) for n in range(4)]
    page.set_input_files("#files", files)
    expect(page.locator("#map [role=button]")).to_have_count(4)
    assert len([url for url in asked if "/v1/events" in url]) == 1


def test_why_a_song_waited_is_not_said_of_its_work(page: Page, song: Path) -> None:
    stub = StubServer(page)
    page.set_input_files("#files", song)
    expect(page.locator("#work-text")).to_have_text("Waiting for the first second")
    reload(page)
    expect(page.locator("#song-name")).to_have_text("song.wav")
    stub.forget()
    expect(page.locator("#notes")).to_contain_text("Choose the file again")
    page.set_input_files("#attach-file", song)
    expect(page.locator("#work-text")).to_have_text("Waiting for the first second")


def test_a_song_that_waited_comes_back_without_its_note(page: Page, song: Path) -> None:
    StubServer(page)
    busy = {"title": "Too Many Requests", "status": 429, "detail": "queue full"}
    page.route(
        re.compile(r"/v1/predictions\?"),
        lambda route: route.fulfill(status=429, headers={"Retry-After": "2"}, json=busy),
        times=1,
    )
    page.set_input_files("#files", song)
    expect(page.locator("#work-text")).to_contain_text("Next try in")
    page.get_by_role("button", name="Remove", exact=True).click()
    page.wait_for_timeout(2500)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#work-text")).to_have_text("Waiting for the first second")


@pytest.mark.parametrize("status", [502, 504])
def test_a_proxy_without_its_server_is_asked_again(page: Page, song: Path, status: int) -> None:
    stub = StubServer(page, {"song.wav": prediction(SAD)})
    page.route(
        re.compile(r"/v1/predictions\?"),
        lambda route: route.fulfill(status=status, body="<h1>Bad gateway</h1>"),
        times=1,
    )
    page.set_input_files("#files", song)
    expect(page.locator("#work-text")).to_have_text(re.compile(r"Next try in \d s"))
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    assert stub.uploads == 1


def test_an_answer_of_another_program_is_none(page: Page, song: Path) -> None:
    """As the page of a network that asks its guests to sign in."""
    StubServer(page, {"song.wav": prediction(SAD)})
    page.route(
        re.compile(r"/v1/predictions\?"),
        lambda route: route.fulfill(body="<h1>Hello</h1>"),
        times=1,
    )
    page.set_input_files("#files", song)
    expect(page.locator("#work-text")).to_have_text(re.compile(r"Next try in \d s"))
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)


def test_whatever_goes_wrong_with_an_offer_is_one_line(page: Page) -> None:
    visit(page)
    page.route("**/v1/models", lambda route: route.fulfill(body="<h1>Hello</h1>"))
    wrong = page.evaluate(
        """async () => {
            const {offer} = await import(new URL("static/actions/api.js", document.baseURI));
            return offer().catch(({status, message}) => [status, message]);
        }"""
    )
    assert wrong == [0, "The server does not answer. Is quadpred serve running?"]


@pytest.mark.parametrize("failure", ["reset", "401"])
def test_a_failed_upload_says_nothing_lasting_of_the_server(
    page: Page, song: Path, failure: str
) -> None:
    visit(page)
    refused = {"title": "Unauthorized", "status": 401, "detail": "token needed"}
    signed_out = {"now": failure == "401"}

    def answer(route: Any) -> None:
        if signed_out["now"]:
            route.fulfill(status=401, json=refused)
        elif "predictions?" in route.request.url:
            route.abort("connectionreset")
        else:
            route.fallback()

    page.route(re.compile("/v1/(predictions|models)"), answer)
    page.set_input_files("#files", song)
    expect(page.locator("#work-text")).to_contain_text("Next try in")
    if signed_out["now"]:
        expect(page.locator("#connection-text")).to_contain_text("asks for its token")
    page.get_by_role("button", name="Remove", exact=True).click()
    signed_out["now"] = False
    expect(page.locator("#connection")).to_be_hidden()


def test_a_finished_prediction_is_never_overwritten(page: Page, song: Path) -> None:
    """By a tab that lost the connection, and does not know yet that another has the result."""
    stub = StubServer(page)
    page.set_input_files("#files", song)
    expect(page.locator("#work-text")).to_have_text("Waiting for the first second")
    other = page.context.new_page()
    other.add_init_script(DEAF)
    other.route(re.compile("/v1/events"), lambda route: route.abort())
    visit(other)
    expect(other.locator("#song-name")).to_have_text("song.wav")
    stub.job("song.wav").done(prediction(SAD))
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    stub.forget()
    other.unroute_all()
    expect(other.locator("#notes")).to_contain_text("The server no longer has")
    reload(page)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)


def test_a_tab_that_hears_late_overwrites_no_labels(page: Page, song: Path) -> None:
    StubServer(page, {"song.wav": prediction(SAD)})
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    deaf = page.context.new_page()
    deaf.add_init_script(DEAF)
    visit(deaf)
    expect(deaf.locator("#song-name")).to_have_text("song.wav")
    page.locator("#correct-choices").get_by_role("button", name="Q4 calm").click()
    page.get_by_label("Speed").select_option("1.5")
    page.get_by_role("button", name="Mark this moment").click()
    deaf.get_by_role("slider", name="Position in the song").press("PageUp")
    deaf.get_by_label("Volume").fill("0.5")
    saved(deaf)
    deaf.close(run_before_unload=True)
    deaf.wait_for_event("close") if not deaf.is_closed() else None
    reload(page)
    expect(page.locator(".verdict")).to_contain_text("Q4 calm, corrected", use_inner_text=True)
    expect(page.get_by_role("button", name="⚑ 0:00")).to_be_visible()
    expect(page.get_by_label("Speed")).to_have_value("1.5")
    expect(page.get_by_label("Volume")).to_have_value("0.5")


def test_what_another_tab_removed_stays_removed(page: Page, song: Path) -> None:
    StubServer(page, {"song.wav": prediction(SAD)})
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    deaf = page.context.new_page()
    deaf.add_init_script(DEAF)
    visit(deaf)
    expect(deaf.locator("#song-name")).to_have_text("song.wav")
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.locator("#desk")).to_be_hidden()
    deaf.get_by_role("button", name="Mark this moment").click()
    saved(deaf)
    reload(page)
    expect(page.locator("#desk")).to_be_hidden()


def meanwhile(page: Page, press: str) -> None:
    """Press something between the two reads by which a tab learns what another has saved."""
    page.evaluate(
        """(press) => {
            const {getAll} = IDBObjectStore.prototype;
            IDBObjectStore.prototype.getAll = function (...args) {
                IDBObjectStore.prototype.getAll = getAll;
                document.querySelector(press).click();
                return getAll.apply(this, args);
            };
        }""",
        press,
    )


def test_a_label_given_while_another_tab_saves_is_kept(page: Page, song: Path) -> None:
    StubServer(page, {"song.wav": prediction(SAD)})
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    meanwhile(page, "#correct-choices .q4")
    other = page.context.new_page()
    visit(other)
    expect(other.locator("#song-name")).to_have_text("song.wav")
    other.get_by_role("button", name="Mark this moment").click()
    expect(page.get_by_role("button", name="⚑ 0:00")).to_be_visible()
    expect(page.locator(".verdict")).to_contain_text("Q4 calm, corrected", use_inner_text=True)


def test_a_song_removed_while_another_tab_saves_stays_removed(page: Page, song: Path) -> None:
    StubServer(page, {"song.wav": prediction(SAD)})
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    meanwhile(page, "#remove")
    other = page.context.new_page()
    visit(other)
    expect(other.locator("#song-name")).to_have_text("song.wav")
    other.get_by_role("button", name="Mark this moment").click()
    expect(other.locator("#desk")).to_be_hidden()
    page.wait_for_timeout(300)  # for the second read
    expect(page.locator("#desk")).to_be_hidden()


def test_what_could_not_be_saved_is_kept_and_saved_later(page: Page, song: Path) -> None:
    StubServer(page, {"song.wav": prediction(SAD)})
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    other = page.context.new_page()
    visit(other)
    page.evaluate(FULL)
    page.locator("#correct-choices").get_by_role("button", name="Q4 calm").click()
    page.get_by_role("button", name="Mark this moment").click()
    expect(page.locator("#not-kept")).to_be_visible()
    other.get_by_role("slider", name="Position in the song").press("PageUp")
    other.get_by_role("button", name="Mark this moment").click()
    expect(page.get_by_role("button", name="⚑ 0:06")).to_be_visible()
    expect(page.get_by_role("button", name="⚑ 0:00")).to_be_visible()
    expect(page.locator(".verdict")).to_contain_text("Q4 calm, corrected", use_inner_text=True)
    page.evaluate("full = false")
    expect(page.locator("#not-kept")).to_be_hidden()
    reload(page)
    for each in page, other:
        expect(each.locator(".verdict")).to_contain_text("Q4 calm, corrected", use_inner_text=True)
        expect(each.get_by_role("button", name="⚑ 0:00")).to_be_visible()
        expect(each.get_by_role("button", name="⚑ 0:06")).to_be_visible()


def test_a_song_that_could_not_be_saved_is_saved_later_with_its_result(
    page: Page, song: Path
) -> None:
    StubServer(page, {"song.wav": prediction(SAD)})
    page.evaluate(FULL)
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    expect(page.locator("#not-kept")).to_be_visible()
    page.evaluate("full = false")
    expect(page.locator("#not-kept")).to_be_hidden()
    reload(page)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)


def test_a_label_given_before_its_song_was_saved_yields_to_a_later_one(
    page: Page, song: Path
) -> None:
    StubServer(page, {"song.wav": prediction(SAD)})
    page.evaluate(FULL)
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    page.locator("#correct-choices").get_by_role("button", name="Q1 happy").click()
    expect(page.locator("#not-kept")).to_be_visible()
    page.evaluate("full = false")
    expect(page.locator("#not-kept")).to_be_hidden()
    other = page.context.new_page()
    visit(other)
    other.locator("#correct-choices").get_by_role("button", name="Q4 calm").click()
    expect(page.locator(".verdict")).to_contain_text("Q4 calm, corrected", use_inner_text=True)
    page.get_by_role("button", name="Mark this moment").click()
    expect(other.get_by_role("button", name="⚑ 0:00")).to_be_visible()
    for each in page, other:
        expect(each.locator(".verdict")).to_contain_text("Q4 calm, corrected", use_inner_text=True)


def test_what_is_not_saved_of_a_song_survives_its_removal_and_return_in_another_tab(
    page: Page, song: Path
) -> None:
    StubServer(page, {"song.wav": prediction(SAD)})
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    other = page.context.new_page()
    visit(other)
    page.evaluate(FULL)
    page.locator("#correct-choices").get_by_role("button", name="Q4 calm").click()
    expect(page.locator("#not-kept")).to_be_visible()
    other.locator("#remove").click()
    expect(page.locator("#desk")).to_be_hidden()
    page.wait_for_timeout(6000)  # the page tries to save it in vain
    page.evaluate("full = false")
    other.locator("#undo").click()
    for each in page, other:
        expect(each.locator(".verdict")).to_contain_text("Q4 calm, corrected", use_inner_text=True)
    reload(page)
    expect(page.locator(".verdict")).to_contain_text("Q4 calm, corrected", use_inner_text=True)


def test_a_song_that_two_tabs_remove_and_bring_back_is_listed_once(page: Page, song: Path) -> None:
    StubServer(page, {"song.wav": prediction(SAD)})
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    saved(page)
    other = page.context.new_page()
    other.add_init_script(DEAF)  # so that both remove it
    visit(other)
    for each in page, other:
        each.locator("#remove").click()
        expect(each.locator("#desk")).to_be_hidden()
    other.locator("#undo").click()
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    expect(page.locator("#removed")).to_be_hidden()
    expect(page.locator("#library")).to_be_hidden()
    expect(page.get_by_role("button", name="Play")).to_be_enabled()  # it still has the file


def test_a_removed_song_comes_back_when_its_file_is_added_again(page: Page, song: Path) -> None:
    StubServer(page, {"song.wav": prediction(SAD)})
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    page.locator("#correct-choices").get_by_role("button", name="Q4 calm").click()
    saved(page)
    other = page.context.new_page()
    visit(other)
    expect(other.locator(".verdict")).to_contain_text("Q4 calm, corrected", use_inner_text=True)
    page.locator("#remove").click()
    for each in page, other:
        expect(each.locator("#desk")).to_be_hidden()
    page.set_input_files("#files", song)
    page.get_by_role("button", name="Mark this moment").click()
    reload(page)
    for each in page, other:
        expect(each.get_by_role("button", name="⚑ 0:00")).to_be_visible()
        expect(each.locator(".verdict")).to_contain_text("Q4 calm, corrected", use_inner_text=True)
        expect(each.locator("#library")).to_be_hidden()
        expect(each.locator("#removed")).to_be_hidden()


def test_of_two_removed_songs_of_a_file_the_last_one_comes_back(page: Page, song: Path) -> None:
    StubServer(page, {"song.wav": prediction(SAD)})
    other = page.context.new_page()
    visit(other)
    page.set_input_files("#files", song)
    page.locator("#correct-choices").get_by_role("button", name="Q1 happy").click()
    page.locator("#remove").click()
    # In another tab, which does not know what was known of the song, it is a new one.
    expect(other.locator("#desk")).to_be_hidden()
    other.set_input_files("#files", song)
    other.locator("#correct-choices").get_by_role("button", name="Q4 calm").click()
    expect(page.locator(".verdict")).to_contain_text("Q4 calm, corrected", use_inner_text=True)
    page.locator("#remove").click()
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("Q4 calm, corrected", use_inner_text=True)
    page.get_by_role("button", name="Undo").click()
    labelled = page.locator("#songs .state")
    expect(labelled).to_have_count(2)
    expect(labelled.first).to_contain_text("Q1 happy, corrected")
    expect(labelled.last).to_contain_text("Q4 calm, corrected")
    reload(page)
    expect(labelled.first).to_contain_text("Q1 happy, corrected")


def test_a_path_gets_the_folder_that_is_chosen_later(page: Page, song: Path) -> None:
    StubServer(page, {"song.wav": prediction(SAD)})
    page.set_input_files("#files", song)
    page.locator("#correct-choices").get_by_role("button", name="Q1 happy").click()
    saved(page)
    page.locator("#folder").set_input_files(song.parent)
    path = f"{song.parent.name}/song.wav"
    for _ in "shown", "reloaded":
        with page.expect_download() as download:
            page.get_by_role("button", name="Download labels").click()
        assert path in Path(download.value.path()).read_text()
        reload(page)


def test_an_undo_brings_back_what_was_not_added_again(
    page: Page, moods: Any, sound_file: Any
) -> None:
    moods(page)
    names = ["sad.wav", "merry.wav", "gentle.wav", "merrier.wav"]
    page.locator("#all summary").click()
    page.get_by_role("button", name="Remove all").click()
    expect(page.locator("#removed-text")).to_have_text("Removed 4 songs.")
    page.set_input_files("#files", sound_file("merry.wav", music(1, 8000, 2), 8000))
    expect(page.locator("#song-name")).to_have_text("merry.wav")
    expect(page.locator("#removed-text")).to_have_text("Removed 3 songs.")
    page.get_by_role("button", name="Undo").click()
    page.get_by_label("Sort by").select_option("added")
    for _ in "shown", "reloaded":
        expect(page.locator("#songs .name")).to_have_text(names)
        reload(page)


def test_a_file_is_a_new_song_where_the_undo_was_closed(page: Page, song: Path) -> None:
    StubServer(page, {"song.wav": prediction(SAD)})
    page.set_input_files("#files", song)
    page.locator("#correct-choices").get_by_role("button", name="Q4 calm").click()
    page.locator("#remove").click()
    page.get_by_role("button", name="Close this note").click()
    page.set_input_files("#files", song)
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)


def test_work_is_found_again_though_the_storage_was_full_at_the_first_visit(
    page: Page, song: Path
) -> None:
    page.add_init_script(f"if (!localStorage.freed) {{ {FULL} }}")
    stub = StubServer(page)
    expect(page.locator("#not-kept")).to_be_visible()
    page.evaluate("full = false; localStorage.freed = true")
    expect(page.locator("#not-kept")).to_be_hidden()
    page.set_input_files("#files", song)
    expect(page.locator("#work-text")).to_have_text("Waiting for the first second")
    first = stub.job("song.wav").client
    reload(page)
    stub.job("song.wav").done(prediction(SAD))
    expect(page.locator(".verdict")).to_contain_text("Q3 sad", use_inner_text=True)
    page.get_by_label("Compare with").select_option("mixed-to-english")
    page.set_input_files("#attach-file", song)
    assert stub.job("song.wav", "mixed-to-english").client == first
