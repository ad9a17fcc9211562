"""Signing in with a browser, also below a path prefix."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("playwright.sync_api")

from playwright.sync_api import Page, expect

from helpers.serving import serving
from quadpred.web.security import AccessPolicy

pytestmark = pytest.mark.slow

TOKEN = "correct-horse-battery"


@pytest.fixture
def page(browser: Any) -> Iterator[Page]:
    with closing(browser.new_page()) as page:
        yield page


@pytest.mark.parametrize("prefix", ["", "/emotion"])
def test_the_form_lets_a_browser_in(page: Page, prefix: str) -> None:
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
