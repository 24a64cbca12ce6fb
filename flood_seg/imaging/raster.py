"""Reads the bands of rasters of any number type, or a window of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from flood_seg.errors import ImageError
from flood_seg.imaging.encoded import check_size
from flood_seg.imaging.gdal import import_rasterio, open_raster
from flood_seg.imaging.preprocess import PIXEL_TYPES, same_aspect
from flood_seg.imaging.source import ImageInput, ImageSource

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from rasterio.io import DatasetReader

    Opener = Callable[[ImageInput], AbstractContextManager[DatasetReader]]


@dataclass(frozen=True)
class Raster:
    """The bands of an image.

    Attributes:
        values: uint8, uint16 or float32 [H, W, bands]; 0 where `valid` is False.
        names: of the bands in lower case: their descriptions, else GDAL's colour interpretation, else empty.
        valid: bool [H, W], False where any band has no data that must be there; None: there is data everywhere. Of a
            single file that is read with `each_band`, bool [H, W, bands].
        missing: the share of the pixels with data, in (0, 1], in which a band is missing that may be, by its name.
    """

    values: np.ndarray
    names: tuple[str, ...]
    valid: np.ndarray | None = None
    missing: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Window:
    """A part of an image, in pixels.

    Attributes:
        row: the first one.
        col: the first column.
        height: number of rows that are read.
        width: number of columns that are read.
        of: height and width of the whole image.
    """

    row: int
    col: int
    height: int
    width: int
    of: tuple[int, int]

    @property
    def slices(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """As rasterio takes them."""
        return (self.row, self.row + self.height), (self.col, self.col + self.width)


def read_raster(
    given: ImageInput, window: Window | None = None, nodata: float | None = None, opener: Opener = open_raster,
    *, each_band: bool = False,
) -> Raster:  # fmt: skip
    """Reads all bands; the pages of a TIFF with several pages of one size are its bands.

    Args:
        given: a file, or the bytes of a TIFF or a JPEG 2000.
        window: what is read; a file of another resolution than the window's image is resampled to it, bilinearly. None:
            all.
        nodata: a value that stands for no data beside the file's own nodata value, or where it declares none.
        opener: opens the file.
        each_band: whether `valid` is that of each band.

    Raises:
        ImageError: the file is missing, damaged, or larger than an image may be.
        OutOfMemoryError: there is not enough memory.
    """
    source = ImageSource.of(given)
    with opener(source) as dataset:
        # Interpolation would mix a nodata value that GDAL does not know of into its neighbours.
        options = window_options(dataset, source, window, nearest=nodata is not None)
        values, valid = np.moveaxis(dataset.read(**options), 0, 2), _valid(dataset, options, each_band)
        names = band_names(dataset)
        if dataset.count == 1 and len(dataset.subdatasets) > 1:
            values, names = _pages(source, dataset, options), ("",) * len(dataset.subdatasets)
    return clean(values, names, valid, nodata, each_band=each_band)


def first_valid(dataset: DatasetReader, window: Window, nodata: float | None) -> np.ndarray | None:
    """Returns where the first band has data, bool [H, W]; None: everywhere. Elsewhere `read_raster` finds no data.

    Args:
        dataset: of the size of the window's image.
        window: what is read.
        nodata: see `read_raster`.
    """
    if nodata is None and not _has_mask(dataset) and np.dtype(dataset.dtypes[0]).kind in "ui":
        return None
    options = {"window": window.slices, "indexes": [1]}
    values = np.moveaxis(dataset.read(**options), 0, 2)
    return clean(values, ("",), _valid(dataset, options), nodata).valid


def window_options(dataset: DatasetReader, where: object, window: Window | None, *, nearest: bool) -> dict[str, Any]:
    """Returns rasterio's arguments for a window of the image that may have another resolution than this file.

    Raises:
        ImageError: the file is of another aspect ratio than the image; or it has too many pixels to be read as a whole.
    """
    from rasterio.enums import Resampling

    if window is None:
        advice = "read it by windows with datamodule=rasters, cut it by flood-seg data tile"
        check_size(where, dataset.width, dataset.height, advice)
        return {}
    if (dataset.height, dataset.width) == window.of:
        return {"window": window.slices}
    down, across = dataset.height / window.of[0], dataset.width / window.of[1]
    if not same_aspect((dataset.height, dataset.width), window.of):
        raise ImageError(
            f"{where}: is {dataset.width}×{dataset.height}, its image is {window.of[1]}×{window.of[0]}; they do not fit"
        )
    (top, bottom), (left, right) = window.slices
    return {
        "window": ((top * down, bottom * down), (left * across, right * across)),
        "out_shape": (dataset.count, window.height, window.width),
        "resampling": Resampling.nearest if nearest else Resampling.bilinear,
    }


def band_names(dataset: DatasetReader) -> tuple[str, ...]:
    """Returns the names of a file's bands; see `Raster.names`."""
    known = [color.name if color.name in ("red", "green", "blue", "alpha") else "" for color in dataset.colorinterp]
    return tuple((text or color).lower() for text, color in zip(dataset.descriptions, known, strict=True))


