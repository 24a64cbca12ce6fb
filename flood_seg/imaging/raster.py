"""Reads rasters of any bands and number type with GDAL, by rasterio (the `geo` extra)."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from flood_seg.errors import ImageError
from flood_seg.files import atomic_path, regular
from flood_seg.imaging.size import check_size
from flood_seg.resources import enough_memory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rasterio.io import DatasetReader, DatasetWriter

STRIP = 512  # rows
FEW = 8  # distinct values that an error lists
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


@dataclass(frozen=True)
class LabelRaster:
    """The values of a label file as they stand in it, and which of its pixels it calls no data.

    Attributes:
        values: any number type [H, W, bands].
        declared: bool [H, W], True where all bands have the nodata value; None: nowhere.
        masked: bool [H, W], True where a mask inside or beside the file hides the pixel, or where a value is NaN; None:
            nowhere. Alpha is not looked at: annotation tools write a transparent background.
    """

    values: np.ndarray
    declared: np.ndarray | None = None
    masked: np.ndarray | None = None


@dataclass(frozen=True)
class ValueRange:
    """What the pixels with data of a label file hold: lowest and highest value, and all of them where they are few."""

    low: float = 0.0
    high: float = 0.0
    few: tuple[float, ...] | None = ()
    declared: float | None = None


@dataclass(frozen=True)
class Window:
    """A part of an image, in pixels.

    Attributes:
        row: the first one.
        col: the first column.
        height: of what is read.
        width: likewise.
        size: of the square that it is filled up to where it is smaller.
        of: height and width of the whole image.
        block: first row, first column, last row and last column plus one that it may be moved within.
    """

    row: int
    col: int
    height: int
    width: int
    size: int
    of: tuple[int, int]
    block: tuple[int, int, int, int]

    @property
    def slices(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """As rasterio has them."""
        return (self.row, self.row + self.height), (self.col, self.col + self.width)


def read_raster(path: Path, window: Window | None = None, nodata: float | None = None) -> Raster:
    """Reads all bands; the pages of a TIFF with several pages of one size are its bands.

    Args:
        path: of the file.
        window: what is read; a file of another resolution than the window's image is brought to it, bilinearly. None:
            all.
        nodata: a value that stands for no data beside the file's own nodata value, or where it declares none.

    Raises:
        ImageError: the file is missing, damaged, or larger than an image may be.
    """
    with open_raster(path) as source:
        _check_size(source, path, window)
        # Interpolation would mix a nodata value that GDAL does not know of into its neighbours.
        options = _window_options(source, window, path, nearest=nodata is not None)
        values, valid = np.moveaxis(source.read(**options), 0, 2), _valid(source, options)
        names = band_names(source)
        if source.count == 1 and len(source.subdatasets) > 1:
            values, names = _pages(path, source.subdatasets, options), ("",) * len(source.subdatasets)
    return clean(values, names, valid, nodata)


def read_label_raster(path: Path, window: Window | None = None, *, palette: bool = False) -> LabelRaster:
    """Reads the bands of a label file; another resolution than the window's is reached by the nearest pixel.

    Args:
        path: of the file.
        window: as of `read_raster`.
        palette: whether a palette's indices become their colours.

    Raises:
        ImageError: as `read_raster`.
    """
    with open_raster(path) as source:
        _check_size(source, path, window)
        options = _window_options(source, window, path, nearest=True)
        values = np.moveaxis(source.read(**options), 0, 2)
        declared, masked = _declared(source, values), _masked(source, values, options)
        if palette and source.count == 1 and source.colorinterp[0].name == "palette":
            values = _colors(values, source.colormap(1))
    return LabelRaster(np.ascontiguousarray(values), declared, masked)


def has_label_nodata(path: Path) -> bool:
    """Whether a label raster may hold what a photo cannot: nodata, a mask, negative numbers or fractions."""
    with open_raster(path) as source:
        signed = any(np.dtype(name).kind != "u" for name in source.dtypes)
        return signed or source.nodata is not None or _has_mask(source)


def value_range(path: Path) -> ValueRange:
    """Returns the range of the values that have data, whatever alpha says; reads a strip at a time.

    Raises:
        ImageError: the file cannot be read.
    """
    found: set[float] | None = set()
    low, high = np.inf, -np.inf
    with open_raster(path) as source:
        bands = [1, 2, 3] if source.count >= 3 else [1]
        for row in range(0, source.height, STRIP):
            window = ((row, min(row + STRIP, source.height)), (0, source.width))
            values = source.read(bands, window=window, masked=True).compressed()
            kinds = unique(values[np.isfinite(values)])[0]
            if len(kinds):
                low, high = min(low, float(kinds[0])), max(high, float(kinds[-1]))
                found = None if found is None or len(kinds) > FEW else found | set(kinds.tolist())
        declared = source.nodata
    few = tuple(sorted(found)) if found is not None and len(found) <= FEW else None
    return ValueRange(low, high, few, declared) if low <= high else ValueRange(declared=declared)


def unique(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the distinct values in order and the count of each; for bytes without NumPy's sorting."""
    if values.dtype != np.uint8:
        return np.unique(values, return_counts=True)
    counts = cv2.calcHist([values.reshape(1, -1)], [0], None, [256], [0, 256]).ravel() if values.size else np.zeros(256)
    kinds = np.flatnonzero(counts)
    return kinds, counts[kinds]


