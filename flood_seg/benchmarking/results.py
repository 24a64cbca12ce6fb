"""Results of the benchmark, and their chart: throughput and latency of each engine."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.inference.engines import short_name
from flood_seg.plots.figure import BLUE, DARK, GREY, hide_spines, save_figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass
class EngineResult:
    """Measurements of one engine.

    Attributes:
        model: as given by the user.
        description: the engine, device and precision.
        load_seconds: from the start of the process until the model is ready.
        iou: against the masks, in [0, 1]; None: there are no masks.
        latencies: seconds of each run at batch size 1.
        batch_seconds: seconds of each run, by batch size.
        memory_mb: peak memory of the process.
    """

    model: str
    description: str
    load_seconds: float
    iou: float | None = None
    latencies: list[float] = field(default_factory=list)
    batch_seconds: dict[int, list[float]] = field(default_factory=dict)
    memory_mb: float = 0.0

    def percentile(self, percent: float) -> float:
        """Returns a percentile of the latency at batch size 1, in milliseconds."""
        return float(np.percentile(self.latencies, percent)) * 1e3

    @property
    def throughput(self) -> tuple[float, int]:
        """Images per second at the best batch size (by the median), and that batch size."""
        return max((size / float(np.median(seconds)), size) for size, seconds in self.batch_seconds.items())


def draw_chart(path: Path, results: Sequence[EngineResult], machine: str) -> None:
    """Draws one bar per engine: throughput at the best batch size, and median latency with its 95th percentile.

    The first of `results` is the baseline; `machine` is the description below the title.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 1.9 + 0.55 * len(results)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    names = [_label(result) for result in results]
    rows = range(len(results))
    speeds = [result.throughput for result in results]
    bars = left.barh(rows, [speed for speed, _ in speeds], color=[GREY, *[BLUE] * (len(results) - 1)])
    texts = [f"{speed:.1f}  ({speed / speeds[0][0]:.1f}×, batch {batch})" for speed, batch in speeds]
    left.bar_label(bars, texts, padding=4)
    left.set(yticks=list(rows), yticklabels=names, title="images/s")
    left.margins(x=0.5)
    left.invert_yaxis()
    medians = [result.percentile(50) for result in results]
    tails = [result.percentile(95) - median for result, median in zip(results, medians, strict=True)]
    bars = right.barh(rows, medians, xerr=[[0] * len(tails), tails], color=GREY, ecolor=DARK, capsize=3)
    right.bar_label(bars, [f"{median:.1f}" for median in medians], label_type="center")
    right.set(title="latency at batch 1, ms: median and p95")
    for axes in (left, right):
        hide_spines(axes)
    figure.suptitle("\n".join(textwrap.wrap(machine, 130)), fontsize=8, color="#555")
    save_figure(figure, path, dpi=130)


def _label(result: EngineResult) -> str:
    accuracy = "" if result.iou is None else f", IoU {result.iou:.3f}"
    return f"{short_name(result.model)}\n{result.description}{accuracy}"
