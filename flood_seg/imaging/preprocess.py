"""From an image to the network's input; the only place where that is done.

`preprocess` is `resize_image` and `normalize`. Training resizes once, augments the raw values and
normalizes; validation, evaluation, inference and serving call the same functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flood_seg.spec import ModelSpec

PIXEL_TYPES = (np.uint8, np.uint16, np.float32)  # that images are read as; OpenCV changes some of the others


def resize_image(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Stretches `image`, any dtype [H, W, bands], to [height, width, bands].

    Averages areas where both sides shrink (no aliasing), else interpolates bilinearly.
    """
    if image.shape[:2] == (height, width):
        return image
    shrinks = image.shape[0] >= height and image.shape[1] >= width
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return by_fours(image, lambda bands: cv2.resize(bands, (width, height), interpolation=interpolation))


def same_aspect(shape: Sequence[int], other: Sequence[int]) -> bool:
    """Whether the aspect ratios of two shapes (height, width, ...) are equal within 1 %."""
    ratio = (shape[1] / shape[0]) / (other[1] / other[0])
    return max(ratio, 1 / ratio) <= 1.01


def resize_valid(valid: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes where an image, or each band, has data, bool [H, W] or [H, W, bands], by the nearest pixel's centre."""
    size = (width, height)
    resized = by_fours(
        valid.view(np.uint8), lambda bands: cv2.resize(bands, size, interpolation=cv2.INTER_NEAREST_EXACT)
    )
    return np.asarray(resized > 0)


def shrink(image: np.ndarray, longest: int) -> np.ndarray:
    """Shrinks `image`, any dtype [H, W] or [H, W, bands], so that its longer side has `longest` pixels at most."""
    return resize_image(image, *shrunk(image.shape, longest))


def shrunk(shape: tuple[int, ...], longest: int) -> tuple[int, int]:
    """Returns (height, width) of a picture whose longer side has `longest` pixels at most."""
    scale = min(1.0, longest / max(shape[:2]))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def by_fours(image: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Changes four bands of [H, W, bands] or [H, W] at a time, the most that some OpenCV functions take."""
    if image.ndim == 2:
        return np.asarray(change(image))
    parts = [image]
    if image.shape[2] > 4:
        parts = [np.ascontiguousarray(image[:, :, start : start + 4]) for start in range(0, image.shape[2], 4)]
    changed = [np.atleast_3d(change(part)) for part in parts]  # OpenCV drops a single band's axis
    return changed[0] if len(changed) == 1 else np.concatenate(changed, axis=2)


def normalize(image: np.ndarray, spec: ModelSpec) -> np.ndarray:
    """Scales to [0, 1] by `spec.value_scale`, subtracts the mean, divides by the standard deviation.

    Args:
        image: any dtype [H, W, bands], raw values.
        spec: gives value scale, mean and std of each band.

    Returns:
        float32 [bands, H, W].
    """
    height, width, bands = image.shape
    result = np.empty((bands, height, width), np.float32)
    channels = cv2.split(image) if image.dtype in PIXEL_TYPES else np.moveaxis(image, 2, 0)  # faster
    for band, (mean, std) in enumerate(zip(spec.mean, spec.std, strict=True)):
        # One multiplication and one addition per pixel, in place.
        gain = np.float32(1.0 / (spec.value_scale * std))
        np.multiply(channels[band], gain, out=result[band], casting="unsafe", dtype=np.float32)
        result[band] -= np.float32(mean / std)
    return result


def preprocess(image: np.ndarray, spec: ModelSpec) -> np.ndarray:
    """Turns an image, any dtype [H, W, bands], into the network's input, float32 [bands, height, width]."""
    return normalize(resize_image(image, spec.height, spec.width), spec)
