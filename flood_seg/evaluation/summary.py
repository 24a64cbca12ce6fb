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
from flood_seg.metrics.confusion import by_class, image_ious, task_metrics
from flood_seg.metrics.curve import Curve, best_threshold
from flood_seg.metrics.slices import Slice, group_slices, slices

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


def overall(results: Sequence[ImageResult], rows: Sequence[Row], task: str, radii: Sequence[int]) -> dict[str, float]:
    """Returns the metrics over all images; boundary F1 is the mean over images."""
    matrices = _stack(results)
    total = matrices.sum(axis=0)
    true, predicted = float(total[1:].sum()), float(total[:, 1:].sum())
    low, median, high = np.percentile(image_ious(matrices, task), (10, 50, 90))
    names = [f"boundary_f1_{radius}px" for radius in radii]
    return {
        **asdict(task_metrics(matrices, task)),
        "loss": float(np.average([result.loss for result in results], weights=matrices.sum(axis=(1, 2)))),
        **{name: float(np.mean([row[name] for row in rows])) for name in names},
        "area_error": (predicted - true) / true if true else float(predicted > 0),
        "mean_area_error": float(np.mean([abs(row["area_error"]) for row in rows])),
        "image_iou_p10": float(low),
        "image_iou_median": float(median),
        "image_iou_p90": float(high),
    }


def _stack(results: Sequence[ImageResult], name: str = MAIN) -> np.ndarray:
    return np.stack([result.matrices[name] for result in results])


def overall_intervals(
    results: Sequence[ImageResult], rows: Sequence[Row], task: str, radii: Sequence[int], rounds: int
) -> dict[str, list[float]]:
    """Returns the 95 % bootstrap confidence interval of each metric."""
    means = {name: np.array([row[name] for row in rows]) for name in (f"boundary_f1_{radius}px" for radius in radii)}
    return intervals(_stack(results), task, rounds, means)


def group_metrics(
    results: Sequence[ImageResult], groups: dict[str, str], spec: ModelSpec, rounds: int
) -> list[dict[str, Any]]:
    """Returns the metrics of each group, in descending order of size."""
    return _slice_metrics(results, group_slices([result.stem for result in results], groups), spec, rounds)


def _slice_metrics(
    results: Sequence[ImageResult], found: Sequence[Slice], spec: ModelSpec, rounds: int
) -> list[dict[str, Any]]:
    matrices, metrics = _stack(results), []
    for one in found:
        chosen = matrices[one.indices]
        interval = intervals(chosen, spec.task, rounds, {})["iou"]
        metrics.append(
            {"name": one.label, "images": len(chosen), **asdict(task_metrics(chosen, spec.task)),
             "iou_interval": interval}
        )  # fmt: skip
    return metrics


def slice_metrics(
    results: Sequence[ImageResult], rows: Sequence[Row], spec: ModelSpec, rounds: int
) -> dict[str, list[dict[str, Any]]]:
    """Returns the metrics of quartiles of the images by size, share of foreground, brightness and sharpness."""
    sliced = {}
    for column, title, unit, digits, factor in SLICE_PROPERTIES:
        values = [row["width"] * row["height"] / 1e6 if column == "megapixels" else row[column] for row in rows]
        found = slices([value * factor for value in values], unit, digits)
        sliced[title] = _slice_metrics(results, found, spec, rounds)
    return sliced


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


def at_threshold(curve: Curve, threshold: float) -> dict[str, float]:
    """Returns the metrics at a threshold."""
    place = min(int(np.searchsorted(curve.thresholds, threshold)), len(curve.thresholds) - 1)
    shares = {name: float(getattr(curve, name)[place]) for name in ("iou", "f1", "precision", "recall")}
    return {"threshold": float(threshold), **shares}


def best_for_goal(curve: Curve, goal: str) -> dict[str, float] | None:
    """Returns the best threshold for a goal and its metrics; None where no threshold reaches the goal."""
    threshold = best_threshold(curve, goal)
    return None if threshold is None else at_threshold(curve, threshold)


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


def compare_candidates(results: Sequence[ImageResult], name: str, spec: ModelSpec, rounds: int) -> dict[str, Any]:
    """Compares another candidate with the main one, image by image.

    Returns:
        `difference`, `low`, `high`, `share_better` of the overall IoU (main minus other); `wins`, `losses` and `ties`
        of the main candidate, in images; the other candidate's metrics, as `figures`; and the seconds of both.
    """
    main, other = _stack(results), _stack(results, name)
    apart = image_ious(main, spec.task) - image_ious(other, spec.task)
    return {
        **paired_difference(other, main, spec.task, rounds),
        "wins": int((apart > 1e-9).sum()),
        "losses": int((apart < -1e-9).sum()),
        "ties": int((np.abs(apart) <= 1e-9).sum()),
        "figures": asdict(task_metrics(other, spec.task)),
        "seconds": sum(result.seconds[MAIN] for result in results),
        "other_seconds": sum(result.seconds[name] for result in results),
        "per_image": {result.stem: float(value) for result, value in zip(results, apart, strict=True)},
    }


def class_metrics(results: Sequence[ImageResult], spec: ModelSpec) -> dict[str, dict[str, Any]]:
    """Returns the metrics of each class."""
    return by_class(_stack(results), spec.class_names)
