"""Writes a report in its formats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flood_seg.analysis.report.content import make_content
from flood_seg.analysis.report.page import render_page
from flood_seg.analysis.report.pdf import import_weasyprint, write_pdf
from flood_seg.analysis.report.tables import write_geopackage, write_table
from flood_seg.console import warn
from flood_seg.errors import MissingExtraError
from flood_seg.files import write_text

if TYPE_CHECKING:
    from pathlib import Path

    from flood_seg.analysis.report.language import Language
    from flood_seg.analysis.report.sources import Sources
    from flood_seg.config.schema.report import ReportOptions

NAME = "sitrep"


def write_report(folder: Path, sources: Sources, options: ReportOptions, language: Language) -> list[Path]:
    """Writes a report; a PDF only where WeasyPrint works, if other formats are asked for too.

    Returns:
        the files.

    Raises:
        MissingExtraError: PDF alone is asked for and cannot be made.
        ImageError: a layer of a result cannot be read.
        OutputError: a file cannot be written.
    """
    formats = [name for name in ("html", "pdf", "csv", "gpkg") if name in options.formats]
    if "pdf" in formats:
        try:
            import_weasyprint()
        except MissingExtraError as error:
            if formats == ["pdf"]:
                raise
            warn(str(error))
            formats.remove("pdf")
    page = ""
    if {"html", "pdf"} & set(formats):
        page = render_page(sources, make_content(sources, options, language), language)
    files = [folder / f"{NAME}.{name}" for name in formats]
    for path in files:
        match path.suffix:
            case ".html":
                write_text(path, page)
            case ".pdf":
                write_pdf(path, page)
            case ".csv":
                write_table(path, sources)
            case ".gpkg":
                write_geopackage(path, sources)
    return files
