"""How far the answers of two models to the same images differ."""

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


# Fields of the spec that must be equal for two models to be compared, and to be compared on the same input tensor.
SAME_TASK = ("task", "class_names", "bands", "value_scale")
SAME_INPUT = ("band_sources", "height", "width", "mean", "std")


def check_same_spec(first: ModelSpec, other: ModelSpec, name: str, fields: Sequence[str] = SAME_TASK) -> None:
    """Raises ModelError where the model `name` differs from the first one in a field, which the message names."""
    for field in fields:
        expected, found = getattr(first, field), getattr(other, field)
        if expected != found:
            raise ModelError(
                f"{name}: its {field} is {found}, the first model's {expected}; compare models of one task"
            )


@dataclass(frozen=True)
class Agreement:
    """The distance from a reference.

    Attributes:
        probability: the largest difference of a probability, in [0, 1].
        flipped: the share of pixels whose class differs.
        mask_iou: IoU of the two foreground masks, or the mean over classes; averaged over images.
        area_error: the absolute differences in foreground area, summed, over the reference's foreground area.
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
    """Compares logits image by image, float32 [channels, height, width] each.

    Args:
        reference: of the reference model.
        other: of the other model, in the same order and of the same shapes.
        threshold: a pixel is foreground where its probability is above this (one channel only).
        temperature: of the probabilities.
    """
    pairs = list(zip(reference, other, strict=True))
    differences = [np.abs(to_probabilities(a, temperature) - to_probabilities(b, temperature)).max() for a, b in pairs]
    classes = [(to_classes(a, threshold, temperature), to_classes(b, threshold, temperature)) for a, b in pairs]
    task, count = ("binary", 2) if len(reference[0]) == 1 else ("multiclass", len(reference[0]))
    matrices = np.stack([confusion_matrix(b, a, count) for a, b in classes])
    areas = np.array([((a > 0).sum(), (b > 0).sum()) for a, b in classes], float)
    return Agreement(
        probability=float(max(differences)),
        flipped=float(sum((a != b).sum() for a, b in classes) / sum(a.size for a, _ in classes)),
        mask_iou=float(image_ious(matrices, task).mean()),
        area_error=float(np.abs(areas[:, 0] - areas[:, 1]).sum() / max(areas[:, 0].sum(), 1.0)),
    )
