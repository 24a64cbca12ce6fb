"""Polygons over a raster: which part of each is flooded or not observed, exactly by the edges of pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flood_seg.analysis.impact.strips import RowIndex, expand, split_by_weight
from flood_seg.analysis.result import FLOODED, UNOBSERVED

if TYPE_CHECKING:
    from flood_seg.analysis.impact.strips import Tiles

PIXELS = 2_000_000  # below the bounding boxes of polygons that are looked up at once: about 150 MB
VALUES = (FLOODED, UNOBSERVED)


class PolygonScan:
    """Collects the flooded and the unobserved area of polygons strip by strip."""

    def __init__(self, polygons: np.ndarray, size: tuple[int, int]) -> None:
        """Takes polygons, object [polygons], in columns and rows of a raster, and its height and width."""
        import shapely

        self._polygons = polygons
        bounds = shapely.bounds(polygons)
        self._index = RowIndex(bounds[:, 1], bounds[:, 3], size[0])
        self._areas = np.zeros((2, len(polygons)))
        self.area = shapely.area(polygons)
        beyond = (bounds[:, :2] < 0).any(1) | (bounds[:, 2:] > size[::-1]).any(1)
        inside = self.area.copy()
        raster = shapely.box(0, 0, size[1], size[0])
        inside[beyond] = shapely.area(shapely.intersection(polygons[beyond], raster))
        self._inside = inside

    def add(self, tiles: Tiles) -> None:
        """Adds what lies in a strip of full width."""
        if not tiles.plain:
            chosen = self._index.touching(tiles.box.row, tiles.box.row + tiles.box.height)
            self._areas[:, chosen] += covered_areas(tiles, self._polygons[chosen])

    @property
    def flooded(self) -> np.ndarray:
        """The share of each polygon that is flooded, float64 [polygons] in [0, 1]."""
        return self._share(self._areas[0])

    @property
    def unobserved(self) -> np.ndarray:
        """The share of each polygon without data or outside of the raster, float64 [polygons] in [0, 1]."""
        return self._share(self._areas[1] + self.area - self._inside)

    def _share(self, areas: np.ndarray) -> np.ndarray:
        return np.asarray(np.clip(areas / np.maximum(self.area, np.finfo(float).tiny), 0, 1))


def covered_areas(tiles: Tiles, polygons: np.ndarray) -> np.ndarray:
    """Returns the flooded and the unobserved area of polygons within a strip, float64 [2, polygons] in pixels.

    Args:
        tiles: of the strip.
        polygons: object [polygons], in columns and rows of the raster.
    """
    import shapely

    box = tiles.box
    areas = np.zeros((2, len(polygons)))
    strip = np.array([[box.col, box.row], [box.col + box.width, box.row + box.height]])
    bounds = shapely.bounds(polygons)
    low, high = np.maximum(bounds[:, :2], strip[0]), np.minimum(bounds[:, 2:], strip[1])
    near = np.flatnonzero((high > low).all(1) & tiles.some(low, high))
    for number, value in enumerate(VALUES):
        whole = near[tiles.whole(low[near], high[near], value)]
        parts = polygons[whole]
        beyond = ((bounds[whole, :2] < strip[0]) | (bounds[whole, 2:] > strip[1])).any(1)
        parts[beyond] = shapely.intersection(parts[beyond], shapely.box(*strip.ravel()))
        areas[number, whole] = shapely.area(parts)
        near = np.setdiff1d(near, whole, assume_unique=True)
    first, stop = np.floor(low[near]).astype(np.int64), np.ceil(high[near]).astype(np.int64)
    for part in split_by_weight((stop - first).prod(1), PIXELS):
        areas[:, near[part]] = _by_pixels(tiles, polygons[near[part]], first[part], stop[part])
    return areas


def _by_pixels(tiles: Tiles, polygons: np.ndarray, first: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Returns the areas of `covered_areas` by intersection with the runs of pixels of one value in each row."""
    import shapely

    widths = (stop - first)[:, 0]
    owner, number = expand((stop - first).prod(1))
    row, col = number // widths[owner], number % widths[owner]
    begins = col == 0
    row, col = row + first[owner, 1], col + first[owner, 0]
    value = tiles.values[row - tiles.box.row, col - tiles.box.col]
    begins[1:] |= value[1:] != value[:-1]
    begin = np.flatnonzero(begins)
    length = np.diff(begin, append=len(value))
    wanted = (value[begin] == FLOODED) | (value[begin] == UNOBSERVED)
    begin, length = begin[wanted], length[wanted]
    owner, row, col, value = owner[begin], row[begin], col[begin], value[begin]
    # Equal runs in consecutive rows are one rectangle.
    apart = np.ones(len(begin), bool)
    apart[1:] = (owner[1:] != owner[:-1]) | (value[1:] != value[:-1]) | (row[1:] != row[:-1] + 1)
    apart[1:] |= (col[1:] != col[:-1]) | (length[1:] != length[:-1])
    one = np.flatnonzero(apart)
    height = np.diff(one, append=len(begin))
    owner, row, col, value, length = owner[one], row[one], col[one], value[one], length[one]
    boxes = shapely.box(col, row, col + length, row + height)
    areas = shapely.area(shapely.intersection(polygons[owner], boxes))
    return np.stack([np.bincount(owner, areas * (value == one), len(polygons)) for one in VALUES])
