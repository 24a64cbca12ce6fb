"""Shapes in another reference system: near a scene, where projections are defined, and across the antimeridian."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pyproj import CRS

Bounds = tuple[float, float, float, float]  # of x and y: the smallest ones, the largest ones
SEGMENTS = 64  # per side of a scene: longer edges are divided before they are projected, since they become curves


def boxes_around(bbox: Bounds, crs: CRS, goal: CRS) -> list[Bounds] | None:
    """Returns what surrounds a rectangle by its own size, in another system: two at the antimeridian; None: unknown."""
    from pyproj import Transformer
    from pyproj.exceptions import ProjError

    west, south, east, north = bbox
    wide, high = east - west, north - south
    west, south, east, north = west - wide, south - high, east + wide, north + high
    if crs.is_geographic:
        south, north = max(south, -90), min(north, 90)
        if east - west >= 360:
            west, east = -180, 180
    if crs.equals(goal, ignore_axis_order=True):
        box = west, south, east, north
    else:
        try:
            transformer = Transformer.from_crs(crs, goal, always_xy=True)
            box = transformer.transform_bounds(west, south, east, north, densify_pts=21)
        except ProjError:
            return None
    if not np.isfinite(box).all():
        return None
    if not goal.is_geographic:
        return [box]
    return _within_180(box)


def _within_180(box: Bounds) -> list[Bounds]:
    """Returns a rectangle of longitudes and latitudes as those within ±180 degrees."""
    west, south, east, north = box
    if west > east:
        east += 360
    if east - west >= 360:
        return [(-180, south, 180, north)]
    shift = 360 * np.floor((west + 180) / 360)
    west, east = float(west - shift), float(east - shift)
    if east <= 180:
        return [(west, south, east, north)]
    return [(west, south, 180, north), (-180, south, east - 360, north)]


def touching(shapes: np.ndarray, boxes: list[Bounds]) -> np.ndarray:
    """Returns whether the bounding box of each shape touches one of some rectangles, bool [shapes]."""
    import shapely

    bounds = shapely.bounds(shapes)
    found = np.zeros(len(shapes), bool)
    for west, south, east, north in boxes:
        across = (bounds[:, 0] <= east) & (bounds[:, 2] >= west)
        found |= across & (bounds[:, 1] <= north) & (bounds[:, 3] >= south)
    return found


def cut(shapes: np.ndarray, boxes: list[Bounds]) -> np.ndarray:
    """Returns shapes with what lies outside of some rectangles cut off, and their long edges divided."""
    import shapely

    area = shapely.union_all([shapely.box(*box) for box in boxes])
    reaching = ~shapely.covers(area, shapely.box(*shapely.bounds(shapes).T)) if len(shapes) else np.zeros(0, bool)
    found = shapes.copy()
    found[reaching] = shapely.intersection(shapes[reaching], area)
    longest = max(max(box[2] - box[0], box[3] - box[1]) for box in boxes) / (3 * SEGMENTS)
    return np.asarray(shapely.segmentize(found, longest))


def project(shapes: np.ndarray, source: CRS, goal: CRS, middle: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Returns shapes in another system, and which of them that system can hold, bool [shapes].

    Longitudes are those within 180 degrees of `middle`; None: of 0.
    """
    import shapely
    from pyproj import Transformer

    transformer = Transformer.from_crs(source, goal, always_xy=True)

    def move(points: np.ndarray) -> np.ndarray:
        x, y = transformer.transform(points[:, 0], points[:, 1])
        if middle is not None:
            x = middle + (x - middle + 180) % 360 - 180
        return np.column_stack([x, y])

    moved = shapely.transform(shapes, move)
    finite = np.isfinite(shapely.bounds(moved)).all(1) | shapely.is_empty(moved)
    moved[~finite] = shapely.Point()
    return moved, finite & _still_inside(shapes, moved, move)


def _still_inside(shapes: np.ndarray, moved: np.ndarray, move: Any) -> np.ndarray:
    """Returns whether a point in each polygon is still in it; it is not where one was torn, at a pole for example."""
    import shapely

    found = np.ones(len(shapes), bool)
    polygons = np.flatnonzero((shapely.get_dimensions(moved) == 2) & ~shapely.is_empty(moved))
    if len(polygons):
        points = shapely.points(move(shapely.get_coordinates(shapely.point_on_surface(shapes[polygons]))))
        near = 0.01 * np.sqrt(np.maximum(shapely.area(moved[polygons]), 0))  # of a sliver, rounding may move it out
        found[polygons] = shapely.distance(shapely.make_valid(moved[polygons]), points) <= near
    return found


def wrapped(shapes: np.ndarray, bbox: Bounds) -> np.ndarray:
    """Returns shapes in degrees, turned once around the Earth where they lie on a rectangle beyond ±180 then."""
    import shapely

    copies = [shapely.transform(shapes, lambda points, turn=turn: np.add(points, (turn, 0))) for turn in (-360, 0, 360)]
    there = [shapely.intersects(copy, shapely.box(*bbox)) for copy in copies]
    found = shapes.copy()
    for number in np.flatnonzero(np.any(there, 0)):
        parts = [copy[number] for copy, on in zip(copies, there, strict=True) if on[number]]
        found[number] = parts[0] if len(parts) == 1 else shapely.union_all(parts)
    return found


def in_degrees(box: Bounds | None, crs: CRS) -> str | None:
    """Returns a rectangle in WGS 84 as text, for messages; None: it is not known there."""
    from pyproj import Transformer
    from pyproj.exceptions import ProjError

    try:
        transformer = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
        found = transformer.transform_bounds(*box) if box is not None else (np.nan,)
    except ProjError:
        return None
    return ", ".join(f"{value:.3f}" for value in found) if np.isfinite(found).all() else None
