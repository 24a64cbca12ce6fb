"""Detects undeclared nodata values: outliers such as -9999 among reflectances from 0 to 1.

8-bit bands are not examined, since their values lie close together. Saturated pixels are not outliers: around them
brightness falls off gradually, so that the next lower value is near. Neither are values from 0 to `value_scale`, the
range that the configuration expects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from flood_seg.console import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flood_seg.imaging.raster import Raster

# Common nodata values; the lowest float32 and numbers of its size are found without being listed.
COMMON_NODATA = frozenset({-9999.0, -999.0, -99999.0, -32768.0, -32767.0, 9999.0, 32767.0, 65535.0})
SATURATION_VALUES = frozenset({32767.0, 65535.0})
# Distance from the nearest other value, in ranges of all other values, beyond which a value is suspected:
COMMON_VALUE_DISTANCE = 0.5  # a common nodata value
OTHER_VALUE_DISTANCE = 10.0  # any other value, in at least MIN_PIXELS pixels
MIN_PIXELS = 10
KEPT_EXTREMES = 3  # lowest and highest values of an image; so two nodata values at either end do not hide the data

Extremes = list[dict[float, int]]  # of each band: its lowest and highest values and their numbers of pixels


@dataclass(frozen=True)
class SuspectedNodata:
    """A value that is likely to mean no data.

    Attributes:
        band: its name.
        value: raw.
        pixels: number of pixels with the value.
        stems: of the images that contain it.
        rest: minimum and maximum of all other values.
    """

    band: str
    value: float
    pixels: int
    stems: tuple[str, ...]
    rest: tuple[float, float]

    def __str__(self) -> str:
        """The finding, and the key to set."""
        low, high = self.rest
        images, names = counted(len(self.stems), "image"), ", ".join(self.stems[:3])
        names += ", ..." if len(self.stems) > 3 else ""
        return (
            f"band {self.band}: the value {self.text} in {self.pixels} pixels of {images} ({names}) lies "
            f"far outside all others ({low:g} to {high:g}); if it means no data, set datamodule.nodata={self.text}"
        )

    @property
    def text(self) -> str:
        """The value with all its digits, as an override takes it."""
        whole = float(self.value).is_integer() and abs(self.value) < 1e15
        return str(int(self.value)) if whole else str(np.float32(self.value))


def band_extremes(raster: Raster) -> Extremes:
    """Returns the lowest and highest valid values of each band; an empty list for 8-bit images."""
    if raster.values.dtype == np.uint8:
        return []
    return [_extremes(np.ascontiguousarray(band), raster.valid) for band in np.moveaxis(raster.values, 2, 0)]


def _extremes(band: np.ndarray, valid: np.ndarray | None) -> dict[float, int]:
    found: dict[float, int] = {}
    left = np.ones(band.shape, bool) if valid is None else valid.copy()
    for end in [0, 1] * KEPT_EXTREMES:
        value = cv2.minMaxLoc(band, left.view(np.uint8))[end] if left.any() else None
        if value is None:
            break
        there = left & (band == band.dtype.type(value))
        found[float(value)] = int(np.count_nonzero(there))
        left &= ~there
    return found


def find_suspected_nodata(
    extremes: Mapping[str, Extremes], bands: Sequence[str], value_scale: float
) -> list[SuspectedNodata]:
    """Returns the values that are likely to mean no data.

    Args:
        extremes: of each image by its stem.
        bands: names.
        value_scale: of the raw values.
    """
    known = {stem: of_image for stem, of_image in extremes.items() if of_image}
    found = []
    for place, band in enumerate(bands):
        pixels: dict[float, int] = {}
        for of_image in known.values():
            for value, count in of_image[place].items():
                pixels[value] = pixels.get(value, 0) + count
        for value, rest in _strays(pixels, value_scale):
            stems = tuple(stem for stem, of_image in known.items() if value in of_image[place])
            found.append(SuspectedNodata(band, value, pixels[value], stems, rest))
    return found


def _strays(pixels: Mapping[float, int], value_scale: float) -> list[tuple[float, tuple[float, float]]]:
    """Removes outliers from both ends, the farthest first; returns each with the range of the values that are left."""
    values, suspected = sorted(pixels), list[float]()
    # In an integer band the largest number of the type may be a saturated sensor.
    common = COMMON_NODATA - (SATURATION_VALUES if all(value.is_integer() for value in values) else frozenset())
    while len(values) > 1:
        ends = {values[0]: values[1] - values[0], values[-1]: values[-1] - values[-2]}
        spread = max(0.0, values[-2] - values[1])
        far = [
            value for value in sorted(ends, key=lambda end: -ends[end])
            if not 0 <= value <= value_scale and (
                (value in common and ends[value] > COMMON_VALUE_DISTANCE * spread)
                or (pixels[value] >= MIN_PIXELS and ends[value] > OTHER_VALUE_DISTANCE * spread > 0)
            )
        ]  # fmt: skip
        if not far:
            break
        suspected.append(far[0])
        values.remove(far[0])
    return [(value, (values[0], values[-1])) for value in suspected]
