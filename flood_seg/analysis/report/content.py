"""What a report says, as texts in its language that its template lays out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flood_seg.analysis.report.evidence import (
    limits,
    missing,
    model_sentences,
    observation,
    references,
    time_text,
    warnings,
)
from flood_seg.analysis.report.figures import district_figures, total_figures, worst_places
from flood_seg.analysis.report.language import UNKNOWN
from flood_seg.version import __version__

if TYPE_CHECKING:
    from flood_seg.analysis.report.evidence import Observation
    from flood_seg.analysis.report.figures import Figures, FloodedArea, PlaceFigures
    from flood_seg.analysis.report.language import Language
    from flood_seg.analysis.report.sources import Sources
    from flood_seg.config.schema.report import ReportOptions

LISTED = 4  # names in a sentence
SMALL_SHARE = 0.02  # of the new water, below which receded water is not worth a word


@dataclass(frozen=True)
class KeyFigure:
    """A figure that is read at a glance: what, how much, and a note below."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class PlaceRow:
    """A place of the table; its number is on the map too."""

    number: int
    name: str
    state: str
    position: str
    place: PlaceFigures


@dataclass
class Content:
    """All texts of a report but those of its template; see `make_content`."""

    title: str
    observed: str
    produced: str
    summary: list[str]
    meaning: str
    figures: list[KeyFigure]
    columns: list[str]
    districts: list[list[str]]
    total: list[str]
    more_districts: int
    places: list[PlaceRow]
    more_places: int
    observations: list[Observation]
    references: list[str]
    model: list[str]
    limits: list[str]
    warnings: list[str]
    missing: list[tuple[str, str]]
    version: str = __version__


def make_content(sources: Sources, options: ReportOptions, language: Language) -> Content:
    """Writes the texts of a report from the figures of the analyses."""
    total, districts, places = total_figures(sources), district_figures(sources), worst_places(sources)
    newest = sources.scenes[0].result
    columns, rows = _district_table(districts[: options.districts], total, language)
    return Content(
        title=options.title or language.text("Flood: %(name)s", name=newest.name),
        observed=language.time(newest.time),
        produced=language.time(datetime.now(UTC)),
        summary=_summary(total, places, sources, language),
        meaning=language.foreign(newest.flood.meaning),
        figures=_key_figures(total, sources, language),
        columns=columns,
        districts=rows[:-1],
        total=rows[-1],
        more_districts=max(0, len(districts) - options.districts),
        places=[_place(number, place, language) for number, place in enumerate(places[: options.places], 1)],
        more_places=max(0, len(places) - options.places),
        observations=[observation(scene, language) for scene in sources.scenes],
        references=references(sources, language),
        model=model_sentences(sources, total, language),
        limits=limits(sources, language),
        warnings=warnings(sources),
        missing=missing(sources, language),
    )


def _summary(
    total: Figures | None, places: list[PlaceFigures], sources: Sources, language: Language
) -> list[str]:  # fmt: skip
    text, found = language.text, list[str]()
    if total and total.flooded:
        found.append(_flooded_sentence(total.flooded, language))
    if total and total.people is not None:
        number = total.people
        found.append(
            language.plural("About %(n)s person lives where it is flooded.",
                            "About %(n)s people live where it is flooded.", number, n=language.people(number))
        )  # fmt: skip
    cut = [place.name for place in places if place.cut_off]
    if cut:
        names = ", ".join(cut[:LISTED]) + (" …" if len(cut) > LISTED else "")
        found.append(
            language.plural("%(n)s place is cut off: %(names)s.", "%(n)s places are cut off: %(names)s.", len(cut),
                            names=names)
        )  # fmt: skip
    for scene in sources.counted if len(sources.counted) == 1 else ():
        if scene.change and (new := scene.change["classes"].get("new_water", {}).get("area_m2")) is not None:
            receded = scene.change["classes"].get("receded", {}).get("area_m2") or 0.0
            before = scene.change.get("before", {})
            time = time_text(before.get("time"), language)
            if receded > SMALL_SHARE * new:
                found.append(
                    text("Since %(time)s, water has come to %(new)s and has left %(receded)s.", time=time,
                         new=language.area(new), receded=language.area(receded))
                )  # fmt: skip
            else:
                found.append(text("Since %(time)s, water has come to %(new)s.", time=time, new=language.area(new)))
    return found


def _flooded_sentence(flooded: FloodedArea, language: Language) -> str:
    area = language.area(flooded.value, flooded.low, flooded.high)
    share = UNKNOWN if flooded.share is None else language.percent(flooded.share)
    if flooded.low is None or flooded.high is None:
        return language.text("%(area)s are flooded, %(share)s of the land that was observed.", area=area, share=share)
    interval = language.interval(flooded.value, flooded.low, flooded.high)
    return language.text("%(area)s are flooded (95 %% interval %(interval)s), %(share)s of the land that was observed.",
                         area=area, interval=interval, share=share)  # fmt: skip


