"""Metrics as confusion matrices per image, so that any grouping of images adds up to the same figures.

Conventions: a binary task is measured by its foreground, class 1; where neither truth nor prediction has a foreground
pixel, the two agree entirely, and IoU, F1, precision and recall are 1; where only one of them has, all four are 0. A
task of several classes is measured by the mean over those classes that truth or prediction has (the background too).
Ignored pixels count nowhere.
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
        target: likewise, of the same kind and shape; `IGNORED` pixels are passed over.
        classes: how many there are.

    Returns:
        int64 [N, classes, classes], of the same kind; [n, truth, prediction].
    """
    xp: Any = np if isinstance(predicted, np.ndarray) else sys.modules["torch"]
    count = len(predicted)
    predicted, target = predicted.reshape(count, -1), target.reshape(count, -1)
    if classes == 2:  # a third of the time of the general way
        wet, dry, found = target == 1, target == 0, predicted == 1
        hits, alarms = (found & wet).sum(1), (found & dry).sum(1)
        return xp.stack([dry.sum(1) - alarms, alarms, wet.sum(1) - hits, hits], 1).reshape(count, 2, 2)
    cell = xp.asarray(target, dtype=xp.int64) * classes + predicted
    cell += (xp.ones_like(cell[:, :1]).cumsum(0) - 1) * classes**2  # the image's number, on the device of both
    return xp.bincount(cell[target != IGNORED], minlength=count * classes**2).reshape(count, classes, classes)


def confusion_matrix(predicted: np.ndarray, target: np.ndarray, classes: int) -> np.ndarray:
    """Counts one image's pixels: class indices [H, W]; returns int64 [classes, classes], [truth, prediction]."""
    return np.asarray(confusion_matrices(predicted[None], target[None], classes)[0])


@dataclass(frozen=True)
class Shares:
    """Shares in [0, 1], from counts summed over all pixels."""

    iou: float
    f1: float
    accuracy: float
    precision: float
    recall: float


@dataclass(frozen=True)
class Metrics(Shares):
    """Of a whole task; the last is a mean over images of each image's IoU."""

    image_iou: float


@dataclass(frozen=True)
class ClassMetrics(Shares):
    """Of one class against all others; `pixels` of the truth, and whether truth or prediction has any."""

    pixels: int
    present: bool


def task_metrics(matrices: np.ndarray, task: str) -> Metrics:
    """Returns the metrics of a set of images: the foreground's of a binary task, else the mean over classes.

    Args:
        matrices: int64 [N, classes, classes] as `confusion_matrices` returns them, N >= 1. An image all of whose
            pixels are ignored is left out of the mean over images.
        task: `binary` or `multiclass`.
    """
    figures = task_figures(matrices.sum(axis=0)[None], task)
    shares = {name: float(values[0]) for name, values in figures.items()}
    known = matrices.any(axis=(1, 2))
    return Metrics(**shares, image_iou=float(image_ious(matrices[known] if known.any() else matrices, task).mean()))


def image_ious(matrices: np.ndarray, task: str) -> np.ndarray:
    """Returns the IoU of each image, float64 [N], from int64 [N, classes, classes].

    Of a binary task the foreground's, 1 where truth and prediction are empty; else the mean over the classes that the
    image's truth or prediction has.
    """
    return task_figures(matrices, task)["iou"]


def task_figures(matrices: np.ndarray, task: str) -> dict[str, np.ndarray]:
    """Returns each of `Shares` for each confusion matrix by itself, float64 [N], from int64 [N, classes, classes]."""
    shares, present = _class_shares(matrices)
    if task == "binary":
        means = {name: values[:, 1] for name, values in shares.items()}
    else:
        measured = np.where(present.any(axis=1, keepdims=True), present, True)
        means = {name: (values * measured).sum(axis=1) / measured.sum(axis=1) for name, values in shares.items()}
    hits, pixels = np.trace(matrices, axis1=1, axis2=2), matrices.sum(axis=(1, 2))
    return means | {"accuracy": _share(hits, pixels, pixels - hits)}


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
    """Returns each of `Shares` of each class against all others, and which classes are there, all [N, classes]."""
    hits = np.diagonal(matrices, axis1=1, axis2=2)
    predicted, true, total = matrices.sum(axis=1), matrices.sum(axis=2), matrices.sum(axis=(1, 2))[:, None]
    wrong = predicted + true - 2 * hits
    parts = {
        "iou": (hits, hits + wrong), "f1": (2 * hits, 2 * hits + wrong), "accuracy": (total - wrong, total),
        "precision": (hits, predicted), "recall": (hits, true),
    }  # fmt: skip
    return {name: _share(part, whole, wrong) for name, (part, whole) in parts.items()}, predicted + true > 0


def _share(part: np.ndarray, whole: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """`part / whole`; of an empty whole 1 where nothing is wrong, else 0."""
    return np.asarray(np.where(whole > 0, part / np.maximum(whole, 1), wrong == 0))


def by_class(matrices: np.ndarray, names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Returns each class's metrics as plain values, by its name, from int64 [N, classes, classes]."""
    return {name: asdict(one) for name, one in zip(names, class_metrics(matrices.sum(axis=0)), strict=True)}
