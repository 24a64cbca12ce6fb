"""Boundary F1: agreement of outlines within a tolerance.

As Csurka et al. 2013 (BMVC, "What is a good evaluation measure for semantic segmentation?"): precision is the share of
the predicted outline within the distance of the true one, recall the share of the true outline within the distance of
the predicted one, F1 their harmonic mean, per image. An outline is the inner boundary of a class; the border of the
image is not part of it.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from flood_seg.classes import IGNORED

if TYPE_CHECKING:
    from collections.abc import Sequence

_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


def boundary_f1(predicted: np.ndarray, target: np.ndarray, classes: int, radii: Sequence[int]) -> list[float]:
    """Returns the boundary F1 of an image at each distance, averaged over the classes except the background.

    Args:
        predicted: class indices, uint8 [H, W].
        target: class indices, uint8 [H, W]; outlines next to `IGNORED` pixels do not count.
        classes: number of classes.
        radii: distances in pixels, Euclidean.

    Returns:
        one value in [0, 1] per radius; 1 where neither has an outline, 0 where only one has.
    """
    ignored = (target == IGNORED).view(np.uint8)
    counted = None if not ignored.any() else cv2.dilate(ignored, _CROSS) == 0
    scores = []
    for index in range(1, classes):
        found, true = (_outline(mask == index, counted) for mask in (predicted, target))
        if classes == 2 or (predicted == index).any() or (target == index).any():
            scores.append([_f1(found, true, radius) for radius in radii])
    return np.mean(scores, axis=0).tolist() if scores else [1.0] * len(radii)


def _outline(mask: np.ndarray, counted: np.ndarray | None) -> np.ndarray:
    inside = np.ascontiguousarray(mask).view(np.uint8)
    rim = inside - cv2.erode(inside, _CROSS)
    return np.asarray(rim if counted is None else rim * counted)


def _f1(predicted: np.ndarray, target: np.ndarray, radius: int) -> float:
    counts = cv2.countNonZero(predicted), cv2.countNonZero(target)
    if 0 in counts:
        return float(counts == (0, 0))
    precision = cv2.countNonZero(predicted & cv2.dilate(target, _disk(radius))) / counts[0]
    recall = cv2.countNonZero(target & cv2.dilate(predicted, _disk(radius))) / counts[1]
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@cache
def _disk(radius: int) -> np.ndarray:
    """Returns a disk of the pixels whose centers lie within the radius, uint8 [2r + 1, 2r + 1]."""
    down, across = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(down**2 + across**2 <= radius**2, np.uint8)