def _has_mask(dataset: DatasetReader) -> bool:
    from rasterio.enums import MaskFlags

    return not all(MaskFlags.all_valid in flags or MaskFlags.alpha in flags for flags in dataset.mask_flag_enums)


def _valid(dataset: DatasetReader, options: dict[str, Any], each_band: bool = False) -> np.ndarray | None:
    if not _has_mask(dataset):
        return None
    masks = dataset.read_masks(**options)
    return np.asarray((np.moveaxis(masks, 0, 2) if each_band else masks.min(axis=0)) > 0)


def _pages(where: object, first: DatasetReader, options: dict[str, Any]) -> np.ndarray:
    pages = []
    for name in first.subdatasets:
        with import_rasterio().open(name) as page:
            if page.shape != first.shape:  # before it is read, which only the first one's size was allowed for
                raise ImageError(f"{where}: its pages are of several sizes; write one page, or the bands as one size")
            pages.append(page.read(1, **{key: value for key, value in options.items() if key != "out_shape"}))
    return np.stack(pages, axis=2)


def equals(values: np.ndarray, nodata: float) -> np.ndarray:
    """Returns where values are a nodata value, bool of their shape; nowhere where their type cannot hold it."""
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return np.asarray(values == values.dtype.type(nodata))
    limits = np.iinfo(values.dtype)
    if float(nodata).is_integer() and limits.min <= nodata <= limits.max:
        return np.asarray(values == values.dtype.type(int(nodata)))
    return np.zeros(values.shape, bool)


def clean(
    values: np.ndarray, names: tuple[str, ...], valid: np.ndarray | None = None, nodata: float | None = None,
    *, each_band: bool = False,
) -> Raster:  # fmt: skip
    """Returns bands of a plain number type, without NaN and 0 where they have no data.

    Args:
        values: any number type [H, W, bands].
        names: of the bands.
        valid: bool [H, W], where the file has data; None: everywhere. With `each_band`, [H, W, bands].
        nodata: a value that stands for no data, in whatever band it is.
        each_band: whether the validity of each band is told, not that of all bands together.
    """

    def known(there: np.ndarray) -> np.ndarray:
        there = there if each_band else np.asarray(there.all(axis=2))
        return there if valid is None else valid & there

    if nodata is not None and (missing := equals(values, nodata)).any():
        valid = known(~missing)
    if values.dtype not in PIXEL_TYPES:
        values = values.astype(np.float32)
    if (bands := np.moveaxis(values, 2, 0)).flags.c_contiguous and len(bands) > 1:  # forty times as fast as NumPy
        values = cv2.merge(list(bands))
    values = np.ascontiguousarray(values)
    if values.dtype == np.float32 and not np.isfinite(values).all():
        valid = known(np.isfinite(values))
    if valid is not None and valid.all():
        valid = None
    if valid is not None and each_band:
        values = np.where(valid, values, values.dtype.type(0))
    elif valid is not None:  # faster than by a mask in NumPy
        values = cv2.copyTo(values, valid.view(np.uint8)).reshape(values.shape)
    return Raster(values, names, valid)
