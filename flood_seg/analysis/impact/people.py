"""People in flooded cells, by a raster of the population of any resolution and reference system."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flood_seg.analysis.impact.coverage import covered_areas
from flood_seg.console import counted
from flood_seg.errors import DataError
from flood_seg.imaging.gdal import open_raster
from flood_seg.products.ground import Ground, to_map
from flood_seg.scenes.grid import Box

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from flood_seg.analysis.impact.districts import Districts
    from flood_seg.analysis.impact.frame import Frame
    from flood_seg.analysis.impact.strips import Tiles

EDGE = 33  # points per side of a strip whose outline is projected
CELLS = 1_000_000  # that are read at once
SQUARE_KILOMETRE = 1e6


class People:
    """Sums people strip by strip; they are taken to live evenly over each cell.

    Attributes:
        total: people on the scene, in flooded and in unobserved parts of it, float64 [3].
        by_district: the same, float64 [3, districts].
    """

    def __init__(self, path: Path, unit: str, frame: Frame, districts: Districts | None) -> None:
        """Takes a raster of people per cell (`count`) or per square kilometre (`per_km2`).

        Raises:
            DataError: it has several bands, is not georeferenced or lies elsewhere.
            ImageError: it cannot be read.
        """
        from pyproj import Transformer

        self.path, self._unit, self._frame, self._districts = path, unit, frame, districts
        self.total = np.zeros(3)
        self.by_district = np.zeros((3, len(districts) if districts else 0))
        self._negative = self._cells = 0
        with open_raster(path) as dataset:
            place = {"crs": dataset.crs, "transform": dataset.transform}
            ground = None if dataset.transform.is_identity else Ground.of(place)
            if ground is None:
                raise DataError(f"{path}: is not georeferenced, so it is not known where its people are")
            if dataset.count != 1:
                raise DataError(f"{path}: has {dataset.count} bands; give a raster with one, the people of each cell")
            self._size = dataset.height, dataset.width
        self._ground, self._transform = ground, place["transform"]
        self._to_scene = Transformer.from_crs(ground.crs, frame.ground.crs, always_xy=True)
        self._to_cells = Transformer.from_crs(frame.ground.crs, ground.crs, always_xy=True)
        self._turns = (-360.0, 0.0, 360.0) if ground.crs.is_geographic else (0.0,)
        if not any(self._windows(Box(0, 0, *frame.size))):
            raise DataError(f"{path}: lies elsewhere: none of its cells touches the scene; give one of this region")

    def __enter__(self) -> People:
        self._opened = open_raster(self.path)
        self._dataset = self._opened.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.__exit__(kind, error, trace)

    def add(self, tiles: Tiles) -> None:
        """Adds the people in a strip of the flood."""
        for window in self._windows(tiles.box):
            rows = max(1, CELLS // window.width)
            for row in range(window.row, window.row + window.height, rows):
                part = Box(row, window.col, min(rows, window.row + window.height - row), window.width)
                self._add(tiles, part)

    def warnings(self) -> list[str]:
        """Returns what is odd about the raster, a sentence each."""
        if not self._negative:
            return []
        return [f"{self.path}: {counted(self._negative, 'cell')} with a negative number of people, of {self._cells} on "
                "the scene, are taken as empty"]  # fmt: skip

    def _add(self, tiles: Tiles, window: Box) -> None:
        import shapely

        people, negative = self._people(window)
        self._cells += people.size
        self._negative += negative
        if not (people > 0).any():
            return
        cells, some = self._outlines(window), people.ravel() > 0
        finite = np.isfinite(cells).all((1, 2)) & some & self._frame.is_whole(cells)
        bounds = np.concatenate([cells.min(1), cells.max(1)], 1)
        box = tiles.box
        finite &= (bounds[:, 2] > box.col) & (bounds[:, 0] < box.col + box.width)
        finite &= (bounds[:, 3] > box.row) & (bounds[:, 1] < box.row + box.height)
        if not finite.any():
            return
        polygons, number = shapely.polygons(cells[finite]), people.ravel()[finite]
        density = number / np.maximum(shapely.area(polygons), np.finfo(float).tiny)
        self.total += (_areas(tiles, polygons) * density).sum(1)
        if self._districts:
            pairs, parts = self._districts.parts(polygons, box)
            for kind, areas in enumerate(_areas(tiles, parts)):
                weights = areas * density[pairs.thing]
                self.by_district[kind] += np.bincount(pairs.district, weights, len(self._districts))

    def _people(self, window: Box) -> tuple[np.ndarray, int]:
        """Returns the people of cells, float64 [height, width], and how many are negative."""
        place = ((window.row, window.row + window.height), (window.col, window.col + window.width))
        people = self._dataset.read(1, window=place, masked=True).astype(np.float64).filled(0)
        people[~np.isfinite(people)] = 0
        negative = people < 0
        people[negative] = 0
        if self._unit == "per_km2":
            rows = range(window.row, window.row + window.height)
            areas = [self._ground.pixel_area(Box(row, window.col, 1, window.width)) for row in rows]
            people *= np.array(areas)[:, None] / SQUARE_KILOMETRE
        return people, int(negative.sum())

    def _outlines(self, window: Box) -> np.ndarray:
        """Returns the corners of cells in columns and rows of the scene, float64 [cells, 4, 2]."""
        cols, rows = np.meshgrid(
            np.arange(window.width + 1.0) + window.col, np.arange(window.height + 1.0) + window.row
        )
        x, y = to_map(self._transform, cols, rows)
        found = np.stack(self._to_scene.transform(x.ravel(), y.ravel()), 1)
        points = self._frame.pixels(self._frame.turned(found)).reshape(*cols.shape, 2)
        corners = [points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]]
        return np.stack([corner.reshape(-1, 2) for corner in corners], 1)

    def _windows(self, box: Box) -> list[Box]:
        """Returns the windows of cells that touch a rectangle of the scene: two at the antimeridian."""
        steps = np.linspace(0, 1, EDGE)
        cols, rows = np.meshgrid(box.col + steps * box.width, box.row + steps * box.height)
        degrees = self._frame.coordinates(np.stack([cols.ravel(), rows.ravel()], 1))
        x, y = (np.asarray(one) for one in self._to_cells.transform(*degrees.T))
        known = np.isfinite(x) & np.isfinite(y)
        if not known.any():
            return []
        x, y = x[known], y[known]
        found = []
        if self._ground.crs.is_geographic:
            x = x[0] + (x - x[0] + 180) % 360 - 180
            for latitude in (90.0, -90.0):
                if self._holds_pole(latitude, box):
                    x = np.append(x, [x[0] - 180, x[0] + 180])
                    y = np.append(y, [latitude, latitude])
        for turn in self._turns:
            cols, rows = to_map(~self._transform, x - turn, y)
            low = np.floor([cols.min(), rows.min()]).astype(np.int64) - 1
            high = np.ceil([cols.max(), rows.max()]).astype(np.int64) + 1
            low, high = np.maximum(low, 0), np.minimum(high, self._size[::-1])
            if (high > low).all():
                found.append(Box(int(low[1]), int(low[0]), int(high[1] - low[1]), int(high[0] - low[0])))
        return found

    def _holds_pole(self, latitude: float, box: Box) -> bool:
        col, row = self._frame.locate(np.array([[0.0, latitude]]))[0]
        return bool(box.col <= col <= box.col + box.width and box.row <= row <= box.row + box.height)


def _areas(tiles: Tiles, polygons: np.ndarray) -> np.ndarray:
    """Returns the areas of polygons in a strip, and their flooded and unobserved parts, float64 [3, polygons]."""
    import shapely

    box, bounds = tiles.box, shapely.bounds(polygons)
    strip = np.array([box.col, box.row, box.col + box.width, box.row + box.height])
    beyond = (bounds[:, :2] < strip[:2]).any(1) | (bounds[:, 2:] > strip[2:]).any(1)
    inside = shapely.area(polygons)
    inside[beyond] = shapely.area(shapely.intersection(polygons[beyond], shapely.box(*strip)))
    return np.stack([inside, *covered_areas(tiles, polygons)])
