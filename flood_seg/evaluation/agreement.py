"""How far two models' answers to the same photos lie apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.errors import ModelError
from flood_seg.imaging.postprocess import to_classes, to_probabilities
from flood_seg.metrics.confusion import confusion_matrix, image_ious

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.spec import ModelSpec


# Fields of the spec that must be the same for models to be compared at all, and on the very same input tensor.
SAME_TASK = ("task", "class_names", "bands", "value_scale")
SAME_INPUT = ("band_sources", "height", "width", "mean", "std")


def check_same_spec(first: ModelSpec, other: ModelSpec, name: str, fields: Sequence[str] = SAME_TASK) -> None:
    """Raises ModelError where the model `name` differs from the first one in a field; the line says in which."""
    for field in fields:
        mine, theirs = getattr(first, field), getattr(other, field)
        if mine != theirs:
            raise ModelError(f"{name}: its {field} is {theirs}, the first model's {mine}; compare models of one task")


@dataclass(frozen=True)
class Agreement:
    """The distance from a reference.

    Attributes:
        probability: the largest difference of a probability, in [0, 1].
        flipped: the share of pixels whose class differs.
        mask_iou: IoU of the two foreground masks, or the mean over classes, the mean over photos.
        area_error: the sum of each photo's difference in foreground area, over the reference's foreground area.
    """

    probability: float
    flipped: float
    mask_iou: float
    area_error: float

    @property
    def worst(self) -> float:
        """The largest of the three shares that a tolerance bounds: flipped pixels, 1 - mask IoU, area error."""
        return max(self.flipped, 1 - self.mask_iou, self.area_error)


def compare(
    reference: Sequence[np.ndarray], other: Sequence[np.ndarray], threshold: float, temperature: float = 1.0
) -> Agreement:
    """Compares logits, float32 [channels, height, width] a photo, photo by photo.

    Args:
        reference: of the model that is taken as right.
        other: of the other, in the same order and of the same shapes.
        threshold: a pixel is foreground where its probability is above this (one channel only).
        temperature: of the probabilities.
    """
    pairs = list(zip(reference, other, strict=True))
    apart = [np.abs(to_probabilities(a, temperature) - to_probabilities(b, temperature)).max() for a, b in pairs]
    classes = [(to_classes(a, threshold, temperature), to_classes(b, threshold, temperature)) for a, b in pairs]
    task, count = ("binary", 2) if len(reference[0]) == 1 else ("multiclass", len(reference[0]))
    matrices = np.stack([confusion_matrix(b, a, count) for a, b in classes])
    areas = np.array([((a > 0).sum(), (b > 0).sum()) for a, b in classes], float)
    return Agreement(
        probability=float(max(apart)),
        flipped=float(sum((a != b).sum() for a, b in classes) / sum(a.size for a, _ in classes)),
        mask_iou=float(image_ious(matrices, task).mean()),
        area_error=float(np.abs(areas[:, 0] - areas[:, 1]).sum() / max(areas[:, 0].sum(), 1.0)),
    )
