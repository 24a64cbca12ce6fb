"""What a data set is made of: sizes, bands, classes and the shapes of its masks, from one look at each pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from flood_seg.classes import IGNORED
from flood_seg.data.nodata import band_ends
from flood_seg.data.parallel import read_pairs
from flood_seg.data.reading import fill_up
from flood_seg.data.stats import BandStats
from flood_seg.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.data.nodata import Ends
    from flood_seg.data.pairing import Pair
    from flood_seg.data.reading import SampleReader

BINS = 128  # of a band's histogram, from 0 to `value_scale`
SMALLEST = 16  # pixels: smaller shapes are specks


@dataclass(frozen=True)
class Region:
    """A connected area of a class: its pixels, those of islands in it too, and how round it is, 1 is a circle.

    Roundness is 4π area / perimeter² (the isoperimetric quotient).
    """

    area: int
    roundness: float


@dataclass(frozen=True)
class Look:
    """Of one pair.

    Attributes:
        stem: of the pair.
        size: height and width in pixels.
        bands: of the pixels that count.
        histogram: of each band, int64 [bands, BINS].
        pixels: of each class index, int64 [256].
        shapes: of all classes but the background.
        ends: lowest and highest values of each band, whatever the mask says; see `data.stray`.
    """

    stem: str
    size: tuple[int, int]
    bands: BandStats
    histogram: np.ndarray
    pixels: np.ndarray
    shapes: list[Region]
    ends: Ends


def survey(pairs: Sequence[Pair], reader: SampleReader, value_scale: float) -> list[Look]:
    """Looks at each pair at its own size; those that cannot be read are named and left out.

    Raises:
        DataError: no pixel could be read, or a mask has a value that the labels do not list.
    """
    looks = [look for _, look in read_pairs(pairs, lambda pair: _look(pair, reader, value_scale), "Reading")]
    if not sum(look.bands.count for look in looks):
        raise DataError("no pixel could be read; the lines above say why, and so does flood-seg data check")
    return looks


def _look(pair: Pair, reader: SampleReader, value_scale: float) -> Look:
    raster, mask = reader.read(pair)
    image, mask = fill_up(raster.values, mask, pair.window)
    counted = mask != IGNORED
    histograms = [_histogram(image[:, :, band], counted, value_scale) for band in range(image.shape[2])]
    pixels = np.bincount(mask.ravel(), minlength=256)
    bands, size = BandStats.of(image, mask), (mask.shape[0], mask.shape[1])
    return Look(pair.stem, size, bands, np.stack(histograms), pixels, _shapes(mask), band_ends(raster))


def _histogram(values: np.ndarray, counted: np.ndarray, value_scale: float) -> np.ndarray:
    """Counts a band's values; those above `value_scale` fall into the last bin."""
    step = (value_scale + (1 if value_scale == 255 else 0)) / BINS
    top = np.nextafter(np.float32(step * BINS), np.float32(0))
    plane = np.clip(np.ascontiguousarray(values).astype(np.float32), 0, top)
    mask = None if counted.all() else counted.view(np.uint8)
    return np.asarray(cv2.calcHist([plane], [0], mask, [BINS], [0, step * BINS])).ravel().astype(np.int64)


def _shapes(mask: np.ndarray) -> list[Region]:
    shapes = []
    for index in np.unique(mask):
        if index in (0, IGNORED):
            continue
        area = np.ascontiguousarray(mask == index).view(np.uint8)
        contours, _ = cv2.findContours(area, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        shapes += [shape for contour in contours if (shape := _shape(contour)).area >= SMALLEST]
    return shapes


def _shape(contour: np.ndarray) -> Region:
    """Measures an outline along pixels' centres; by Pick's theorem it holds area + points / 2 + 1 pixels."""
    pixels = round(cv2.contourArea(contour) + len(contour) / 2 + 1)
    perimeter = max(cv2.arcLength(contour, closed=True), 1.0)
    return Region(pixels, float(min(1.0, 4 * np.pi * pixels / (perimeter + np.pi) ** 2)))
