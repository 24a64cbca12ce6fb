"""Decodes pairs: the selected bands of an image, and the class of each pixel of its mask."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from flood_seg.classes import IGNORED, Classes, parse_classes
from flood_seg.config.schema.data import BANDS, VALUE_SCALE
from flood_seg.data.labels import read_classes
from flood_seg.data.pairing import VECTORS
from flood_seg.errors import ConfigError, ImageError
from flood_seg.imaging.bands import BandSelection
from flood_seg.imaging.preprocess import resize_image, same_aspect
from flood_seg.imaging.read import read_bands

if TYPE_CHECKING:
    from flood_seg.config.schema import DataConfig
    from flood_seg.data.pairing import Pair, SampleWindow
    from flood_seg.imaging.raster import Raster, Window
    from flood_seg.spec import ModelSpec

Sample = tuple[np.ndarray, np.ndarray]  # image [H, W, bands] and class indices uint8 [H, W]


@dataclass(frozen=True)
class SampleReader:
    """Decodes pairs of one data set."""

    classes: Classes
    bands: BandSelection = field(default_factory=BandSelection)
    label_field: str | None = None  # of vector labels

    @classmethod
    def of(cls, config: DataConfig, task: str) -> SampleReader:
        """Returns the reader of a configured data set."""
        return cls(config.classes(task), BandSelection.of(config), config.label_field)

    @classmethod
    def for_model(cls, config: DataConfig, spec: ModelSpec) -> SampleReader:
        """Returns the reader of a data set that a model is tried on: its bands, and its classes in the given masks.

        Labels and a nodata value that the configuration does not give are those that the model was trained with.

        Raises:
            ConfigError: the configuration's classes are not as many as the model's, or it says other bands.
        """
        bands = _bands_for_model(config, spec)
        if config.labels or config.max_label is not None:
            classes = config.classes(spec.task)
        else:
            labels = dict(spec.provenance.get("labels", ()))
            classes = parse_classes(
                spec.task, spec.class_names, labels, ignore_index=config.ignore_index, unlisted=config.unlisted
            )
        if len(classes.names) != len(spec.class_names):
            raise ConfigError(
                f"datamodule.labels: {len(classes.names)} classes ({', '.join(classes.names)}), the model knows "
                f"{len(spec.class_names)} ({', '.join(spec.class_names)})"
            )
        return cls(classes, bands, config.label_field)

    def load(self, pair: Pair) -> Sample:
        """Decodes a pair, or its window, at the image's own size.

        Returns:
            image uint8, uint16 or float32 [H, W, bands] and class indices uint8 [H, W], `IGNORED` where the image has
            no data, and where a window is filled up; a mask of another size but of the same aspect ratio within 1 % is
            resized (nearest).

        Raises:
            ImageError: a file cannot be read, or the two do not fit each other.
            DataError: the mask has a value that the classes do not list.
        """
        raster, mask = self.read(pair)
        return fill_up(raster.values, mask, pair.window)

    def read(self, pair: Pair) -> tuple[Raster, np.ndarray]:
        """Returns the bands and the class indices as `load` does, but a smaller window as it is; raises as `load`."""
        raster, mask = read_bands(pair.image, self.bands, pair.window), self.read_mask(pair)
        check_aspect(raster.values.shape[:2], mask.shape)
        return raster, fit_mask(mask, raster)

    def load_image(self, pair: Pair) -> np.ndarray:
        """Decodes a pair's image, or its window, alone: uint8, uint16 or float32 [H, W, bands]; raises as `load`."""
        values = read_bands(pair.image, self.bands, pair.window).values
        nothing = np.zeros(values.shape[:2], np.uint8)
        return fill_up(values, nothing, pair.window)[0]

    def read_mask(self, pair: Pair, window: Window | None = None) -> np.ndarray:
        """Returns a pair's class indices, uint8 [H, W], in a window of the image, else at the mask's own size.

        Raises as `load`.
        """
        window = window or pair.window
        if pair.mask.suffix.lower() in VECTORS:
            from flood_seg.data.vectors import draw_shapes

            return draw_shapes(pair.mask, pair.image, self.classes, self.label_field, window)
        return read_classes(pair.mask, self.classes, window)

    def load_at(self, pair: Pair, height: int, width: int) -> Sample:
        """Decodes a pair and resizes it to the network's size; raises as `load`."""
        image, mask = self.load(pair)
        return resize_image(image, height, width), resize_mask(mask, height, width)


def _bands_for_model(config: DataConfig, spec: ModelSpec) -> BandSelection:
    """Returns the model's bands, from where the configuration says if it does."""
    bands = BandSelection.of(spec)
    for name, given, usual, its in (
        ("bands", tuple(config.bands), BANDS, bands.names),
        ("value_scale", config.value_scale, VALUE_SCALE, bands.value_scale),
    ):
        if given not in (usual, its):
            raise ConfigError(f"datamodule.{name}={given}: the model was trained on {its}; leave it out")
    nodata = bands.nodata if config.nodata is None else config.nodata
    return replace(bands, sources={**bands.sources, **(config.band_sources or {})}, nodata=nodata)


def fill_up(image: np.ndarray, mask: np.ndarray, window: SampleWindow | None) -> Sample:
    """Extends a smaller window to its full size below and to the right, by zeros that are ignored."""
    below, beside = (window.size - mask.shape[0], window.size - mask.shape[1]) if window else (0, 0)
    if not (below or beside):
        return image, mask
    return (
        np.pad(image, ((0, below), (0, beside), (0, 0))),
        np.pad(mask, ((0, below), (0, beside)), constant_values=IGNORED),
    )


def check_aspect(image_shape: tuple[int, ...], mask_shape: tuple[int, ...]) -> None:
    """Raises ImageError where the aspect ratios of (height, width) and (height, width) differ by over 1 %."""
    if not same_aspect(image_shape, mask_shape):
        (image_height, image_width), (mask_height, mask_width) = image_shape, mask_shape
        raise ImageError(f"mask of another shape: image {image_width}×{image_height}, mask {mask_width}×{mask_height}")


def fit_mask(mask: np.ndarray, raster: Raster) -> np.ndarray:
    """Brings class indices, uint8 [H, W], to the image's size; returns them `IGNORED` where the image has no data."""
    mask = resize_mask(mask, *raster.values.shape[:2])
    return mask if raster.valid is None else np.where(raster.valid, mask, np.uint8(IGNORED))


def resize_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes class indices, uint8 [H, W], to [height, width] by the nearest pixel's centre."""
    if mask.shape == (height, width):
        return mask
    return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT))
