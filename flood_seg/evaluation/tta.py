"""Test-time augmentation: the logits of an image in several orientations and sizes are averaged."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from flood_seg.imaging.postprocess import resize_logits
from flood_seg.inference.backends.contract import Backend

STRIDE = 32  # sizes are multiples of it, as most encoders require


@dataclass(frozen=True)
class Augmentations:
    """The orientations and sizes in which an image is predicted.

    Attributes:
        orientations: whether in all eight (D4: quarter turns and flips), four where height and width differ.
        scales: factors of the network's size.
    """

    orientations: bool = False
    scales: tuple[float, ...] = (1.0,)

    @property
    def is_identity(self) -> bool:
        """Whether the image is predicted only as it is."""
        return not self.orientations and self.scales == (1.0,)

    def run(self, backend: Backend, tensor: np.ndarray) -> np.ndarray:
        """Returns the mean of the logits of all orientations and sizes.

        Args:
            backend: of the model.
            tensor: float32 [bands, height, width], as `preprocess` returns it.

        Returns:
            float32 [channels, height, width].
        """
        height, width = tensor.shape[1:]
        total, count = None, 0
        for scale in self.scales:
            scaled = _scaled(tensor, scale)
            for turns, flip in self._turns(height == width):
                turned = _turn(scaled, turns, flip)
                output = _turn_back(backend.run(np.ascontiguousarray(turned)[None])[0], turns, flip)
                logits = resize_logits(np.ascontiguousarray(output), height, width)
                total, count = logits if total is None else total + logits, count + 1
        assert total is not None
        return np.asarray(total / np.float32(count))

    def _turns(self, square: bool) -> list[tuple[int, bool]]:
        if not self.orientations:
            return [(0, False)]
        return [(turns, flip) for turns in (range(4) if square else (0, 2)) for flip in (False, True)]


class AugmentedBackend(Backend):
    """Runs a model on the augmentations of each image; returns the means of their logits."""

    def __init__(self, backend: Backend, augmentations: Augmentations) -> None:
        self._backend, self._augmentations = backend, augmentations
        self.spec, self.description, self.concurrency = backend.spec, backend.description, backend.concurrency

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Maps float32 [batch, bands, height, width] to logits [batch, classes or 1, height, width]."""
        return np.stack([self._augmentations.run(self._backend, tensor) for tensor in batch])


def _scaled(tensor: np.ndarray, scale: float) -> np.ndarray:
    height, width = (max(STRIDE, round(side * scale / STRIDE) * STRIDE) for side in tensor.shape[1:])
    if scale == 1:
        return tensor
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.stack([cv2.resize(band, (width, height), interpolation=interpolation) for band in tensor])


def _turn(planes: np.ndarray, turns: int, flip: bool) -> np.ndarray:
    turned = np.rot90(planes, turns, axes=(1, 2))
    return turned[:, :, ::-1] if flip else turned


def _turn_back(planes: np.ndarray, turns: int, flip: bool) -> np.ndarray:
    return np.rot90(planes[:, :, ::-1] if flip else planes, -turns, axes=(1, 2))
