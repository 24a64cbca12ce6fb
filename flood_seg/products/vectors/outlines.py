"""Smoother and simpler outlines of polygons; borders that polygons share stay shared."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from flood_seg.products.vectors.polygons import Polygons

REACH = 0.49  # pixels that smoothing moves a corner at most along each axis; below half a pixel no two borders can meet
ROUNDS = 20  # of the correction of areas


def reshape(polygons: Polygons, smoothness: float, tolerance: float, size: tuple[int, int]) -> Polygons:
    """Returns polygons with smoother, then simpler outlines.

    Args:
        polygons: traced.
        smoothness: see `smooth`; 0: not at all.
        tolerance: of Visvalingam's algorithm on all polygons as a coverage, in pixels: vertices go whose triangle with
            their neighbours is smaller than its square; 0: none.
        size: height and width of the scene.
    """
    import shapely

    if smoothness:
        polygons = smooth(polygons, smoothness, size)
    elif tolerance and len(np.unique(polygons.classes)) > 1:
        # Where three classes meet at a straight border, one has no vertex there, which the others have.
        polygons = polygons.subdivided(1)
    if tolerance and len(polygons):
        polygons = Polygons.of(shapely.coverage_simplify(polygons.geometries(), tolerance), polygons.classes)
    return polygons


def smooth(polygons: Polygons, length: float, size: tuple[int, int]) -> Polygons:
    """Returns polygons with smooth borders that keep their areas.

    Every pixel corner on a border is moved towards the mean of its two neighbours, again and again, which is a Gaussian
    filter along the border. It stays nearer than half a pixel to where it was, along both axes. So each corner keeps to
    a square of its own, and a border keeps to the squares of its corners: borders never meet, and what was valid stays
    valid. Corners where more than two borders meet, and those on the edge of the scene, stay where they are. Then each
    polygon is widened or narrowed until it has its area again.

    Args:
        polygons: traced.
        length: standard deviation of the filter, in pixels along the border.
        size: height and width of the scene.
    """
    dense = polygons.subdivided(1)
    corners = _Corners.of(dense, size)
    points = corners.places
    for _ in range(math.ceil(2 * length**2)):  # each adds a variance of half a pixel
        points = corners.limit(points / 2 + (points[corners.before] + points[corners.after]) / 4)
    areas = dense.without_holes(np.abs(dense.ring_areas))
    for _ in range(ROUNDS):
        points = corners.limit(points + _outwards(replace(dense, vertices=points[corners.numbers]), areas, corners))
    return replace(dense, vertices=points[corners.numbers])


@dataclass(frozen=True)
class _Corners:
    """The corners of pixels on the borders of polygons, each once, whichever polygons share it.

    Attributes:
        places: float64 [corners, 2], column and row.
        numbers: int64 [vertices], the corner of each vertex.
        before: int64 [corners], one of its neighbours on the border; itself where it must stay.
        after: int64 [corners], the other one.
    """

    places: np.ndarray
    numbers: np.ndarray
    before: np.ndarray
    after: np.ndarray

    @classmethod
    def of(cls, dense: Polygons, size: tuple[int, int]) -> _Corners:
        """Takes polygons with a vertex at each corner."""
        height, width = size
        places = dense.vertices.astype(np.int64)
        keys, first, numbers = np.unique(places @ [1, width + 1], return_index=True, return_inverse=True)
        col, row = places[first].T
        start, end = numbers[dense.edges], numbers[dense.edges + 1]
        start, end = np.concatenate([start, end]), np.concatenate([end, start])
        count = len(keys)
        before, after = np.full(count, count), np.full(count, -1)
        np.minimum.at(before, start, end)
        np.maximum.at(after, start, end)
        stays = (col == 0) | (col == width) | (row == 0) | (row == height)
        stays[start[(end != before[start]) & (end != after[start])]] = True  # it has a third neighbour
        before, after = (np.where(stays, np.arange(count), found) for found in (before, after))
        return cls(places[first].astype(np.float64), numbers, before, after)

    def limit(self, points: np.ndarray) -> np.ndarray:
        """Returns moved corners, float64 [corners, 2], not farther from their places than they may be."""
        reach = np.where(self.before == self.after, 0, REACH)[:, None]
        return np.asarray(np.clip(points, self.places - reach, self.places + reach))


def _outwards(polygons: Polygons, areas: np.ndarray, corners: _Corners) -> np.ndarray:
    """Returns a movement of corners, float64 [corners, 2], by which polygons come nearer to given areas.

    Each polygon pushes its border outwards by the area that it lacks over the border's length; on a border that two
    polygons share, the two movements add up.
    """
    along = polygons.vertices[polygons.edges + 1] - polygons.vertices[polygons.edges]
    lacking = (areas - polygons.without_holes(np.abs(polygons.ring_areas))) / polygons.per_polygon(
        polygons.ring_lengths
    )
    turn = np.sign(polygons.ring_areas) * np.where(polygons.is_hole, -1, 1)
    push = (lacking[polygons.ring_polygons] * turn)[polygons.edge_rings]
    normal = np.stack([along[:, 1], -along[:, 0]], axis=1) / np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    ends = corners.numbers[polygons.edges], corners.numbers[polygons.edges + 1]
    moved = [sum(np.bincount(end, push * component / 2, len(corners.places)) for end in ends) for component in normal.T]
    return np.stack(moved, axis=1)
