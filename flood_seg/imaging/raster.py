"""Reads rasters of any bands and number type with GDAL, by rasterio (the `geo` extra)."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.errors import ImageError
from flood_seg.imaging.read import MAX_PIXELS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rasterio.io import DatasetReader

# What OpenCV resizes as it is; the others become float32.
_KEPT = (np.uint8, np.uint16, np.float32)


@dataclass(frozen=True)
class Raster:
    """The bands of a file.

    Attributes:
        values: uint8, uint16 or float32 [H, W, bands]; 0 where `valid` is False.
        names: of the bands in lower case: their descriptions, else what GDAL knows of their colours, else empty.
        valid: bool [H, W], False where any band has no data; None: there is data everywhere.
    """

    values: np.ndarray
    names: tuple[str, ...]
    valid: np.ndarray | None = None


def read_raster(path: Path, *, palette: bool = False) -> Raster:
    """Reads all bands; the pages of a TIFF with several pages of one size are its bands.

    Args:
        path: of the file.
        palette: whether a palette's indices become their colours.

    Raises:
        ImageError: the file is missing, damaged, or larger than an image may be.
    """
    with open_raster(path) as source:
        if source.width * source.height > MAX_PIXELS:
            raise ImageError(f"{path}: {source.width}×{source.height}, more than {MAX_PIXELS / 1e6:.0f} megapixels; "
                             "cut it into tiles")  # fmt: skip
        values, valid = np.moveaxis(source.read(), 0, 2), _valid(source)
        if palette and source.count == 1 and source.colorinterp[0].name == "palette":
            values = _colors(values, source.colormap(1))
        names = band_names(source)
        if source.count == 1 and len(source.subdatasets) > 1:
            values, names = _pages(path, source.subdatasets), ("",) * len(source.subdatasets)
    return Raster(*_cleaned(values, names, valid))


@contextmanager
def open_raster(path: Path) -> Iterator[DatasetReader]:
    """Yields the file opened by rasterio; what it raises, in the body too, becomes an ImageError."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a photo has no place on the map
            with rasterio.open(path) as source:
                yield source
    except (RasterioError, ValueError) as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise ImageError(f"{path}: damaged or no raster ({reason})") from error


def band_names(source: DatasetReader) -> tuple[str, ...]:
    """Returns the bands' names in lower case; empty where the file says nothing."""
    known = [color.name if color.name in ("red", "green", "blue", "alpha") else "" for color in source.colorinterp]
    return tuple((text or color).lower() for text, color in zip(source.descriptions, known, strict=True))


def _valid(source: DatasetReader) -> np.ndarray | None:
    from rasterio.enums import MaskFlags

    if all(MaskFlags.all_valid in flags or MaskFlags.alpha in flags for flags in source.mask_flag_enums):
        return None
    return np.asarray(source.read_masks().min(axis=0) > 0)


def _colors(values: np.ndarray, colormap: dict[int, tuple[int, ...]]) -> np.ndarray:
    table = np.zeros((256, 3), np.uint8)
    for index, color in colormap.items():
        table[index] = color[:3]
    return np.asarray(table[values[:, :, 0]])


def _pages(path: Path, names: list[str]) -> np.ndarray:
    import rasterio

    pages = []
    for name in names:
        with rasterio.open(name) as page:
            pages.append(page.read(1))
    if len({page.shape for page in pages}) > 1:
        raise ImageError(f"{path}: its pages are of several sizes; write one page, or the bands as one size")
    return np.stack(pages, axis=2)


def _cleaned(
    values: np.ndarray, names: tuple[str, ...], valid: np.ndarray | None
) -> tuple[np.ndarray, tuple[str, ...], np.ndarray | None]:
    """Returns plain number types without NaN."""
    if values.dtype not in _KEPT:
        values = values.astype(np.float32)
    values = np.ascontiguousarray(values)
    if values.dtype == np.float32 and not np.isfinite(values).all():
        finite = np.isfinite(values).all(axis=2)
        valid = finite if valid is None else valid & finite
    if valid is not None and valid.all():
        valid = None
    if valid is not None:
        values[~valid] = 0
    return values, names, valid
