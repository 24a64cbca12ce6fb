"""Metrics per class as a table, and the confusion matrix as a plot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.console import show_table
from flood_seg.plots.figure import save_figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def show_classes(classes: dict[str, dict[str, Any]]) -> None:
    """Prints one row per class of the result of `by_class`, if there are more than two classes."""
    if len(classes) > 2:
        shares = ("iou", "f1", "precision", "recall", "accuracy")
        rows = [(name, *(f"{one[share]:.4f}" for share in shares), one["pixels"]) for name, one in classes.items()]
        columns = ("class", "IoU", "F1 (Dice)", "precision", "recall", "accuracy", "pixels")
        show_table("Metrics per class", columns, rows)


def plot_confusion(matrix: Sequence[Sequence[int]], names: Sequence[str], path: Path) -> Path:
    """Draws a confusion matrix, normalized over each true class (row).

    Args:
        matrix: pixel counts, [truth][prediction].
        names: of the classes.
        path: of the PNG file.
    """
    from matplotlib.figure import Figure

    side = max(4.5, 0.8 * len(names) + 2)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    counts = np.array(matrix, float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes = figure.add_subplot()
    heatmap = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="true", title="Confusion matrix, share of each true class")
    for row, column in np.ndindex(*shares.shape) if len(names) <= 20 else ():
        dark = shares[row, column] > 0.5
        axes.text(column, row, f"{shares[row, column]:.1%}", ha="center", va="center", fontsize=9,
                  color="white" if dark else "black")  # fmt: skip
    figure.colorbar(heatmap, shrink=0.8)
    return save_figure(figure, path)
