"""Draws the benchmark: latency and throughput of each engine side by side."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from flood_seg.inference.engines import short_name
from flood_seg.plots.figure import BLUE, DARK, GREY, hide_spines, save_figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from flood_seg.benchmarking.measured import Measured


def draw_chart(path: Path, measured: Sequence[Measured], machine: str) -> None:
    """Writes a PNG with a bar an engine: images a second at the best batch, and median latency with its p95.

    Args:
        path: of the PNG.
        measured: the first is the baseline.
        machine: what it was measured on.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 1.9 + 0.55 * len(measured)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    names = [_name(figures) for figures in measured]
    rows = range(len(measured))
    speeds = [figures.throughput for figures in measured]
    bars = left.barh(rows, [speed for speed, _ in speeds], color=[GREY, *[BLUE] * (len(measured) - 1)])
    texts = [f"{speed:.1f}  ({speed / speeds[0][0]:.1f}×, batch {batch})" for speed, batch in speeds]
    left.bar_label(bars, texts, padding=4)
    left.set(yticks=list(rows), yticklabels=names, title="images a second")
    left.margins(x=0.5)
    left.invert_yaxis()
    medians = [figures.percentile(50) for figures in measured]
    tails = [figures.percentile(95) - median for figures, median in zip(measured, medians, strict=True)]
    bars = right.barh(rows, medians, xerr=[[0] * len(tails), tails], color=GREY, ecolor=DARK, capsize=3)
    right.bar_label(bars, [f"{median:.1f}" for median in medians], label_type="center")
    right.set(title="latency at batch 1, ms: median and p95")
    for axes in (left, right):
        hide_spines(axes)
    figure.suptitle("\n".join(textwrap.wrap(machine, 130)), fontsize=8, color="#555")
    save_figure(figure, path, dpi=130)


def _name(figures: Measured) -> str:
    accuracy = "" if figures.iou is None else f", IoU {figures.iou:.3f}"
    return f"{short_name(figures.model)}\n{figures.description}{accuracy}"
