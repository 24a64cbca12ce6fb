"""Metrics as counts per image, so that any grouping of images adds up to the same figures.

Convention for empty masks: where neither truth nor prediction has a foreground pixel, the two agree entirely, and
IoU, F1, precision and recall are 1. Where only one of them has, all four are 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


def confusion_counts(predicted: Any, target: Any) -> tuple[Any, Any, Any, Any]:
    """Counts pixels per image.

    Args:
        predicted: bool [N, ...], a NumPy array or a torch tensor; True is foreground.
        target: bool of the same kind and shape.

    Returns:
        true positives, false positives, false negatives, true negatives: int64 [N] each, of the same kind.
    """
    predicted, target = predicted.reshape(len(predicted), -1), target.reshape(len(target), -1)
    hits = (predicted & target).sum(1)
    false_positives, false_negatives = predicted.sum(1) - hits, target.sum(1) - hits
    return (
        hits,
        false_positives,
        false_negatives,
        predicted.shape[1] - hits - false_positives - false_negatives,
    )


def image_counts(predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Counts an image's pixels: classes of any integer type [H, W], all but 0 foreground; returns int64 [4]."""
    return np.concatenate(confusion_counts((predicted > 0)[None], (target > 0)[None]))


@dataclass(frozen=True)
class Metrics:
    """Shares in [0, 1]; the first five from counts summed over all pixels, the last a mean over images."""

    iou: float
    f1: float
    accuracy: float
    precision: float
    recall: float
    image_iou: float


def metrics_from_counts(counts: np.ndarray) -> Metrics:
    """Returns the metrics of a set of images.

    Args:
        counts: int64 [N, 4] as `confusion_counts` orders them, a row an image, N >= 1.
    """
    hits, false_positives, false_negatives, true_negatives = (float(c) for c in counts.sum(axis=0))
    wrong = false_positives + false_negatives
    return Metrics(
        iou=_share(hits, hits + wrong, wrong),
        f1=_share(2 * hits, 2 * hits + wrong, wrong),
        accuracy=(hits + true_negatives) / (hits + true_negatives + wrong),
        precision=_share(hits, hits + false_positives, wrong),
        recall=_share(hits, hits + false_negatives, wrong),
        image_iou=float(image_ious(counts).mean()),
    )


def image_ious(counts: np.ndarray) -> np.ndarray:
    """Returns the IoU of each image, float64 [N], from counts int64 [N, 4]; 1 where truth and prediction are empty."""
    union = counts[:, :3].sum(axis=1)
    return np.where(union == 0, 1.0, counts[:, 0] / np.maximum(union, 1))


def _share(part: float, whole: float, wrong: float) -> float:
    """`part / whole`; of an empty whole 1 where nothing is wrong, else 0."""
    return part / whole if whole else float(wrong == 0)
