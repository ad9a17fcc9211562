"""Signing in with a browser, also below a path prefix."""

import shutil
from collections.abc import Iterator

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("playwright.sync_api")

from playwright.sync_api import Page, expect, sync_playwright

from helpers.serving import serving
from quadpred.web.security import AccessPolicy

pytestmark = pytest.mark.slow

TOKEN = "correct-horse-battery"


@pytest.fixture
def page() -> Iterator[Page]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if not program:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


@pytest.mark.parametrize("prefix", ["", "/emotion"])
def test_the_form_lets_a_browser_in(
    page: Page,
    prefix: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("temporary")))
    with serving(policy=AccessPolicy("127.0.0.1", TOKEN), prefix=prefix) as client:
        address = f"{str(client.base_url).rstrip('/')}{prefix}/"
        problems: list[str] = []
        page.on("console", lambda message: problems.append(message.text))
        page.goto(address)
        page.get_by_label("Token").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("This is not the token of this server.")
        assert not [text for text in problems if "Security Policy" in text]
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(address)
        assert page.request.get(f"{address}v1/models").status == 200
        page.goto(address)
        expect(page.get_by_label("Token")).to_have_count(0)
