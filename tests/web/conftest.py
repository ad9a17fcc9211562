"""A real server for tests of the page, in a real browser."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.browsers import PATIENCE
from helpers.sounds import music


@pytest.fixture(scope="module", autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder for temporary files, also those of servers."""
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(folder))
        yield folder


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """The address of a server that accepts files of up to 5 MB."""
    pytest.importorskip("fastapi")
    from helpers.serving import serving
    from quadpred.web.limits import Limits

    with serving(Limits(bytes=5_000_000)) as client:
        yield str(client.base_url)


@pytest.fixture
def open_page(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Open the page in a browser without history. Nothing may go wrong, nor to another host."""
    wrong: list[str] = []
    asked: list[str] = []
    contexts = []

    def open_it(at: str = address, **options: Any) -> Any:
        options = {"viewport": {"width": 1280, "height": 900}, "base_url": at, **options}
        context = browser.new_context(**options)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        context.on("console", lambda line: wrong.append(line.text) if _alarming(line) else None)
        context.on("weberror", lambda error: wrong.append(str(error.error)))
        context.on("request", lambda request: asked.append(request.url))
        return context.new_page()

    yield open_it
    for context in contexts:
        context.unroute_all(behavior="ignoreErrors")
        context.close()
    assert wrong == []
    own = (address, f"blob:{address}", address.replace("http", "ws"))
    assert [url for url in asked if not url.startswith(own)] == []


@pytest.fixture
def page(open_page: Callable[..., Any]) -> Any:
    """A browser's empty tab, whose addresses start from that of the server."""
    return open_page()


@pytest.fixture
def song(sound_file: Callable[..., Path]) -> Path:
    """A recording of 6 s."""
    return sound_file("song.wav", music(6, 16_000), 16_000)


def _alarming(line: Any) -> bool:
    # A browser logs every answer that is an error; tests look at these themselves.
    expected = ("Failed to load resource", "net::ERR", "not saved:")
    return line.type == "error" and not any(text in line.text for text in expected)


@pytest.fixture
def moods(sound_file: Callable[..., Path]) -> Callable[[Any], Any]:
    """Add four songs with known predictions to a page."""
    from helpers.page import StubServer, prediction

    answers = {
        "sad.wav": prediction([[0, 0, 0.9, 0.1]]),
        "merry.wav": prediction([[0.6, 0.2, 0, 0.2]]),
        "gentle.wav": prediction([[0, 0, 0.4, 0.6]], clip_uncertain=True),
        "merrier.wav": prediction([[0.8, 0.2, 0, 0]]),
    }

    def add(page: Any) -> Any:
        stub = StubServer(page, answers)
        files = [
            sound_file(name, music(1, 8000, seed), 8000) for seed, name in enumerate(answers, 1)
        ]
        page.set_input_files("#files", files)
        page.locator("#map [role=button]").nth(3).wait_for()
        return stub

    return add
