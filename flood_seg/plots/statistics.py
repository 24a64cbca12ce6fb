"""The charts of `data stats`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.plots.figure import BAND_COLORS, BLUE, GREY, ORANGE, hide_spines, integer_ticks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure


def draw_image_sizes(figure: Figure, sizes: Sequence[tuple[int, int]]) -> None:
    """Draws one point per image; `sizes` are (height, width) in pixels."""
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    axes = figure.add_subplot()
    axes.scatter([width for _, width in sizes], [height for height, _ in sizes], s=14, alpha=0.5, color=BLUE)
    axes.set(xlabel="width in pixels", ylabel="height in pixels", xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):  # 500, 1000, 2000 rather than powers of ten
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3)


def draw_histogram(
    figure: Figure, values: Sequence[float], label: str, limits: tuple[float, float] | None = None
) -> None:
    """Draws a histogram with its median."""
    axes = figure.add_subplot()
    if len(values):
        axes.hist(values, bins=24, range=limits, color=BLUE, edgecolor="white")
        median = float(np.median(values))
        axes.axvline(median, color=ORANGE, label=f"median {median:.3g}")
        axes.legend()
    axes.set(xlabel=label, ylabel="count")
    integer_ticks(axes.yaxis)
    hide_spines(axes)


def draw_classes(figure: Figure, classes: Mapping[str, Mapping[str, Any]], colors: Sequence[str]) -> None:
    """Draws each class's share of the pixels, and the number of images that contain it.

    Args:
        figure: an empty one.
        classes: `share` and `images` of each class by its name.
        colors: of the classes, as `#rrggbb`.
    """
    left, right = figure.subplots(1, 2, sharey=True)
    names, images = list(classes), max(1, *(one["images"] for one in classes.values()))
    shown = [GREY if color == "#000000" else color for color in colors]
    bars = left.barh(names, [one["share"] for one in classes.values()], color=shown)
    left.bar_label(bars, [f"{one['share']:.1%}" for one in classes.values()], padding=3)
    left.set(title="share of all pixels", xlim=(0, 1.25), xticks=(0, 0.5, 1), xticklabels=("0%", "50%", "100%"))
    bars = right.barh(names, [one["images"] for one in classes.values()], color=shown)
    right.bar_label(bars, padding=3)
    right.set(title="images", xlim=(0, images * 1.25))
    integer_ticks(right.xaxis)
    left.invert_yaxis()
    for axes in (left, right):
        hide_spines(axes)


def draw_bands(figure: Figure, histograms: np.ndarray, names: Sequence[str], value_scale: float) -> None:
    """Draws the histogram of each band.

    Args:
        figure: an empty one.
        histograms: int64 [bands, bins], of the values from 0 to `value_scale`.
        names: of the bands.
        value_scale: the upper end; larger values are in the last bin.
    """
    axes = figure.add_subplot()
    edges, others = np.linspace(0, value_scale, histograms.shape[1] + 1), list(BAND_COLORS.values())
    for band, name in enumerate(names):
        color = BAND_COLORS.get(name, others[band % len(others)])
        axes.stairs(histograms[band] / max(histograms[band].sum(), 1), edges, color=color, label=name)
    label = f"value; the last bin includes values above {value_scale:g}"
    axes.set(xlabel=label, ylabel="share of the pixels", xlim=(0, value_scale))
    axes.legend(ncols=math.ceil(len(names) / 4))


def draw_region_areas(figure: Figure, areas: Sequence[int]) -> None:
    """Draws a histogram of areas, in pixels, on a logarithmic axis."""
    axes = figure.add_subplot()
    if areas:
        axes.hist(areas, bins=np.geomspace(min(areas), max(areas) + 1, 30).tolist(), color=BLUE, edgecolor="white")
    axes.set(xlabel="area of a region in pixels", ylabel="count", xscale="log")
    integer_ticks(axes.yaxis)
    hide_spines(axes)