def _key_figures(total: Figures | None, sources: Sources, language: Language) -> list[KeyFigure]:
    text = language.text
    found = list[KeyFigure]()
    flooded = total.flooded if total else None
    if flooded:
        note = text("no interval is known")
        if flooded.low is not None and flooded.high is not None:
            interval = language.interval(flooded.value, flooded.low, flooded.high)
            note = text("95 %% interval: %(interval)s", interval=interval)
        found.append(KeyFigure(text("Flooded area"), language.area(flooded.value, flooded.low, flooded.high), note))
        if flooded.share is not None and flooded.land:
            note = text("of %(area)s observed", area=language.area(flooded.land))
            found.append(KeyFigure(text("Share of the land"), language.percent(flooded.share), note))
    if sources.impact and total:
        found += _impact_figures(total, language)
    if total and total.not_observed is not None:
        whole = total.not_observed + (flooded.land or 0 if flooded else 0) + (total.permanent or 0)
        share = language.percent(total.not_observed / whole if whole else 0)
        value = language.area(total.not_observed)
        found.append(KeyFigure(text("Not observed"), value, text("%(share)s of the scene", share=share)))
    return found


def _impact_figures(total: Figures, language: Language) -> list[KeyFigure]:
    text, found = language.text, list[KeyFigure]()
    if total.people is not None:
        found.append(KeyFigure(text("People"), language.people(total.people), text("live where it is flooded")))
    if total.touched is not None:
        half = language.plural(
            "%(n)s of them at least half flooded", "%(n)s of them at least half flooded", total.half or 0
        )
        found.append(KeyFigure(text("Buildings in the water"), language.number(total.touched), half))
    if total.roads_km is not None:
        note = ""
        if total.roads_cut is not None:
            note = language.plural("%(n)s section is cut", "%(n)s sections are cut", total.roads_cut)
        found.append(KeyFigure(text("Flooded roads"), language.kilometres(total.roads_km), note))
    if total.cut_off is not None:
        found.append(KeyFigure(text("Places cut off"), language.number(total.cut_off), text("no road leads there")))
    return found


def _district_table(
    districts: list[Figures], total: Figures | None, language: Language
) -> tuple[list[str], list[list[str]]]:
    """Returns the heads of the columns that anything is known in, and rows of texts, the last one of all."""
    text = language.text

    def interval(one: Figures) -> str:
        area = one.flooded
        known = area is not None and area.low is not None and area.high is not None
        return language.interval(area.value, area.low, area.high) if known else UNKNOWN  # type: ignore[union-attr, arg-type]

    def flooded(one: Figures) -> str:
        return language.area(one.flooded.value, one.flooded.low, one.flooded.high) if one.flooded else UNKNOWN

    def share(one: Figures) -> str:
        found = one.flooded.share if one.flooded else None
        return UNKNOWN if found is None else language.percent(found)

    def people(one: Figures) -> str:
        return UNKNOWN if one.people is None else language.people(one.people)

    def roads(one: Figures) -> str:
        return UNKNOWN if one.roads_km is None else language.kilometres(one.roads_km)

    def buildings(one: Figures) -> str:
        return UNKNOWN if one.touched is None else language.number(one.touched)

    def cut_off(one: Figures) -> str:
        return UNKNOWN if one.cut_off is None else language.number(one.cut_off)

    writers = {
        text("Flooded"): flooded, text("95 %% interval"): interval, text("Share of the land"): share,
        text("People"): people, text("Buildings"): buildings, text("Roads"): roads, text("Places cut off"): cut_off,
    }  # fmt: skip
    known = {head: write for head, write in writers.items() if any(write(one) != UNKNOWN for one in districts)}
    rows = [[one.name, *(write(one) for write in known.values())] for one in districts]
    everything = [text("All"), *(write(total) if total else UNKNOWN for write in known.values())]
    return [text("District"), *known], [*rows, everything]


def _place(number: int, place: PlaceFigures, language: Language) -> PlaceRow:
    states = []
    if place.cut_off:
        states.append(language.text("cut off"))
    if place.under_water:
        states.append(language.text("under water"))
    if not place.cut_off and place.detour:
        states.append(language.text("detour of %(length)s", length=language.kilometres(place.detour)))
    known = place.latitude is not None and place.longitude is not None
    position = f"{place.latitude:.5f}, {place.longitude:.5f}" if known else UNKNOWN
    return PlaceRow(number, place.name, ", ".join(states), position, place)
