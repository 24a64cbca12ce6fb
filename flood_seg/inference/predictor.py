"""From an image to probabilities and a mask, with any backend."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from flood_seg.errors import ImageError
from flood_seg.imaging.postprocess import check_logits, resize_logits, to_classes, to_probabilities
from flood_seg.imaging.preprocess import preprocess, resize_valid
from flood_seg.inference.values import measure_shift
from flood_seg.resources import LESS_MEMORY, enough_memory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flood_seg.inference.backends.contract import Backend


@dataclass(frozen=True)
class Prediction:
    """A model's output for an image.

    Attributes:
        logits: float32 [channels, H, W] at the image's own size; one channel means binary.
        threshold: a pixel is foreground where its probability is above this (binary only).
        temperature: of the probabilities; see `ModelSpec`.
        valid: bool [H, W], False where the image has no data; None: there is data everywhere.
    """

    logits: np.ndarray
    threshold: float
    temperature: float = 1.0
    valid: np.ndarray | None = None

    @cached_property
    def probabilities(self) -> np.ndarray:
        """float32 [H, W, channels] in [0, 1]: the foreground's, or one per class."""
        return to_probabilities(self.logits, self.temperature)

    @cached_property
    def mask(self) -> np.ndarray:
        """uint8 [H, W] class indices; background where the image has no data."""
        mask = to_classes(self.logits, self.threshold, self.temperature)
        if self.valid is not None:
            mask[~self.valid] = 0
        return mask

    @property
    def nodata_share(self) -> float:
        """The share of the pixels without data, in [0, 1]."""
        return 0.0 if self.valid is None else 1 - float(self.valid.mean())

    def shares(self, names: Sequence[str]) -> dict[str, float]:
        """Returns the share of the pixels of each class but the background, in [0, 1], by its name."""
        return class_shares(self.mask, names)


def class_shares(mask: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Returns the share of the pixels of each class but the background in a mask, uint8 [H, W] class indices."""
    counts = {name: int(np.count_nonzero(mask == index)) for index, name in enumerate(names) if index}
    return {name: count / mask.size for name, count in counts.items()}


class Prepared(NamedTuple):
    """An image as the network's input.

    Attributes:
        tensor: float32 [bands, height, width].
        shift: of its values from the training data's; see `measure_shift`.
    """

    tensor: np.ndarray
    shift: float


class Predictor:
    """Runs images through preprocessing, a backend and postprocessing."""

    def __init__(self, backend: Backend, threshold: float | None = None, value_scale: float | None = None) -> None:
        """Takes the backend of a model; the threshold and the value scale replace those of its spec."""
        self.backend, self.spec = backend, backend.spec
        if value_scale is not None:
            self.spec = replace(self.spec, value_scale=value_scale)
        self.threshold = self.spec.threshold if threshold is None else threshold

    def predict(self, image: np.ndarray) -> Prediction:
        """Predicts an image, any dtype [H, W, bands] with raw values.

        Raises:
            ImageError: the number of bands is not the model's, or the values cannot be on its scale.
            LogitsError: the model's output is NaN or infinite.
            OutOfMemoryError: there is not enough memory.
        """
        return self.finish(self.run(self.prepare(image).tensor[None])[0], *image.shape[:2])

    def prepare(
        self, image: np.ndarray, valid: np.ndarray | None = None, missing: Mapping[str, float] | None = None
    ) -> Prepared:
        """Returns the backend's input of an image; raises as `predict`.

        Args:
            image: any dtype [H, W, bands] with raw values.
            valid: bool [H, W], False where the image has no data, which the shift ignores; None: there is data
                everywhere.
            missing: see `Raster.missing`; None: all bands are there.
        """
        if image.ndim != 3 or image.shape[2] != len(self.spec.bands):
            bands = ", ".join(self.spec.bands)
            raise ImageError(f"image of shape {image.shape}: the model requires [height, width, bands] with {bands}")
        tensor = preprocess(image, self.spec)
        if valid is not None:
            valid = resize_valid(valid, *tensor.shape[1:])
        return Prepared(tensor, measure_shift(tensor, self.spec, image.dtype, valid, missing))

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Maps float32 [batch, bands, height, width] to logits [batch, classes or 1, height, width].

        Raises:
            OutOfMemoryError: there is not enough memory for the batch.
            BackendError: the backend fails; a ServerError where it is a server.
        """
        count, _, height, width = batch.shape
        with enough_memory(f"a batch of {count} at the network's {width}×{height}", LESS_MEMORY):
            return self.backend.run(batch)

    def finish(self, logits: np.ndarray, height: int, width: int, valid: np.ndarray | None = None) -> Prediction:
        """Returns the prediction of an image from the backend's output.

        Args:
            logits: float32 [channels, h, w].
            height: of the image.
            width: of the image.
            valid: bool [height, width], False where the image has no data; None: there is data everywhere.

        Raises:
            LogitsError: they are not finite.
        """
        resized = resize_logits(check_logits(logits), height, width)
        return Prediction(resized, self.threshold, self.spec.temperature, valid)
