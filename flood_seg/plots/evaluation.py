"""Charts of the evaluation report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flood_seg.plots.figure import BLUE, DARK, GREEN, GREY, ORANGE, hide_spines, integer_ticks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from flood_seg.metrics.calibration import Reliability
    from flood_seg.metrics.curve import Curve

THINNED = slice(None, None, 8)  # of a curve's points, which keeps the page small without a visible difference


def draw_iou_histogram(figure: Figure, ious: Sequence[float]) -> None:
    """Draws a histogram of the IoU of each image."""
    axes = figure.add_subplot()
    axes.hist(ious, bins=np.linspace(0, 1, 21).tolist(), color=BLUE, edgecolor="white")
    axes.axvline(float(np.mean(ious)), color=ORANGE, label=f"mean {np.mean(ious):.3f}")
    axes.axvline(float(np.median(ious)), color=ORANGE, linestyle="--", label=f"median {np.median(ious):.3f}")
    axes.set(xlabel="IoU per image", ylabel="images", xlim=(0, 1))
    axes.legend(loc="upper left")
    integer_ticks(axes.yaxis)
    hide_spines(axes)


def draw_precision_recall(figure: Figure, curve: Curve, marks: dict[str, dict[str, float]], name: str) -> None:
    """Draws the precision-recall curve of the class `name`, with the threshold of each goal marked."""
    axes = figure.add_subplot()
    label = f"average precision {curve.average_precision:.3f}"
    axes.plot(curve.recall[THINNED], curve.precision[THINNED], color=BLUE, label=label)
    for (goal, mark), color, sign in zip(marks.items(), (ORANGE, GREEN, GREY), "osD", strict=False):
        text = f"{goal}: {mark['threshold']:.2f}"
        axes.plot(mark["recall"], mark["precision"], sign, color=color, label=text, markersize=7)
    axes.set(xlabel=f"recall (share of {name} detected)", ylabel="precision",
             xlim=(0, 1.02), ylim=(0, 1.02))  # fmt: skip
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")


def draw_thresholds(figure: Figure, curve: Curve, current: float) -> None:
    """Draws IoU, F1, precision and recall against the threshold."""
    axes = figure.add_subplot()
    for name, color in (("iou", BLUE), ("f1", GREEN), ("precision", GREY), ("recall", ORANGE)):
        text = {"iou": "IoU", "f1": "F1"}.get(name, name)
        axes.plot(curve.thresholds[THINNED], getattr(curve, name)[THINNED], color=color, label=text)
    axes.axvline(current, color=DARK, linestyle=":", label=f"current: {current:.2f}")
    axes.set(xlabel="threshold", xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower center", ncols=3)


def draw_reliability(figure: Figure, before: Reliability, after: Reliability, temperature: float) -> None:
    """Draws observed frequency against predicted probability, before and after temperature scaling."""
    from matplotlib.ticker import NullLocator

    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    axes.plot((0, 1), (0, 1), color=GREY, linestyle="--", label="perfectly calibrated")
    for found, color, text in (
        (before, ORANGE, f"current, ECE {before.ece:.3f}"),
        (after, BLUE, f"temperature {temperature:.2f}, ECE {after.ece:.3f}"),
    ):
        used = found.pixels > 0
        axes.plot(found.confidence[used], found.accuracy[used], marker="o", markersize=4, color=color, label=text)
    axes.set(ylabel="observed frequency", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="upper left")
    axes.grid(alpha=0.3)
    width = 1 / len(before.pixels)
    centers = (np.arange(len(before.pixels)) + 0.5) * width
    below.bar(centers, before.pixels / max(before.pixels.sum(), 1), width * 0.9, color=ORANGE)
    below.set(xlabel="predicted probability", ylabel="share of pixels", yscale="log")
    below.yaxis.set_minor_locator(NullLocator())  # minor labels took half of the rendering time
    hide_spines(below)


def draw_differences(figure: Figure, per_image: dict[str, float]) -> None:
    """Draws the difference in IoU of each image, in descending order."""
    axes = figure.add_subplot()
    values = np.sort(list(per_image.values()))[::-1]
    colors = [BLUE if value >= 0 else ORANGE for value in values]
    axes.bar(range(len(values)), values, 1.0, color=colors)
    axes.axhline(0, color=DARK, linewidth=0.8)
    axes.set(xlabel="images, sorted by difference", ylabel="IoU difference")
    hide_spines(axes)
