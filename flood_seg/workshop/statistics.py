"""Measures a data set in one pass: image sizes, band values, classes and the connected regions of its masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

from flood_seg.classes import IGNORED
from flood_seg.config.schema import DataConfig
from flood_seg.data.layout import choose_split, find_samples, parts_of, warn_of
from flood_seg.data.nodata import Extremes, band_extremes, find_suspected_nodata
from flood_seg.data.pairing import Pair
from flood_seg.data.parallel import read_pairs
from flood_seg.data.prepare import prepare_data
from flood_seg.data.reading import SampleReader, fill_up
from flood_seg.data.stats import BandStats
from flood_seg.errors import DataError

HISTOGRAM_BINS = 128  # of a band's values from 0 to `value_scale`
MIN_REGION_PIXELS = 16  # smaller regions are noise of the annotation


@dataclass(frozen=True)
class Region:
    """A connected region of a class.

    Attributes:
        area: in pixels, with its holes filled.
        roundness: the isoperimetric quotient, 4π area / perimeter², in [0, 1]; a circle has 1.
    """

    area: int
    roundness: float


@dataclass(frozen=True)
class ImageStatistics:
    """Statistics of one pair.

    Attributes:
        stem: of the pair.
        size: (height, width) in pixels.
        bands: of the pixels that are not ignored.
        histogram: of each band, int64 [bands, HISTOGRAM_BINS].
        pixels: of each class index, int64 [256].
        regions: of all classes but the background.
        extremes: lowest and highest values of each band, ignored pixels included; see `data.nodata`.
    """

    stem: str
    size: tuple[int, int]
    bands: BandStats
    histogram: np.ndarray
    pixels: np.ndarray
    regions: list[Region]
    extremes: Extremes


@dataclass(frozen=True)
class DataSetStatistics:
    """Statistics of a data set.

    Attributes:
        images: of each pair.
        bands: of the training part.
        record: what `stats.json` holds.
    """

    images: list[ImageStatistics]
    bands: BandStats
    record: dict[str, Any]


def measure_data_set(data: DataConfig, task: str, seed: int) -> DataSetStatistics:
    """Measures a data set; the bands of its training part, everything else of all pairs.

    Args:
        data: the data set.
        task: `binary` or `multiclass`.
        seed: of the split, where neither the layout nor a split file names the parts.

    Raises:
        DataError: no pixel could be read, or a mask has a value that the labels do not list.
    """
    prepare_data(data)
    pairs, faults = find_samples(data)
    warn_of(faults)
    drawn = choose_split(data, pairs, seed).train if len(pairs) > 1 else ()
    train = set(drawn) or {pair.stem for pair in pairs}  # a data set of validation images alone: all of them
    images = measure_images(pairs, SampleReader.of(data, task), data.value_scale)
    bands = BandStats(len(data.bands))
    for one in images:
        if one.stem in train:
            bands.merge(one.bands)
    known = parts_of(data, pairs)
    parts = [known.get(one.stem) for one in images]
    return DataSetStatistics(images, bands, _describe(images, bands, parts, len(train), data, task))


def measure_images(pairs: Sequence[Pair], reader: SampleReader, value_scale: float) -> list[ImageStatistics]:
    """Measures each pair at its own size; those that cannot be read are named and left out.

    Raises:
        DataError: no pixel could be read, or a mask has a value that the labels do not list.
    """
    images = [one for _, one in read_pairs(pairs, lambda pair: _measure(pair, reader, value_scale), "Reading")]
    if not sum(one.bands.count for one in images):
        raise DataError("no pixel could be read; the lines above say why, and so does flood-seg data check")
    return images


def _measure(pair: Pair, reader: SampleReader, value_scale: float) -> ImageStatistics:
    raster, mask = reader.read(pair)
    image, mask = fill_up(raster.values, mask, pair.window)
    valid = mask != IGNORED
    histograms = [_histogram(image[:, :, band], valid, value_scale) for band in range(image.shape[2])]
    return ImageStatistics(
        stem=pair.stem,
        size=(mask.shape[0], mask.shape[1]),
        bands=BandStats.of(image, mask),
        histogram=np.stack(histograms),
        pixels=np.bincount(mask.ravel(), minlength=256),
        regions=_find_regions(mask),
        extremes=band_extremes(raster),
    )


def _histogram(values: np.ndarray, valid: np.ndarray, value_scale: float) -> np.ndarray:
    """Returns the histogram of a band; values above `value_scale` are counted in the last bin."""
    step = (value_scale + (1 if value_scale == 255 else 0)) / HISTOGRAM_BINS
    top = np.nextafter(np.float32(step * HISTOGRAM_BINS), np.float32(0))
    plane = np.clip(np.ascontiguousarray(values).astype(np.float32), 0, top)
    mask = None if valid.all() else valid.view(np.uint8)
    limits = [0, step * HISTOGRAM_BINS]
    return np.asarray(cv2.calcHist([plane], [0], mask, [HISTOGRAM_BINS], limits)).ravel().astype(np.int64)


def _find_regions(mask: np.ndarray) -> list[Region]:
    regions = []
    for index in np.unique(mask):
        if index in (0, IGNORED):
            continue
        area = np.ascontiguousarray(mask == index).view(np.uint8)
        contours, _ = cv2.findContours(area, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        found = map(_region, contours)
        regions += [region for region in found if region.area >= MIN_REGION_PIXELS]
    return regions


def _region(contour: np.ndarray) -> Region:
    """Measures a contour through the pixels' centres; by Pick's theorem it holds area + points / 2 + 1 pixels."""
    pixels = round(cv2.contourArea(contour) + len(contour) / 2 + 1)
    perimeter = max(cv2.arcLength(contour, closed=True), 1.0)
    return Region(pixels, float(min(1.0, 4 * np.pi * pixels / (perimeter + np.pi) ** 2)))


def _describe(
    images: Sequence[ImageStatistics], bands: BandStats, parts: Sequence[str | None], train: int, data: DataConfig,
    task: str,
) -> dict[str, Any]:  # fmt: skip
    """Returns the statistics as JSON takes them."""
    names, scale = data.classes(task).names, data.value_scale
    pixels = np.sum([one.pixels for one in images], axis=0)
    valid = pixels[: len(names)].sum()
    shares = np.array([one.pixels[: len(names)] / max(one.pixels[: len(names)].sum(), 1) for one in images])
    heights, widths = (np.array([one.size[axis] for one in images]) for axis in (0, 1))
    regions = [region for one in images for region in one.regions]
    return {
        "data": data.place,
        "images": len(images),
        "parts": {part: parts.count(part) for part in ("train", "val", "test") if part in parts},
        "training_images": train,
        "megapixels": float((heights * widths).sum() / 1e6),
        "height": _quartiles(heights),
        "width": _quartiles(widths),
        "aspect_ratio": _quartiles(widths / heights),
        "value_scale": scale,
        "bands": {
            name: {
                "mean": float(bands.mean[band] / scale), "std": float(bands.std[band] / scale),
                "lowest": float(bands.low[band]), "highest": float(bands.high[band]),
            } for band, name in enumerate(data.bands)
        },
        "classes": {
            name: {
                "pixels": int(pixels[index]), "share": float(pixels[index] / max(valid, 1)),
                "images": int((shares[:, index] > 0).sum()), "median_share": float(np.median(shares[:, index])),
            } for index, name in enumerate(names)
        },
        "ignored_pixels": int(pixels[IGNORED]),
        "suspected_nodata": [
            asdict(suspect) | {"text": str(suspect)}
            for suspect in find_suspected_nodata({one.stem: one.extremes for one in images}, data.bands, scale)
        ],
        "shapes": {
            "count": len(regions), "per_image": _quartiles(np.array([len(one.regions) for one in images])),
            "area": _quartiles(np.array([region.area for region in regions])),
            "roundness": _quartiles(np.array([region.roundness for region in regions])),
        },
    }  # fmt: skip


def _quartiles(values: np.ndarray) -> dict[str, float]:
    if not len(values):
        return {}
    found = np.percentile(values, (0, 25, 50, 75, 100)).tolist()
    return dict(zip(("min", "p25", "median", "p75", "max"), found, strict=True))
