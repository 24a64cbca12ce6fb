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
        matrices: int64 [N, classes, classes] as `confusion_matrices` returns them, N >= 1.
        task: `binary` or `multiclass`.
    """
    total = matrices.sum(axis=0)
    classes = class_metrics(total)
    measured = classes[1:] if task == "binary" else [one for one in classes if one.present] or classes
    means = {name: float(np.mean([getattr(one, name) for one in measured])) for name in Shares.__annotations__}
    means["accuracy"] = _share(float(np.trace(total)), float(total.sum()), 0)
    return Metrics(**means, image_iou=float(image_ious(matrices, task).mean()))


def class_metrics(matrix: np.ndarray) -> list[ClassMetrics]:
    """Returns the metrics of each class from a confusion matrix, int64 [classes, classes]."""
    total = float(matrix.sum())
    parts = zip(np.diagonal(matrix), matrix.sum(axis=0), matrix.sum(axis=1), strict=True)
    return [_of_class(float(hits), float(predicted), float(true), total) for hits, predicted, true in parts]


def _of_class(hits: float, predicted: float, true: float, total: float) -> ClassMetrics:
    wrong = predicted + true - 2 * hits
    return ClassMetrics(
        iou=_share(hits, hits + wrong, wrong),
        f1=_share(2 * hits, 2 * hits + wrong, wrong),
        accuracy=_share(total - wrong, total, wrong),
        precision=_share(hits, predicted, wrong),
        recall=_share(hits, true, wrong),
        pixels=int(true),
        present=predicted + true > 0,
    )


def image_ious(matrices: np.ndarray, task: str) -> np.ndarray:
    """Returns the IoU of each image, float64 [N], from int64 [N, classes, classes].

    Of a binary task the foreground's, 1 where truth and prediction are empty; else the mean over the classes that the
    image's truth or prediction has.
    """
    hits = np.diagonal(matrices, axis1=1, axis2=2)
    union = matrices.sum(axis=1) + matrices.sum(axis=2) - hits
    ious = np.where(union == 0, 1.0, hits / np.maximum(union, 1))
    if task == "binary":
        return np.asarray(ious[:, 1])
    present = union > 0
    return np.where(present.any(axis=1), (ious * present).sum(axis=1) / np.maximum(present.sum(axis=1), 1), 1.0)


def _share(part: float, whole: float, wrong: float) -> float:
    """`part / whole`; of an empty whole 1 where nothing is wrong, else 0."""
    return part / whole if whole else float(wrong == 0)


def by_class(matrices: np.ndarray, names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Returns each class's metrics as plain values, by its name, from int64 [N, classes, classes]."""
    return {name: asdict(one) for name, one in zip(names, class_metrics(matrices.sum(axis=0)), strict=True)}
