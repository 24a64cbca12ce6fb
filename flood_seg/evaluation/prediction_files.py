"""Writes what a model predicts for the images of an evaluation: masks, probabilities, differences and overlays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flood_seg.classes import IGNORED
from flood_seg.config.defaults import defaults
from flood_seg.config.schema import OutputConfig
from flood_seg.imaging.display import as_color, draw_difference, draw_overlay, to_picture
from flood_seg.imaging.gdal import import_rasterio
from flood_seg.imaging.postprocess import to_labels
from flood_seg.imaging.write import write_image
from flood_seg.inference.rendering import Renderer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from flood_seg.config.schema import EvaluationOptions
    from flood_seg.inference.predictor import Prediction
    from flood_seg.spec import ModelSpec


class PredictionFiles:
    """Writes files into `folder/PART/KIND/STEM.png`, or `folder/KIND/STEM.png` where images belong to no part."""

    def __init__(
        self,
        folder: Path,
        options: EvaluationOptions,
        spec: ModelSpec,
        parts: Mapping[str, str | None],
        images: Mapping[str, Path],
    ) -> None:
        """Prepares the writing of what `options.files` lists.

        Args:
            folder: of all files.
            options: the kinds of files, and their colours.
            spec: of the model.
            parts: of each stem.
            images: by stem, that GeoTIFFs take their georeference from; without an image they have none.
        """
        self._folder, self._options, self._spec, self._parts, self._images = folder, options, spec, parts, images
        self._draw = {
            "masks": (".png", self._mask),
            "differences": (".jpg", self._difference),
            "overlays": (".jpg", self._overlay),
            "confidence": (".jpg", self._confidence),
        }
        self._renderer = Renderer(spec, defaults(OutputConfig))
        self._probability_suffix = ".png" if spec.task == "binary" else ".tif"
        if "probabilities" in options.files and self._probability_suffix == ".tif":
            import_rasterio()  # before any work, where it is not installed

    def write(self, stem: str, image: np.ndarray, truth: np.ndarray, prediction: Prediction) -> None:
        """Writes the files of an image.

        Args:
            stem: of the pair.
            image: any dtype [H, W, bands], raw values.
            truth: class indices, uint8 [H, W].
            prediction: at the same size.

        Raises:
            OutputError: a file cannot be written.
            ImageError: the image, a raster, cannot be opened any more.
        """
        part = self._parts.get(stem)
        folder = self._folder / part if part else self._folder
        name = stem.removeprefix(f"{part}/") if part else stem
        for kind in self._options.files:
            if kind == "probabilities":
                path = folder / kind / f"{name}{self._probability_suffix}"
                self._renderer.write_probability(path, prediction, self._images.get(stem))
            else:
                suffix, draw = self._draw[kind]
                write_image(folder / kind / f"{name}{suffix}", draw(image, truth, prediction))

    def _mask(self, image: np.ndarray, truth: np.ndarray, prediction: Prediction) -> np.ndarray:
        """Label values; a pixel without truth is predicted all the same."""
        return to_labels(prediction.mask, self._spec.label_values)

    def _difference(self, image: np.ndarray, truth: np.ndarray, prediction: Prediction) -> np.ndarray:
        return draw_difference(to_picture(image, self._spec.bands), truth, prediction.mask)

    def _overlay(self, image: np.ndarray, truth: np.ndarray, prediction: Prediction) -> np.ndarray:
        """The prediction tinted, the truth outlined."""
        red, blue = as_color(self._options.prediction_color), as_color(self._options.truth_color)
        drawn = draw_overlay(to_picture(image, self._spec.bands), prediction.mask > 0, red, 0.4, red)
        return draw_overlay(drawn, _foreground(truth), blue, 0.0, blue)

    def _confidence(self, image: np.ndarray, truth: np.ndarray, prediction: Prediction) -> np.ndarray:
        """The foreground's probability: grey levels below the threshold, tinted above it; the truth outlined."""
        probabilities = prediction.probabilities
        foreground = probabilities[:, :, 0] if self._spec.task == "binary" else 1 - probabilities[:, :, 0]
        grey = np.round(foreground * 255).astype(np.uint8)
        drawn = np.repeat(grey[:, :, None], 3, axis=2)
        color, blue = np.array(self._options.prediction_color, np.float32), as_color(self._options.truth_color)
        tinted = prediction.mask > 0
        drawn[tinted] = np.round(foreground[tinted, None] * color).astype(np.uint8)
        return draw_overlay(drawn, _foreground(truth), blue, 0.0, blue)


def _foreground(truth: np.ndarray) -> np.ndarray:
    return np.asarray((truth > 0) & (truth != IGNORED))
