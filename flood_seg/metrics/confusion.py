"""Metrics from confusion matrices per image, which can be summed over any grouping of images.

Conventions: the metrics of a binary task are those of the foreground, class 1. If neither truth nor prediction has a
foreground pixel, IoU, F1, precision and recall are 1; if only one of them has, all four are 0. The metrics of a
multiclass task are means over the classes (background included) that occur in truth or prediction. Ignored pixels are
excluded.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from flood_seg.classes import IGNORED


def confusion_matrices(predicted: Any, target: Any, classes: int) -> Any:
    """Counts pixels per image.

    Args:
        predicted: class indices, any integer type or bool [N, ...], a NumPy array or a torch tensor.
        target: class indices of the same kind and shape; `IGNORED` pixels are skipped.
        classes: number of classes.

    Returns:
        int64 [N, classes, classes], of the same kind; [n, truth, prediction].
    """
    xp: Any = np if isinstance(predicted, np.ndarray) else sys.modules["torch"]
    count = len(predicted)
    predicted, target = predicted.reshape(count, -1), target.reshape(count, -1)
    if classes == 2:  # three times as fast as the general case
        positive, negative, found = target == 1, target == 0, predicted == 1
        hits, alarms = (found & positive).sum(1), (found & negative).sum(1)
        return xp.stack([negative.sum(1) - alarms, alarms, positive.sum(1) - hits, hits], 1).reshape(count, 2, 2)
    cell = xp.asarray(target, dtype=xp.int64) * classes + predicted
    cell += (xp.ones_like(cell[:, :1]).cumsum(0) - 1) * classes**2  # index of the image, on the same device
    return xp.bincount(cell[target != IGNORED], minlength=count * classes**2).reshape(count, classes, classes)


def confusion_matrix(predicted: np.ndarray, target: np.ndarray, classes: int) -> np.ndarray:
    """Counts the pixels of one image, class indices [H, W]; returns int64 [classes, classes], [truth, prediction]."""
    return np.asarray(confusion_matrices(predicted[None], target[None], classes)[0])


@dataclass(frozen=True)
class Scores:
    """Scores in [0, 1], from pixel counts summed over images."""

    iou: float
    f1: float
    accuracy: float
    precision: float
    recall: float


@dataclass(frozen=True)
class Metrics(Scores):
    """Metrics of a task, and means over its images; see `image_scores`."""

    image_iou: float
    macro_iou: float
    frequency_weighted_iou: float


@dataclass(frozen=True)
class ClassMetrics(Scores):
    """Metrics of one class against all others; `pixels` of the truth, `present` in truth or prediction."""

    pixels: int
    present: bool


def task_metrics(matrices: np.ndarray, task: str) -> Metrics:
    """Returns the metrics of a set of images: of the foreground (binary), or the mean over classes (multiclass).

    Args:
        matrices: int64 [N, classes, classes] as `confusion_matrices` returns them, N >= 1. Images whose pixels are all
            ignored are excluded from the mean over images.
        task: `binary` or `multiclass`.
    """
    scores = task_scores(matrices.sum(axis=0)[None], task)
    totals = {name: float(values[0]) for name, values in scores.items()}
    known = matrices.any(axis=(1, 2))
    each = image_scores(matrices[known] if known.any() else matrices, task)
    return Metrics(**totals, **{name: float(values.mean()) for name, values in each.items()})


def image_scores(matrices: np.ndarray, task: str) -> dict[str, np.ndarray]:
    """Returns what is averaged over images, float64 [N] by name, from int64 [N, classes, classes].

    `image_iou`: see `image_ious`. `macro_iou`: the mean of the IoU of each class, background included, that occurs in
    the image's truth or prediction. `frequency_weighted_iou`: the same, but weighted by the pixels of each class in the
    truth (Long, Shelhamer and Darrell 2015, https://arxiv.org/abs/1411.4038, section 5).
    """
    shares, present = _class_shares(matrices)
    true = matrices.sum(axis=2)
    weighted, pixels = (shares["iou"] * true).sum(axis=1), true.sum(axis=1)
    return {
        "image_iou": image_ious(matrices, task),
        "macro_iou": _mean_of_present(shares["iou"], present),
        "frequency_weighted_iou": _ratio(weighted, pixels, np.zeros_like(pixels)),
    }


def image_ious(matrices: np.ndarray, task: str) -> np.ndarray:
    """Returns the IoU of each image, float64 [N], from int64 [N, classes, classes].

    That of the foreground (binary), 1 where truth and prediction are empty; or the mean over the classes that occur in
    the image's truth or prediction (multiclass).
    """
    return task_scores(matrices, task)["iou"]


def task_scores(matrices: np.ndarray, task: str) -> dict[str, np.ndarray]:
    """Returns each of `Scores` for each confusion matrix, float64 [N], from int64 [N, classes, classes]."""
    shares, present = _class_shares(matrices)
    if task == "binary":
        means = {name: values[:, 1] for name, values in shares.items()}
    else:
        means = {name: _mean_of_present(values, present) for name, values in shares.items()}
    hits, pixels = np.trace(matrices, axis1=1, axis2=2), matrices.sum(axis=(1, 2))
    return means | {"accuracy": _ratio(hits, pixels, pixels - hits)}


def _mean_of_present(values: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Returns the mean over the classes that are present, or over all if none is, float64 [N], of [N, classes]."""
    measured = np.where(present.any(axis=1, keepdims=True), present, True)
    return np.asarray((values * measured).sum(axis=1) / measured.sum(axis=1))


def class_metrics(matrix: np.ndarray) -> list[ClassMetrics]:
    """Returns the metrics of each class from a confusion matrix, int64 [classes, classes]."""
    shares, present = _class_shares(matrix[None])
    return [
        ClassMetrics(
            **{name: float(values[0, index]) for name, values in shares.items()},
            pixels=int(matrix[index].sum()),
            present=bool(present[0, index]),
        )
        for index in range(len(matrix))
    ]


def _class_shares(matrices: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Returns each of `Scores` of each class against all others, and which classes occur, all [N, classes]."""
    hits = np.diagonal(matrices, axis1=1, axis2=2)
    predicted, true, total = matrices.sum(axis=1), matrices.sum(axis=2), matrices.sum(axis=(1, 2))[:, None]
    wrong = predicted + true - 2 * hits
    parts = {
        "iou": (hits, hits + wrong), "f1": (2 * hits, 2 * hits + wrong), "accuracy": (total - wrong, total),
        "precision": (hits, predicted), "recall": (hits, true),
    }  # fmt: skip
    return {name: _ratio(part, whole, wrong) for name, (part, whole) in parts.items()}, predicted + true > 0


def _ratio(part: np.ndarray, whole: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Returns `part / whole`; where `whole` is 0: 1 if nothing is wrong, else 0."""
    return np.asarray(np.where(whole > 0, part / np.maximum(whole, 1), wrong == 0))


def by_class(matrices: np.ndarray, names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Returns the metrics of each class as plain values, by class name, from int64 [N, classes, classes]."""
    return {name: asdict(one) for name, one in zip(names, class_metrics(matrices.sum(axis=0)), strict=True)}
