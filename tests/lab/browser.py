"""A person at Prefect's UI: Debian's Chromium, signed in to the lab's server."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, sync_playwright
from playwright.sync_api import TimeoutError as NotShown

from infra.lab.control import client_settings
from infra.lab.home import Home

BUILD = Path(__file__).parents[2] / "build"
# Chromium asks its maker's servers for much at every start.
_QUIET = [
    "--no-sandbox", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-default-apps",
]  # fmt: skip
# One look at a page; a busy machine draws it late.
_LOOK_MS = 8_000


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window."""
    with sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path="/usr/bin/chromium", args=_QUIET)
        yield browser
        browser.close()


@contextmanager
def signed_in(home: Home) -> Iterator[Page]:
    """The lab's UI after its password was given; paths are below its `/v2`."""
    settings = client_settings(home, home.plan())
    ui = settings["PREFECT_API_URL"].removesuffix("/api") + "/v2/"
    with chromium() as browser:
        page = browser.new_page(base_url=ui, viewport={"width": 1400, "height": 1100})
        page.set_default_timeout(40_000)
        page.goto("login")
        page.get_by_placeholder("admin:pass").fill(settings["PREFECT_API_AUTH_STRING"])
        page.get_by_role("button", name="Login").click()
        page.wait_for_url("**/dashboard**")
        yield page


def picture(url: str, path: Path) -> None:
    """What a reader of a public page sees; its certificate is the lab's own."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 900, "height": 900}, ignore_https_errors=True)
        answer = page.goto(url)
        assert answer
        assert answer.ok
        page.screenshot(path=path, full_page=True)


def reload_until(page: Page, wanted: Locator, seconds: float) -> None:
    """Load the page again and again, as a person does, until it shows something."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            wanted.first.wait_for(timeout=_LOOK_MS)
        except NotShown:
            assert time.monotonic() < deadline, f"{page.url} does not show {wanted} within {seconds:g} s"
            page.reload()
        else:
            return


def follow(page: Page, link: Locator, address: str, seconds: float = 60) -> None:
    """Click a link until the page is there; one that is drawn anew under the mouse loses the click."""
    deadline = time.monotonic() + seconds
    while True:
        link.first.click()
        try:
            page.wait_for_url(address, timeout=_LOOK_MS)
        except NotShown:
            assert time.monotonic() < deadline, f"{link} does not lead to {address}"
        else:
            return
