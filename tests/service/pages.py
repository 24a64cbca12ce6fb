"""The page of a service in Chromium: what it asks of others and what goes wrong in it is noted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

READY = "#map[data-ready]"  # a photo or a map is drawn
WAIT = 30_000  # milliseconds, on a busy machine
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}


@dataclass
class Visit:
    """A page that is open.

    Attributes:
        page: of Playwright.
        outside: addresses of other hosts that were asked.
        faults: messages of the console, and errors that no code caught; refused requests are no faults of the page.
    """

    page: Any
    outside: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def watch(self, own: tuple[str, ...]) -> None:
        """Notes what is asked and what goes wrong; `own`: how addresses begin that are not those of others."""

        def ask(request: Any) -> None:
            if not request.url.startswith(own):
                self.outside.append(request.url)

        def tell(message: Any) -> None:
            if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
                self.faults.append(message.text)

        self.page.on("request", ask)
        self.page.on("console", tell)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))

    def choose(self, button: str, *files: Path) -> None:
        """Chooses files by a button of this text."""
        with self.page.expect_file_chooser() as chooser:
            self.page.get_by_role("button", name=button, exact=True).click()
        chooser.value.set_files([str(file) for file in files])

    def save(self, name: str, target: Path) -> str:
        """Downloads what a button or a link of this text gives; returns the name that it has for the browser."""
        with self.page.expect_download() as download:
            self.page.get_by_text(name, exact=True).click()
        download.value.save_as(target)
        return download.value.suggested_filename


@pytest.fixture
def visit_service(browser) -> Iterator[Any]:
    """Opens the page of a service in a browser without a past; afterwards it must have had no fault."""
    from playwright.sync_api import expect

    expect.set_options(timeout=WAIT)
    visits = []

    def open_page(url: str, size: str = "desktop", locale: str = "en-US", scheme: str = "light") -> Visit:
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height},
            locale=locale,
            color_scheme=scheme,
            has_touch=size == "phone",
            reduced_motion="reduce",
        )
        context.set_default_timeout(WAIT)
        visit = Visit(context.new_page())
        visits.append(visit)
        visit.watch((url.partition("#")[0], "data:", "blob:"))
        visit.page.goto(url)
        return visit

    yield open_page
    for visit in visits:
        visit.page.context.close()
    assert [(visit.outside, visit.faults) for visit in visits] == [([], [])] * len(visits)
