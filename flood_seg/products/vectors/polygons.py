"""Many polygons as a few arrays, so that no step loops over vertices in Python."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Polygons:
    """Polygons of several classes.

    Attributes:
        vertices: float64 [vertices, 2], column and row; corners of pixels are whole numbers. Each ring ends with its
            first vertex.
        rings: int64 [rings + 1], first vertex of each ring, and the end. The first ring of a polygon is its outline,
            the others are its holes.
        parts: int64 [polygons + 1], first ring of each polygon, and the end.
        classes: uint8 [polygons], index of each one's class.
    """

    vertices: np.ndarray
    rings: np.ndarray
    parts: np.ndarray
    classes: np.ndarray

    @classmethod
    def of(cls, geometries: np.ndarray, classes: np.ndarray) -> Polygons:
        """Takes shapely polygons."""
        import shapely

        if not len(geometries):
            return cls(np.empty((0, 2)), np.zeros(1, np.int64), np.zeros(1, np.int64), classes)
        _, vertices, (rings, parts) = shapely.to_ragged_array(geometries)
        return cls(vertices, rings.astype(np.int64), parts.astype(np.int64), classes)

    def __len__(self) -> int:
        return len(self.classes)

    @cached_property
    def ring_polygons(self) -> np.ndarray:
        """The polygon of each ring, int64 [rings]."""
        return np.repeat(np.arange(len(self)), np.diff(self.parts))

    @cached_property
    def is_hole(self) -> np.ndarray:
        """Whether each ring is a hole, bool [rings]."""
        holes = np.ones(len(self.rings) - 1, bool)
        holes[self.parts[:-1]] = False
        return holes

    @cached_property
    def edges(self) -> np.ndarray:
        """The first vertex of each edge, int64 [edges]; its second one is the next vertex."""
        edges = np.ones(len(self.vertices), bool)
        edges[self.rings[1:] - 1] = False
        return np.flatnonzero(edges)

    @cached_property
    def edge_rings(self) -> np.ndarray:
        """The ring of each edge, int64 [edges]."""
        return np.repeat(np.arange(len(self.rings) - 1), np.diff(self.rings) - 1)

    @cached_property
    def ring_areas(self) -> np.ndarray:
        """The area of each ring in square pixels, float64 [rings]: positive where rows run down and it is clockwise."""
        (x, y), (next_x, next_y) = self.vertices[self.edges].T, self.vertices[self.edges + 1].T
        return np.bincount(self.edge_rings, (x * next_y - next_x * y) / 2, len(self.rings) - 1)

    @cached_property
    def ring_lengths(self) -> np.ndarray:
        """The length of each ring in pixels, float64 [rings]."""
        along = self.vertices[self.edges + 1] - self.vertices[self.edges]
        return np.bincount(self.edge_rings, np.hypot(*along.T), len(self.rings) - 1)

    def per_polygon(self, values: np.ndarray) -> np.ndarray:
        """Returns the sum of a value of rings for each polygon, float64 [polygons]."""
        return np.bincount(self.ring_polygons, values, len(self))

    def without_holes(self, values: np.ndarray) -> np.ndarray:
        """Returns a value of each polygon: that of its outline less those of its holes, float64 [polygons]."""
        return self.per_polygon(np.where(self.is_hole, -values, values))

    def select(self, rings: np.ndarray) -> Polygons:
        """Returns the rings where bool [rings] is True; it must be False for the holes of an outline that goes."""
        lengths, counts = np.diff(self.rings), self.per_polygon(rings).astype(np.int64)
        return Polygons(
            self.vertices[np.repeat(rings, lengths)], starts_of(lengths[rings]), starts_of(counts[counts > 0]),
            self.classes[counts > 0],
        )  # fmt: skip

    def subdivided(self, step: float) -> Polygons:
        """Returns the same shapes with more vertices: no edge is longer than `step` along columns or rows."""
        start = self.vertices[self.edges]
        along = self.vertices[self.edges + 1] - start
        pieces = np.ceil(np.abs(along).max(axis=1, initial=0) / step).astype(np.int64)
        number = np.arange(pieces.sum()) - np.repeat(starts_of(pieces)[:-1], pieces)
        vertices = np.repeat(start, pieces, axis=0)
        vertices += np.repeat(along, pieces, axis=0) * number[:, None] / np.repeat(pieces, pieces)[:, None]
        lengths = np.bincount(self.edge_rings, pieces, len(self.rings) - 1).astype(np.int64)
        closing = self.vertices[self.rings[:-1]]
        return replace(
            self, vertices=np.insert(vertices, np.cumsum(lengths), closing, axis=0), rings=starts_of(lengths + 1)
        )

    def geometries(self, vertices: np.ndarray | None = None) -> np.ndarray:
        """Returns shapely polygons, with other coordinates of the vertices where some are given."""
        import shapely

        vertices = self.vertices if vertices is None else vertices
        kind = shapely.GeometryType.POLYGON
        return np.asarray(shapely.from_ragged_array(kind, np.ascontiguousarray(vertices), (self.rings, self.parts)))


def starts_of(lengths: np.ndarray) -> np.ndarray:
    """Returns the first index of each of consecutive runs, and the end, int64 [runs + 1]."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
