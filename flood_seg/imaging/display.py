"""Turns an image of any bands and values into a picture, and class indices into colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from flood_seg.classes import IGNORED, default_colors, to_rgb
from flood_seg.imaging.bands import RGB

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.classes import Color
    from flood_seg.spec import ModelSpec

# RGB, from a palette that is safe for colour-blind readers
HIT, MISS, FALSE_ALARM = (30, 144, 255), (255, 176, 0), (220, 38, 127)
STRETCH = (2, 98)  # percentiles that become black and white, as GIS programs do by default


def to_picture(
    image: np.ndarray, bands: Sequence[str], limits: tuple[np.ndarray, np.ndarray] | None = None
) -> np.ndarray:
    """Returns a picture, uint8 [H, W, 3] RGB, of an image, any dtype [H, W, bands].

    Shown are red, green and blue where `bands` has them, else the first three bands, else the first in grey. Values of
    8 bits stay; others are stretched, each band by itself.

    Args:
        image: the image, or a part of one.
        bands: names of the bands.
        limits: of the whole image that this is a part of, see `stretch_limits`; None: those of this one.
    """
    shown = _shown_bands(image, bands)
    if shown.dtype != np.uint8:
        low, high = limits or stretch_limits(image, bands)
        scaled = (shown.astype(np.float32) - low) * (255 / np.maximum(high - low, 1e-12))
        shown = np.asarray(scaled.clip(0, 255), np.uint8)
    return np.ascontiguousarray(shown)


def stretch_limits(image: np.ndarray, bands: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the values that become black and white in `to_picture`, float64 [3] each."""
    low, high = np.percentile(_shown_bands(image, bands)[::4, ::4], STRETCH, axis=(0, 1))
    return low, high


def _shown_bands(image: np.ndarray, bands: Sequence[str]) -> np.ndarray:
    names = [name.lower() for name in bands]
    places = [names.index(name) for name in RGB] if set(RGB) <= set(names) else list(range(min(3, len(names))))
    return image[:, :, places if len(places) == 3 else [places[0]] * 3]


def class_colors(spec: ModelSpec) -> list[Color]:
    """Returns the colour of each class, RGB, in a model's pictures."""
    return [to_rgb(color) for color in spec.class_colors or default_colors(len(spec.class_names))]


def as_color(values: Sequence[int]) -> Color:
    """Returns a configured colour, red, green and blue in 0-255, as a tuple."""
    red, green, blue = values
    return red, green, blue


def draw_overlay(
    image: np.ndarray,
    mask: np.ndarray,
    color: tuple[int, int, int],
    opacity: float,
    outline: tuple[int, int, int],
) -> np.ndarray:
    """Tints the masked pixels and draws their outline.

    Args:
        image: uint8 [H, W, 3] RGB.
        mask: uint8 or bool [H, W]; nonzero is tinted.
        color: tint, RGB 0-255.
        opacity: of the tint, in [0, 1].
        outline: colour of the outline, RGB 0-255; its width grows with the image.

    Returns:
        uint8 [H, W, 3] RGB, a new array.
    """
    inside = np.ascontiguousarray(mask != 0).view(np.uint8)
    tint = np.full_like(image, np.array(color, np.uint8))
    result = image.copy()
    cv2.copyTo(cv2.addWeighted(tint, opacity, image, 1 - opacity, 0), inside, result)
    contours, _ = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    thickness = max(1, round(max(image.shape[:2]) / 600))
    cv2.drawContours(result, contours, -1, outline, thickness, cv2.LINE_AA)
    return result


def draw_classes(
    image: np.ndarray, mask: np.ndarray, colors: Sequence[Color], opacity: float, outline: Color | None
) -> np.ndarray:
    """Tints each class but the first in its colour, and outlines it.

    Args:
        image: uint8 [H, W, 3] RGB.
        mask: class indices, uint8 [H, W]; those beyond `colors` are left as they are.
        colors: a class, the first is not drawn.
        opacity: in [0, 1].
        outline: RGB; None: of the class's own colour.

    Returns:
        uint8 [H, W, 3] RGB, a new array.
    """
    result = image
    for index in range(1, len(colors)):
        if (area := mask == index).any():
            result = draw_overlay(result, area, colors[index], opacity, outline or colors[index])
    return image.copy() if result is image else result


def draw_difference(image: np.ndarray, truth: np.ndarray, predicted: np.ndarray, opacity: float = 0.55) -> np.ndarray:
    """Tints hits, misses and false alarms in three colours.

    Args:
        image: uint8 [H, W, 3] RGB.
        truth: class indices, uint8 [H, W]; `IGNORED` pixels are left as they are.
        predicted: class indices, uint8 [H, W]; of several classes a pixel of another class than the true one is missed.
        opacity: in [0, 1].

    Returns:
        uint8 [H, W, 3] RGB, a new array.
    """
    counted = truth != IGNORED
    wet, found = (truth > 0) & counted, (predicted > 0) & counted
    result = image
    areas = ((wet & (truth == predicted), HIT), (wet & (truth != predicted), MISS), (found & ~wet, FALSE_ALARM))
    for area, color in areas:
        result = draw_overlay(result, area, color, opacity, color)
    return result


def difference_legend(names: Sequence[str]) -> dict[str, Color]:
    """Returns what the colours of `draw_difference` mean, given the names of the classes."""
    name = names[1] if len(names) == 2 else "class"
    missed = f"{name} missed" if len(names) == 2 else "missed, or another class"
    return {f"{name} found": HIT, missed: MISS, "false alarm": FALSE_ALARM}
