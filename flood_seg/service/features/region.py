"""Rectangles of longitudes and latitudes, and what they are in another reference system."""

from __future__ import annotations

import math
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.service.problems import Problem

if TYPE_CHECKING:
    from pyproj import CRS, Transformer
    from shapely import Geometry

Box = tuple[float, float, float, float]
SEGMENTS = 64  # per side of a rectangle: its sides become curves
MARGIN = 0.01  # of an extent, since its own sides are curves


def parse_bbox(text: str, *, in_degrees: bool = True) -> Box:
    """Returns west, south, east and north of a parameter `bbox`; of one with heights these are left out.

    Args:
        text: four numbers, or six with the lowest and the highest height after each corner.
        in_degrees: whether they are longitudes and latitudes; west may be greater than east then, across the
            antimeridian.

    Raises:
        Problem: 422, it is none.
    """
    try:
        numbers = [float(one) for one in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) == 6:
        numbers = [*numbers[:2], *numbers[3:5]]
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        raise _wrong(text, "give west,south,east,north as numbers")
    west, south, east, north = numbers
    if south > north:
        raise _wrong(text, "south is greater than north; give west,south,east,north")
    if in_degrees and (max(abs(west), abs(east)) > 180 or max(abs(south), abs(north)) > 90):
        raise _wrong(text, "longitudes are within ±180, latitudes within ±90")
    if not in_degrees and west > east:
        raise _wrong(text, "the first number is greater than the third one")
    return west, south, east, north


def extent_in_degrees(bounds: Box, crs: str) -> Box:
    """Returns the longitudes and latitudes of a rectangle in another system; across the antimeridian east is > 180."""
    if _is_geographic(crs):
        west, south, east, north = bounds
    else:
        west, south, east, north = _to_degrees(crs).transform_bounds(*bounds, densify_pts=21)
    if not np.isfinite([west, south, east, north]).all():
        return -180.0, -90.0, 180.0, 90.0
    return west, south, east + 360 * (west > east), north


def region(bbox: Box, bounds: Box, crs: str) -> Geometry | None:
    """Returns the part of a rectangle in WGS 84 that may have features, in their own system; None: there is none.

    Args:
        bbox: west, south, east, north; west may be greater than east.
        bounds: of the features, in their system.
        crs: of the features.
    """
    import shapely

    west, south, east, north = bbox
    east += 360 * (west > east)
    left, bottom, right, top = extent_in_degrees(bounds, crs)
    wide, high = MARGIN * (right - left) + 1e-6, MARGIN * (top - bottom) + 1e-6
    parts = []
    for turn in (-360, 0, 360):
        low, high_lon = max(west + turn, left - wide), min(east + turn, right + wide)
        lower, upper = max(south, bottom - high, -90), min(north, top + high, 90)
        if low <= high_lon and lower <= upper:
            parts.append(shapely.box(low, lower, high_lon, upper))
    if not parts:
        return None
    found = shapely.union_all(parts)
    if _is_geographic(crs):
        return found
    longest = max(right - left, top - bottom) * (1 + 2 * MARGIN) / SEGMENTS + 1e-9

    def project(points: np.ndarray) -> np.ndarray:
        return np.column_stack(_to_degrees(crs).transform(points[:, 0], points[:, 1], direction="INVERSE"))

    return shapely.transform(shapely.segmentize(found, longest), project)


@cache
def _crs(crs: str) -> CRS:
    from pyproj import CRS

    return CRS.from_user_input(crs)


def _is_geographic(crs: str) -> bool:
    return bool(_crs(crs).is_geographic)


@cache
def _to_degrees(crs: str) -> Transformer:
    from pyproj import Transformer

    return Transformer.from_crs(_crs(crs), "EPSG:4326", always_xy=True)


def _wrong(text: str, advice: str) -> Problem:
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"bbox={text[:60]}: {advice}")
