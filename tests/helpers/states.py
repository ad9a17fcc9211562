"""Every state of the page, for tests of how it looks and reads."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, WebSocketRoute, expect

from helpers.page import StubServer, prediction, reload, visit
from helpers.sounds import music

HAPPY = [0.7, 0.1, 0.1, 0.1]
SAD = [0.05, 0.1, 0.75, 0.1]
DOUBT = [0.3, 0.28, 0.22, 0.2]
SONG = prediction([HAPPY] * 40 + [SAD] * 20, silent=(3, 4), uncertain=tuple(range(10, 20)))
OTHER = "mixed-to-english"
SOUNDS = np.eye(8)

Write = Callable[..., Path]  # of conftest.py: `sound_file`


class States:
    """Brings a page into each of its states.

    Attributes:
        page: in a browser without history.
        write: writes a recording.
    """

    def __init__(self, page: Page, write: Write):
        self.page = page
        self._write = write

    def _add(self, answers: dict[str, Any], sounds: dict[str, Any] | None = None) -> StubServer:
        """Add a recording for each answer, None for none; the first one is shown."""
        stub = StubServer(self.page, {name: one for name, one in answers.items() if one})
        stub.sounds = sounds or {}
        files = [
            self._write(name, music(len(one["times"]) if one else 6, 8000, seed), 8000)
            for seed, (name, one) in enumerate(answers.items(), 1)
        ]
        self.page.set_input_files("#files", files)
        expect(self.page.locator("#song-name")).to_have_text(files[0].name)
        for name, one in answers.items():
            item = self.page.locator("#songs button", has_text=name)
            if one and len(answers) > 1:
                expect(item.locator(".state")).to_contain_text(re.compile("Q|Silent"))
        if next(iter(answers.values())):
            self._verdict(re.compile("probable|Silent"))
        return stub

    def _verdict(self, text: str | re.Pattern[str]) -> None:
        expect(self.page.locator(".verdict").first).to_contain_text(text, use_inner_text=True)

    def _waiting(self) -> StubServer:
        stub = self._add({"song.wav": None})
        expect(self.page.locator("#work-text")).to_have_text("Waiting for the first second")
        return stub

    def empty(self) -> None:
        """No song."""
        visit(self.page)

    def scores(self) -> None:
        """The accuracy of the model on other music."""
        visit(self.page)
        self.page.locator("#scores summary").click()

    def queued(self) -> None:
        """An upload that waits for a worker."""
        self._waiting()

    def busy(self) -> None:
        """A server that takes no upload now."""
        stub = StubServer(self.page)
        refused = {"status": 429, "detail": "queue full"}
        self.page.route(
            re.compile(r"/v1/predictions\?"),
            lambda route: route.fulfill(status=429, headers={"Retry-After": "600"}, json=refused),
        )
        assert not stub.uploads
        self.page.set_input_files("#files", self._write("song.wav", music(6, 8000), 8000))
        expect(self.page.locator("#work-text")).to_contain_text("The server is busy.")

    def running(self) -> None:
        """The first rows of a prediction."""
        job = self._waiting().job("song.wav")
        job.progress(20, 60)
        job.rows(SONG, 0, 20)
        expect(self.page.locator("#work-text")).to_contain_text("Predicting 0:20 of about 1:00")

    def without_length(self) -> None:
        """The first rows of a recording whose header states no length."""
        job = self._waiting().job("song.wav")
        job.progress(20, None)
        job.rows(SONG, 0, 20)
        expect(self.page.locator("#length")).to_have_text(" / length not known yet")

    def done(self) -> None:
        """A prediction."""
        self._add({"song.wav": SONG})

    def uncertain(self) -> None:
        """A prediction that is uncertain, whose arousal and valence lie in another quadrant."""
        rows = prediction(
            [DOUBT] * 60, uncertain=tuple(range(60)), clip_uncertain=True, arousal=[0.3] * 60
        )
        self._add({"song.wav": rows})

    def silent(self) -> None:
        """A recording without sound."""
        self._add({"song.wav": prediction([HAPPY] * 30, silent=tuple(range(30)))})

    def failed(self) -> None:
        """A file that is no audio."""
        self._waiting().job("song.wav").fail(422, "the file is not audio")
        expect(self.page.locator("#work-text")).to_have_text("the file is not audio")

    def damaged(self) -> None:
        """A prediction of a damaged file, by an earlier version of the model."""
        stub = self._waiting()
        stub.job("song.wav").done(SONG, damage="ends after 1:00 of 2:00")
        self._verdict("Q1 happy")
        stub.sha256 = 64 * "1"
        reload(self.page)
        expect(self.page.locator("#notes")).to_contain_text("earlier version of the model")

    def cancelled(self) -> None:
        """A song that was removed while it was predicted."""
        self._waiting()
        self.page.get_by_role("button", name="Remove", exact=True).click()
        expect(self.page.locator("#removed-text")).to_have_text("Removed song.wav.")

    def lost(self) -> None:
        """A prediction that ended with its server, after a reload."""
        stub = self._waiting()
        reload(self.page)
        expect(self.page.locator("#song-name")).to_have_text("song.wav")
        stub.forget()
        expect(self.page.locator("#notes")).to_contain_text("Choose the file again")

    def experimental(self) -> None:
        """A model that is no better than chance."""
        StubServer(self.page, {"song.wav": SONG})
        model = self.page.get_by_role("combobox", name="Model", exact=True)
        model.select_option("english-to-mandarin")
        self.page.set_input_files("#files", self._write("song.wav", music(6, 8000), 8000))
        self._verdict("experimental model")

    def long(self) -> None:
        """A part of an hour, with a selection, marks and moments."""
        stub = StubServer(self.page)
        song = self._write("song.wav", music(1, 8000), 8000)
        song.write_bytes(b"a format that no browser plays, since it would know the length")
        self.page.set_input_files("#files", song)
        expect(self.page.locator("#work-text")).to_have_text("Waiting for the first second")
        hour = prediction([HAPPY] * 1800 + [SAD] * 1800)
        moments = (("segment", 0, 1800), ("segment", 1800, 3600), ("happiest", 900, 930))
        stub.job("song.wav").done(hour, moments=moments)
        expect(self.page.locator("#length")).to_have_text(" / 1:00:00")
        seek = self.page.get_by_role("slider", name="Position in the song")
        for key in "Home", *["PageUp"] * 3, "m", *["Shift+PageUp"] * 3, *"+++++":
            seek.press(key)
        expect(self.page.locator("#selection-text")).to_have_text("Selected 0:30 to 1:00")
        box = seek.bounding_box()
        assert box
        self.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 80)
        expect(self.page.locator("#readout")).to_be_visible()

    def adjusted(self) -> None:
        """Songs that labels have adjusted."""
        rows = prediction([SAD] * 40 + [DOUBT] * 20, uncertain=tuple(range(40, 60)))
        sounds = np.repeat(SOUNDS[[0, 1]], (40, 20), axis=0)
        names = "song.wav", "other.wav"
        self._add(dict.fromkeys(names, rows), dict.fromkeys(names, sounds))
        seek = self.page.get_by_role("slider", name="Position in the song")
        seek.press("Home")
        seek.press("Shift+PageUp")
        self.page.locator("#correct-choices").get_by_role("button", name="Q4 calm").click()
        self._verdict("adjusted by your corrections")

    def corrected(self) -> None:
        """Labels of a song and of a part, with the values of the model."""
        self.adjusted()
        self.page.get_by_role("button", name="Clear selection").click()
        self.page.locator("#correct-choices").get_by_role("button", name="Q2 tense").click()
        self.page.get_by_role("switch").uncheck()
        self._verdict("Q2 tense, corrected by you")

    def compared(self) -> None:
        """Two models."""
        stub = self._add({"song.wav": SONG})
        stub.answers["song.wav"] = prediction([SAD] * 60)
        self.page.get_by_label("Compare with").select_option(OTHER)
        expect(self.page.locator(".verdict").nth(1)).to_contain_text("Q3", use_inner_text=True)

    def library(self) -> None:
        """Songs in every state, on list and map."""
        stub = self._add(
            {
                "happy.wav": SONG,
                "a song with a name that is long enough for two lines.wav": prediction([SAD] * 30),
                "uncertain.wav": prediction([DOUBT] * 30, clip_uncertain=True),
                "silent.wav": prediction([HAPPY] * 30, silent=tuple(range(30))),
                "running.wav": None,
                "failed.wav": None,
            }
        )
        stub.job("running.wav").progress(20, 60)
        stub.job("running.wav").rows(SONG, 0, 20)
        stub.job("failed.wav").fail(422, "the file is not audio")
        expect(self.page.locator("#songs .state.error")).to_have_count(1)
        expect(self.page.locator("#songs .state", has_text="Predicting")).to_have_count(1)

    def menus(self) -> None:
        """Open menus and an explanation."""
        self._add({"song.wav": SONG, "other.wav": SONG})
        self.page.locator("#all summary").click()
        self.page.evaluate("document.getElementById('downloads').open = true")
        self.page.locator(".verdict .term:visible").first.focus()
        expect(self.page.get_by_role("tooltip")).to_be_visible()

    def without_sound(self) -> None:
        """A song after a reload."""
        self.done()
        reload(self.page)
        expect(self.page.locator("#sound-missing")).to_be_visible()

    def listening(self) -> None:
        """The microphone."""

        def answer(socket: WebSocketRoute) -> None:
            names = "quadrant", "arousal", "valence"
            rows = {name: SONG[name]["rows"][:8] for name in names}
            rows |= {name: SONG[name][:8] for name in ("silent", "uncertain_seconds")}
            block = json.dumps({"from": 0, **rows})
            socket.on_message(lambda sent: socket.send(block) if isinstance(sent, bytes) else None)

        self.page.route_web_socket("**/v1/live*", answer)
        visit(self.page)
        self.page.context.grant_permissions(["microphone"])
        self.page.get_by_role("button", name="Microphone").click()
        expect(self.page.locator("#now")).to_have_text(re.compile("Q1 happy"))

    def disconnected(self) -> None:
        """A server that has gone, with a song that waits for it."""
        self.done()
        self.page.context.route("**/v1/**", lambda route: route.abort("connectionrefused"))
        self.page.set_input_files("#files", self._write("later.wav", music(2, 8000), 8000))
        expect(self.page.locator("#connection-text")).to_contain_text("does not answer")

    def signed_out(self) -> None:
        """A server that wants its token again."""
        self.done()
        refused = {"status": 401, "detail": "token needed"}
        self.page.context.route("**/v1/**", lambda route: route.fulfill(status=401, json=refused))
        self.page.set_input_files("#files", self._write("later.wav", music(2, 8000), 8000))
        expect(self.page.locator("#connection-text")).to_contain_text("asks for its token")

    def not_kept(self) -> None:
        """A browser that keeps no data."""
        self.page.add_init_script(
            "Object.defineProperty(window, 'indexedDB', {get() { throw new Error('denied'); }});"
        )
        self.done()
        expect(self.page.locator("#not-kept")).to_contain_text("does not let the page save")


STATES = [name for name in vars(States) if not name.startswith("_")]
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "forced": {"forced_colors": "active"},
    "small": {"width": 360},
}
"""How each state is looked at."""


def look(page: Page, name: str) -> None:
    """Show a page in the colours, or at the width, of a look."""
    options = dict(LOOKS[name])
    width = options.pop("width", 1280)
    page.set_viewport_size({"width": width, "height": 900 if width > 600 else 640})
    plain = {"color_scheme": "light", "forced_colors": "none"}
    page.emulate_media(**{**plain, **options})
    page.wait_for_timeout(300)  # for transitions and the next frames
