"""The grid of a scene on the Earth: columns and rows of what is given in other coordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flood_seg.analysis.impact.network import EARTH, on_sphere
from flood_seg.errors import UsageError
from flood_seg.products.ground import to_map
from flood_seg.scenes.grid import Box

if TYPE_CHECKING:
    from flood_seg.analysis.result import MapResult

MARGIN = 50_000  # metres around a scene, at least, within which vertices of roads are projected
WGS84 = "EPSG:4326"


class Frame:
    """A georeferenced scene.

    Attributes:
        ground: where it lies.
        size: height and width in pixels.
        bounds: the smallest x and y in its reference system, and the largest ones.
        pixel: metres, the root of the mean area of its pixels.
        margin: metres around it within which vertices of roads are projected.
    """

    def __init__(self, result: MapResult) -> None:
        """Takes a result.

        Raises:
            UsageError: it is not georeferenced, or not on the Earth.
        """
        from pyproj import Transformer

        if (ground := result.ground) is None:
            raise UsageError(f"{result.folder}: the scene is not georeferenced, so it is not known what lies on it")
        self.ground, self.size = ground, (result.height, result.width)
        self.transform = result.georeference["transform"]
        box = Box(0, 0, *self.size)
        self.pixel = ground.pixel_area(box) ** 0.5
        corners = np.array([(col, row) for row in (0, box.height) for col in (0, box.width)], float)
        x, y = to_map(self.transform, *corners.T)
        self.bounds = float(x.min()), float(y.min()), float(x.max()), float(y.max())
        self._middle = (self.bounds[0] + self.bounds[2]) / 2 if ground.crs.is_geographic else None
        self._from_wgs84 = Transformer.from_crs(WGS84, ground.crs, always_xy=True)
        self._to_wgs84 = Transformer.from_crs(ground.crs, WGS84, always_xy=True)
        steps = np.linspace(0, 1, 9)
        grid = np.stack(np.meshgrid(steps * box.width, steps * box.height), -1).reshape(-1, 2)
        places = on_sphere(self.degrees(grid))
        places = places[np.isfinite(places).all(1)]  # a projection need not reach the corners
        if not len(places):
            raise UsageError(f"{result.folder}: no part of the scene has a place on the Earth; check its transform")
        self._centre = places[len(places) // 2]
        self._radius = float(np.linalg.norm(places - self._centre, axis=1).max())
        self.margin = max(MARGIN, self._radius)

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Returns columns and rows, float64 [points, 2], of coordinates in the scene's reference system."""
        return np.stack(to_map(~self.transform, points[:, 0], points[:, 1]), 1)

    def coordinates(self, pixels: np.ndarray) -> np.ndarray:
        """Returns coordinates in the scene's reference system, float64 [points, 2], of columns and rows."""
        return np.stack(to_map(self.transform, pixels[:, 0], pixels[:, 1]), 1)

    def degrees(self, pixels: np.ndarray) -> np.ndarray:
        """Returns longitudes and latitudes in WGS 84, float64 [points, 2], of columns and rows."""
        x, y = self.coordinates(pixels).T
        return np.stack(self._to_wgs84.transform(x, y), 1)

    def locate(self, degrees: np.ndarray) -> np.ndarray:
        """Returns columns and rows, float64 [points, 2], of longitudes and latitudes; not finite: nowhere."""
        return self.pixels(self.turned(np.stack(self._from_wgs84.transform(degrees[:, 0], degrees[:, 1]), 1)))

    def turned(self, points: np.ndarray) -> np.ndarray:
        """Returns coordinates in the scene's reference system, whose longitudes are the nearest ones to the scene."""
        if self._middle is None:
            return points
        return np.stack([self._middle + (points[:, 0] - self._middle + 180) % 360 - 180, points[:, 1]], 1)

    def is_whole(self, shapes: np.ndarray) -> np.ndarray:
        """Returns whether shapes, float64 [shapes, points, 2] in pixels, are not torn on the far side of the Earth."""
        if self._middle is None:
            return np.ones(len(shapes), bool)
        longitudes = to_map(self.transform, shapes[..., 0], shapes[..., 1])[0]
        return np.asarray(np.ptp(longitudes, axis=1) < 180)

    def is_near(self, degrees: np.ndarray) -> np.ndarray:
        """Returns whether longitudes and latitudes lie on the scene or within the margin around it, bool [points]."""
        reach = self._radius + self.margin
        if reach >= 2 * EARTH:
            return np.ones(len(degrees), bool)
        return np.asarray(np.linalg.norm(on_sphere(degrees) - self._centre, axis=1) <= reach)

    def shapes_in_pixels(self, shapes: np.ndarray) -> np.ndarray:
        """Returns shapes, which are in the scene's reference system, in columns and rows."""
        import shapely

        return np.asarray(shapely.transform(shapes, self.pixels))
