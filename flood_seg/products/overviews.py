"""Overviews of a raster that may be sparse: what has no data is neither read nor resampled.

GDAL's own take every pixel: the mode of 100,000 × 100,000 pixels takes minutes even where a hundredth of them has data.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.imaging.gdal import import_rasterio, stored_blocks

if TYPE_CHECKING:
    from rasterio.io import DatasetReader, DatasetWriter


def write_overviews(path: Path, resampling: str, layout: dict[str, Any]) -> None:
    """Writes the overviews of a tiled GeoTIFF, each half as large as the one before, down to a single block.

    GDAL finds their files by the names: `path` with `.ovr`, that one with `.ovr` again, and so on.

    Args:
        path: of the raster.
        resampling: `mode` or `average`.
        layout: entries of rasterio's profile that they are stored with: tiled, sparse, and with square blocks.
    """
    while True:
        with import_rasterio().open(path) as source:
            if max(source.shape) <= layout["blockxsize"]:
                return
            path = path.with_name(f"{path.name}.ovr")
            size = {"height": -(-source.height // 2), "width": -(-source.width // 2)}
            profile = size | {"count": source.count, "dtype": source.dtypes[0], "nodata": source.nodata}
            with import_rasterio().open(path, "w", **layout | profile) as out:
                _halve(source, out, resampling)


def _halve(source: DatasetReader, out: DatasetWriter, resampling: str) -> None:
    from rasterio.enums import Resampling

    stored = stored_blocks(source)
    side = out.block_shapes[0][0]
    for row, col in sorted({(row // 2, col // 2) for row, col in np.argwhere(stored).tolist()}):
        top, left = row * side, col * side
        bottom, right = min(top + side, out.height), min(left + side, out.width)
        window = (2 * top, min(2 * bottom, source.height)), (2 * left, min(2 * right, source.width))
        shape = (source.count, bottom - top, right - left)
        values = source.read(window=window, out_shape=shape, resampling=Resampling[resampling])
        out.write(values, window=((top, bottom), (left, right)))
