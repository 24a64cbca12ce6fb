"""The scene as a picture in 8 bits with overviews, which tiles are cut from: scenes themselves may have any format."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.errors import ImageError
from flood_seg.files import atomic_path
from flood_seg.imaging.bands import BandSelection
from flood_seg.imaging.display import stretch_limits, to_picture
from flood_seg.imaging.gdal import import_rasterio
from flood_seg.products.page.pictures import SIZES
from flood_seg.scenes.grid import Box
from flood_seg.scenes.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flood_seg.service.tiles.rasters import JobRasters

BLOCK = 256  # small, since tiles are cut from it
ROWS, WIDEST = 512, 16_384  # that are read at once
_FORMAT: dict[str, Any] = {
    "driver": "GTiff", "count": 3, "dtype": "uint8", "tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK,
    "compress": "jpeg", "photometric": "ycbcr", "jpeg_quality": 90, "interleave": "pixel", "bigtiff": "if_safer",
    "num_threads": "all_cpus",
}  # fmt: skip
_ENVIRONMENT = {"GDAL_TIFF_INTERNAL_MASK": True, "JPEG_QUALITY_OVERVIEW": 90, "GDAL_NUM_THREADS": "ALL_CPUS"}


class Stopped(Exception):
    """The picture was not finished, since the service stops."""


def write_picture(rasters: JobRasters, path: Path, stop: threading.Event) -> None:
    """Writes the scene with the colours that it has in map.html, a tiled JPEG in a GeoTIFF.

    Args:
        rasters: of a job whose scene is here.
        path: of the file, which is there whole or not at all.
        stop: ends the work when it is set.

    Raises:
        Stopped: it was set.
        ImageError: the scene cannot be read, or is not the one that was mapped.
        OutputError: the file cannot be written.
    """
    assert rasters.source
    with Scene.open(rasters.source, BandSelection.of(rasters.spec)) as scene:
        if (scene.height, scene.width) != (rasters.height, rasters.width):
            raise ImageError(f"{scene.source}: has another size than its map")
        names, preview = scene.bands.names, scene.preview(SIZES[0])
        limits = stretch_limits(preview.values, names)
        place = {key: value for key, value in rasters.georeference.items() if key in ("crs", "transform")}
        profile = _FORMAT | place | {"height": scene.height, "width": scene.width}
        rasterio = import_rasterio()
        with atomic_path(path) as temporary, rasterio.Env(**_ENVIRONMENT):
            with rasterio.open(temporary, "w", **profile) as out:
                for box in _parts(scene.height, scene.width):
                    if stop.is_set():
                        raise Stopped
                    raster = scene.read(box)
                    window = ((box.row, box.row + box.height), (box.col, box.col + box.width))
                    picture = to_picture(raster.values, names, limits)
                    out.write(np.moveaxis(picture, 2, 0), window=window)
                    valid = True if raster.valid is None else raster.valid
                    out.write_mask(np.broadcast_to(valid, picture.shape[:2]), window=window)
            with rasterio.open(temporary, "r+") as out:
                out.build_overviews(_factors(scene.height, scene.width), rasterio.enums.Resampling.average)


def _parts(height: int, width: int) -> Iterator[Box]:
    for row in range(0, height, ROWS):
        for col in range(0, width, WIDEST):
            yield Box(row, col, min(ROWS, height - row), min(WIDEST, width - col))


def _factors(height: int, width: int) -> list[int]:
    factors, longest = list[int](), max(height, width)
    while longest > BLOCK:
        factors.append(2 * (factors[-1] if factors else 1))
        longest = -(-longest // 2)
    return factors
