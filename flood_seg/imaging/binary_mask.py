"""Decides which values of a two-class mask are background and which foreground."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from flood_seg.classes import IGNORED
from flood_seg.errors import DataError, ImageError
from flood_seg.imaging.gdal import open_raster
from flood_seg.imaging.label_values import Labels, read_mask_values
from flood_seg.imaging.raster import Window
from flood_seg.imaging.source import ImageInput, ImageSource

STRIP_ROWS = 512  # that are read at a time
MAX_LISTED = 8  # distinct values that an error lists
MAX_GREY = 0.1  # share of the pixels that may be neither dark nor bright


@dataclass(frozen=True)
class ValueRange:
    """What the pixels with data of a mask hold.

    Attributes:
        low: lowest value.
        high: highest value.
        few: all values where they are `MAX_LISTED` at most; else None.
    """

    low: float = 0.0
    high: float = 0.0
    few: tuple[float, ...] | None = ()


def read_binary_mask(given: ImageInput, window: Window | None = None) -> np.ndarray:
    """Reads a two-class mask, or a window of it, as uint8 [H, W]: 0 background, 1 foreground, `IGNORED` without data.

    Understood are 0/1 and 0/255 in 8 or 16 bits, 0/65535, grey anti-aliased edges (split at half), RGB and RGBA (the
    brightest channel counts), palettes with indices 0/1, and palettes of colours. EXIF orientation is honoured.

    Raises:
        ImageError: as `read_mask_values`; or over 10 % of the pixels are neither dark nor bright, or none is bright, so
            that it is no mask of two classes. Of a window only the latter is looked at.
        DataError: the mask has a third value that needs a name: one below 0, 1 beside 0 and 255, or 0 as nodata.
        OutOfMemoryError: there is not enough memory.
    """
    source = ImageSource.of(given)
    labels = read_mask_values(source, window)
    return decide_mask(labels, str(source)) if window is None else decide_window(labels, source)


def decide_mask(labels: Labels, where: str) -> np.ndarray:
    """Turns the values of a two-class mask into uint8 [H, W]: 0 background, 1 foreground, `IGNORED` without data.

    Raises:
        ImageError: over 10 % of the pixels are neither dark nor bright, or none is bright.
        DataError: the mask has a third value that needs a name: one below 0, 1 beside 0 and 255, or 0 as nodata.
    """
    values = labels.values
    unknown = labels.without_data
    kinds, counts = _unique(values.ravel() if unknown is None else values[~unknown])
    found = ValueRange()
    if len(kinds):
        few = tuple(map(float, kinds)) if len(kinds) <= MAX_LISTED else None
        found = ValueRange(float(kinds[0]), float(kinds[-1]), few)
    threshold = foreground_above(found, where)
    if threshold:
        full = 2 * threshold + 1
        between = counts[(kinds > full // 5) & (kinds < full - full // 5)].sum() / values.size
        if between > MAX_GREY:
            raise ImageError(f"{where}: {between:.0%} of the mask's pixels are mid-grey; give a mask of two values")
    return _split(labels, threshold, where)


def decide_window(labels: Labels, given: ImageInput) -> np.ndarray:
    """Decides a window's values as `decide_mask`, by the values of the whole raster.

    A window alone does not tell: one of a lossy mask may hold nothing but 0 and 3.

    Raises:
        ImageError: the file cannot be read, or its brightest value is neither 1 nor bright.
        DataError: as `decide_mask`.
    """
    source = ImageSource.of(given)
    path = source.content
    found = _range_of_file(path, path.stat().st_mtime_ns) if isinstance(path, Path) else value_range(source)
    return _split(labels, foreground_above(found, str(source)), str(source))


@lru_cache(maxsize=1024)
def _range_of_file(path: Path, _changed: int) -> ValueRange:
    return value_range(path)


def value_range(given: ImageInput) -> ValueRange:
    """Returns the range of the values of a raster that have data, whatever alpha says; reads a strip at a time.

    Raises:
        ImageError: the file cannot be read.
    """
    found: set[float] | None = set()
    low, high = np.inf, -np.inf
    with open_raster(given) as dataset:
        bands = [1, 2, 3] if dataset.count >= 3 else [1]
        for row in range(0, dataset.height, STRIP_ROWS):
            window = ((row, min(row + STRIP_ROWS, dataset.height)), (0, dataset.width))
            values = dataset.read(bands, window=window, masked=True).compressed()
            kinds = _unique(values[np.isfinite(values)])[0]
            if len(kinds):
                low, high = min(low, float(kinds[0])), max(high, float(kinds[-1]))
                found = None if found is None or len(kinds) > MAX_LISTED else found | set(kinds.tolist())
    few = tuple(sorted(found)) if found is not None and len(found) <= MAX_LISTED else None
    return ValueRange(low, high, few) if low <= high else ValueRange()


def _unique(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the distinct values in order and the count of each; of bytes by a histogram instead of sorting."""
    if values.dtype != np.uint8:
        return np.unique(values, return_counts=True)
    counts = cv2.calcHist([values.reshape(1, -1)], [0], None, [256], [0, 256]).ravel() if values.size else np.zeros(256)
    kinds = np.flatnonzero(counts)
    return kinds, counts[kinds]


def foreground_above(found: ValueRange, where: str) -> int:
    """Returns the value above which a pixel of a two-class mask is foreground.

    Args:
        found: values of the whole mask.
        where: what to call it in an error.

    Raises:
        ImageError: the brightest value is neither 1 nor bright.
        DataError: there is a third value that needs a name.
    """
    top = found.high
    full = 255 if top <= 255 else 65535
    if found.low < 0 or {1, full} <= set(found.few or ()) <= {0, 1, full}:
        odd = found.low if found.low < 0 else top
        listed = ", ".join(f"{value:g}" for value in found.few) if found.few else f"{found.low:g} to {top:g}"
        raise DataError(
            f"{where}: a mask of two classes cannot have the values {listed}; if {odd:g} is no data, set "
            f"'datamodule.labels={{{odd:g}: ignore, 0: background, 1: water}}' or datamodule.ignore_index={odd:g}"
        )
    if top <= 1:
        return 0
    if top <= full // 2:
        raise ImageError(
            f"{where}: the mask's brightest value is {top:g}; give a mask of 0 and 1, or of 0 and {full}, or name its "
            "values in datamodule.labels"
        )
    return full // 2


def _split(labels: Labels, threshold: int, where: str) -> np.ndarray:
    mask = (labels.values > threshold).astype(np.uint8)
    if labels.declared is not None and not labels.values[labels.declared][0]:
        raise DataError(zero_is_nodata(where))
    if (unknown := labels.without_data) is not None:
        mask[unknown] = IGNORED
    return mask


def zero_is_nodata(where: str) -> str:
    """Returns what to write where a file declares as nodata what is the background unless it is named."""
    return (
        f"{where}: declares 0 as its nodata value, which is the background unless datamodule.labels names it; set "
        "'datamodule.labels={0: background, 1: water}' if 0 is dry land, or name the land's own value"
    )
