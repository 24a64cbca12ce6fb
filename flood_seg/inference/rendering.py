"""What is made of a mask: the label image that is written, and the overlay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flood_seg.imaging.display import class_colors, draw_classes, to_picture
from flood_seg.imaging.postprocess import to_labels

if TYPE_CHECKING:
    import numpy as np

    from flood_seg.config.schema import OutputConfig
    from flood_seg.spec import ModelSpec


class Renderer:
    """Renders the masks of one model."""

    def __init__(self, spec: ModelSpec, output: OutputConfig) -> None:
        """Takes the model's classes, and the values and colours of the output."""
        self._bands, self._opacity, self._outline = spec.bands, output.overlay_opacity, _rgb(output.outline_color)
        self._values, self._colors = spec.label_values, class_colors(spec)
        if spec.task == "binary":
            self._values, self._colors[1] = (0, output.foreground_value), _rgb(output.overlay_color)

    def labels(self, mask: np.ndarray) -> np.ndarray:
        """Returns the label image of class indices, uint8 [H, W]: 0 and the foreground value, or the label values."""
        return to_labels(mask, self._values)

    def overlay(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Returns uint8 [H, W, 3] RGB: the image with its classes tinted and outlined.

        Args:
            image: any dtype [H, W, bands], raw values.
            mask: class indices, uint8 [H, W].
        """
        return draw_classes(to_picture(image, self._bands), mask, self._colors, self._opacity, self._outline)


def _rgb(values: list[int]) -> tuple[int, int, int]:
    red, green, blue = values
    return red, green, blue
