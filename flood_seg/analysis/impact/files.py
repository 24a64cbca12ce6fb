"""Writes an impact: impact.json, impact.csv, and impact.gpkg with what is affected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.analysis.assets import add_assets
from flood_seg.analysis.impact.assess import TOUCHED, place_records
from flood_seg.files import write_csv, write_json
from flood_seg.products.vectors.polygons import starts_of
from flood_seg.products.vectors.vector_file import Shapes, write_layers

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from flood_seg.analysis.impact.assess import BuildingImpact, Impact, PlaceImpact, RoadImpact
    from flood_seg.analysis.impact.districts import Pairs

JSON = "impact.json"
TITLES = {
    JSON: "Whom the flood affects",
    "impact.csv": "Whom the flood affects, by district",
    "impact.gpkg": "Roads, buildings and places that the flood affects",
}
ANSWERS = {None: "unknown", True: "yes", False: "no"}
ALL = "all"  # the name of the row of the whole scene
DEPTH = "depths are not known: a road or a building under water may still be of use, and one beside it may not"


def write_impact(folder: Path, impact: Impact) -> dict[str, Any]:
    """Writes the files; in the folder of the result they are added to its STAC item.

    Returns:
        what impact.json holds.

    Raises:
        OutputError: a file cannot be written.
    """
    districts = impact.districts
    named = list(zip(districts.names if districts else [], impact.by_district, strict=True))
    record: dict[str, Any] = {
        "scene": impact.result.name,
        "time": impact.result.properties["datetime"],
        "meaning": impact.result.flood.meaning,
        "pixel_m": round(impact.frame.pixel, 3),
        "total": impact.total.record(),
        "districts": [{"name": name, **figures.record()} for name, figures in named],
        "places": place_records(impact.places) if impact.places else [],
        "limits": [DEPTH],
        "warnings": impact.warnings,
    }
    if impact.roads:
        record["not_roads"] = impact.roads.roads.left_out
    rows = [{"name": ALL, **impact.total.row()}, *({"name": name, **figures.row()} for name, figures in named)]
    columns = list(rows[0])
    layers = dict(_layers(impact))
    for name in TITLES:
        (folder / name).unlink(missing_ok=True)
    if layers:
        write_layers(folder / "impact.gpkg", layers, impact.frame.ground.crs.to_wkt())
    write_csv(folder / "impact.csv", columns, [[row.get(column, 0) for column in columns] for row in rows])
    write_json(folder / JSON, record)
    if folder.resolve() == impact.result.folder.resolve():
        add_assets(folder, TITLES)
    return record


def _layers(impact: Impact) -> Iterable[tuple[str, Shapes]]:
    if impact.roads:
        yield "roads", _roads(impact, impact.roads)
    if impact.buildings:
        yield "buildings", _buildings(impact, impact.buildings)
    if impact.places:
        yield "places", _places(impact, impact.places)
    if impact.districts and impact.districts_layer:
        rows = [figures.row() for figures in impact.by_district]
        columns = list(dict.fromkeys(name for row in rows for name in row if ":" not in name))
        fields = {"name": np.array(impact.districts.names, object)}
        fields |= {name: np.array([row[name] for row in rows], float) for name in columns}
        yield "districts", Shapes("MultiPolygon", impact.districts_layer.geometries, fields)


def _roads(impact: Impact, found: RoadImpact) -> Shapes:
    """Returns the roads that water reaches, and bridges over it."""
    import shapely

    scene, roads, metres = found.scene, found.roads, found.metres
    index = np.searchsorted(scene.chosen, scene.road[:-1])
    sums = [np.bincount(index, one, len(scene.chosen))
            for one in map(metres.of_segments, ("inside", "flooded", "unobserved", "over_water"))]  # fmt: skip
    inside, flooded, unobserved, over_water = sums
    kept = np.flatnonzero((flooded > 0) | (over_water > 0))
    chosen = scene.chosen[kept]
    points = np.isin(scene.road, chosen) & np.isfinite(scene.points).all(1)
    counts = np.bincount(np.searchsorted(chosen, scene.road[points]), minlength=len(chosen))
    offsets = starts_of(counts)
    lines = shapely.from_ragged_array(
        shapely.GeometryType.LINESTRING, impact.frame.coordinates(scene.points[points]), (offsets,)
    )
    fields = {
        "name": roads.names[chosen],
        "class": np.array(roads.classes, object)[roads.kinds[chosen]],
        "bridge": roads.bridges[chosen],
        "cut": np.isin(chosen, found.impassable),
        "length_m": inside[kept],
        "flooded_m": flooded[kept],
        "not_observed_m": unobserved[kept],
        "over_water_m": over_water[kept],
    }
    return Shapes("LineString", lines, fields)


def _buildings(impact: Impact, found: BuildingImpact) -> Shapes:
    kept = np.flatnonzero(found.flooded > TOUCHED)
    fields = {
        "id": found.layer.ids[kept],
        "flooded_share": found.flooded[kept],
        "not_observed_share": found.unobserved[kept],
        **_district_field(impact, found.districts, len(found.layer), kept),
    }
    return Shapes("MultiPolygon", found.layer.geometries[kept], fields)


def _places(impact: Impact, found: PlaceImpact) -> Shapes:
    import shapely

    records = place_records(found)
    names = [name for name in records[0] if name not in ("longitude", "latitude")] if records else []
    fields = {"name": np.array(found.names, object)}
    for name in names[1:]:
        values = [record[name] for record in records]
        if name.endswith("_km"):
            fields[name] = np.array([np.nan if value is None else value for value in values], float)
        else:
            fields[name] = np.array([ANSWERS[value] for value in values], object)
    fields |= _district_field(impact, found.districts, len(found.names), np.arange(len(found.names)))
    points = impact.frame.coordinates(impact.frame.locate(found.points))
    return Shapes("Point", shapely.points(points), fields)


def _district_field(impact: Impact, pairs: Pairs | None, count: int, kept: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the name of the district of each thing, of several the first."""
    if not pairs or not impact.districts:
        return {}
    number = np.full(count, -1, np.int64)
    number[pairs.thing[::-1]] = pairs.district[::-1]
    names = np.array([*impact.districts.names, None], object)
    return {"district": names[number][kept]}
