"""From the values of a mask's pixels to class indices."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.classes import IGNORED, Classes, to_hex
from flood_seg.errors import DataError
from flood_seg.imaging.read import read_labels, read_mask

if TYPE_CHECKING:
    from pathlib import Path

    from flood_seg.imaging.raster import Window

UNLISTED = -1
_LARGEST = 1 << 24  # of a colour; a larger integer is no label


def read_classes(path: Path, classes: Classes, window: Window | None = None) -> np.ndarray:
    """Reads a mask, or a window of it, as class indices, uint8 [H, W]; `IGNORED` where a pixel counts nowhere.

    Raises:
        ImageError: the file cannot be read as a mask.
        DataError: a value that `classes` does not list.
    """
    if classes.values:
        return encode(read_labels(path, window, by_color=classes.by_color), classes, str(path))
    return read_mask(path, window)


def encode(values: np.ndarray, classes: Classes, where: str) -> np.ndarray:
    """Replaces each value by its class's index.

    Args:
        values: any type [H, W], or uint8 [H, W, 3] RGB where colours stand for classes.
        classes: whose `values` are listed.
        where: what to call the mask in an error.

    Returns:
        uint8 [H, W].

    Raises:
        DataError: a value that `classes` does not list, and may not be ignored.
    """
    packed = _packed(values)
    table = _table(classes, 256 if packed.dtype == np.uint8 else 65536 if packed.dtype == np.uint16 else _LARGEST)
    if packed.dtype.itemsize > 2:
        inside = (packed >= 0) & (packed < _LARGEST) & (packed == np.trunc(packed))
        packed_index = np.where(inside, packed, _LARGEST).astype(np.int32)
    else:
        packed_index = packed
    found = table[packed_index]
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
    return red << 16 | green << 8 | blue


@lru_cache(maxsize=4)
def _table(classes: Classes, size: int) -> np.ndarray:
    """int16 [size + 1]: the index of each packed value; the last is of all that lie outside."""
    table = np.full(size + 1, UNLISTED, np.int16)
    listed = [*enumerate(classes.values), (IGNORED, classes.ignored)]
    for index, values in listed:
        for value in values:
            place = value if isinstance(value, int) else value[0] << 16 | value[1] << 8 | value[2]
            if place < size:
                table[place] = index
    return table


def _unlisted(values: np.ndarray, classes: Classes, where: str) -> str:
    kinds, counts = np.unique(values, return_counts=True)
    first = int(counts.argmax())
    value = f"{kinds[first]:g}"
    if classes.by_color:
        packed = int(kinds[first])
        value = to_hex((packed >> 16, packed >> 8 & 255, packed & 255))
    others = f" and {len(kinds) - 1} other values in {counts.sum() - counts[first]}" if len(kinds) > 1 else ""
    listed = ", ".join(f"{text} {name}" for text, name in classes.to_labels().items())
    return (
        f"{where}: the value {value} stands in {counts[first]} pixels{others}, but datamodule.labels lists {listed}; "
        "add it, name it ignore, or set datamodule.unlisted=ignore"
    )
