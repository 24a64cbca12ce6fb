"""The pixels of a raster and where they lie; other rasters are read on them, whatever their CRS and resolution."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.errors import DataError
from flood_seg.imaging.gdal import open_raster, raster_errors
from flood_seg.imaging.raster import equals
from flood_seg.products.ground import Ground, to_map
from flood_seg.scenes.grid import Box

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from rasterio.io import DatasetReader

    from flood_seg.scenes.scene import Scene

ROWS, COLS = 512, 2048  # of a part that is computed at once: what it takes does not grow with the raster
COUNTED_ROWS = 128  # of a part whose pixels are taken to be of one size
EDGE_POINTS = 32  # per side of a raster, whose sides are curves in another CRS
SAME = 0.01  # pixels that the corners of two rasters may differ by


@dataclass(frozen=True)
class PixelGrid:
    """The pixels of a raster.

    Attributes:
        height: in pixels.
        width: in pixels.
        crs: rasterio's; None: it is not georeferenced by a CRS and an affine transform.
        transform: from columns and rows to coordinates; None: as above.
    """

    height: int
    width: int
    crs: Any = None
    transform: Any = None

    @classmethod
    def of(cls, georeference: Mapping[str, Any], height: int, width: int) -> PixelGrid:
        """Takes entries of rasterio's profile; see `read_georeference`."""
        crs, transform = georeference.get("crs"), georeference.get("transform")
        return cls(height, width, crs, transform) if crs and transform else cls(height, width)

    @classmethod
    def of_scene(cls, scene: Scene) -> PixelGrid:
        """Returns the pixels of a scene."""
        return cls.of(scene.georeference, scene.height, scene.width)

    @classmethod
    def of_raster(cls, dataset: DatasetReader) -> PixelGrid:
        """Returns the pixels of an opened raster."""
        place = {"crs": dataset.crs, "transform": dataset.transform}
        return cls.of(place if not dataset.transform.is_identity else {}, dataset.height, dataset.width)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    @property
    def box(self) -> Box:
        """All pixels."""
        return Box(0, 0, self.height, self.width)

    @property
    def georeference(self) -> dict[str, Any]:
        """As `read_georeference` returns it."""
        return {"crs": self.crs, "transform": self.transform} if self.crs else {}

    @property
    def ground(self) -> Ground | None:
        """Where it lies on the Earth; None: it is not georeferenced."""
        return Ground.of(self.georeference)

    def parts(self) -> Iterator[Box]:
        """Yields rectangles that cover all pixels once, row by row."""
        for row in range(0, self.height, ROWS):
            for col in range(0, self.width, COLS):
                yield Box(row, col, ROWS, COLS).shared(self.box)

    def extent_of(self, other: PixelGrid) -> Box:
        """Returns a rectangle around another raster in pixels of this one, maybe beyond it; empty where it is unknown.

        Two rasters that are not georeferenced lie over each other.
        """
        if not (self.crs and other.crs):
            return Box(0, 0, *other.shape) if self.crs == other.crs else Box(0, 0, 0, 0)
        from rasterio.warp import transform

        steps = np.linspace(0, 1, EDGE_POINTS)
        ends = np.zeros_like(steps), np.ones_like(steps)
        cols = other.width * np.concatenate([steps, steps, *ends])
        rows = other.height * np.concatenate([*ends, steps, steps])
        x, y = to_map(other.transform, cols, rows)
        if other.crs != self.crs:
            x, y = (np.array(one) for one in transform(other.crs, self.crs, x, y)[:2])
        found = np.column_stack(to_map(~self.transform, x, y))
        found = found[np.isfinite(found).all(axis=1)]
        if not len(found):
            return Box(0, 0, 0, 0)
        # Edges that lie on those of pixels shall not reach over them by an error of rounding.
        left, top = np.floor(found.min(axis=0) + 1e-6).astype(int).tolist()
        right, bottom = np.ceil(found.max(axis=0) - 1e-6).astype(int).tolist()
        return Box.of((top, bottom), (left, right))

    def check_overlap(self, other: PixelGrid, what: str, scene: str) -> None:
        """Checks that another raster can be read on these pixels.

        Args:
            other: the other one.
            what: it is, for messages.
            scene: what this one is.

        Raises:
            DataError: it lies elsewhere, or one of them is not georeferenced and they are of different sizes.
        """
        if bool(self.crs) != bool(other.crs):
            missing, located = (scene, what) if other.crs else (what, scene)
            raise DataError(f"{missing}: is not georeferenced by a CRS and a transform, but {located} is; georeference "
                            "it first, for example with gdalwarp")  # fmt: skip
        if not self.crs and self.shape != other.shape:
            raise DataError(f"{what}: is {other.width}×{other.height}, {scene} is {self.width}×{self.height}, and "
                            "neither is georeferenced; give one with the same pixels")  # fmt: skip
        if not self.extent_of(other).meets(self.box):
            raise DataError(f"{what}: lies elsewhere than {scene}; give one of the same place")

    def is_same(self, other: PixelGrid) -> bool:
        """Whether the pixels of another raster are these."""
        if self.shape != other.shape or self.crs != other.crs:
            return False
        corners = np.array([0, self.width, 0]), np.array([0, 0, self.height])
        return not self.crs or np.allclose(
            to_map(~self.transform, *to_map(other.transform, *corners)), corners, rtol=0, atol=SAME
        )

    @contextmanager
    def read_classes(self, path: Path, band: int = 1) -> Iterator[Callable[[Box], tuple[np.ndarray, np.ndarray]]]:
        """Opens a raster of classes to be read on these pixels.

        A pixel takes the value below its centre, or the commonest one below it where the pixels of the file are
        smaller by half or more. Any one thread may read.

        Args:
            path: of the raster, whose place was checked by `check_overlap`.
            band: of the raster, from 1.

        Yields:
            a function that takes a rectangle, which may not go beyond these pixels, and returns the values, of the
            raster's type [height, width], and where there are any that are not its nodata value, bool [height, width].

        Raises:
            ImageError: the file is missing or damaged, also later, when it is read.
        """
        with open_raster(path) as dataset, ExitStack() as stack:
            source = PixelGrid.of_raster(dataset)
            nodata = dataset.nodatavals[band - 1]
            if self.is_same(source) or not self.crs:
                values, inside, extent = dataset, None, self.box
            else:
                values, inside = self._warped(dataset, source, stack)
                around = self.extent_of(source)
                extent = Box(around.row - 1, around.col - 1, around.height + 2, around.width + 2).shared(self.box)

            def read(box: Box) -> tuple[np.ndarray, np.ndarray]:
                window = ((box.row, box.row + box.height), (box.col, box.col + box.width))
                if not box.meets(extent):  # warping finds that out at the price of reading
                    return np.zeros((box.height, box.width), values.dtypes[band - 1]), np.zeros(window_shape(box), bool)
                with raster_errors(path):
                    found = values.read(band, window=window)
                    known = inside.read(inside.count, window=window) > 0 if inside else np.ones(found.shape, bool)
                if found.dtype.kind == "f":
                    known &= ~np.isnan(found)
                if nodata is not None and not np.isnan(nodata):
                    known &= ~equals(found, nodata)
                return found, known

            yield read

    def _warped(
        self, dataset: DatasetReader, source: PixelGrid, stack: ExitStack
    ) -> tuple[DatasetReader, DatasetReader]:
        """Returns a raster on these pixels, and one whose last band is where it lies."""
        from rasterio.enums import Resampling
        from rasterio.vrt import WarpedVRT

        def warp(resampling: Resampling) -> DatasetReader:
            # Without its nodata value, which is one of the values that the commonest is chosen from.
            warped: DatasetReader = stack.enter_context(WarpedVRT(
                dataset, crs=self.crs, transform=self.transform, height=self.height, width=self.width,
                resampling=resampling, src_nodata=None, nodata=None, add_alpha=True,
            ))  # fmt: skip
            return warped

        nearest = warp(Resampling.nearest)
        extent = self.extent_of(source)
        if extent.height * extent.width * 2 > source.height * source.width:
            return nearest, nearest
        return warp(Resampling.mode), nearest  # `mode` goes a pixel beyond the edges


