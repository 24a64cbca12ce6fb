"""Examines one pair: the headers of its files, its pixels, its labels; makes small views for comparisons."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from flood_seg.classes import IGNORED
from flood_seg.config.schema.workshop import CheckConfig
from flood_seg.data.labels import encode
from flood_seg.data.nodata import Extremes, band_extremes
from flood_seg.data.pairing import VECTORS, Pair
from flood_seg.data.reading import SampleReader, check_aspect, fit_mask, resize_mask
from flood_seg.errors import DataError, ImageError, OutOfMemoryError
from flood_seg.imaging.binary_mask import decide_mask, decide_window
from flood_seg.imaging.display import to_picture
from flood_seg.imaging.label_values import read_labels, read_mask_values
from flood_seg.imaging.preprocess import shrink
from flood_seg.imaging.raster import Raster
from flood_seg.imaging.read import read_bands
from flood_seg.imaging.source import LOSSY
from flood_seg.plots.page import encode_thumbnail
from flood_seg.workshop.check.findings import Finding
from flood_seg.workshop.header import Header, read_header

VIEW_SIZE = 64  # pixels


@dataclass
class ExaminedPair:
    """The result of examining a pair.

    Attributes:
        pair: its files.
        findings: of this pair alone.
        image_header: None where it cannot be read.
        mask_header: None where it cannot be read, and of vector labels.
        size: (height, width) of the upright image; None where it cannot be read.
        mask_size: (height, width) of the mask; None where it cannot be read.
        view: the image at 64×64, uint8 [64, 64, 3] RGB.
        mask_view: the share of pixels of any class but the background at 64×64, float32 in [0, 1].
        class_view: the class indices at 64×64, uint8, where there are more than two classes; otherwise None.
        photo: a small JPEG of the image.
        mask: its mask at the same size, a PNG of class indices.
        extremes: lowest and highest values of each band; see `data.nodata`.
    """

    pair: Pair
    findings: list[Finding] = field(default_factory=list)
    image_header: Header | None = None
    mask_header: Header | None = None
    size: tuple[int, int] | None = None
    mask_size: tuple[int, int] | None = None
    view: np.ndarray | None = None
    mask_view: np.ndarray | None = None
    class_view: np.ndarray | None = None
    photo: bytes = b""
    mask: bytes = b""
    extremes: Extremes = field(default_factory=list)

    @property
    def comparison_mask(self) -> np.ndarray | None:
        """The input of `fit_scores`: the indices of several classes, otherwise the share of the foreground."""
        return self.mask_view if self.class_view is None else self.class_view

    @property
    def is_varied(self) -> bool:
        """Whether there is a mask of more than one value."""
        mask = self.comparison_mask
        return mask is not None and bool((mask != mask.flat[0]).any())

    def add(self, kind: str, file: Path, text: str) -> None:
        """Adds a finding of this pair."""
        self.findings.append(Finding(kind, (self.pair.stem,), file.name, text))


def examine(pair: Pair, reader: SampleReader, options: CheckConfig) -> ExaminedPair:
    """Reads a pair once and reports what is wrong with it by itself."""
    seen = ExaminedPair(pair)
    raster = _examine_image(seen, reader)
    mask = _examine_mask(seen, reader, options)
    if raster is not None:
        picture = to_picture(raster.values, reader.bands.names)
        seen.size, seen.view = picture.shape[:2], _shrink_view(picture)
        small = shrink(picture, options.thumbnail)
        seen.photo = encode_thumbnail(small, options.thumbnail)
        if mask is not None:
            mask = _fit(seen, raster, mask)
            seen.mask = cv2.imencode(".png", resize_mask(mask, *small.shape[:2]))[1].tobytes()
    if mask is not None:
        seen.mask_view = _shrink_view(((mask > 0) & (mask != IGNORED)).astype(np.float32))
        if len(reader.classes.names) > 2:
            seen.class_view = np.asarray(
                cv2.resize(mask, (VIEW_SIZE, VIEW_SIZE), interpolation=cv2.INTER_NEAREST_EXACT)
            )
        _find_constant_mask(seen, mask, reader)
    _compare_georeferences(seen)
    return seen


def comparison_view(image: np.ndarray, bands: Sequence[str]) -> np.ndarray:
    """Returns the view that images are compared by: uint8 [64, 64, 3] RGB of an image, any dtype [H, W, bands]."""
    return _shrink_view(to_picture(image, bands))


def _shrink_view(picture: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.resize(picture, (VIEW_SIZE, VIEW_SIZE), interpolation=cv2.INTER_AREA))


def _read_header(seen: ExaminedPair, path: Path) -> Header:
    """Reads a header and reports what is unusual in it."""
    header = read_header(path)
    if header.orientation != 1:
        seen.add("exif", path, f"EXIF orientation {header.orientation}")
    if not header.suffix_fits(path):
        seen.add("suffix", path, f"is {header.format}")
    return header


def _examine_image(seen: ExaminedPair, reader: SampleReader) -> Raster | None:
    path = seen.pair.image
    try:
        seen.image_header = _read_header(seen, path)
        raster = read_bands(path, reader.bands, seen.pair.window)
    except (ImageError, OutOfMemoryError) as error:
        seen.add("unreadable", path, _brief(error, path))
        return None
    seen.extremes = band_extremes(raster)
    if raster.valid is not None:
        share = 1 - float(raster.valid.mean())
        seen.add("empty_data" if share > 0.5 else "nodata", path, f"{share:.1%} of the pixels have no data")
    return raster


def _examine_mask(seen: ExaminedPair, reader: SampleReader, options: CheckConfig) -> np.ndarray | None:
    """Returns class indices, uint8 [H, W]."""
    path, window, classes = seen.pair.mask, seen.pair.window, reader.classes
    try:
        if path.suffix.lower() in VECTORS:
            return reader.read_mask(seen.pair)
        header = seen.mask_header = _read_header(seen, path)
        if classes.values:
            labels = read_labels(path, window, by_color=classes.by_color)
        else:
            labels = read_mask_values(path, window)
    except (ImageError, OutOfMemoryError) as error:
        seen.add("unreadable", path, _brief(error, path))
        return None
    except DataError as error:  # of shapes
        seen.add("labels", path, _brief(error, path))
        return None
    try:
        if classes.values:
            mask = encode(labels, classes, path.name)
        else:
            mask = decide_mask(labels, path.name) if window is None else decide_window(labels, path)
    except DataError as error:
        seen.add("labels", path, _brief(error, path))
        return None
    if header.format in LOSSY:
        seen.add("lossy", path, f"is {header.format}, which changes values")
    elif not classes.values:
        _find_intermediate_values(seen, labels.values, mask, options)
    return mask


def _find_intermediate_values(seen: ExaminedPair, values: np.ndarray, mask: np.ndarray, options: CheckConfig) -> None:
    """Distinguishes smoothed edges, one or two pixels wide, from JPEG artefacts away from edges."""
    known = values[mask != IGNORED]
    low, high = known.min(initial=0), known.max(initial=0)
    between = (values > low) & (values < high) & (mask != IGNORED)
    if share := float(between.mean()):
        edges = cv2.morphologyEx(np.ascontiguousarray(mask), cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8))
        far = float((between & (edges == 0)).mean())
        if far > options.lossy_share:
            seen.add("lossy", seen.pair.mask, f"{far:.2%} of the pixels have intermediate values away from any edge")
        else:
            seen.add("soft", seen.pair.mask, f"{share:.2%} of the pixels have intermediate values")


def _fit(seen: ExaminedPair, raster: Raster, mask: np.ndarray) -> np.ndarray:
    """Compares the sizes; returns the mask at the image's size, ignored where the image has no data."""
    height, width = raster.values.shape[:2]
    seen.mask_size = mask.shape[:2]
    try:
        check_aspect((height, width), mask.shape)
    except ImageError as error:
        text = str(error).partition(": ")[2]
        if seen.image_header and seen.image_header.size == mask.shape[:2]:
            text += "; it matches the image before its EXIF orientation is applied"
        seen.add("shape", seen.pair.mask, text)
    else:
        if mask.shape != (height, width):
            sizes = f"image {width}×{height}, mask {mask.shape[1]}×{mask.shape[0]}"
            seen.add("size", seen.pair.mask, sizes)
    return fit_mask(mask, raster)


