"""A scene of 60×80 pixels of 10 m in UTM, and vector layers on it, given in metres from its upper left corner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from pyproj import Geod, Transformer
from shapely.geometry.base import BaseGeometry

from flood_seg.analysis.impact.strips import Tiles
from flood_seg.scenes.grid import Box
from flood_seg.verbs.impact import impact
from tests.analysis.conftest import UTM, write_result

CRS = UTM["crs"]
WEST, NORTH, PIXEL = 500_000.0, 5_000_000.0, 10.0
TO_DEGREES = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)


def at(shape: Any) -> Any:
    """Moves shapes, given in metres to the right and down from the scene's corner, to its reference system."""
    return shapely.transform(shape, lambda xy: np.column_stack([WEST + xy[:, 0], NORTH - xy[:, 1]]))


def line(*points: tuple[float, float]) -> Any:
    return at(shapely.LineString(points))


def degrees(shape: Any) -> Any:
    return shapely.transform(shape, lambda xy: np.column_stack(TO_DEGREES.transform(*xy.T)))


def kilometres(shape: BaseGeometry) -> float:
    """Geodesic, of a shape in the scene's reference system."""
    return float(Geod(ellps="WGS84").geometry_length(degrees(shape))) / 1000


def pixels(mask: np.ndarray, value: int) -> BaseGeometry:
    """The union of the pixels of a value, in the scene's reference system."""
    row, col = np.nonzero(mask == value)
    return at(shapely.union_all(shapely.box(*(PIXEL * one for one in (col, row, col + 1, row + 1)))))


def write(path: Path, shapes: Any, crs: str | None = CRS, kind: str = "Unknown", **fields: Any) -> Path:
    values = [np.array(one, object if any(isinstance(x, str) for x in one) else None) for one in fields.values()]
    pyogrio.raw.write(
        path, shapely.to_wkb(np.array(shapes, object)), values, list(fields), geometry_type=kind, crs=crs
    )  # fmt: skip
    return path


def tiles(values: np.ndarray, rows: int) -> list[Tiles]:
    """The strips of a raster."""
    height, width = values.shape
    boxes = [Box(row, 0, min(rows, height - row), width) for row in range(0, height, rows)]
    return [Tiles(box, values[box.row : box.row + box.height]) for box in boxes]


def run(folder: Path, mask: np.ndarray, *overrides: str, **inputs: Any) -> dict[str, Any]:
    """What `flood-seg impact` finds on a mask; writes to folder/out."""
    if not (folder / "map").exists():
        write_result(folder / "map", mask)
    return impact(overrides, flood=folder / "map", out=folder / "out", **inputs)
