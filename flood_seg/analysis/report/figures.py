"""The figures of a report, of all scenes and of each district, from the JSON files of the analyses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flood_seg.analysis.result import FLOODED, PERMANENT, UNOBSERVED

if TYPE_CHECKING:
    from flood_seg.analysis.report.sources import Source, Sources


@dataclass(frozen=True)
class FloodedArea:
    """How much is flooded, in m².

    Attributes:
        value: the best estimate that there is: adjusted for the errors of the map, else as mapped.
        low: of the 95 % interval of the adjusted estimate; None: it is not known.
        high: of the same.
        land: what may be flooded or not; None: it is not known.
        method: how the interval was found, or why there is none; empty: nothing looked for one.
    """

    value: float
    low: float | None = None
    high: float | None = None
    land: float | None = None
    method: str = ""

    @property
    def share(self) -> float | None:
        """Of the land."""
        return self.value / self.land if self.land else None


@dataclass(frozen=True)
class Figures:
    """The figures of all scenes, or of a district; None: not known.

    Attributes:
        name: of the district; empty: of all.
        flooded: area.
        not_observed: area in m².
        permanent: area in m².
        people: who live where it is flooded.
        touched: buildings that water touches.
        half: buildings of which at least half is flooded.
        roads_km: flooded roads.
        roads_cut: parts of roads that are cut.
        cut_off: places that no road leads to any more.
    """

    name: str
    flooded: FloodedArea | None
    not_observed: float | None = None
    permanent: float | None = None
    people: float | None = None
    touched: int | None = None
    half: int | None = None
    roads_km: float | None = None
    roads_cut: int | None = None
    cut_off: int | None = None


@dataclass(frozen=True)
class PlaceFigures:
    """A place and how it can be reached; lengths in km, None where they are not known."""

    name: str
    longitude: float | None
    latitude: float | None
    under_water: bool
    cut_off: bool | None
    detour: float | None


def total_figures(sources: Sources) -> Figures | None:
    """Returns the figures of all scenes that count; None: nothing is known of them, since they lie nowhere."""
    impact = (sources.impact or {}).get("total", {})
    if sources.area:
        return _figures("", sources.area["total"], impact)
    mapped = [_mapped(scene) for scene in sources.counted]
    areas = [one for one in mapped if one is not None]
    if len(areas) < len(mapped):
        return _figures("", None, impact) if impact else None
    sums = {value: sum(one.get(value, 0.0) for one in areas) for value in (FLOODED, PERMANENT, UNOBSERVED)}
    land = sum(sum(one.values()) for one in areas) - sums[PERMANENT] - sums[UNOBSERVED]
    return _figures("", {"land_m2": land, "flooded": {"mapped_m2": sums[FLOODED]}, "permanent_m2": sums[PERMANENT],
                         "not_observed_m2": sums[UNOBSERVED]}, impact)  # fmt: skip


def district_figures(sources: Sources) -> list[Figures]:
    """Returns the figures of each district that any analysis has, the most flooded first."""
    areas = {str(one["name"]): one for one in (sources.area or {}).get("districts", [])}
    impacts = {str(one["name"]): one for one in (sources.impact or {}).get("districts", [])}
    found = [_figures(name, areas.get(name), impacts.get(name, {})) for name in dict.fromkeys([*areas, *impacts])]
    return sorted(found, key=lambda one: (-(one.flooded.value if one.flooded else 0), -(one.people or 0), one.name))


def worst_places(sources: Sources) -> list[PlaceFigures]:
    """Returns the places that are cut off, under water or reached by a detour, the worst first."""
    found = [
        PlaceFigures(
            str(one["name"]), one.get("longitude"), one.get("latitude"), bool(one.get("under_water")),
            one.get("cut_off"), one.get("detour_km"),
        )
        for one in (sources.impact or {}).get("places", [])
    ]  # fmt: skip
    hit = [one for one in found if one.cut_off or one.under_water or (one.detour or 0) >= SMALLEST_DETOUR]
    return sorted(hit, key=lambda one: (not one.cut_off, not one.under_water, -(one.detour or 0), one.name))


SMALLEST_DETOUR = 0.1  # km


def mapped_flood(scene: Source) -> float | None:
    """Returns the flooded area of a scene as mapped, in m²; None: it is not georeferenced."""
    areas = _mapped(scene)
    return None if areas is None else areas.get(FLOODED, 0.0)


def _mapped(scene: Source) -> dict[int, float] | None:
    """Returns the area of each value of `FloodLayer` in m², by the record of the layer that tells the flood."""
    layer = scene.result.flood.path.name
    if layer == "flood.tif" and scene.flood:
        return _of_classes(scene.flood, {"dry": 0, "flood": FLOODED, "permanent_water": PERMANENT})
    if layer == "change.tif" and scene.change:
        names = {"dry": 0, "receded": 0, "new_water": FLOODED, "still_water": PERMANENT}
        return _of_classes(scene.change, names)
    areas = scene.result.properties.get("flood_seg:area_m2")
    if not areas:
        return None
    water = scene.result.spec.class_names[scene.result.water]
    observed = sum(areas.values())
    unobserved = scene.result.properties.get("flood_seg:unobserved_share", 0.0)
    total = observed / (1 - unobserved) if unobserved < 1 else 0.0
    return {0: observed - areas[water], FLOODED: areas[water], UNOBSERVED: total - observed}


def _of_classes(record: dict[str, Any], names: dict[str, int]) -> dict[int, float] | None:
    found = dict[int, float]()
    for name, figures in record["classes"].items():
        if figures.get("area_m2") is None:
            return None
        value = names.get(name, UNOBSERVED)
        found[value] = found.get(value, 0.0) + float(figures["area_m2"])
    return found


def _figures(name: str, area: dict[str, Any] | None, impact: dict[str, Any]) -> Figures:
    roads = impact.get("roads_km")
    return Figures(
        name,
        _flooded(area) if area else None,
        (area or {}).get("not_observed_m2"),
        (area or {}).get("permanent_m2"),
        impact.get("people"),
        impact.get("buildings_touched"),
        impact.get("buildings_half"),
        None if roads is None else float(sum(roads.values())),
        impact.get("roads_cut"),
        impact.get("places_cut_off"),
    )


def _flooded(area: dict[str, Any]) -> FloodedArea:
    flooded = area["flooded"]
    adjusted, interval = flooded.get("adjusted_m2"), flooded.get("interval_95_m2")
    land, method = area.get("land_m2"), flooded.get("method") or ""
    if adjusted is None or not interval:
        return FloodedArea(float(flooded["mapped_m2"]), land=land, method=method)
    return FloodedArea(float(adjusted), float(interval[0]), float(interval[1]), land, method)