def _find_constant_mask(seen: ExaminedPair, mask: np.ndarray, reader: SampleReader) -> None:
    there = np.flatnonzero(np.bincount(mask.ravel()))
    if len(there) == 1:
        what = "ignored" if there[0] == IGNORED else reader.classes.names[there[0]]
        seen.add("constant", seen.pair.mask, f"all {what}")


def _compare_georeferences(seen: ExaminedPair) -> None:
    image, mask = seen.image_header, seen.mask_header
    if image is None or mask is None or not (image.crs or mask.crs):
        return
    if not (image.crs and mask.crs):
        without = seen.pair.mask if image.crs else seen.pair.image
        seen.add("unplaced", without, "has no coordinate reference system; its counterpart has one")
        return
    if image.crs != mask.crs:
        seen.add("place", seen.pair.mask, f"is in {_short(mask.crs)}, the image in {_short(image.crs)}")
    elif image.transform and mask.transform:
        apart = _corners(image) - _corners(mask)
        pixels = float(np.abs(apart).max() / max(abs(image.transform[0]), 1e-12))
        if pixels > 0.5:
            seen.add("place", seen.pair.mask, f"its corners are {pixels:.1f} pixels away from the image's")


def _corners(header: Header) -> np.ndarray:
    """The map's coordinates of the upper left and the lower right corner, float64 [2, 2]."""
    assert header.transform is not None
    a, b, c, d, e, f = header.transform
    height, width = header.size
    return np.array([(c, f), (a * width + b * height + c, d * width + e * height + f)])


def _short(crs: str) -> str:
    return crs if len(crs) < 40 else f"{crs[:37]}..."


def _brief(error: Exception, path: Path) -> str:
    """Returns an error's text without the path that it begins with."""
    return re.sub(rf"^({re.escape(str(path))}|{re.escape(path.name)}): ", "", str(error))
