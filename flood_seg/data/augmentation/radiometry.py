"""Augmentation of values: brightness and contrast, stretch, and blur, of images of any bands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import albumentations as A
import cv2
import numpy as np

from flood_seg.imaging.preprocess import by_fours

if TYPE_CHECKING:
    from flood_seg.config.schema import AugmentationConfig
    from flood_seg.imaging.bands import BandSelection


def around_one(spread: float) -> tuple[float, float]:
    """Returns the bounds of a factor, at least 0."""
    return max(0.0, 1.0 - spread), 1.0 + spread


class Radiometry(A.ImageOnlyTransform):  # type: ignore[misc] # albumentations has no types
    """Brightness and contrast of images of any bands and values; the same for all bands, to keep their ratios."""

    def __init__(self, config: AugmentationConfig) -> None:
        super().__init__(p=config.color_probability)
        self.config = config

    def get_params(self) -> dict[str, Any]:
        """Draws a gain and a contrast."""
        low, high = around_one(self.config.brightness)
        gain = self.py_random.uniform(low, high)
        low, high = around_one(self.config.contrast)
        return {"gain": gain, "contrast": self.py_random.uniform(low, high)}

    def apply(self, img: np.ndarray, gain: float, contrast: float, **params: Any) -> np.ndarray:
        """Stretches each band around its mean and multiplies; stays within an integer type's values."""
        mean = img.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
        changed = ((img - mean) * np.float32(contrast) + mean) * np.float32(gain)
        if img.dtype == np.float32:
            return np.asarray(changed)
        limits = np.iinfo(img.dtype)
        return np.asarray(changed.round().clip(limits.min, limits.max), img.dtype)


class Stretch(A.ImageOnlyTransform):  # type: ignore[misc]
    """Another gamma and another range of values, drawn for each group of bands; the values stay on their scale."""

    def __init__(self, config: AugmentationConfig, bands: BandSelection) -> None:
        super().__init__(p=1.0)
        self.config, self.scale = config, np.float32(bands.value_scale)
        self.places = [[bands.names.index(name) for name in group] for group in config.stretch_groups]

    def get_params(self) -> dict[str, Any]:
        """Draws lowest value, range (both on the scale of 0 to 1) and gamma for each group; None: unchanged."""
        return {"curves": [self._draw() for _ in self.places]}

    def _draw(self) -> tuple[float, float, float] | None:
        config, random = self.config, self.py_random
        if random.random() >= config.stretch_probability:
            return None
        low, high = (random.uniform(-config.stretch_range, config.stretch_range) for _ in range(2))
        gamma = np.exp(random.uniform(*np.log(config.stretch_gamma)))  # as likely above 1 as below
        return low, 1 + high - low, float(gamma)

    def apply(self, img: np.ndarray, curves: list[tuple[float, float, float] | None], **params: Any) -> np.ndarray:
        """Returns a stretched copy; integers keep within 0 and the scale."""
        result = img.copy()
        drawn = ((places, curve) for places, curve in zip(self.places, curves, strict=True) if curve)
        for places, (low, span, gamma) in drawn:
            for place in places:
                share = np.maximum((img[:, :, place] / self.scale - np.float32(low)) / np.float32(span), 0)
                values = self.scale * cv2.pow(share, gamma)
                result[:, :, place] = values if img.dtype == np.float32 else np.rint(np.minimum(values, self.scale))
        return result


class Blur(A.ImageOnlyTransform):  # type: ignore[misc]
    """Gaussian or motion blur, one of the two; albumentations' own transforms clip floats at 1."""

    def __init__(self, config: AugmentationConfig) -> None:
        super().__init__(p=config.blur_probability)
        self.config = config

    def get_params(self) -> dict[str, Any]:
        """Draws a kernel, float32 [side, side], whose sum is 1."""
        if self.py_random.random() < 0.5:
            sigma = self.py_random.uniform(*self.config.blur_sigma)
            line = cv2.getGaussianKernel(2 * int(3 * sigma + 0.5) + 1, sigma)
            return {"kernel": (line @ line.T).astype(np.float32)}
        low, high = self.config.motion_blur_pixels
        return {"kernel": _motion_kernel(self.py_random.randint(low, high) | 1, self.py_random.uniform(0, np.pi))}

    def apply(self, img: np.ndarray, kernel: np.ndarray, **params: Any) -> np.ndarray:
        """Convolves each band."""
        return by_fours(img, lambda bands: cv2.filter2D(bands, -1, kernel, borderType=cv2.BORDER_REFLECT_101))


def _motion_kernel(side: int, angle: float) -> np.ndarray:
    """Returns a line through the centre of a square, float32 [side, side], whose sum is 1."""
    kernel, center = np.zeros((side, side), np.float32), side // 2
    reach = np.rint(np.array([np.cos(angle), np.sin(angle)]) * center).astype(int)
    cv2.line(kernel, tuple(int(v) for v in center - reach), tuple(int(v) for v in center + reach), 1.0)
    return np.asarray(kernel / kernel.sum())