def _check_size(source: DatasetReader, path: Path, window: Window | None) -> None:
    if window is None:
        advice = "read it by windows with datamodule=rasters, cut it by flood-seg data tile"
        check_size(path, source.width, source.height, advice)


@contextmanager
def open_raster(path: Path) -> Iterator[DatasetReader]:
    """Yields the file opened by rasterio; what it raises, in the body too, becomes an ImageError.

    Raises:
        ImageError: the file is missing or damaged.
        OutOfMemoryError: there is not enough memory.
    """
    try:
        regular(path)
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror or error}") from error
    with raster_errors(path), import_rasterio().open(path) as source:
        _check_blocks(path, source)
        yield source


@contextmanager
def raster_errors(path: Path) -> Iterator[None]:
    """Turns what rasterio raises of a file into an ImageError; raises as `open_raster`."""
    advice = "read it by windows with datamodule=rasters, or close other programs"
    try:
        with enough_memory(str(path), advice):
            yield
    except (import_rasterio().errors.RasterioError, ValueError) as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise ImageError(f"{path}: damaged or no raster ({reason})") from error


def _check_blocks(path: Path, source: DatasetReader) -> None:
    """Refuses what is decoded as one and is larger than the image: 261 kB of a TIFF can say tiles of 65536×65536."""
    for height, width in set(source.block_shapes):
        if height * width > 4 * source.height * source.width:
            check_size(f"{path}: its blocks", width, height, "write it anew by gdal_translate -co TILED=YES")


@contextmanager
def create_raster(path: Path, profile: dict[str, Any]) -> Iterator[DatasetWriter]:
    """Yields a raster to be written, which is there whole or not at all.

    Args:
        path: of the file.
        profile: rasterio's: driver, height, width, count, dtype and more.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_path(path) as temporary, import_rasterio().open(temporary, "w", **profile) as out:
        yield out


@cache
def import_rasterio() -> Any:
    """Imports rasterio, which shall not warn of photos that they have no place on the map.

    For the whole process: Python's filters of warnings are not for single threads.
    """
    import rasterio

    warnings.filterwarnings("ignore", category=rasterio.errors.NotGeoreferencedWarning)
    return rasterio


def band_names(source: DatasetReader) -> tuple[str, ...]:
    """Returns the bands' names in lower case; empty where the file says nothing."""
    known = [color.name if color.name in ("red", "green", "blue", "alpha") else "" for color in source.colorinterp]
    return tuple((text or color).lower() for text, color in zip(source.descriptions, known, strict=True))


