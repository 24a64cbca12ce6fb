"""The page of a service in Chromium: what it asks of others and what goes wrong in it is noted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

READY = "#map[data-ready]"  # a photo or a map is drawn
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
    visits = []

    def open_page(url: str, size: str = "desktop", locale: str = "en-US", scheme: str = "light") -> Visit:
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height}, locale=locale, color_scheme=scheme, has_touch=size == "phone"
        )
        visit = Visit(context.new_page())
        visits.append(visit)
        page = visit.page
        page.on("request", lambda request: None if request.url.startswith((url, "data:", "blob:")) else visit.outside.append(request.url))
        page.on("pageerror", lambda error: visit.faults.append(str(error)))
        page.on("console", lambda message: visit.faults.append(message.text)
                if message.type in ("error", "warning") and "Failed to load resource" not in message.text else None)  # fmt: skip
        page.goto(url)
        return visit

    yield open_page
    for visit in visits:
        visit.page.context.close()
    assert [(visit.outside, visit.faults) for visit in visits] == [([], [])] * len(visits)
