"""How far off a figure might be with other photos: the bootstrap over images (Efron 1979), percentile intervals."""

from __future__ import annotations

import numpy as np

from flood_seg.metrics.confusion import image_ious, task_figures

INTERVAL = (2.5, 97.5)  # percentiles: 95 %


def draw(images: int, rounds: int, seed: int = 0) -> np.ndarray:
    """Returns how often each image is drawn in each round, int64 [rounds, images]; each row sums up to `images`."""
    return np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), rounds)


def intervals(matrices: np.ndarray, task: str, rounds: int, others: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """Returns the 95 % interval of each figure.

    Args:
        matrices: int64 [N, classes, classes], as `confusion_matrices` returns them.
        task: `binary` or `multiclass`.
        rounds: of drawing images with replacement.
        others: figures of each image whose mean is taken, float [N] by their name.

    Returns:
        low and high of `iou`, `f1`, `precision`, `recall`, `accuracy`, `image_iou` and the others.
    """
    drawn = draw(len(matrices), rounds)
    figures = task_figures(np.tensordot(drawn, matrices, 1), task)
    for name, values in ({"image_iou": image_ious(matrices, task)} | others).items():
        figures[name] = drawn @ values / len(matrices)
    return {name: np.percentile(values, INTERVAL).tolist() for name, values in figures.items()}


def paired_difference(one: np.ndarray, other: np.ndarray, task: str, rounds: int) -> dict[str, float]:
    """Compares the overall IoU of two models on the same images, drawn together.

    Args:
        one: int64 [N, classes, classes] of the first model.
        other: of the second.
        task: `binary` or `multiclass`.
        rounds: of drawing.

    Returns:
        `difference` (second minus first), its 95 % interval `low` and `high`, and `share_better`, of the rounds in
        which the second is better.
    """
    drawn = draw(len(one), rounds)
    ious = [task_figures(np.tensordot(drawn, matrices, 1), task)["iou"] for matrices in (one, other)]
    whole = [task_figures(matrices.sum(axis=0)[None], task)["iou"][0] for matrices in (one, other)]
    low, high = np.percentile(ious[1] - ious[0], INTERVAL)
    better = float(np.mean((ious[1] > ious[0]) + 0.5 * (ious[1] == ious[0])))
    return {"difference": float(whole[1] - whole[0]), "low": float(low), "high": float(high), "share_better": better}
