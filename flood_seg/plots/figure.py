"""The palette of all plots, and how a figure is saved."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from flood_seg.files import atomic_path

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, GREY, DARK = "#1669c1", "#d95f02", "#1b9e77", "#8796a5", "#333333"
RED, VIOLET = "#c0392b", "#7d3c98"
# Bands of other names take these colours in turn.
BAND_COLORS = {"red": RED, "green": GREEN, "blue": BLUE, "nir": VIOLET, "swir": ORANGE, "panchromatic": DARK}
DPI = 110


def save_figure(figure: Figure, path: Path, dpi: int = DPI) -> Path:
    """Writes a figure in the format of the suffix of `path`.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a name in a script that the font lacks
        figure.savefig(temporary, dpi=dpi)
    return path


def integer_ticks(axis: Axis) -> None:
    """Places the ticks of an axis of counts or epochs at integers, also where it spans only a few."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator("auto", steps=(1, 2, 5, 10), integer=True, min_n_ticks=1))


def hide_spines(axes: Axes) -> None:
    """Hides the top and right spines of a plot."""
    axes.spines[["top", "right"]].set_visible(False)
