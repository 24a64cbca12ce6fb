"""Draws the prediction of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes


def plot_overlay(overlay: np.ndarray, title: str, axes: Axes | None = None) -> Axes:
    """Draws an overlay, uint8 [H, W, 3] RGB, with a title; returns the axes, by default those of a new figure."""
    if axes is None:
        from matplotlib import pyplot

        axes = pyplot.figure(layout="constrained").add_subplot()
    axes.imshow(overlay)
    axes.set_title(title, wrap=True)
    axes.set_axis_off()
    return axes
