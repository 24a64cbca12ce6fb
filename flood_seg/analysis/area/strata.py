"""What each pixel of some scenes counts as, and how large it is: read piece by piece, each place on the ground once."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.analysis.result import DRY, FLOODED, PERMANENT, MapResult
from flood_seg.errors import ImageError
from flood_seg.imaging.gdal import import_rasterio, open_raster, raster_errors
from flood_seg.products.ground import Ground, to_map
from flood_seg.products.layers import NODATA, mask_values
from flood_seg.scenes.grid import Box

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rasterio.io import DatasetReader

# Strata beyond the classes of the model.
PERMANENT_WATER, ELSEWHERE, NOT_OBSERVED = 253, 254, 255
COLUMNS = 1024  # of a piece


@dataclass(frozen=True)
class Piece:
    """A rectangle of a scene.

    Attributes:
        box: where it lies.
        strata: what each pixel counts as, uint8 [h, w]: the class of the map, where water is the flood alone, or
            PERMANENT_WATER, NOT_OBSERVED, or ELSEWHERE: it counts in another scene.
        areas: of the pixels, in m², float64 [h, w].
        probabilities: of each class, float32 [classes, h, w], 0 where they are not known; None: of none.
    """

    box: Box
    strata: np.ndarray
    areas: np.ndarray
    probabilities: np.ndarray | None


@dataclass(frozen=True)
class StrataReader:
    """Reads a scene.

    Attributes:
        result: of the scene.
        ground: of the scene.
        before: scenes that overlap it, and in which the places that they show count.
        probability: whether probabilities are read.
    """

    result: MapResult
    ground: Ground
    before: Sequence[MapResult] = field(default=())
    probability: bool = True

    def pieces(self) -> Iterator[Piece]:
        """Yields all pieces; raises ImageError where a layer is missing, damaged or of another size."""
        result = self.result
        classes = len(result.spec.class_names)
        with ExitStack() as stack:
            mask = stack.enter_context(_layer(result, "mask.tif")) if classes > 2 else None
            chances = stack.enter_context(_layer(result, "probability.tif")) if self.probability else None
            others = [stack.enter_context(_on_grid(one, result)) for one in self.before]
            for strip, flood in result.flood.strips():
                if strip.width != result.width or strip.row + strip.height > result.height:
                    raise ImageError(f"{result.flood.path}: has another size than mask.tif; make it anew")
                for col in range(0, strip.width, COLUMNS):
                    box = Box(strip.row, col, strip.height, min(COLUMNS, strip.width - col))
                    window = ((box.row, box.row + box.height), (box.col, box.col + box.width))
                    strata = self._strata(flood[box.within(strip)], mask.read(1, window=window) if mask else None)
                    for other in others:
                        seen = other.read(1, window=window) != NODATA
                        strata[seen & (strata != NOT_OBSERVED)] = ELSEWHERE
                    found = _probabilities(chances, window, classes, strata) if chances else None
                    yield Piece(box, strata, self.ground.pixel_areas(box), found)

    def _strata(self, flood: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        strata = np.full(flood.shape, NOT_OBSERVED, np.uint8)
        if mask is None:  # binary
            strata[flood == DRY] = 1 - self.result.water
        else:
            for number, value in enumerate(mask_values(self.result.spec)):
                # Water that is not flood, since it has receded for example, is land.
                strata[(flood == DRY) & (mask == value)] = 0 if number == self.result.water else number
        strata[flood == FLOODED] = self.result.water
        strata[flood == PERMANENT] = PERMANENT_WATER
        return strata


@contextmanager
def _layer(result: MapResult, name: str) -> Iterator[DatasetReader]:
    path = result.folder / name
    with open_raster(path) as dataset, raster_errors(path):
        if dataset.shape != (result.height, result.width):
            raise ImageError(f"{path}: has another size than mask.tif; run flood-seg map again")
        yield dataset


@contextmanager
def _on_grid(other: MapResult, result: MapResult) -> Iterator[DatasetReader]:
    """Yields the flood of another scene on the grid of this one, with NODATA where it shows nothing."""
    from rasterio.vrt import WarpedVRT

    place = result.georeference | {"height": result.height, "width": result.width, "nodata": NODATA}
    nearest = import_rasterio().enums.Resampling.nearest
    with (
        open_raster(other.flood.path) as dataset,
        raster_errors(other.flood.path),
        WarpedVRT(dataset, resampling=nearest, **place) as grid,
    ):
        yield grid


def _probabilities(
    dataset: DatasetReader, window: tuple[tuple[int, int], tuple[int, int]], classes: int, strata: np.ndarray
) -> np.ndarray:
    values = dataset.read(window=window)
    if values.dtype == np.uint8:
        values = np.where(values == NODATA, 0, values * np.float32(dataset.scales[0]))
    values = np.nan_to_num(values.astype(np.float32, copy=False))
    if classes == 2 and len(values) == 1:
        values = np.concatenate([1 - values, values])
    values[:, strata >= PERMANENT_WATER] = 0
    return np.asarray(values)


def overlapping(results: Sequence[MapResult]) -> list[list[MapResult]]:
    """Returns the scenes before each one whose rectangle meets its own."""
    return [[other for other in results[:number] if _meet(result, other)] for number, result in enumerate(results)]


def _meet(result: MapResult, other: MapResult) -> bool:
    """Whether two rectangles meet, in the CRS of the first; True too where that cannot be known."""
    import shapely
    from pyproj import Transformer

    here, there = _outline(result), _outline(other)
    if result.georeference["crs"] != other.georeference["crs"]:
        source, goal = (one.georeference["crs"].to_wkt() for one in (other, result))
        there = np.column_stack(Transformer.from_crs(source, goal, always_xy=True).transform(*there.T))
    if not np.isfinite(there).all():
        return True
    return bool(
        shapely.intersects(shapely.convex_hull(shapely.multipoints(here)), shapely.MultiPoint(there).convex_hull)
    )


def _outline(result: MapResult) -> np.ndarray:
    steps = np.linspace(0, 1, 17)
    cols = result.width * np.concatenate([steps, np.ones(17), steps, np.zeros(17)])
    rows = result.height * np.concatenate([np.zeros(17), steps, np.ones(17), steps])
    return np.column_stack(to_map(result.georeference["transform"], cols, rows))
