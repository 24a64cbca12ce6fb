"""Reads tiles of rasters; files stay open in each thread, the last used ones of it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from flood_seg.errors import ImageError
from flood_seg.imaging.gdal import import_rasterio, raster_errors
from flood_seg.products.ground import to_map
from flood_seg.products.page.frame import RADIUS

if TYPE_CHECKING:
    from pathlib import Path

    from morecantile import TileMatrixSet
    from rio_tiler.io import Reader

    from flood_seg.service.tiles.rasters import JobRasters

Plane = Literal["mercator", "pixels"]
Resampling = Literal["nearest", "bilinear"]
TILE = 256  # pixels per side
MAX_ZOOM = 24  # of WebMercatorQuad
KEPT = 32  # files that are open per thread
TOLERANCE = 0.02  # pixels by which GDAL may approximate a projection; its default, 1/8, shows as seams between tiles


@dataclass(frozen=True)
class Tile:
    """A tile: column `x` and row `y` of the zoom level `z`, from the upper left corner, in pixels of `size`."""

    z: int
    x: int
    y: int
    size: int = TILE


class Pyramid:
    """The zoom levels of a scene, in which all of its layers have the same place.

    In Web Mercator they are those of WebMercatorQuad. In pixels, a tile of the largest zoom level has the pixels of the
    scene, and each level below it half as many; all of the scene is on the tile of level 0.
    """

    def __init__(self, rasters: JobRasters, plane: Plane) -> None:
        """Takes a scene, and where it is drawn."""
        self.plane, self._rasters = plane, rasters

    @classmethod
    def of(cls, rasters: JobRasters, plane: Plane | None) -> Pyramid:
        """Returns the pyramid of a scene; by default in Web Mercator where it is georeferenced, else in pixels.

        Raises:
            ImageError: it is not georeferenced, and shall be drawn in Web Mercator.
        """
        plane = plane or ("mercator" if rasters.frame.ground else "pixels")
        if plane == "mercator" and rasters.frame.ground is None:
            raise ImageError("the scene is not georeferenced; its tiles are in pixels, crs=pixels")
        return _pyramid(rasters, plane)

    @cached_property
    def _levels(self) -> tuple[int, int]:
        rasters = self._rasters
        if self.plane == "pixels":
            levels = np.log2(max(rasters.height, rasters.width) / TILE)
            return 0, max(0, int(np.ceil(levels)))
        tiles = mercator()
        finest = tiles.zoom_for_res(self.resolution, zoom_level_strategy="upper")
        shrinks = max(0, int(np.log2(max(rasters.height, rasters.width) / TILE)))
        return max(0, finest - shrinks - 1), finest

    @property
    def minzoom(self) -> int:
        """The zoom level at which the scene has about the size of a tile."""
        return self._levels[0]

    @property
    def maxzoom(self) -> int:
        """The zoom level that shows each pixel of the scene."""
        return self._levels[1]

    @cached_property
    def resolution(self) -> float:
        """Size of the pixel at the centre of the scene in Web Mercator, in its metres."""
        rasters, middle = self._rasters, (self._rasters.width / 2, self._rasters.height / 2)
        cols, rows = np.add(middle[0], [0, 1, 0]), np.add(middle[1], [0, 0, 1])
        corners = np.column_stack(to_map(rasters.georeference["transform"], cols, rows))
        longitudes, latitudes = np.radians(rasters.frame.positions(corners, rasters.georeference["crs"].to_wkt())).T
        points = RADIUS * np.column_stack([longitudes, np.arcsinh(np.tan(latitudes))])
        return float(np.sqrt(abs(np.linalg.det(points[1:] - points[0]))))

    def side(self, tile: Tile) -> float:
        """Returns how many pixels of a scene in pixels a tile is wide."""
        return float(TILE * 2.0 ** (self.maxzoom - tile.z))

    def ratio(self, tile: Tile) -> float:
        """Returns how many pixels of the scene a pixel of a tile is wide."""
        if self.plane == "pixels":
            return self.side(tile) / tile.size
        bounds = mercator().xy_bounds(*_coordinates(tile))
        return (bounds.right - bounds.left) / tile.size / self.resolution

    def has(self, tile: Tile) -> bool:
        """Whether a tile touches the rectangle that the scene lies in."""
        rasters = self._rasters
        if self.plane == "pixels":
            side = self.side(tile)
            return tile.z <= self.maxzoom and tile.x * side < rasters.width and tile.y * side < rasters.height
        if max(tile.x, tile.y) >= 2**tile.z:
            return False
        west, south, east, north = rasters.frame.bounds
        found = mercator().bounds(*_coordinates(tile))
        across = any(found.left + turn < east and found.right + turn > west for turn in (-360, 0, 360))
        return across and found.bottom < north and found.top > south


@lru_cache(256)
def _pyramid(rasters: JobRasters, plane: Plane) -> Pyramid:
    return Pyramid(rasters, plane)


class Readers(threading.local):
    """The files that a thread has open."""

    def __init__(self) -> None:
        self._open: OrderedDict[Any, Reader] = OrderedDict()  # a reader does not close a dataset that it was given

    def read(self, path: Path, pyramid: Pyramid, tile: Tile, resampling: Resampling) -> np.ma.MaskedArray:
        """Returns all bands of a raster on a tile, masked where it has no data [bands, size, size].

        Nothing is read at more than twice the resolution of the tile, since the file has overviews.

        Args:
            path: of a file with overviews.
            pyramid: of the scene that the file covers.
            tile: that the scene has; see `Pyramid.has`.
            resampling: between the pixels of the file.

        Raises:
            ImageError: the file is missing or damaged.
        """
        with raster_errors(path), import_rasterio().Env():  # by which GDAL's warnings are not printed
            draw = self._in_pixels if pyramid.plane == "pixels" else self._in_mercator
            return draw(path, pyramid, tile, resampling)

    def _in_pixels(self, path: Path, pyramid: Pyramid, tile: Tile, resampling: Resampling) -> np.ma.MaskedArray:
        side = pyramid.side(tile)
        left, top = tile.x * side, tile.y * side
        kind: Resampling = "nearest" if pyramid.ratio(tile) < 1 else resampling  # neighbours beyond it are not read
        found: np.ma.MaskedArray = self._reader(path, "pixels", None).part(
            (left, top + side, left + side, top), width=tile.size, height=tile.size, resampling_method=kind
        ).array  # fmt: skip
        return found

    def _in_mercator(self, path: Path, pyramid: Pyramid, tile: Tile, resampling: Resampling) -> np.ma.MaskedArray:
        """Warps once, to the pixels of the tile, from the overview that GDAL's own programs would take."""
        from rasterio.transform import from_bounds
        from rio_tiler.errors import TileOutsideBounds

        dataset: Any = self._reader(path, "mercator", None).dataset
        factors, ratio = [1, *dataset.overviews(1)], pyramid.ratio(tile) + 0.1
        level = max((number for number, factor in enumerate(factors) if factor <= ratio), default=0)
        bounds = mercator().xy_bounds(*_coordinates(tile))
        grid = {"transform": from_bounds(*bounds, tile.size, tile.size), "width": tile.size, "height": tile.size}
        try:
            found: np.ma.MaskedArray = self._reader(path, "mercator", level - 1 if level else None).tile(
                tile.x, tile.y, tile.z, tilesize=tile.size, reproject_method=resampling,
                vrt_options={**grid, "tolerance": TOLERANCE},
            ).array  # fmt: skip
        except TileOutsideBounds:  # in a corner of the rectangle around a turned raster
            shape = dataset.count, tile.size, tile.size
            found = np.ma.MaskedArray(np.zeros(shape, dataset.dtypes[0]), mask=True)
        return found

    def _reader(self, path: Path, plane: Plane, overview: int | None) -> Reader:
        from rio_tiler.io import ImageReader, Reader

        status = path.stat()
        key = path, plane, overview, status.st_mtime_ns, status.st_size
        if key not in self._open:
            for other in list(self._open):  # also what was removed, whose space would not be free before
                if (other[0] == path and other[3:] != key[3:]) or not other[0].exists():
                    self._close(other)
            while len(self._open) >= KEPT:
                self._close(next(iter(self._open)))
            options = {} if overview is None else {"overview_level": overview}
            dataset = import_rasterio().open(path, driver="GTiff", **options)
            self._open[key] = (Reader if plane == "mercator" else ImageReader)(None, dataset=dataset)
        self._open.move_to_end(key)
        return self._open[key]

    def _close(self, key: Any) -> None:
        dataset: Any = self._open.pop(key).dataset
        dataset.close()


def mercator() -> TileMatrixSet:
    """Returns the tile matrix set WebMercatorQuad of OGC."""
    from rio_tiler.constants import WEB_MERCATOR_TMS

    return WEB_MERCATOR_TMS


def _coordinates(tile: Tile) -> Any:
    return tile.x, tile.y, tile.z
