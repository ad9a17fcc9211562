import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import soundfile
from PIL import Image

from helpers.sounds import music
from helpers.summaries import clip
from quadpred.labels import QUADRANT
from quadpred.library.map_page import map_page
from quadpred.library.moods import WORDS, Vocabulary
from quadpred.plots.library_map import library_map, save_map

HOSTILE = [
    "</script><script>alert(1)</script>.mp3",
    '"><img src=x onerror=alert(1)>.mp3',
    "$policy ${data} \\u003c 'x' & <!-- .mp3",
    "two\nlines\u2028.mp3",
    b"\xff\xfe.mp3".decode("utf-8", "surrogateescape"),
    "音乐.mp3",
    "n" * 250,
]
CLIPS = [clip(name, f"Q{1 + i % 4}", uncertain=i % 2 == 1) for i, name in enumerate(HOSTILE)]


class Parser(HTMLParser):
    """Collects the elements, their attributes, and what the data holds."""

    def __init__(self):
        super().__init__()
        self.elements, self.data = [], ""

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.elements and self.elements[-1][1].get("id") == "data":
            self.data += data


def parsed(page):
    parser = Parser()
    parser.feed(page)
    parser.close()
    return parser


def test_the_page_holds_every_clip():
    page = map_page(CLIPS, Vocabulary({**WORDS, "Q3": "</script>"}))
    data = json.loads(parsed(page).data)
    assert data["names"][:4] == HOSTILE[:4]
    assert data["names"][4] == "\\xff\\xfe.mp3"
    assert data["files"][4] == "file:///music/%FF%FE.mp3"
    assert [QUADRANT.classes[q] for q in data["quadrants"]] == [c.quadrant for c in CLIPS]
    assert data["uncertain"] == [c.uncertain for c in CLIPS]
    assert data["valence"] == [c.valence for c in CLIPS]
    assert data["arousal"] == [c.arousal for c in CLIPS]
    assert data["colours"] == list(QUADRANT.colours)
    assert data["words"] == ["happy", "tense", "</script>", "calm"]


def test_names_are_no_markup():
    plain = parsed(map_page([clip("a.mp3")], Vocabulary())).elements
    assert parsed(map_page(CLIPS, Vocabulary())).elements == plain


def test_the_page_needs_no_network():
    page = map_page(CLIPS, Vocabulary())
    elements = parsed(page).elements
    assert not [e for e in elements if {"src", "href", "srcset"} & set(e[1])]
    assert not re.search(r"https?:|//[a-z]+\.", page.replace(parsed(page).data, ""))
    (policy,) = [e[1]["content"] for e in elements if "http-equiv" in e[1]]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert policy.endswith("; media-src file:")
    assert "unsafe" not in policy


# How many songs the arrow keys lead to, in the end.
REACHED = """(() => {
    const seen = new Set();
    const visit = i => {
        if (seen.has(i)) return;
        seen.add(i);
        for (const step of [[-1, 0], [1, 0], [0, -1], [0, 1]]) { chosen = i; visit(next(...step)); }
    };
    chosen = -1;
    visit(next(1, 0));
    return seen.size;
})()"""


def test_in_a_browser(browser, tmp_path):
    song = tmp_path / "a #1 & <b>.wav"
    soundfile.write(song, music(1, 8_000), 8_000)
    corners = {"valence": 0.9, "arousal": 0.9}
    clips = [clip("<b>first</b>", "Q1", file=str(song), **corners), *CLIPS[1:]]
    path = tmp_path / "map.html"
    path.write_text(map_page(clips, Vocabulary()), "utf-8")
    page = browser.new_page(viewport={"width": 900, "height": 700})
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    box = page.locator("#map").bounding_box()
    left, top = page.evaluate("[xs[0], ys[0]]")
    page.mouse.move(box["x"] + left + 3, box["y"] + top)
    tip = page.locator("#tip")
    assert tip.is_visible()
    assert tip.inner_text().startswith("<b>first</b>\nhappy · arousal 0.90, valence 0.90")
    page.mouse.click(box["x"] + left, box["y"] + top)
    assert page.evaluate(
        """Promise.race([
            new Promise(heard => audio.addEventListener("timeupdate", () => heard(true))),
            new Promise(late => setTimeout(() => late(audio.currentTime > 0), 10000)),
        ])"""
    )
    assert page.evaluate("audio.src") == song.as_uri()
    page.mouse.move(2, 2)
    assert not tip.is_visible()
    # By keyboard, every song can be reached and heard.
    assert page.evaluate(REACHED) == len(clips)
    page.evaluate("choose(-1)")
    page.focus("#map")
    for _ in range(8):
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowUp")
    assert page.locator("#now").inner_text().startswith("<b>first</b> · happy")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    chosen, playing = page.evaluate("[chosen, playing]")
    assert chosen == playing > 0
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 28)"
    assert [line for line in said if "ERR_FILE_NOT_FOUND" not in line] == []
    assert asked[0] == path.as_uri()
    assert song.as_uri() in asked
    assert all(url.startswith("file:") for url in asked)
    page.close()


def test_the_picture_shows_every_clip():
    figure = library_map(CLIPS, Vocabulary({**WORDS, "Q3": "$traurig$"}))
    (axes,) = figure.axes
    drawn = [tuple(point) for dots in axes.collections for point in dots.get_offsets()]
    assert sorted(drawn) == sorted((c.valence, c.arousal) for c in CLIPS)
    texts = {text.get_text() for text in [*axes.texts, *figure.texts]}
    assert {"happy", "tense", "$traurig$", "calm"} < texts
    assert "7 songs, 3 of them uncertain (rings)" in texts


def test_the_picture_has_the_quadrants_colours_where_they_are():
    file = io.BytesIO()
    clips = [
        clip(q, q, valence=v, arousal=a)
        for q, v, a in [("Q1", 0.9, 0.8), ("Q2", 0.1, 0.8), ("Q3", 0.1, 0.2), ("Q4", 0.9, 0.2)]
    ]
    save_map(clips, file, Vocabulary())
    image = Image.open(file).convert("RGB")
    for one, colour in zip(clips, QUADRANT.colours, strict=True):
        wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        width, height = image.size
        half = (
            width // 2 if one.valence > 0.5 else 0,
            0 if one.arousal > 0.5 else height // 2,
            width if one.valence > 0.5 else width // 2,
            height // 2 if one.arousal > 0.5 else height,
        )
        pixels = np.asarray(image.crop(half), int).reshape(-1, 3)
        strongest = pixels[(pixels.max(axis=1) - pixels.min(axis=1)).argmax()]
        assert np.abs(strongest - wanted).max() < 80  # a little of the paper shines through


def test_a_library_of_one():
    save_map([clip()], io.BytesIO(), Vocabulary())
    assert json.loads(parsed(map_page([clip()], Vocabulary())).data)["names"] == ["song.mp3"]
