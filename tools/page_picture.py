"""Take the README's picture of the page: `python tools/page_picture.py docs/page.png`.

Needs the extra web, Playwright and Chromium.
"""

import shutil
import sys
import threading
from pathlib import Path

from playwright.sync_api import ViewportSize, expect, sync_playwright

from quadpred.web.limits import Limits
from quadpred.web.run import listen_at, make_server
from quadpred.web.security import AccessPolicy

SONG = Path(__file__).parent.parent / "examples" / "q2_mountain_king.ogg"
SIZE: ViewportSize = {"width": 1240, "height": 1000}
SECOND = 12  # where the playhead is
PATIENCE = 600_000  # milliseconds


def main() -> None:
    """Serve, open the page, and take its picture."""
    (picture,) = sys.argv[1:]
    with listen_at("127.0.0.1", 0) as listening:
        server = make_server(AccessPolicy(), Limits(), 1)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            take(f"http://127.0.0.1:{listening.getsockname()[1]}", picture)
        finally:
            server.should_exit = True
            thread.join()


def take(address: str, picture: str) -> None:
    """Predict the song on the page, and save what it looks like as PNG."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        page.locator("body.ready").wait_for()
        page.set_input_files("#files", SONG)
        expect(page.locator("#downloads")).to_be_visible(timeout=PATIENCE)
        for _ in range(SECOND):
            page.locator("#seek").press("ArrowRight")
        page.locator("#song-name").focus()
        page.wait_for_timeout(500)  # until transitions have ended
        page.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    main()
