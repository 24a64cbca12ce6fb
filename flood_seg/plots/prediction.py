"""Draws predictions: of an image, and of a video over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flood_seg.classes import to_hex
from flood_seg.plots.figure import hide_spines, save_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from matplotlib.axes import Axes

    from flood_seg.classes import Color


def plot_overlay(overlay: np.ndarray, title: str, axes: Axes | None = None) -> Axes:
    """Draws an overlay, uint8 [H, W, 3] RGB, with a title; returns the axes, by default those of a new figure."""
    if axes is None:
        from matplotlib import pyplot

        axes = pyplot.figure(layout="constrained").add_subplot()
    axes.imshow(overlay)
    axes.set_title(title, wrap=True)
    axes.set_axis_off()
    return axes


def plot_shares(
    seconds: Sequence[float], shares: Mapping[str, Sequence[float]], colors: Sequence[Color], path: Path
) -> Path:
    """Draws the share of each class over time.

    Args:
        seconds: of each frame.
        shares: of each class in each frame, in [0, 1].
        colors: of each class, RGB.
        path: of the PNG file.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for (name, values), color in zip(shares.items(), colors, strict=True):
        axes.plot(seconds, values, color=to_hex(color), label=name, marker="o" if len(values) == 1 else None)
    axes.set(xlabel="Time (s)", ylabel="Share of the frame", ylim=(0, None))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(alpha=0.3)
    axes.legend()
    hide_spines(axes)
    return save_figure(figure, path)
