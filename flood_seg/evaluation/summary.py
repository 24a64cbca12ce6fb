"""Aggregates the results of all images: overall, per class, group and slice, with confidence intervals."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.evaluation.measure import MAIN
from flood_seg.imaging.postprocess import logit
from flood_seg.metrics.bootstrap import intervals, paired_difference
from flood_seg.metrics.calibration import (
    Reliability,
    binary_reliability,
    binary_temperature,
    class_reliability,
    class_temperature,
)
from flood_seg.metrics.confusion import image_ious, task_metrics
from flood_seg.metrics.curve import Curve, best_threshold
from flood_seg.metrics.slices import Slice, slices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.evaluation.measure import ImageResult
    from flood_seg.evaluation.rows import Row
    from flood_seg.spec import ModelSpec

MAX_SAMPLED_IMAGES = 4000  # whose sampled pixels are kept
# Properties that define slices: column, title, unit, decimal places, and the factor that converts to the unit.
SLICE_PROPERTIES = (
    ("megapixels", "image size", " MP", 2, 1.0),
    ("foreground_true", "share of foreground", " %", 0, 100.0),
    ("brightness", "brightness", "", 2, 1.0),
    ("sharpness", "sharpness", "", 3, 1.0),
)


def stack(results: Sequence[ImageResult], name: str = MAIN) -> np.ndarray:
    """Returns the confusion matrices of a candidate, int64 [images, classes, classes]."""
    return np.stack([result.matrices[name] for result in results])


def overall(
    results: Sequence[ImageResult], rows: Sequence[Row], task: str, radii: Sequence[int], rounds: int
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Returns the metrics over all images, and their 95 % bootstrap confidence intervals by name.

    Boundary F1 is the mean over images.
    """
    matrices = stack(results)
    total = matrices.sum(axis=0)
    true, predicted = float(total[1:].sum()), float(total[:, 1:].sum())
    low, median, high = np.percentile(image_ious(matrices, task), (10, 50, 90))
    boundary = {name: np.array([row[name] for row in rows]) for name in (f"boundary_f1_{r}px" for r in radii)}
    metrics = {
        **asdict(task_metrics(matrices, task)),
        "loss": float(np.average([result.loss for result in results], weights=matrices.sum(axis=(1, 2)))),
        **{name: float(values.mean()) for name, values in boundary.items()},
        "area_error": (predicted - true) / true if true else float(predicted > 0),
        "mean_area_error": float(np.mean([abs(row["area_error"]) for row in rows])),
        "image_iou_p10": float(low),
        "image_iou_median": float(median),
        "image_iou_p90": float(high),
    }
    return metrics, intervals(matrices, task, rounds, boundary)


def slice_metrics(
    results: Sequence[ImageResult], slices: Sequence[Slice], task: str, rounds: int
) -> list[dict[str, Any]]:
    """Returns the metrics of each slice of the images."""
    matrices = stack(results)
    return [
        {
            "name": one.label,
            "images": len(one.indices),
            **asdict(task_metrics(matrices[one.indices], task)),
            "iou_interval": intervals(matrices[one.indices], task, rounds, {})["iou"],
        }
        for one in slices
    ]


def property_slices(rows: Sequence[Row]) -> dict[str, list[Slice]]:
    """Returns quartiles of the images by size, share of foreground, brightness and sharpness."""
    found = {}
    for column, title, unit, digits, factor in SLICE_PROPERTIES:
        values = [row["width"] * row["height"] / 1e6 if column == "megapixels" else row[column] for row in rows]
        found[title] = slices([value * factor for value in values], unit, digits)
    return found


@dataclass
class LogitStatistics:
    """Logits of all images: the sum of their histograms (binary), or sampled pixels (multiclass)."""

    counts: np.ndarray | None = None
    sampled: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)

    def add(self, result: ImageResult) -> None:
        """Adds those of an image and removes them from its result: 100 000 histograms would take gigabytes."""
        if result.logits is not None:
            self.counts = result.logits if self.counts is None else self.counts + result.logits
        if result.sampled is not None and len(self.sampled) < MAX_SAMPLED_IMAGES:
            self.sampled.append(result.sampled)
        result.logits = result.sampled = None


def best_for_goal(curve: Curve, goal: str) -> dict[str, float] | None:
    """Returns the best threshold for a goal and its metrics; None where no threshold reaches the goal."""
    threshold = best_threshold(curve, goal)
    if threshold is None:
        return None
    place = min(int(np.searchsorted(curve.thresholds, threshold)), len(curve.thresholds) - 1)
    shares = {name: float(getattr(curve, name)[place]) for name in ("iou", "f1", "precision", "recall")}
    return {"threshold": threshold, **shares}


def calibrate(logits: LogitStatistics, spec: ModelSpec) -> tuple[Reliability, Reliability, float]:
    """Returns the reliability at the spec's temperature, that at the best temperature, and the best temperature."""
    counts = logits.counts
    if counts is not None:
        best = binary_temperature(counts)
        return binary_reliability(counts, spec.temperature), binary_reliability(counts, best), best
    values, target = (np.concatenate(part) for part in zip(*logits.sampled, strict=True))
    best = class_temperature(values, target)
    return class_reliability(values, target, spec.temperature), class_reliability(values, target, best), best


def equivalent_threshold(threshold: float, before: float, after: float) -> float:
    """Returns the threshold that gives the same masks after the temperature has changed."""
    return 1 / (1 + float(np.exp(-logit(threshold) * before / after)))


def compare_candidates(results: Sequence[ImageResult], name: str, task: str, rounds: int) -> dict[str, Any]:
    """Compares another candidate with the main one, image by image.

    Returns:
        `difference`, `low`, `high`, `share_better` of the overall IoU (main minus other); `wins`, `losses` and `ties`
        of the main candidate, in images; the other candidate's metrics, as `figures`; and the seconds of both.
    """
    main, other = stack(results), stack(results, name)
    apart = image_ious(main, task) - image_ious(other, task)
    return {
        **paired_difference(other, main, task, rounds),
        "wins": int((apart > 1e-9).sum()),
        "losses": int((apart < -1e-9).sum()),
        "ties": int((np.abs(apart) <= 1e-9).sum()),
        "figures": asdict(task_metrics(other, task)),
        "seconds": sum(result.seconds[MAIN] for result in results),
        "other_seconds": sum(result.seconds[name] for result in results),
        "per_image": {result.stem: float(value) for result, value in zip(results, apart, strict=True)},
    }
