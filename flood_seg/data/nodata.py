"""Finds nodata values that no file declares: values far outside all others, as -9999 among reflectances of 0 to 1.

Nothing is looked for in 8 bits, whose values lie close to each other. Saturated light is no stray value: it shades off
into its surroundings, so that the next lower value is near. Neither is a value from 0 to `value_scale`, the range that
the configuration expects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flood_seg.imaging.raster import Raster

# What people and programs take for nodata, beside the lowest float32 and numbers as large, which need no list.
USUAL = frozenset({-9999.0, -999.0, -99999.0, -32768.0, -32767.0, 9999.0, 32767.0, 65535.0})
SATURATED = frozenset({32767.0, 65535.0})
NEAR = 0.5  # of the range of all others: a usual value that is so far from them is named
FAR = 10.0  # of any other value, that stands in several pixels
SEVERAL = 10
KEPT = 3  # the lowest and the highest values of an image; so two nodata values at each end are seen through

Ends = list[dict[float, int]]  # of each band: its lowest and highest values, and how many pixels have each


@dataclass(frozen=True)
class Stray:
    """A value that is likely to mean no data.

    Attributes:
        band: its name.
        value: the raw one.
        pixels: that have it.
        stems: of the images that have it.
        rest: the lowest and the highest of all other values.
    """

    band: str
    value: float
    pixels: int
    stems: tuple[str, ...]
    rest: tuple[float, float]

    def __str__(self) -> str:
        """What was seen, and what to set."""
        low, high = self.rest
        images = f"{len(self.stems)} image{'s' if len(self.stems) != 1 else ''}"
        return (
            f"band {self.band}: the value {self.text} in {self.pixels} pixels of {images} ({self._named}) lies far "
            f"outside all others ({low:g} to {high:g}); if it means no data, set datamodule.nodata={self.text}"
        )

    @property
    def text(self) -> str:
        """The value with all its digits, as an override takes it."""
        whole = float(self.value).is_integer() and abs(self.value) < 1e15
        return str(int(self.value)) if whole else str(np.float32(self.value))

    @property
    def _named(self) -> str:
        return ", ".join(self.stems[:3]) + (", ..." if len(self.stems) > 3 else "")


def band_ends(raster: Raster) -> Ends:
    """Returns the lowest and the highest values of each band where there is data; nothing of 8 bits."""
    if raster.values.dtype == np.uint8:
        return []
    return [_ends(np.ascontiguousarray(band), raster.valid) for band in np.moveaxis(raster.values, 2, 0)]


def _ends(band: np.ndarray, valid: np.ndarray | None) -> dict[float, int]:
    found: dict[float, int] = {}
    left = np.ones(band.shape, bool) if valid is None else valid.copy()
    for end in [0, 1] * KEPT:
        value = cv2.minMaxLoc(band, left.view(np.uint8))[end] if left.any() else None
        if value is None:
            break
        there = left & (band == band.dtype.type(value))
        found[float(value)] = int(np.count_nonzero(there))
        left &= ~there
    return found


def find_strays(looks: Mapping[str, Ends], bands: Sequence[str], value_scale: float) -> list[Stray]:
    """Returns the values that are likely to mean no data.

    Args:
        looks: of each image by its stem.
        bands: their names.
        value_scale: of the raw values.
    """
    known = {stem: ends for stem, ends in looks.items() if ends}
    found = []
    for place, band in enumerate(bands):
        pixels: dict[float, int] = {}
        for ends in known.values():
            for value, count in ends[place].items():
                pixels[value] = pixels.get(value, 0) + count
        for value, rest in _strays(pixels, value_scale):
            stems = tuple(stem for stem, ends in known.items() if value in ends[place])
            found.append(Stray(band, value, pixels[value], stems, rest))
    return found


def _strays(pixels: Mapping[float, int], value_scale: float) -> list[tuple[float, tuple[float, float]]]:
    """Takes away the values at the ends that are far off, the farthest first; returns them with the rest's range."""
    values, strays = sorted(pixels), list[float]()
    # In an integer band the largest number of the type may be light that saturates the sensor.
    usual = USUAL - (SATURATED if all(value.is_integer() for value in values) else frozenset())
    while len(values) > 1:
        ends = {values[0]: values[1] - values[0], values[-1]: values[-1] - values[-2]}
        spread = max(0.0, values[-2] - values[1])
        far = [
            value for value in sorted(ends, key=lambda end: -ends[end])
            if not 0 <= value <= value_scale and (
                (value in usual and ends[value] > NEAR * spread)
                or (pixels[value] >= SEVERAL and ends[value] > FAR * spread > 0)
            )
        ]  # fmt: skip
        if not far:
            break
        strays.append(far[0])
        values.remove(far[0])
    return [(value, (values[0], values[-1])) for value in strays]
