"""Draws how a flooded area changes over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flood_seg.plots.figure import BLUE, GREY, hide_spines, save_figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path


def plot_series(
    times: Sequence[datetime], areas: Sequence[float], observed: Sequence[float], whole: float, unit: str, label: str,
    path: Path,
) -> Path:  # fmt: skip
    """Draws the flooded area of each date, and below it how much of the place was observed.

    Args:
        times: of the dates, in their order.
        areas: flooded, of each date.
        observed: share of the place that was observed, of each date, in [0, 1].
        whole: share below which a date's area is a lower bound.
        unit: of the areas.
        label: what counts as flooded.
        path: of the PNG file.

    Raises:
        OutputError: the file cannot be written.
    """
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(8, 4.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot(times, areas, color=BLUE)
    for partly, name in ((False, "observed"), (True, f"less than {whole:.0%} observed: a lower bound")):
        chosen = [number for number, share in enumerate(observed) if (share < whole) == partly]
        if chosen:
            points = [times[number] for number in chosen], [areas[number] for number in chosen]
            upper.plot(*points, "o", color=BLUE, markerfacecolor="white" if partly else BLUE, label=name)
    if any(share < whole for share in observed):
        upper.legend()
    upper.fill_between(times, areas, color=BLUE, alpha=0.15)
    upper.set(ylabel=f"flooded ({unit})", ylim=(0, max([*areas, 1e-9]) * 1.08), title=label)
    lower.vlines(times, 0, observed, color=GREY, linewidth=4)
    lower.set(ylabel="observed", ylim=(0, 1.02))
    lower.yaxis.set_major_formatter(PercentFormatter(1.0))
    locator = AutoDateLocator(maxticks=9)  # type: ignore[no-untyped-call]
    lower.xaxis.set_major_locator(locator)
    lower.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
        hide_spines(axes)
    return save_figure(figure, path)
