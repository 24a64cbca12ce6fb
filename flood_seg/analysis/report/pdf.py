"""Turns the page of a report into a PDF."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from flood_seg.errors import MissingExtraError
from flood_seg.files import atomic_path

if TYPE_CHECKING:
    from pathlib import Path

ADVICE = "print sitrep.html from a browser, or install it: pip install 'flood-seg[geo,report]' and the library Pango"


def import_weasyprint() -> Any:
    """Returns the package that makes PDF of HTML.

    Raises:
        MissingExtraError: it is not installed, or the library that it sets text with is not.
    """
    try:
        import weasyprint
    except (ImportError, OSError) as error:  # OSError: Pango is missing
        reason = "is not installed" if isinstance(error, ImportError) else "does not find Pango"
        raise MissingExtraError(f"sitrep.pdf: WeasyPrint {reason}; {ADVICE}") from error
    logging.getLogger("weasyprint").setLevel(logging.ERROR)  # it names each property that is of screens alone
    return weasyprint


def write_pdf(path: Path, page: str) -> None:
    """Writes a page as tagged PDF; nothing beyond the page is read.

    Raises:
        MissingExtraError: WeasyPrint cannot be used.
        OutputError: the file cannot be written.
    """
    weasyprint = import_weasyprint()
    from weasyprint.urls import URLFetcher

    with atomic_path(path) as temporary:
        embedded = URLFetcher(allowed_protocols=["data"])
        weasyprint.HTML(string=page, url_fetcher=embedded).write_pdf(temporary, pdf_tags=True)
