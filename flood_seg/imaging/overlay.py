"""Draws a mask over its photo."""

from __future__ import annotations

import cv2
import numpy as np


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
