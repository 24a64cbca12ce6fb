"""What is made of a prediction and written: the label image, the overlay, the probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from flood_seg.classes import Classes
from flood_seg.errors import OutputError
from flood_seg.imaging.display import as_color, class_colors, draw_classes, to_picture
from flood_seg.imaging.gdal import check_lossless, read_georeference, write_geotiff
from flood_seg.imaging.postprocess import to_16_bits, to_labels
from flood_seg.imaging.write import write_image

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from flood_seg.classes import Color
    from flood_seg.config.schema import PictureOptions
    from flood_seg.imaging.source import ImageInput
    from flood_seg.inference.predictor import Prediction
    from flood_seg.spec import ModelSpec

THUMBNAIL_QUALITY = 75


class Renderer:
    """Renders and writes the predictions of one model."""

    def __init__(self, spec: ModelSpec, output: PictureOptions) -> None:
        """Takes the model's classes, and the values and colours of the output."""
        self._bands, self._opacity, self._outline = spec.bands, output.overlay_opacity, as_color(output.outline_color)
        self._values, self._colors = spec.label_values, class_colors(spec)
        self._names = spec.class_names[1:] if spec.task == "binary" else spec.class_names
        if spec.task == "binary":
            self._values, self._colors[1] = (0, output.foreground_value), as_color(output.overlay_color)

    def overlay(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Returns uint8 [H, W, 3] RGB: the image with its classes tinted and outlined.

        Args:
            image: any dtype [H, W, bands], raw values.
            mask: class indices, uint8 [H, W].
        """
        return draw_classes(to_picture(image, self._bands), mask, self._colors, self._opacity, self._outline)

    def thumbnail(self, image: np.ndarray, mask: np.ndarray) -> bytes:
        """Returns a JPEG of an overlay.

        Args:
            image: any dtype [h, w, bands], raw values, shrunk to the thumbnail's size.
            mask: class indices, uint8 [H, W], at the image's own size.
        """
        height, width = image.shape[:2]
        shrunk = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)
        picture = cv2.cvtColor(self.overlay(image, shrunk), cv2.COLOR_RGB2BGR)
        encoded: bytes = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, THUMBNAIL_QUALITY))[1].tobytes()
        return encoded

    def read_mask(self, path: Path) -> np.ndarray:
        """Reads a mask that `write_mask` wrote, maybe with another foreground value, as class indices, uint8 [H, W].

        Raises:
            ImageError: it cannot be read.
        """
        from flood_seg.imaging.label_values import read_labels

        labels = read_labels(path, by_color=False)
        mask = np.zeros(labels.values.shape, np.uint8)
        if len(self._values) == 2:
            mask[labels.values != self._values[0]] = 1
        for index, value in enumerate(self._values if len(self._values) > 2 else ()):
            mask[labels.values == value] = index
        if labels.declared is not None:
            mask[labels.declared] = 0
        return mask

    def labels(self, prediction: Prediction) -> np.ndarray:
        """Returns the label image, [H, W]: 0 and the foreground value, or a multiclass model's label values."""
        return to_labels(prediction.mask, self._values)

    def write_mask(self, path: Path, prediction: Prediction, image: ImageInput | None = None) -> None:
        """Writes the label image as PNG, or as GeoTIFF with a colour table and a nodata value.

        Args:
            path: of the file, which ends in .png, .tif or .tiff.
            prediction: for the image.
            image: that a GeoTIFF takes its georeference from; None: it has none.

        Raises:
            OutputError: the suffix is another, or the file cannot be written.
            ImageError: the image, a raster, cannot be opened any more.
        """
        check_lossless(path)
        labels = self.labels(prediction)
        if path.suffix.lower() == ".png":
            write_image(path, labels)
            return
        nodata = Classes(self._names, tuple((value,) for value in self._values)).unused_value()
        labels = labels.astype(np.promote_types(labels.dtype, np.min_scalar_type(nodata)), copy=False)
        if prediction.valid is not None:
            labels[~prediction.valid] = nodata
        colors = dict(zip(self._values, self._colors, strict=True)) if labels.dtype == np.uint8 else None
        self._write_geotiff(path, labels[:, :, None], image, nodata, (), colors)

    def write_probability(self, path: Path, prediction: Prediction, image: ImageInput | None = None) -> None:
        """Writes the foreground's probability as 16-bit PNG, value / 65535; or one band per class as float32 GeoTIFF.

        Pixels without data are 0 in a PNG and NaN in a GeoTIFF. Arguments and exceptions are those of `write_mask`; a
        multiclass model's probabilities do not fit into a PNG.
        """
        check_lossless(path, "probability")
        if path.suffix.lower() != ".png":
            probabilities = prediction.probabilities
            if prediction.valid is not None:
                probabilities = np.where(prediction.valid[:, :, None], probabilities, np.float32(np.nan))
            self._write_geotiff(path, probabilities, image, np.nan, self._names)
            return
        if len(prediction.logits) > 1:
            raise OutputError(f"{path}: a .png stores the probability of one class, not of several; give a .tif")
        write_image(path, self.probability(prediction))

    @staticmethod
    def probability(prediction: Prediction) -> np.ndarray:
        """Returns the foreground's probability times 65535 (binary), uint16 [H, W]; 0 where there is no data."""
        values = to_16_bits(prediction.probabilities[:, :, 0])
        if prediction.valid is not None:
            values[~prediction.valid] = 0
        return values

    @staticmethod
    def _write_geotiff(
        path: Path, bands: np.ndarray, image: ImageInput | None, nodata: float, names: Sequence[str],
        colors: Mapping[int, Color] | None = None,
    ) -> None:  # fmt: skip
        georeference = {} if image is None else read_georeference(image, *bands.shape[:2])
        write_geotiff(path, bands, georeference, nodata, names, colors)
