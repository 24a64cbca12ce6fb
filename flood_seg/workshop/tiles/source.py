"""Reads parts of an image: of a raster from its file, of a photo from memory."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from flood_seg.imaging.decode import decode_bands
from flood_seg.imaging.gdal import import_rasterio, open_raster, raster_errors
from flood_seg.imaging.raster import equals
from flood_seg.imaging.source import is_raster
from flood_seg.workshop.tiles.grid import Tile


class PhotoSource:
    """An image that is decoded once and held in memory.

    Attributes:
        shape: (height, width).
        profile: of GDAL, for files of the same kind; empty.
        suffix: of tiles in the format `auto`.
        band_names: none.
        band_colors: none.
    """

    suffix = ".png"
    band_names: tuple[str | None, ...] = ()
    band_colors: tuple[Any, ...] = ()

    def __init__(self, path: Path) -> None:
        values, _ = decode_bands(path)
        self._values = np.moveaxis(values, 2, 0)
        self.shape, self.profile = values.shape[:2], dict[str, Any]()

    def read(self, part: Tile) -> tuple[np.ndarray, np.ndarray]:
        """Returns a part inside the image: any dtype [bands, H, W], and where it has data, bool [H, W]."""
        rows, cols = slice(part.row, part.row + part.height), slice(part.col, part.col + part.width)
        return self._values[:, rows, cols], np.ones((part.height, part.width), bool)

    def keeps_validity(self, suffix: str) -> bool:
        """Whether the values of a tile with this suffix show which pixels have data."""
        return True


class RasterSource:
    """A raster of any size; each thread has its own handle, since GDAL's handles are not thread-safe.

    Attributes: as of `PhotoSource`; the bands' names and colour interpretations are the file's.
    """

    suffix = ".tif"

    def __init__(self, path: Path, stack: ExitStack, nodata: float | None = None) -> None:
        """Opens the raster; its handles are closed with `stack`.

        Args:
            path: of the file.
            stack: closes it.
            nodata: value of pixels without data, declared in the profile where the file declares none.
        """
        self._nodata = nodata
        self._path, self._stack, self._local, self._lock = path, stack, threading.local(), threading.Lock()
        with open_raster(path):  # reports what is wrong with it
            source = self._handle()
        self.shape = (source.height, source.width)
        self.band_names, self.band_colors = source.descriptions, source.colorinterp
        self.profile = {
            "driver": "GTiff", "count": source.count, "dtype": source.dtypes[0], "nodata": source.nodata,
            "crs": source.crs, "transform": source.transform,
        }  # fmt: skip
        from rasterio.dtypes import in_dtype_range
        from rasterio.enums import MaskFlags

        if nodata is not None and source.nodata is None and in_dtype_range(nodata, source.dtypes[0]):
            self.profile["nodata"] = nodata
        flags = source.mask_flag_enums
        self._whole = all(MaskFlags.all_valid in kinds or MaskFlags.alpha in kinds for kinds in flags)
        declared = nodata is None or self.profile["nodata"] in (None, nodata)  # None: the type cannot hold it
        self._by_values = declared and (self._whole or all(MaskFlags.nodata in kinds for kinds in flags))

    def _handle(self) -> Any:
        if not hasattr(self._local, "handle"):
            # Not by `with`: what that sets up in this thread would be taken down in another one.
            handle = self._local.handle = import_rasterio().open(self._path)
            with self._lock:
                self._stack.callback(handle.close)
        return self._local.handle

    def read(self, part: Tile) -> tuple[np.ndarray, np.ndarray]:
        """See PhotoSource; raises ImageError where the file is damaged there."""
        window = (part.row, part.row + part.height), (part.col, part.col + part.width)
        with raster_errors(self._path):
            handle = self._handle()
            values = handle.read(window=window)
            valid = np.ones(values.shape[1:], bool)
            if not self._whole:
                for band in range(1, len(values) + 1):  # one at a time: masks are as large as bands
                    valid &= handle.read_masks(band, window=window) > 0
            if self._nodata is not None:
                valid &= ~equals(values, self._nodata).any(axis=0)
            if values.dtype.kind == "f":
                valid &= np.isfinite(values).all(axis=0)
        return values, valid

    def keeps_validity(self, suffix: str) -> bool:
        """See PhotoSource."""
        return suffix == ".tif" and self._by_values


Source = PhotoSource | RasterSource


def open_source(path: Path, stack: ExitStack, nodata: float | None = None) -> Source:
    """Opens an image for cutting; `nodata`: as of `RasterSource`.

    Raises:
        ImageError: it cannot be read.
    """
    return RasterSource(path, stack, nodata) if is_raster(path) else PhotoSource(path)
