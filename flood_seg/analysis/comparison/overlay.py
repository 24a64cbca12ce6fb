"""A file of polygons, or a raster, that is laid over scenes: permanent water and clouds."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.analysis.pixel_grid import PixelGrid, window_shape
from flood_seg.analysis.vectors import LAYER_SEPARATOR, read_layer
from flood_seg.errors import DataError, ImageError
from flood_seg.imaging.gdal import open_raster
from flood_seg.imaging.raster import band_names
from flood_seg.imaging.source import is_gdal_name
from flood_seg.products.ground import to_map
from flood_seg.products.scene_record import file_version
from flood_seg.scenes.grid import Box

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rasterio.io import DatasetReader


@dataclass
class OverlayReader:
    """What of a scene a file covers.

    Attributes:
        read: takes a rectangle of the scene and returns, bool [height, width] each, what is covered, and where that is
            known. Of a file of polygons it is known everywhere.
        warnings: about the file.
    """

    read: Callable[[Box], tuple[np.ndarray, np.ndarray]]
    warnings: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Overlay:
    """A file of polygons, which cover what lies in them, or a raster.

    Attributes:
        path: of any format of GDAL's.
        covers: returns which values of a raster cover, bool, of an array of any number type.
        band: of a raster, its number from 1 or its name.
        unknown: a value of rasters of 8 bits that stands for no data, whether they declare it or not; None: none.
    """

    path: Path
    covers: Callable[[np.ndarray], np.ndarray]
    band: str = "1"
    unknown: int | None = None

    @property
    def _file(self) -> Path:
        return Path(str(self.path).partition(LAYER_SEPARATOR)[0])

    @cached_property
    def is_raster(self) -> bool:
        """Whether it is a raster; a file that is neither is taken for polygons, whose reading says what is wrong."""
        if LAYER_SEPARATOR in str(self.path) or not (is_gdal_name(self.path) or self.path.is_file()):
            return False
        try:
            with open_raster(self.path) as dataset:
                return bool(dataset.count)
        except ImageError:
            return False

    def version(self) -> list[Any]:
        """Returns what changes with the file, for JSON."""
        there = is_gdal_name(self._file) or self._file.exists()
        return [str(self.path), file_version(self._file) if there else None]

    def check(self, grid: PixelGrid, scene: str) -> None:
        """Checks that it can be laid over a scene.

        Raises:
            DataError: it cannot be read, has not the band, lies elsewhere, or the scene is not georeferenced.
        """
        if not (is_gdal_name(self._file) or self._file.exists()):
            raise DataError(f"{self._file}: does not exist; give a file of polygons, or a raster")
        if not self.is_raster:
            read_layer(self.path, grid.crs, bbox=_bounds(grid, scene, self.path), columns=[], may_be_empty=True)
            return
        with open_raster(self.path) as dataset:
            grid.check_overlap(PixelGrid.of_raster(dataset), str(self.path), scene)
            self._number(dataset)

    @contextmanager
    def over(self, grid: PixelGrid, scene: str) -> Iterator[OverlayReader]:
        """Opens it on the pixels of a scene; raises as `check`."""
        if not self.is_raster:
            bounds = _bounds(grid, scene, self.path)
            layer = read_layer(self.path, grid.crs, bbox=bounds, columns=[], may_be_empty=True)
            warnings = layer.warnings if len(layer) else (*layer.warnings, f"{self.path}: no shape touches the scene")
            yield OverlayReader(_rasterized(layer.geometries, grid), warnings)
            return
        with open_raster(self.path) as dataset:
            band = self._number(dataset)
            unknown = self.unknown if dataset.dtypes[band - 1] == "uint8" else None
        with grid.read_classes(self.path, band) as read:

            def covered(box: Box) -> tuple[np.ndarray, np.ndarray]:
                values, known = read(box)
                if unknown is not None:
                    known &= values != unknown
                return self.covers(values) & known, known

            yield OverlayReader(covered)

    def _number(self, dataset: DatasetReader) -> int:
        names = band_names(dataset)
        number = int(self.band) if self.band.isdigit() else [*names, self.band.lower()].index(self.band.lower()) + 1
        if not 1 <= number <= dataset.count:
            shown = ", ".join(name or str(place) for place, name in enumerate(names, 1))
            raise DataError(f"{self.path}: has no band {self.band}; its bands are {shown}")
        return number


def _bounds(grid: PixelGrid, scene: str, path: Path) -> tuple[float, float, float, float]:
    """Returns the bounds of a grid in its CRS."""
    if not grid.crs:
        raise DataError(f"{scene}: is not georeferenced by a CRS and a transform; {path} cannot be laid over it")
    x, y = _corners(grid, grid.box)
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def _corners(grid: PixelGrid, box: Box) -> tuple[np.ndarray, np.ndarray]:
    cols = box.col + np.array([0, box.width, box.width, 0])
    rows = box.row + np.array([0, 0, box.height, box.height])
    return to_map(grid.transform, cols, rows)


def _rasterized(geometries: np.ndarray, grid: PixelGrid) -> Callable[[Box], tuple[np.ndarray, np.ndarray]]:
    """Returns a function that draws polygons on a rectangle of a grid: the pixels whose centre lies in one."""
    import shapely
    from rasterio.features import rasterize
    from rasterio.transform import Affine

    tree = shapely.STRtree(geometries)

    def draw(box: Box) -> tuple[np.ndarray, np.ndarray]:
        known = np.ones(window_shape(box), bool)
        found = tree.query(shapely.Polygon(np.column_stack(_corners(grid, box))), predicate="intersects")
        if not len(found):
            return ~known, known
        place = grid.transform @ Affine.translation(box.col, box.row)
        return rasterize(geometries[found], window_shape(box), transform=place, dtype="uint8").astype(bool), known

    return draw
