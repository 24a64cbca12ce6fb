"""Plots of samples: images beside their masks and predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from flood_seg.classes import to_hex
from flood_seg.console import one_line
from flood_seg.imaging.display import HIT, class_colors, difference_legend, draw_classes, draw_difference, draw_overlay
from flood_seg.plots.figure import save_figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np

    from flood_seg.classes import Color
    from flood_seg.spec import ModelSpec

OUTLINE = (255, 255, 255)
MAX_TITLE_LENGTH = 40  # characters, above an image three inches wide


def plot_samples(
    images: Sequence[np.ndarray],
    truths: Sequence[np.ndarray],
    predictions: Sequence[np.ndarray],
    titles: Sequence[str],
    path: Path,
    spec: ModelSpec,
) -> Path:
    """Draws one row per image: the image, its truth, its prediction.

    For a binary task the prediction shows hits, misses and false alarms in three colors, else each class in its color.

    Args:
        images: uint8 [H, W, 3] RGB each.
        truths: class indices, uint8 [H, W] each.
        predictions: class indices, uint8 [H, W] each.
        titles: one per image.
        path: of the PNG file.
        spec: of the model.
    """
    colors = class_colors(spec)
    figure = Figure(figsize=(9.6, 3.1 * len(images) + 0.5), layout="constrained")
    axes = figure.subplots(len(images), 3, squeeze=False)
    for row, (image, truth, predicted, title) in enumerate(zip(images, truths, predictions, titles, strict=True)):
        if spec.task == "multiclass":
            panels = (image, *(draw_classes(image, mask, colors, 0.5, None) for mask in (truth, predicted)))
        else:
            panels = (
                image,
                draw_overlay(image, truth == 1, HIT, 0.45, OUTLINE),
                draw_difference(image, truth, predicted),
            )
        for cell, panel, name in zip(axes[row], panels, (title, "truth", "prediction"), strict=True):
            cell.imshow(panel)
            cell.set_title(_shorten(one_line(name)), fontsize=10, parse_math=False)  # file names may contain $
            cell.set_axis_off()
    legend = difference_legend(spec.class_names)
    if spec.task == "multiclass":
        legend = dict(zip(spec.class_names[1:], colors[1:], strict=True))
    patches = [Patch(color=to_hex(color), label=name) for name, color in legend.items()]
    figure.legend(handles=patches, loc="outside lower center", ncols=4, frameon=False)
    return save_figure(figure, path)


def _shorten(title: str) -> str:
    """Elides the middle of a long title: names of files often differ at their end only."""
    if len(title) <= MAX_TITLE_LENGTH:
        return title
    return f"{title[: MAX_TITLE_LENGTH // 3]}…{title[1 - 2 * MAX_TITLE_LENGTH // 3 :]}"


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
    return save_figure(figure, path)
