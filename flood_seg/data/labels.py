"""From the values of a mask's pixels to class indices."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.classes import IGNORED, Classes, to_hex
from flood_seg.errors import DataError
from flood_seg.imaging.binary_mask import read_binary_mask, zero_is_nodata
from flood_seg.imaging.label_values import Labels, read_labels

if TYPE_CHECKING:
    from pathlib import Path

    from flood_seg.classes import Value
    from flood_seg.imaging.raster import Window

UNLISTED = -1
COLORS = 1 << 24  # of 8 bits a channel


def read_classes(path: Path, classes: Classes, window: Window | None = None) -> np.ndarray:
    """Reads a mask, or a window of it, as class indices, uint8 [H, W]; `IGNORED` where excluded from loss and metrics.

    Raises:
        ImageError: the file cannot be read as a mask.
        DataError: a value that `classes` does not list, or 0 as nodata where nothing says what 0 is.
    """
    if classes.values:
        return encode(read_labels(path, window, by_color=classes.by_color), classes, str(path))
    return read_binary_mask(path, window)


def encode(labels: Labels, classes: Classes, where: str) -> np.ndarray:
    """Replaces each value by its class's index.

    What a file declares as its nodata value is ignored unless the labels name that value; what it hides by a mask is
    ignored whatever its value.

    Args:
        labels: values of any type [H, W], or uint8 [H, W, 3] RGB if colours encode the classes.
        classes: whose `values` are listed.
        where: what to call the mask in an error.

    Returns:
        uint8 [H, W].

    Raises:
        DataError: a value that `classes` does not list, and may not be ignored; or the file declares as nodata what
            is the background only because nothing names it.
    """
    packed = _packed(labels.values)
    found = _look_up(packed, classes)
    if labels.declared is not None:
        if packed[labels.declared][0] == _place(classes.implied):
            raise DataError(zero_is_nodata(where))
        found[labels.declared & (found == UNLISTED)] = IGNORED
    if labels.masked is not None:
        found[labels.masked] = IGNORED
    unlisted = found == UNLISTED
    if unlisted.any():
        if classes.unlisted == "fail":
            raise DataError(_unlisted(packed[unlisted], classes, where))
        found[unlisted] = IGNORED
    return found.astype(np.uint8)


def _packed(values: np.ndarray) -> np.ndarray:
    if values.ndim == 2:
        return values.view(np.uint8) if values.dtype == bool else values
    red, green, blue = (values[:, :, channel].astype(np.int32) for channel in range(3))
    packed = red << 16 | green << 8 | blue
    if values.dtype != np.uint8:  # colours of 16 bits cannot be named
        packed[((values < 0) | (values > 255)).any(axis=2)] = COLORS
    return packed


def _place(value: Value | None) -> int | None:
    """A colour as `_packed` returns it; a number as it is."""
    return value if value is None or isinstance(value, int) else value[0] << 16 | value[1] << 8 | value[2]


def _look_up(packed: np.ndarray, classes: Classes) -> np.ndarray:
    """Returns the index of each value, int16 [H, W]; `UNLISTED` where there is none."""
    if classes.by_color:
        return np.asarray(_table(classes, 0, COLORS + 1)[packed])
    if packed.dtype.kind in "iu" and packed.dtype.itemsize <= 2:
        limits = np.iinfo(packed.dtype)
        table = _table(classes, int(limits.min), int(limits.max) + 1)
        return np.asarray(table[packed])  # NumPy counts negative indices from the end, where their places are
    listed = _listed(classes)
    values, indices = np.array([value for value, _ in listed]), np.array([index for _, index in listed], np.int16)
    nearest = np.searchsorted(values, packed).clip(max=len(values) - 1)
    return np.where(values[nearest] == packed, indices[nearest], np.int16(UNLISTED))


def _listed(classes: Classes) -> list[tuple[int, int]]:
    """Returns the index of each value, in the order of the values."""
    known = [*enumerate(classes.values), (IGNORED, classes.ignored)]
    return sorted((place, index) for index, values in known for value in values if (place := _place(value)) is not None)


@lru_cache(maxsize=4)
def _table(classes: Classes, low: int, high: int) -> np.ndarray:
    """int16 [high - low]: the index of each value from `low` to `high` - 1; values below 0 are at the end."""
    table = np.full(high - low, UNLISTED, np.int16)
    for value, index in _listed(classes):
        if low <= value < high:
            table[value] = index
    return table


def _unlisted(values: np.ndarray, classes: Classes, where: str) -> str:
    kinds, counts = np.unique(values, return_counts=True)
    first = int(counts.argmax())
    value = f"{kinds[first]:g}"
    if classes.by_color:
        packed = int(kinds[first])
        value = "of over 8 bits" if packed == COLORS else to_hex((packed >> 16, packed >> 8 & 255, packed & 255))
    others = f" and {len(kinds) - 1} other values in {counts.sum() - counts[first]}" if len(kinds) > 1 else ""
    listed = ", ".join(f"{text} {name}" for text, name in classes.to_labels().items())
    advice = "add it, name it ignore, or set datamodule.unlisted=ignore"
    if value.startswith("-"):
        advice = f"add it, or if it is no data set datamodule.ignore_index={value}"
    return (
        f"{where}: the value {value} occurs in {counts[first]} pixels{others}, but datamodule.labels lists {listed}; "
        f"{advice}"
    )