def _window_options(source: DatasetReader, window: Window | None, path: Path, *, nearest: bool) -> dict[str, Any]:
    """Returns rasterio's arguments for a window of the image that may have another resolution than this file."""
    from rasterio.enums import Resampling

    if window is None:
        return {}
    if (source.height, source.width) == window.of:
        return {"window": window.slices}
    down, across = source.height / window.of[0], source.width / window.of[1]
    if max(down / across, across / down) > 1.01:
        raise ImageError(
            f"{path}: is {source.width}×{source.height}, its image is {window.of[1]}×{window.of[0]}; they do not fit"
        )
    (top, bottom), (left, right) = window.slices
    return {
        "window": ((top * down, bottom * down), (left * across, right * across)),
        "out_shape": (source.count, window.height, window.width),
        "resampling": Resampling.nearest if nearest else Resampling.bilinear,
    }


def _valid(source: DatasetReader, options: dict[str, Any]) -> np.ndarray | None:
    from rasterio.enums import MaskFlags

    if all(MaskFlags.all_valid in flags or MaskFlags.alpha in flags for flags in source.mask_flag_enums):
        return None
    return np.asarray(source.read_masks(**options).min(axis=0) > 0)


def _declared(source: DatasetReader, values: np.ndarray) -> np.ndarray | None:
    """True where every band has its nodata value: of a colour some channels may well be 0."""
    if any(nodata is None for nodata in source.nodatavals):
        return None
    there = [equals(values[:, :, band], nodata) for band, nodata in enumerate(source.nodatavals)]
    declared = np.logical_and.reduce(there)
    return declared if declared.any() else None


def _has_mask(source: DatasetReader) -> bool:
    from rasterio.enums import MaskFlags

    return any(MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags for flags in source.mask_flag_enums)


def _masked(source: DatasetReader, values: np.ndarray, options: dict[str, Any]) -> np.ndarray | None:
    masked = np.zeros(values.shape[:2], bool)
    if _has_mask(source):
        masked = np.asarray(source.read_masks(1, **_of_one_band(options)) == 0)
    if values.dtype.kind == "f":
        masked |= np.isnan(values).any(axis=2)
    return masked if masked.any() else None


def _of_one_band(options: dict[str, Any]) -> dict[str, Any]:
    return options | ({"out_shape": options["out_shape"][1:]} if "out_shape" in options else {})


def equals(values: np.ndarray, nodata: float) -> np.ndarray:
    """Returns where values are a nodata value, bool of their shape; nowhere where their type cannot hold it."""
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return np.asarray(values == values.dtype.type(nodata))
    limits = np.iinfo(values.dtype)
    if float(nodata).is_integer() and limits.min <= nodata <= limits.max:
        return np.asarray(values == values.dtype.type(int(nodata)))
    return np.zeros(values.shape, bool)


def _colors(values: np.ndarray, colormap: dict[int, tuple[int, ...]]) -> np.ndarray:
    table = np.zeros((256, 3), np.uint8)
    for index, color in colormap.items():
        table[index] = color[:3]
    return np.asarray(table[values[:, :, 0]])


def _pages(path: Path, names: list[str], options: dict[str, Any]) -> np.ndarray:
    pages = []
    for name in names:
        with import_rasterio().open(name) as page:
            pages.append(page.read(1, **{key: value for key, value in options.items() if key != "out_shape"}))
    if len({page.shape for page in pages}) > 1:
        raise ImageError(f"{path}: its pages are of several sizes; write one page, or the bands as one size")
    return np.stack(pages, axis=2)


def clean(
    values: np.ndarray, names: tuple[str, ...], valid: np.ndarray | None = None, nodata: float | None = None
) -> Raster:
    """Returns bands of a plain number type, without NaN and 0 where they have no data.

    Args:
        values: any number type [H, W, bands].
        names: of the bands.
        valid: bool [H, W], where the file has data; None: everywhere.
        nodata: a value that stands for no data, in whatever band it is.
    """
    if nodata is not None and (missing := equals(values, nodata)).any():
        there = np.asarray(~missing.any(axis=2))
        valid = there if valid is None else valid & there
    if values.dtype not in _KEPT:
        values = values.astype(np.float32)
    values = np.ascontiguousarray(values)
    if values.dtype == np.float32 and not np.isfinite(values).all():
        finite = np.asarray(np.isfinite(values).all(axis=2))
        valid = finite if valid is None else valid & finite
    if valid is not None and valid.all():
        valid = None
    if valid is not None:
        values[~valid] = 0
    return Raster(values, names, valid)
