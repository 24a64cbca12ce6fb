"""Writes an acquisition as one GeoTIFF, block by block: what the network delivers is never held as a whole."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.console import track
from flood_seg.errors import DataError
from flood_seg.imaging.gdal import create_raster
from flood_seg.workshop.catalog.files import PixelGrid, band_files

if TYPE_CHECKING:
    from pathlib import Path

    from rasterio.windows import Window

    from flood_seg.config.schema.catalog import CollectionConfig, SceneConfig
    from flood_seg.workshop.catalog.area import Area
    from flood_seg.workshop.catalog.files import BandFile
    from flood_seg.workshop.catalog.search import Acquisition

BLOCK = 1024  # pixels; a multiple of the file's tiles, and of those of most Cloud Optimized GeoTIFFs
CONNECTIONS = 8


def download(
    acquisition: Acquisition, config: SceneConfig, area: Area, token: str, path: Path
) -> tuple[PixelGrid, float]:
    """Writes the bands of an area as a GeoTIFF with named bands, nodata, time and the items that it is made of.

    A pixel is that of the first item that has data there in all bands. Of a collection without nodata value, where 0 is
    a value of dark water, it has data in any band: only what lies outside of a file is 0 in all of them.

    Args:
        acquisition: its items, the preferred one first.
        config: which bands, and how they are read.
        area: whose bounding box, in the UTM zone of the first item, is written.
        token: that is appended to the addresses of files; empty: none.
        path: of the file.

    Returns:
        the grid, and the share of its pixels that have data.

    Raises:
        DataError: an item has not the bands, one of its files cannot be read, or no pixel has data.
        OutputError: the file cannot be written.
    """
    from rasterio.windows import Window

    collection = config.collection
    items = [band_files(item, config, token) for item in acquisition.items]
    with items[0][0].open() as dataset:
        grid = PixelGrid.over(area, dataset, config.resolution)
    profile = {
        "driver": "GTiff", "height": grid.height, "width": grid.width, "count": len(config.bands),
        "dtype": collection.dtype, "nodata": collection.nodata, "crs": grid.crs, "transform": grid.transform,
        "tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "bigtiff": "if_safer",
        "predictor": 3 if collection.dtype == "float32" else 2, "photometric": "minisblack",
    }  # fmt: skip
    windows = [
        Window(col, row, min(BLOCK, grid.width - col), min(BLOCK, grid.height - row))
        for row in range(0, grid.height, BLOCK)
        for col in range(0, grid.width, BLOCK)
    ]
    filled = 0
    with create_raster(path, profile) as out, ThreadPoolExecutor(CONNECTIONS) as threads:
        for number, band in enumerate(config.bands, 1):  # first, so that the file ends in pixels: see `is_readable`
            out.set_band_description(number, band)
        out.update_tags(
            TIFFTAG_DATETIME=acquisition.time.strftime("%Y:%m:%d %H:%M:%S"), STAC_API=config.catalog.url,
            STAC_COLLECTION=config.scene.collection, STAC_ITEMS=",".join(item.id for item in acquisition.items),
        )  # fmt: skip
        for window in track(windows, path.name, len(windows)):
            values, valid = _mosaic(items, grid, window, collection, threads)
            filled += int(np.count_nonzero(valid))
            out.write(values, window=window)
        if not filled:
            raise DataError(f"{', '.join(item.id for item in acquisition.items)}: no data in the area; enlarge it")
    return grid, filled / (grid.height * grid.width)


def _mosaic(
    items: list[list[BandFile]],
    grid: PixelGrid,
    window: Window,
    collection: CollectionConfig,
    threads: ThreadPoolExecutor,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the bands of a window, `collection.dtype` [bands, height, width], and where there is data."""
    shape = (int(window.height), int(window.width))
    values = np.full((len(items[0]), *shape), collection.nodata or 0, collection.dtype)
    filled = np.zeros(shape, bool)
    combine = np.logical_or if collection.nodata is None else np.logical_and
    for files in items:
        read = list(threads.map(lambda file: file.read(grid, window), files))
        new = combine.reduce([valid for _, valid in read]) & ~filled
        for band, file, (stored, _) in zip(values, files, read, strict=True):
            band[new] = scaled(stored[new], file, collection)
        filled |= new
        if filled.all():
            break
    return values, filled


def scaled(stored: np.ndarray, file: BandFile, collection: CollectionConfig) -> np.ndarray:
    """Returns stored values × gain + offset in the collection's number type; none of them becomes its nodata value."""
    dtype = np.dtype(collection.dtype)
    if (file.gain, file.offset) == (1, 0) and np.can_cast(stored.dtype, dtype):
        return stored.astype(dtype)
    values = stored.astype(np.float64) * file.gain + file.offset
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    low = limits.min + (collection.nodata == limits.min)
    return np.rint(values).clip(low, limits.max).astype(dtype)
