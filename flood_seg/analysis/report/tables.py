"""The figures of a report as a table, and its shapes as layers, for a GIS; names are the same in each language."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.analysis.report.figures import district_figures, total_figures
from flood_seg.errors import DataError
from flood_seg.files import write_csv
from flood_seg.products.vectors.vector_file import Shapes, write_layers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flood_seg.analysis.report.figures import Figures
    from flood_seg.analysis.report.sources import Source, Sources

ALL = "all"  # the name of the row of all scenes
COLUMNS = ("name", "flooded_m2", "flooded_low_95_m2", "flooded_high_95_m2", "land_m2", "permanent_m2",
           "not_observed_m2", "people", "buildings_touched", "buildings_half", "roads_km", "roads_cut",
           "places_cut_off")  # fmt: skip
AFFECTED = ("roads", "buildings", "places")  # layers of impact.gpkg that a report takes over as they are


def write_table(path: Path, sources: Sources) -> None:
    """Writes a row of all scenes, and one of each district; what is not known is empty.

    Raises:
        OutputError: the file cannot be written.
    """
    total = total_figures(sources)
    rows = [_row(total, ALL)] if total else []
    write_csv(path, COLUMNS, [*rows, *(_row(one, one.name) for one in district_figures(sources))])


def write_geopackage(path: Path, sources: Sources) -> None:
    """Writes the polygons of the flood, the districts with their figures, and what the flood affects, as layers.

    All are in the reference system of the newest scene.

    Raises:
        DataError: a vector layer cannot be read, or there is none.
        OutputError: the file cannot be written.
    """
    crs = sources.scenes[0].result.georeference.get("crs")
    goal = crs.to_wkt() if crs else None
    layers = dict(_layers(sources, goal))
    if not layers:
        raise DataError(f"{path}: the results have no polygons; map them with map.vectors=[gpkg], or leave gpkg out")
    write_layers(path, layers, goal)


def _row(one: Figures, name: str) -> list[Any]:
    area = one.flooded
    flooded = [area.value, area.low, area.high, area.land] if area else [None] * 4
    values = [*flooded, one.permanent, one.not_observed, one.people, one.touched, one.half, one.roads_km, one.roads_cut,
              one.cut_off]  # fmt: skip
    return [name, *(round(value, 3) if isinstance(value, float) else value for value in values)]


def _layers(sources: Sources, goal: str | None) -> Iterator[tuple[str, Shapes]]:
    flood = [found for scene in sources.counted if (found := _flood(scene, goal)) is not None]
    if flood:
        names = list(dict.fromkeys(name for _, fields in flood for name in fields))
        fields = {
            name: np.concatenate([one[name] for _, one in flood]) for name in names if all(name in o for _, o in flood)
        }
        yield "flood", Shapes("MultiPolygon", np.concatenate([shapes for shapes, _ in flood]), fields)
    if goal is None:
        return
    impact = sources.impact_folder / "impact.gpkg" if sources.impact and sources.impact_folder else None
    impact = impact if impact and impact.is_file() else None
    districts = sources.area_folder / "districts.gpkg" if sources.area else None
    if districts and districts.is_file():
        yield "districts", _districts(districts, None, sources, goal)
    elif impact and "districts" in layer_names(impact):
        yield "districts", _districts(impact, "districts", sources, goal)
    for name in AFFECTED if impact else ():
        if impact and name in layer_names(impact):
            kind, shapes, fields = read_shapes(impact, name, goal)
            yield name, Shapes(kind, shapes, fields)


def _flood(scene: Source, goal: str | None) -> tuple[np.ndarray, dict[str, np.ndarray]] | None:
    """Returns the polygons of the flood of a scene, and their fields with the name of the scene; None: no polygons."""
    result = scene.result
    stem, classes = {"flood.tif": ("flood", ["flood"]), "change.tif": ("change", ["new_water"])}.get(
        result.flood.path.name, ("areas", [result.spec.class_names[result.water]])
    )
    path = result.folder / f"{stem}.gpkg"
    if not path.is_file():
        return None
    _, shapes, fields = read_shapes(path, None, goal)
    chosen = np.isin(fields["class"], classes)
    kept = {name: values[chosen] for name, values in fields.items()}
    return shapes[chosen], {"scene": np.full(int(chosen.sum()), result.name, object), **kept}


def _districts(path: Path, layer: str | None, sources: Sources, goal: str) -> Shapes:
    """Returns the districts with the figures of the report."""
    _, shapes, fields = read_shapes(path, layer, goal)
    figures = {one.name: one for one in district_figures(sources)}
    rows = [_row(figures[str(name)], str(name)) if str(name) in figures else [str(name)] + [None] * (len(COLUMNS) - 1)
            for name in fields["name"]]  # fmt: skip
    columns: dict[str, np.ndarray] = {"name": np.array([row[0] for row in rows], object)}
    for number, column in enumerate(COLUMNS[1:], 1):
        values = [np.nan if (value := row[number]) is None else float(value) for row in rows]
        if not np.isnan(values).all():
            columns[column] = np.array(values)
    return Shapes("MultiPolygon", shapes, columns)


def layer_names(path: Path) -> set[str]:
    """Returns the names of the layers of a vector file."""
    from pyogrio import list_layers

    return {str(name) for name, _ in list_layers(path)}


def read_shapes(path: Path, layer: str | None, goal: str | None) -> tuple[str, np.ndarray, dict[str, np.ndarray]]:
    """Returns the kind of geometry of a layer that an analysis has written, its shapes in another CRS, and its fields.

    Args:
        path: of the file.
        layer: of the file; None: its only one.
        goal: the CRS; None: as they are.

    Raises:
        DataError: the file cannot be read.
    """
    import shapely
    from pyogrio.errors import DataLayerError, DataSourceError
    from pyogrio.raw import read
    from pyproj import CRS, Transformer

    try:
        about, _, found, columns = read(path, layer=layer)
    except (DataLayerError, DataSourceError) as error:
        raise DataError(f"{path}: cannot be read ({' '.join(str(error).split())}); make it anew") from error
    shapes = shapely.from_wkb(found)
    if goal and about["crs"] and not CRS.from_user_input(about["crs"]).equals(CRS.from_user_input(goal)):
        change = Transformer.from_crs(about["crs"], goal, always_xy=True)
        shapes = shapely.transform(shapes, lambda points: np.column_stack(change.transform(*points.T)))
    return str(about["geometry_type"]), shapes, dict(zip(about["fields"], columns, strict=True))
