"""Pictures of a run: its curves, and masks over photos."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from flood_seg.classes import to_hex
from flood_seg.console import one_line
from flood_seg.files import atomic_path
from flood_seg.imaging.display import HIT, class_colors, difference_legend, draw_classes, draw_difference, draw_overlay

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from flood_seg.classes import Color
    from flood_seg.spec import ModelSpec
    from flood_seg.training.history import Row

TITLES = {"loss": "Loss", "iou": "IoU", "f1": "F1 (Dice)", "accuracy": "Accuracy"}
COLORS = {"train": "#d95f02", "val": "#1f78b4"}
PARTS = {"train": "training", "val": "validation"}
OUTLINE = (255, 255, 255)
TITLE_LENGTH = 40  # characters above a picture three inches wide


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
    axes.set(
        xlabel="Epoch",
        ylabel=TITLES[metric],
        title=f"{TITLES[metric]}, {' and '.join(PARTS[p] for p in parts)}",
    )
    if len(rows) == 1:
        axes.set_xlim(rows[0]["epoch"] - 0.5, rows[0]["epoch"] + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))  # else one epoch has ticks in fractions
    axes.grid(alpha=0.3)
    axes.margins(y=0.15)
    if parts != ["train"]:
        axes.legend()  # finds the place with the fewest points
    return _save(figure, path)


def _draw_curve(axes: Axes, rows: Sequence[Row], metric: str, part: str) -> None:
    """Draws a part's curve, with dots, so that an epoch between two without a value shows; marks the best of val."""
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
    """Draws the loss against the learning rate, and marks the one that was chosen."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(rates, losses, color=COLORS["train"])
    axes.axvline(best, color=COLORS["val"], label=f"chosen: {best:.2e}")
    low = min(losses)
    axes.set(xscale="log", xlabel="Learning rate", ylabel="Loss, smoothed", title="Where the loss falls fastest",
             ylim=(low - 0.1 * abs(low), 2 * losses[0]))  # fmt: skip
    axes.grid(alpha=0.3)
    axes.legend()
    return _save(figure, path)


def plot_samples(
    images: Sequence[np.ndarray],
    truths: Sequence[np.ndarray],
    predictions: Sequence[np.ndarray],
    titles: Sequence[str],
    path: Path,
    spec: ModelSpec,
) -> Path:
    """Draws a row a photo: the photo, its truth, its prediction.

    Of a binary task the prediction shows hits, misses and false alarms in three colours, else each class in its own.

    Args:
        images: uint8 [H, W, 3] RGB each.
        truths: class indices, uint8 [H, W] each.
        predictions: likewise.
        titles: one a photo.
        path: of the PNG file.
        spec: of the model.
    """
    figure = Figure(figsize=(9.6, 3.1 * len(images) + 0.5), layout="constrained")
    axes = figure.subplots(len(images), 3, squeeze=False)
    for row, (image, truth, predicted, title) in enumerate(zip(images, truths, predictions, titles, strict=True)):
        pictures = (image, *_draw_pair(image, truth, predicted, spec))
        for cell, picture, name in zip(axes[row], pictures, (title, "truth", "prediction"), strict=True):
            cell.imshow(picture)
            cell.set_title(
                _shorten(one_line(name)), fontsize=10, parse_math=False
            )  # a file's name may hold two dollar signs
            cell.set_axis_off()
    patches = [Patch(color=to_hex(color), label=name) for name, color in _legend(spec).items()]
    figure.legend(handles=patches, loc="outside lower center", ncols=4, frameon=False)
    return _save(figure, path)


def _draw_pair(
    image: np.ndarray, truth: np.ndarray, predicted: np.ndarray, spec: ModelSpec
) -> tuple[np.ndarray, np.ndarray]:
    if spec.task == "multiclass":
        colors = class_colors(spec)
        return tuple(draw_classes(image, mask, colors, 0.5, None) for mask in (truth, predicted))  # type: ignore[return-value]
    return draw_overlay(image, truth == 1, HIT, 0.45, OUTLINE), draw_difference(image, truth, predicted)


def _legend(spec: ModelSpec) -> dict[str, Color]:
    if spec.task == "multiclass":
        return dict(zip(spec.class_names[1:], class_colors(spec)[1:], strict=True))
    return difference_legend(spec.class_names)


def _shorten(title: str) -> str:
    """Cuts the middle out of a title that is wider than its picture; a file's name ends in what tells it apart."""
    return title if len(title) <= TITLE_LENGTH else f"{title[: TITLE_LENGTH // 3]}…{title[1 - 2 * TITLE_LENGTH // 3 :]}"


def plot_grid(
    images: Sequence[np.ndarray], masks: Sequence[np.ndarray], path: Path, colors: Sequence[Color], columns: int = 4
) -> Path:
    """Draws images, uint8 [H, W, 3] RGB, with their class indices, uint8 [H, W], tinted and outlined, in a grid."""
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    height, width = images[0].shape[:2]
    figure = Figure(figsize=(3 * columns, 3 * rows * height / width), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for cell in axes.flat:
        cell.set_axis_off()
    for cell, image, mask in zip(axes.flat, images, masks, strict=False):
        cell.imshow(draw_classes(image, mask, colors, 0.25, (255, 235, 59)))
    return _save(figure, path)


def _save(figure: Figure, path: Path) -> Path:
    FigureCanvasAgg(figure)
    with atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # of a name in a script that the font lacks
        figure.savefig(temporary, dpi=110)
    return path
