"""Confidence intervals of metrics: percentile bootstrap over images (Efron 1979)."""

from __future__ import annotations

import numpy as np

from flood_seg.metrics.confusion import image_scores, task_scores

PERCENTILES = (2.5, 97.5)  # of a 95 % confidence interval


def resample(images: int, rounds: int, seed: int = 0) -> np.ndarray:
    """Returns how often each image is drawn in each bootstrap sample, int64 [rounds, images]; rows sum to `images`."""
    return np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), rounds)


def intervals(matrices: np.ndarray, task: str, rounds: int, others: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """Returns the 95 % confidence interval of each metric.

    Args:
        matrices: int64 [N, classes, classes], as `confusion_matrices` returns them.
        task: `binary` or `multiclass`.
        rounds: number of bootstrap samples.
        others: further per-image metrics to average, float [N] by name.

    Returns:
        lower and upper bound of `iou`, `f1`, `precision`, `recall`, `accuracy`, those of `image_scores` and `others`.
    """
    drawn = resample(len(matrices), rounds)
    scores = task_scores(np.tensordot(drawn, matrices, 1), task)
    for name, values in (image_scores(matrices, task) | others).items():
        scores[name] = drawn @ values / len(matrices)
    return {name: np.percentile(values, PERCENTILES).tolist() for name, values in scores.items()}


def paired_difference(one: np.ndarray, other: np.ndarray, task: str, rounds: int) -> dict[str, float]:
    """Compares the overall IoU of two models by a paired bootstrap over the same images.

    Args:
        one: int64 [N, classes, classes] of the first model.
        other: int64 [N, classes, classes] of the second model.
        task: `binary` or `multiclass`.
        rounds: number of bootstrap samples.

    Returns:
        `difference` (second minus first), its 95 % confidence interval `low` and `high`, and `share_better`, the share
        of bootstrap samples in which the second model is better (ties count half).
    """
    drawn = resample(len(one), rounds)
    ious = [task_scores(np.tensordot(drawn, matrices, 1), task)["iou"] for matrices in (one, other)]
    whole = [task_scores(matrices.sum(axis=0)[None], task)["iou"][0] for matrices in (one, other)]
    low, high = np.percentile(ious[1] - ious[0], PERCENTILES)
    better = float(np.mean((ious[1] > ious[0]) + 0.5 * (ious[1] == ious[0])))
    return {"difference": float(whole[1] - whole[0]), "low": float(low), "high": float(high), "share_better": better}
