"""Where the pixels of a scene lie on the Earth: their area on the ellipsoid, and the footprint in WGS 84."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.imaging.gdal import is_on_earth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from affine import Affine

    from flood_seg.scenes.grid import Box

FOOTPRINT_TOLERANCE = 1e-7  # degrees, about 1 cm
PART = 128  # pixels, at most, between which areas of pixels are interpolated
EDGE_POINTS = 16  # per side of a footprint, whose sides are curves on the ellipsoid


class Ground:
    """The place of a scene with a CRS and an affine transform."""

    def __init__(self, georeference: Mapping[str, Any]) -> None:
        """Takes entries of rasterio's profile; see `read_georeference`."""
        from pyproj import CRS, Geod, Transformer

        self._transform = georeference["transform"]
        self.crs = CRS.from_wkt(georeference["crs"].to_wkt())
        # On the ellipsoid of the scene's own datum, for areas.
        self._to_geodetic = Transformer.from_crs(self.crs, self.crs.geodetic_crs, always_xy=True)
        self._to_wgs84 = Transformer.from_crs(self.crs, "EPSG:4326", always_xy=True)
        self._geod = self.crs.get_geod() or Geod(ellps="WGS84")

    @classmethod
    def of(cls, georeference: Mapping[str, Any]) -> Ground | None:
        """Returns the place of a scene; None where it is not georeferenced by a CRS on the Earth and a transform."""
        return cls(georeference) if is_on_earth(georeference.get("crs")) and georeference.get("transform") else None

    def pixel_area(self, box: Box) -> float:
        """Returns the mean geodesic area of a pixel of a rectangle, in m²."""
        longitudes, latitudes = self._to_geodetic.transform(*self._outline(box))
        area, _ = self._geod.polygon_area_perimeter(longitudes, latitudes)
        return float(abs(area)) / (box.height * box.width)

    def pixel_areas(self, box: Box) -> np.ndarray:
        """Returns the geodesic area of each pixel of a rectangle in m², float64 [height, width].

        Interpolated between the means of parts, so that it follows the latitude and the scale of the projection.
        """
        rows, by_row = _parts(box.height)
        cols, by_col = _parts(box.width)
        means = np.array(
            [[self.pixel_area(replace(box, row=box.row + row, height=height, col=box.col + col, width=width))
              for col, width in cols] for row, height in rows]
        )  # fmt: skip
        # Not by BLAS, whose threads take longer to start than the sums of so few parts take.
        return np.asarray(np.einsum("rp,pc->rc", np.einsum("rp,pq->rq", by_row, means), by_col.T))

    def measure(self, vertices: np.ndarray, rings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the geodesic area of rings in m² and their length in m, float64 [rings].

        Args:
            vertices: float64 [vertices, 2], column and row; each ring ends with its first vertex.
            rings: int64 [rings + 1], first vertex of each ring, and the end.
        """
        longitudes, latitudes = self._to_geodetic.transform(*to_map(self._transform, *vertices.T))
        parts = [slice(start, stop - 1) for start, stop in pairwise(rings.tolist())]
        found = [self._geod.polygon_area_perimeter(longitudes[part], latitudes[part]) for part in parts]
        areas, lengths = np.array(found, np.float64).reshape(-1, 2).T
        return np.abs(areas), lengths

    def footprint(self, box: Box) -> dict[str, Any]:
        """Returns the outline of a rectangle as a GeoJSON polygon in WGS 84, counter-clockwise."""
        import shapely

        polygon = shapely.Polygon(np.column_stack(self._to_wgs84.transform(*self._outline(box))).round(9))
        polygon = shapely.simplify(polygon, FOOTPRINT_TOLERANCE)
        return dict(shapely.geometry.mapping(shapely.orient_polygons(polygon)))

    def _outline(self, box: Box) -> tuple[np.ndarray, np.ndarray]:
        steps = np.linspace(0, 1, EDGE_POINTS, endpoint=False)
        zero, one = np.zeros(EDGE_POINTS), np.ones(EDGE_POINTS)
        cols = box.col + box.width * np.concatenate([steps, one, 1 - steps, zero])
        rows = box.row + box.height * np.concatenate([zero, steps, one, 1 - steps])
        return to_map(self._transform, cols, rows)


def _parts(length: int) -> tuple[list[tuple[int, int]], np.ndarray]:
    """Divides an axis into parts, and interpolates between them, linearly.

    Returns:
        the first pixel and the length of each part; and how each pixel follows from the parts, float64 [length, parts].
    """
    count = min(length, max(2, -(-length // PART)))
    edges = np.linspace(0, length, count + 1).round().astype(int)
    parts = [(int(start), int(stop - start)) for start, stop in pairwise(edges)]
    if count == 1:
        return parts, np.ones((length, 1))
    middles, pixels = (edges[:-1] + edges[1:]) / 2, np.arange(length) + 0.5
    left = np.clip(np.searchsorted(middles, pixels) - 1, 0, count - 2)
    share = (pixels - middles[left]) / np.diff(middles)[left]
    weights = np.zeros((length, count))
    weights[np.arange(length), left], weights[np.arange(length), left + 1] = 1 - share, share
    return parts, weights


def to_map(transform: Affine, cols: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the coordinates of columns and rows in the CRS that a transform leads to."""
    a, b, c, d, e, f = transform[:6]
    return a * cols + b * rows + c, d * cols + e * rows + f
