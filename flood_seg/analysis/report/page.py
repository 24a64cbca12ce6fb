"""Lays a report out as a page that works without a network and prints to two pages."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from flood_seg.analysis.report.picture import draw_map
from flood_seg.analysis.report.tables import layer_names
from flood_seg.analysis.result import PERMANENT, UNOBSERVED
from flood_seg.plots.page import data_uri

if TYPE_CHECKING:
    from flood_seg.analysis.report.content import Content
    from flood_seg.analysis.report.language import Language
    from flood_seg.analysis.report.picture import ReportMap
    from flood_seg.analysis.report.sources import Sources

PAPER_WIDTH, MAP_HEIGHT = 184.0, 172.0  # millimetres of an A4 page within its margins, and what is left to the map


def render_page(sources: Sources, content: Content, language: Language) -> str:
    """Returns the page.

    Raises:
        ImageError: a layer of a result cannot be read.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    drawn = draw_map(sources)
    _add_layers(drawn, sources)
    marks = [(row.number, found) for row in content.places if (found := drawn.shares(row.place))]
    environment = Environment(
        loader=PackageLoader("flood_seg.analysis.report"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, extensions=["jinja2.ext.i18n"],
    )  # fmt: skip
    translations = language.translations
    environment.install_gettext_callables(  # type: ignore[attr-defined] # of the extension
        translations.gettext, translations.ngettext, newstyle=True
    )
    scale = drawn.scale_bar
    return environment.get_template("sitrep.html").render(
        language=language.code, zone=language.zone, content=content, map=drawn, places_on_map=marks,
        picture=data_uri(drawn.jpeg), percent=lambda share: f"{100 * share:.2f}%",
        alternative=" ".join([language.text("Map of the flood."), *content.summary]),
        scale=(language.metres(scale[0]), scale[1]) if scale else None,
        style=files("flood_seg.analysis.report").joinpath("templates", "sitrep.css").read_text("utf-8"),
        map_width=f"{min(PAPER_WIDTH, MAP_HEIGHT * drawn.width / drawn.height):.1f}",
        legend={"permanent": bool((drawn.values == PERMANENT).any()),
                "unobserved": bool(((drawn.values == UNOBSERVED) & ~drawn.outside).any())},
    )  # fmt: skip


def _add_layers(drawn: ReportMap, sources: Sources) -> None:
    if drawn.metres is None:
        return
    impact = sources.impact_folder / "impact.gpkg" if sources.impact_folder else None
    known = layer_names(impact) if impact and impact.is_file() else set()
    if (districts := sources.area_folder / "districts.gpkg").is_file() and sources.area:
        drawn.add_districts(districts, None)
    elif impact and "districts" in known:
        drawn.add_districts(impact, "districts")
    if impact and "roads" in known:
        drawn.add_roads(impact, "roads")
