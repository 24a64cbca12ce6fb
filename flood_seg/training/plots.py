"""Pictures of a run: its curves, and masks over photos."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from flood_seg.imaging.overlay import draw_overlay
from flood_seg.imaging.write import atomic_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from flood_seg.training.history import Row

TITLES = {"loss": "Loss", "iou": "IoU", "f1": "F1 (Dice)", "accuracy": "Accuracy"}
COLORS = {"train": "#d95f02", "val": "#1f78b4"}
PARTS = {"train": "training", "val": "validation"}
# RGB; told apart by readers with colour-blindness too
HIT, MISS, FALSE_ALARM = (30, 144, 255), (255, 176, 0), (220, 38, 127)
OUTLINE = (255, 255, 255)


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
    epochs = [row["epoch"] for row in rows]
    for part in parts:
        values = [row.get(f"{part}_{metric}", np.nan) for row in rows]
        axes.plot(epochs, values, color=COLORS[part], label=PARTS[part], marker="o" if len(rows) == 1 else None)
        if part == "val" and not np.all(np.isnan(values)):
            best = int(np.nanargmin(values) if metric == "loss" else np.nanargmax(values))
            axes.plot(epochs[best], values[best], "o", color=COLORS[part])
            label = f"best {values[best]:.3f} in epoch {epochs[best]:.0f}"
            side = "right" if 2 * best >= len(rows) and len(rows) > 1 else "left"  # inside the axes
            at = (epochs[best], values[best])
            axes.annotate(label, at, xytext=(0, -16), textcoords="offset points", ha=side)
    axes.set(
        xlabel="Epoch",
        ylabel=TITLES[metric],
        title=f"{TITLES[metric]}, {' and '.join(PARTS[p] for p in parts)}",
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.margins(y=0.15)
    if len(parts) > 1:
        axes.legend()
    return _save(figure, path)


def plot_samples(
    images: Sequence[np.ndarray],
    truths: Sequence[np.ndarray],
    predictions: Sequence[np.ndarray],
    titles: Sequence[str],
    path: Path,
) -> Path:
    """Draws a row a photo: the photo, its truth, its prediction with hits, misses and false alarms in three colours.

    Args:
        images: uint8 [H, W, 3] RGB each.
        truths: bool [H, W] each.
        predictions: bool [H, W] each.
        titles: one a photo.
        path: of the PNG file.
    """
    figure = Figure(figsize=(9.6, 3.1 * len(images) + 0.5), layout="constrained")
    axes = figure.subplots(len(images), 3, squeeze=False)
    for row, (image, truth, predicted, title) in enumerate(zip(images, truths, predictions, titles, strict=True)):
        pictures = (image, draw_overlay(image, truth, HIT, 0.45, OUTLINE), _compared(image, truth, predicted))
        for cell, picture, name in zip(axes[row], pictures, (title, "truth", "prediction"), strict=True):
            cell.imshow(picture)
            cell.set_title(name, fontsize=10)
            cell.set_axis_off()
    colors = {"water found": HIT, "water missed": MISS, "false alarm": FALSE_ALARM}
    patches = [Patch(color="#{:02x}{:02x}{:02x}".format(*color), label=name) for name, color in colors.items()]
    figure.legend(handles=patches, loc="outside lower center", ncols=3, frameon=False)
    return _save(figure, path)


def _compared(image: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    result = image
    for area, color in (
        (truth & predicted, HIT),
        (truth & ~predicted, MISS),
        (predicted & ~truth, FALSE_ALARM),
    ):
        result = draw_overlay(result, area, color, 0.55, color)
    return result


def plot_grid(images: Sequence[np.ndarray], masks: Sequence[np.ndarray], path: Path, columns: int = 4) -> Path:
    """Draws images, uint8 [H, W, 3] RGB, with their masks, bool [H, W], tinted and outlined, in a grid."""
    rows = -(-len(images) // columns)
    height, width = images[0].shape[:2]
    figure = Figure(figsize=(3 * columns, 3 * rows * height / width), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for cell in axes.flat:
        cell.set_axis_off()
    for cell, image, mask in zip(axes.flat, images, masks, strict=False):
        cell.imshow(draw_overlay(image, mask, HIT, 0.25, (255, 235, 59)))
    return _save(figure, path)


def _save(figure: Figure, path: Path) -> Path:
    FigureCanvasAgg(figure)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)
    return path
