"""Sums of a raster's pixels over polygons; pixels on their borders count by the share that lies inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from affine import Affine

    from flood_seg.scenes.grid import Box


class Zones:
    """Polygons on the grid of a raster, which may overlap each other."""

    def __init__(self, polygons: np.ndarray, transform: Affine) -> None:
        """Takes polygons, shapely geometries [zones], and the raster's transform from columns and rows to their CRS."""
        import shapely

        inverse = ~transform
        a, b, c, d, e, f = inverse[:6]

        def to_pixels(points: np.ndarray) -> np.ndarray:
            """To columns and negative rows: exactextract's rasters have their origin at the bottom."""
            x, y = points.T
            return np.column_stack([a * x + b * y + c, -(d * x + e * y + f)])

        self._polygons = shapely.transform(polygons, to_pixels)
        shapely.prepare(self._polygons)
        self._tree = shapely.STRtree(self._polygons)

    def add(self, box: Box, values: np.ndarray, whole: np.ndarray, sums: np.ndarray) -> None:
        """Adds the sums of a part of the raster.

        Args:
            box: the part.
            values: of its pixels, float64 [values, h, w].
            whole: their sums, float64 [values].
            sums: of each zone, float64 [zones, values]; changed in place.
        """
        import shapely

        area = shapely.box(box.col, -(box.row + box.height), box.col + box.width, -box.row)
        near = self._tree.query(area, predicate="intersects")
        if not len(near):
            return
        covering = shapely.covers(self._polygons[near], area)
        sums[near[covering]] += whole
        if not covering.all():
            sums[near[~covering]] += _exact(box, values, self._polygons[near[~covering]])


def _exact(box: Box, values: np.ndarray, polygons: np.ndarray) -> np.ndarray:
    """Returns the sum of each value over each polygon, float64 [polygons, values], by exactextract."""
    import shapely
    from exactextract import exact_extract
    from exactextract.raster import NumPyRasterSource

    extent = (box.col, -(box.row + box.height), box.col + box.width, -box.row)
    used = [number for number, one in enumerate(values) if one.any()]
    sums = np.zeros((len(polygons), len(values)))
    if not used:
        return sums
    rasters = [NumPyRasterSource(values[number], *extent, name=str(number)) for number in used]
    features = [{"type": "Feature", "geometry": shapely.geometry.mapping(one), "properties": {}} for one in polygons]
    for row, found in zip(sums, exact_extract(rasters, features, ["sum"]), strict=True):
        of = found["properties"]
        row[used] = [of.get(f"{number}_sum", of.get("sum")) or 0 for number in used]
    return sums
