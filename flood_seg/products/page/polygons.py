"""The polygons of a web map: those of the vector layer, largest first, as simple as a picture's pixels allow."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.products.page.pictures import SIZES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from flood_seg.products.page.frame import Frame

MAX_COUNT = 5000
MAX_BYTES = 1_500_000
TOLERANCES = (0.5, 1, 2, 4, 8)  # of the outlines, in pixels of a picture; the first by which all polygons fit
MAX_CHANGE = 0.05  # share of a polygon's area


@dataclass(frozen=True)
class DrawnPolygons:
    """Polygons of a page.

    Attributes:
        total: how many there are.
        features: GeoJSON of the largest ones. Properties: `class` (index), `area` and `perimeter` (m² and m, or pixels
            where the scene is not georeferenced), `probability` (mean, may be null).
    """

    total: int
    features: list[dict[str, Any]]


def read_polygons(path: Path, class_names: Sequence[str], frame: Frame) -> DrawnPolygons:
    """Reads a vector layer as `write_areas` writes it."""
    import shapely
    from pyogrio import read_info
    from pyogrio.raw import read

    unit = "area_m2" if frame.ground else "area_px"
    order = f"SELECT * FROM {path.stem} ORDER BY {unit} DESC LIMIT {MAX_COUNT}"
    layer, _, geometries, fields = read(path, sql=order)
    polygons = shapely.from_wkb(geometries)
    columns = dict(zip(layer["fields"], fields, strict=True))
    perimeters = columns["perimeter_m"] if frame.ground else shapely.length(polygons)
    properties = [
        {"class": class_names.index(name), "area": _short(area), "perimeter": _short(perimeter),
         "probability": _short(probability)}
        for name, area, perimeter, probability in zip(
            columns["class"], columns[unit], perimeters, columns["mean_probability"], strict=True)
    ]  # fmt: skip
    located = shapely.transform(polygons, lambda points: frame.positions(points, layer["crs"]))
    features = _features(located, properties, frame.pixel(SIZES[0]))
    return DrawnPolygons(read_info(path)["features"], features)


def _features(polygons: np.ndarray, properties: list[dict[str, Any]], pixel: float) -> list[dict[str, Any]]:
    import shapely

    digits = max(1, math.ceil(-math.log10(pixel)) + 1)
    texts: list[str] = []
    for tolerance in TOLERANCES:
        polygons = _simplify(polygons, tolerance * pixel)  # of what is simpler already, which takes less time
        texts = list(shapely.to_geojson(shapely.transform(polygons, lambda points: points.round(digits))))
        if sum(map(len, texts)) <= MAX_BYTES:
            break
    fitting = np.cumsum([len(text) for text in texts]) <= MAX_BYTES
    return [
        {"type": "Feature", "properties": about, "geometry": json.loads(text)}
        for text, about, fits in zip(texts, properties, fitting, strict=True)
        if fits
    ]


def _simplify(polygons: np.ndarray, tolerance: float) -> np.ndarray:
    """Returns simpler polygons.

    Without a look at what crosses, which takes a tenth of the time; once more with it where that takes away or adds
    more than `MAX_CHANGE` of the area.
    """
    import shapely

    simple = shapely.simplify(polygons, tolerance, preserve_topology=False)
    areas = shapely.area(polygons)
    changed = np.abs(shapely.area(simple) - areas) > MAX_CHANGE * areas
    simple[changed] = shapely.simplify(polygons[changed], tolerance)
    return np.asarray(simple)


def _short(value: float) -> float | None:
    return None if math.isnan(value) else float(f"{value:.5g}")
