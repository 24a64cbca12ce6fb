"""Plots of a training run: metrics by epoch, and the learning-rate finder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from flood_seg.plots.figure import BLUE, ORANGE, integer_ticks, save_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    Row = Mapping[str, float]

TITLES = {"loss": "Loss", "iou": "IoU", "f1": "F1 (Dice)", "accuracy": "Accuracy"}
COLORS = {"train": ORANGE, "val": BLUE}
PARTS = {"train": "training", "val": "validation"}


def plot_history(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Draws a training, a validation and a comparison plot for loss, IoU, F1 and accuracy: 12 PNG files."""
    files = []
    for metric in TITLES:
        for name, parts in (
            (f"train_{metric}", ["train"]),
            (f"val_{metric}", ["val"]),
            (f"{metric}_comparison", ["train", "val"]),
        ):
            files.append(_plot_curves(rows, metric, parts, folder / f"{name}.png"))
    return files


def _plot_curves(rows: Sequence[Row], metric: str, parts: Sequence[str], path: Path) -> Path:
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for part in parts:
        _draw_curve(axes, rows, metric, part)
    axes.set(xlabel="Epoch", ylabel=TITLES[metric], title=f"{TITLES[metric]}, {' and '.join(PARTS[p] for p in parts)}")
    if len(rows) == 1:
        axes.set_xlim(rows[0]["epoch"] - 0.5, rows[0]["epoch"] + 0.5)
    integer_ticks(axes.xaxis)
    axes.grid(alpha=0.3)
    axes.margins(y=0.15)
    if parts != ["train"]:
        axes.legend()
    return save_figure(figure, path)


def _draw_curve(axes: Axes, rows: Sequence[Row], metric: str, part: str) -> None:
    """Draws the curve of a part, with markers so that isolated values are visible; marks the best validation epoch."""
    epochs = [row["epoch"] for row in rows]
    values = np.array([row.get(f"{part}_{metric}", np.nan) for row in rows], float)
    axes.plot(epochs, values, color=COLORS[part], label=PARTS[part], marker="o", markersize=7 if len(rows) == 1 else 3)
    if part == "train" or not np.isfinite(values).any():
        return
    finite = np.where(np.isfinite(values), values, np.nan)
    best = int(np.nanargmin(finite) if metric == "loss" else np.nanargmax(finite))
    label = f"best {values[best]:.3f} in epoch {epochs[best]:.0f}"
    axes.plot(epochs[best], values[best], "*", color=COLORS[part], markersize=14, label=label)


def plot_lr_finder(rates: Sequence[float], losses: Sequence[float], best: float, path: Path) -> Path:
    """Draws the loss against the learning rate, and marks the suggested one."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(rates, losses, color=COLORS["train"])
    axes.axvline(best, color=COLORS["val"], label=f"suggested: {best:.2e}")
    low = min(losses)
    axes.set(xscale="log", xlabel="Learning rate", ylabel="Smoothed loss", title="Learning-rate finder",
             ylim=(low - 0.1 * abs(low), 2 * losses[0]))  # fmt: skip
    axes.grid(alpha=0.3)
    axes.legend()
    return save_figure(figure, path)
