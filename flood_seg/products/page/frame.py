"""The plane that a web map is drawn on: Web Mercator, or the scene's pixels where it is not georeferenced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from flood_seg.imaging.preprocess import shrunk
from flood_seg.products.ground import Ground, to_map
from flood_seg.scenes.grid import Box

if TYPE_CHECKING:
    from collections.abc import Mapping

RADIUS = 6378137.0  # of the sphere of EPSG:3857, in metres
MAX_LATITUDE = 85.0511  # where EPSG:3857 ends


class Placed(Protocol):
    """A raster that lies somewhere: a scene, or the result of its map."""

    @property
    def georeference(self) -> Mapping[str, Any]:
        """Entries of rasterio's profile; see `read_georeference`."""

    @property
    def height(self) -> int:
        """In pixels."""

    @property
    def width(self) -> int:
        """In pixels."""


class Frame:
    """Places a scene's rasters and polygons on a web map.

    Positions on the map are (x, y): longitude and latitude in WGS 84, or column and -row of a scene without ground.
    Longitudes of a scene across the antimeridian go on beyond 180.

    Attributes:
        ground: of the scene; None: it is not georeferenced by a CRS and a transform.
        outline: of the scene, float64 [points, 2].
    """

    def __init__(self, scene: Placed) -> None:
        self._georeference, self._size = scene.georeference, (scene.height, scene.width)
        self.ground = Ground.of(scene.georeference)
        if self.ground:
            outline = np.array(self.ground.footprint(Box(0, 0, *self._size))["coordinates"][0])
            self._meridian = float(outline[0, 0])
            self.outline = self._unwrapped(outline)
            self._meridian = float(self.outline[:, 0].min() + self.outline[:, 0].max()) / 2
        else:
            height, width = self._size
            self.outline = np.array([(0, 0), (0, -height), (width, -height), (width, 0), (0, 0)], np.float64)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """The smallest x and y of the scene, and the largest ones."""
        (left, bottom), (right, top) = self.outline.min(axis=0), self.outline.max(axis=0)
        return float(left), float(bottom), float(right), float(top)

    def picture_size(self, longest: int) -> tuple[int, int]:
        """Returns height and width of a picture of the scene whose longer side has at most `longest` pixels."""
        if not self.ground:
            return shrunk(self._size, longest)
        left, bottom, right, top = self._mercator_bounds()
        longest = min(longest, 2 * max(self._size))  # a turned raster keeps its detail on twice as many pixels
        scale = longest / max(right - left, top - bottom)
        return max(1, round((top - bottom) * scale)), max(1, round((right - left) * scale))

    def pixel(self, longest: int) -> float:
        """Returns the shorter side of such a picture's pixel on the map, in degrees, or in pixels of the scene."""
        height, width = self.picture_size(longest)
        left, bottom, right, top = self.bounds
        return min((right - left) / width, (top - bottom) / height)

    def place(self, values: np.ndarray, longest: int, nodata: int | None = None) -> np.ndarray:
        """Returns the picture of a raster that covers the scene.

        Args:
            values: uint8 [h, w] with `nodata`, by the nearest pixel; or RGBA [h, w, 4], bilinear; of any size.
            longest: see `picture_size`.
            nodata: of a single band, in the result also what lies beyond the scene.

        Returns:
            uint8 [height, width] or [height, width, 4].
        """
        if not self.ground:
            return values
        from rasterio import Affine
        from rasterio.enums import Resampling
        from rasterio.transform import from_bounds
        from rasterio.warp import reproject

        height, width = self.picture_size(longest)
        down, across = self._size[0] / values.shape[0], self._size[1] / values.shape[1]
        a, b, c, d, e, f = self._georeference["transform"][:6]
        bands = np.moveaxis(np.atleast_3d(values), 2, 0)
        placed = np.full((len(bands), height, width), nodata or 0, np.uint8)
        special: dict[str, Any] = {"src_nodata": nodata, "dst_nodata": nodata, "resampling": Resampling.nearest}
        if nodata is None:  # so that what has no data does not darken its neighbours
            special = {"src_alpha": len(bands), "dst_alpha": len(bands), "resampling": Resampling.bilinear}
        reproject(
            np.ascontiguousarray(bands), placed, src_crs=self._georeference["crs"],
            src_transform=Affine(a * across, b * down, c, d * across, e * down, f), dst_crs="EPSG:3857",
            dst_transform=from_bounds(*self._mercator_bounds(), width, height), **special,
        )  # fmt: skip
        return np.moveaxis(placed, 0, 2) if values.ndim == 3 else placed[0]

    def positions(self, points: np.ndarray, crs: str | None) -> np.ndarray:
        """Returns where points of a vector layer lie on the map, float64 [points, 2].

        Args:
            points: float64 [points, 2] in the layer's CRS; without one, in the scene's map units, or (column, -row).
            crs: of the layer.
        """
        x, y = points.T
        if self.ground:
            from pyproj import Transformer

            transformed = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)
            return self._unwrapped(np.column_stack(transformed))
        if transform := self._georeference.get("transform"):
            columns, rows = to_map(~transform, x, y)
            return np.column_stack([columns, -rows])
        return points

    def _unwrapped(self, points: np.ndarray) -> np.ndarray:
        longitudes, latitudes = points.T
        turns = np.round((longitudes - self._meridian) / 360)
        return np.column_stack([longitudes - 360 * turns, latitudes.clip(-MAX_LATITUDE, MAX_LATITUDE)])

    def _mercator_bounds(self) -> tuple[float, float, float, float]:
        left, bottom, right, top = np.radians(self.bounds)
        bottom, top = np.arcsinh(np.tan([bottom, top]))
        return tuple(RADIUS * float(one) for one in (left, bottom, right, top))  # type: ignore[return-value]
