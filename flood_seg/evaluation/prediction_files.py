"""Writes what a model predicts for the images of an evaluation: masks, probabilities, differences and overlays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flood_seg.classes import IGNORED
from flood_seg.imaging.display import as_color, draw_difference, draw_overlay, to_picture
from flood_seg.imaging.postprocess import to_16_bits, to_labels
from flood_seg.imaging.write import write_image

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from flood_seg.config.schema import EvaluationOptions
    from flood_seg.inference.predictor import Prediction
    from flood_seg.spec import ModelSpec


class PredictionFiles:
    """Writes files into `folder/PART/KIND/STEM.png`, or `folder/KIND/STEM.png` where images belong to no part."""

    def __init__(
        self, folder: Path, options: EvaluationOptions, spec: ModelSpec, parts: Mapping[str, str | None]
    ) -> None:
        """Takes the kinds and colours of `options`, and the part of each stem."""
        self._folder, self._options, self._spec, self._parts = folder, options, spec, parts
        self._write = {
            "masks": self._mask,
            "probabilities": self._probability,
            "differences": self._difference,
            "overlays": self._overlay,
            "confidence": self._confidence,
        }

    def write(self, stem: str, image: np.ndarray, truth: np.ndarray, prediction: Prediction) -> None:
        """Writes the files of an image.

        Args:
            stem: of the pair.
            image: any dtype [H, W, bands], raw values.
            truth: class indices, uint8 [H, W].
            prediction: at the same size.

        Raises:
            OutputError: a file cannot be written.
        """
        part = self._parts.get(stem)
        folder = self._folder / part if part else self._folder
        name = stem.removeprefix(f"{part}/") if part else stem
        for kind in self._options.files:
            for suffix, drawn in self._write[kind](image, truth, prediction).items():
                write_image(folder / kind / f"{name}{suffix}", drawn)

    def _mask(self, image: np.ndarray, truth: np.ndarray, prediction: Prediction) -> dict[str, np.ndarray]:
        """Label values; a pixel without truth is predicted all the same."""
        return {".png": to_labels(prediction.mask, self._spec.label_values)}

    def _probability(self, image: np.ndarray, truth: np.ndarray, prediction: Prediction) -> dict[str, np.ndarray]:
        """Probability times 65535, of the foreground or of each class."""
        scaled = to_16_bits(prediction.probabilities)
        if self._spec.task == "binary":
            return {".png": scaled[:, :, 0]}
        return {f"_{name}.png": scaled[:, :, index] for index, name in enumerate(self._spec.class_names)}

    def _difference(self, image: np.ndarray, truth: np.ndarray, prediction: Prediction) -> dict[str, np.ndarray]:
        return {".jpg": draw_difference(to_picture(image, self._spec.bands), truth, prediction.mask)}

    def _overlay(self, image: np.ndarray, truth: np.ndarray, prediction: Prediction) -> dict[str, np.ndarray]:
        """The prediction tinted, the truth outlined."""
        red, blue = as_color(self._options.prediction_color), as_color(self._options.truth_color)
        drawn = draw_overlay(to_picture(image, self._spec.bands), prediction.mask > 0, red, 0.4, red)
        return {".jpg": draw_overlay(drawn, _foreground(truth), blue, 0.0, blue)}

    def _confidence(self, image: np.ndarray, truth: np.ndarray, prediction: Prediction) -> dict[str, np.ndarray]:
        """The foreground's probability: grey levels below the threshold, tinted above it; the truth outlined."""
        probabilities = prediction.probabilities
        foreground = probabilities[:, :, 0] if self._spec.task == "binary" else 1 - probabilities[:, :, 0]
        grey = np.round(foreground * 255).astype(np.uint8)
        drawn = np.repeat(grey[:, :, None], 3, axis=2)
        color, blue = np.array(self._options.prediction_color, np.float32), as_color(self._options.truth_color)
        tinted = prediction.mask > 0
        drawn[tinted] = np.round(foreground[tinted, None] * color).astype(np.uint8)
        return {".jpg": draw_overlay(drawn, _foreground(truth), blue, 0.0, blue)}


def _foreground(truth: np.ndarray) -> np.ndarray:
    return np.asarray((truth > 0) & (truth != IGNORED))
