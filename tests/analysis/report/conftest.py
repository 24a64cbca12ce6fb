"""A mapped scene with the files of all analyses, written by hand: their numbers are known."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from pyproj import Transformer

from flood_seg.files import write_json
from flood_seg.products.vectors.vector_file import Shapes, write_layers, write_vectors
from tests.analysis.conftest import UTM, write_result

HEIGHT, WIDTH = 60, 80  # pixels of 10 m
LEFT, TOP = 500_000, 5_000_000
CRS = UTM["crs"]


def flood_values() -> np.ndarray:
    """A flood in the west, permanent water beside it, and a strip without data in the east."""
    values = np.zeros((HEIGHT, WIDTH), np.uint8)
    values[:, :20], values[:, 20:30], values[:, 70:] = 1, 2, 255
    return values


def area_record(mapped: float, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    known = low is not None
    return {
        "land_m2": 2_400_000.0,
        "flooded": {
            "mapped_m2": mapped, "expected_m2": mapped, "adjusted_m2": mapped * 1.1 if known else None,
            "interval_95_m2": [low, high] if known else None,
            "method": "stratified estimation" if known else "none: no points",
        },
        "permanent_m2": 600_000.0,
        "not_observed_m2": 600_000.0,
    }  # fmt: skip


def lonlat(x: float, y: float) -> tuple[float, float]:
    return Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform(x, y)


def write_map(folder: Path, values: np.ndarray | None = None, **properties: Any) -> Path:
    """A result with flood.tif, flood.json, flood.gpkg and change.json."""
    values = flood_values() if values is None else values
    write_result(folder, np.where(values == 2, 1, values), **{"flood_seg:unobserved_share": 0.125} | properties)
    profile = {"driver": "GTiff", "height": values.shape[0], "width": values.shape[1], "count": 1, "dtype": "uint8",
               "nodata": 255}  # fmt: skip
    with rasterio.open(folder / "flood.tif", "w", **profile, **UTM) as out:
        out.write(values, 1)
    counts = {name: int((values == value).sum()) for name, value in
              (("dry", 0), ("flood", 1), ("permanent_water", 2), ("not_observed", 255))}  # fmt: skip
    classes = {name: {"pixels": count, "area_m2": count * 100.0} for name, count in counts.items()}
    write_json(folder / "flood.json", {"permanent": "/data/rivers.gpkg", "classes": classes, "warnings": ["a warning"]})
    shape = shapely.box(LEFT, TOP - 600, LEFT + 200, TOP)
    fields = {"class": np.array(["flood"], object), "area_m2": np.array([120_000.0])}
    write_vectors(folder / "flood.gpkg", np.array([shape]), fields, CRS)
    return folder


def write_area(folder: Path, districts: int) -> None:
    """flood_area.json and districts.gpkg: strips from west to east."""
    names = [f"District {number}" for number in range(1, districts + 1)]
    edges = np.linspace(LEFT, LEFT + 800, districts + 1)
    shapes = [shapely.box(west, TOP - 600, east, TOP) for west, east in pairwise(edges)]
    rows = [{"name": name, **area_record(10_000.0 * number, 9000.0 * number, 13_000.0 * number)}
            for number, name in enumerate(names, 1)]  # fmt: skip
    limits = ["An interval holds if the points were chosen at random, and says nothing of other scenes. " * 3] * 3
    record = {"meaning": "water without permanent water", "total": area_record(1_200_000.0, 1_100_000.0, 1_540_000.0),
              "districts": rows, "limits": limits, "warnings": ["few points"]}  # fmt: skip
    write_json(folder / "flood_area.json", record)
    write_vectors(folder / "districts.gpkg", np.array(shapes), {"name": np.array(names, object)}, CRS)


def write_impact(folder: Path, districts: int, places: int) -> Path:
    """impact.json and impact.gpkg: places along the middle, the first one cut off, the others on detours."""
    folder.mkdir(exist_ok=True)
    figures = {"roads_km": {"primary": 1.25, "track": 0.5}, "roads_cut": 2, "buildings_touched": 12,
               "buildings_half": 1, "people": 1234.0, "places_cut_off": 1}  # fmt: skip
    found = []
    for number in range(places):
        x, y = lonlat(LEFT + 40 + 60 * number, TOP - 300)
        found.append({"name": f"Place {number + 1}", "longitude": x, "latitude": y, "under_water": number == 0,
                      "cut_off": number == 0, "detour_km": None if number == 0 else 10.0 - number})  # fmt: skip
    rows = [{"name": f"District {number}", **figures} for number in range(1, districts + 1)]
    record = {"meaning": "water without permanent water", "total": figures, "districts": rows, "places": found,
              "limits": ["depths are not known"], "warnings": []}  # fmt: skip
    write_json(folder / "impact.json", record)
    road = shapely.LineString([(LEFT + 50, TOP - 100), (LEFT + 600, TOP - 100)])
    fields = {"name": np.array(["A"], object), "class": np.array(["primary"], object), "bridge": np.array([False])}
    write_layers(folder / "impact.gpkg", {"roads": Shapes("LineString", np.array([road]), fields)}, CRS)
    return folder


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `flood`, a map with all of its analyses, and `impact`."""
    folder = tmp_path_factory.mktemp("report")
    write_map(folder / "flood")
    write_area(folder / "flood", 12)
    write_impact(folder / "impact", 12, 8)
    return folder