def window_shape(box: Box) -> tuple[int, int]:
    """Returns the shape of an array that covers a rectangle."""
    return box.height, box.width


class ClassSizes:
    """Counts the pixels of each value of a raster of classes, and their geodesic area."""

    def __init__(self, ground: Ground | None) -> None:
        """Takes the place of the raster; None: there are no areas."""
        self._ground = ground
        self._pixels, self._areas = np.zeros(256, np.int64), np.zeros(256)

    def add(self, box: Box, values: np.ndarray) -> None:
        """Adds a rectangle, uint8 [height, width]."""
        for row in range(0, box.height, COUNTED_ROWS):
            part = values[row : row + COUNTED_ROWS]
            counts = np.bincount(part.ravel(), minlength=256)
            self._pixels += counts
            if self._ground:
                self._areas += counts * self._ground.pixel_area(Box(box.row + row, box.col, *part.shape))

    def pixels(self, value: int) -> int:
        """Returns the number of pixels of a value."""
        return int(self._pixels[value])

    def square_metres(self, value: int) -> float | None:
        """Returns the area of a value; None: the raster is not georeferenced."""
        return float(self._areas[value]) if self._ground else None

    def of(self, value: int) -> dict[str, Any]:
        """Returns both as JSON."""
        area = self.square_metres(value)
        return {"pixels": self.pixels(value), "area_m2": None if area is None else round(area, 2)}
