"""Pages in a real browser: the machine's own Chromium, without a network."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """A headless Chromium; CI installs one."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if not found:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=options)
        yield opened
        opened.close()


@pytest.fixture
def visit(browser):
    """Opens a file at a width; returns the page and what it asked of others."""
    pages = []

    def open_page(path: Path, width: int):
        page = browser.new_page(viewport={"width": width, "height": 800})
        pages.append(page)
        requests, errors = [], []
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto(path.as_uri())
        outside = [url for url in requests if not url.startswith(("data:", path.as_uri()))]
        return page, outside, errors

    yield open_page
    for page in pages:
        page.close()
