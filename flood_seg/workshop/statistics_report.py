"""The data stats verb: statistics of a data set on the screen, as JSON, as charts and as an HTML page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.classes import IGNORED, Classes
from flood_seg.config.schema import DataConfig
from flood_seg.console import say, show_table, warn
from flood_seg.data.stats import write_stats
from flood_seg.files import check_suffix, check_writable, write_json
from flood_seg.plots.page import chart, write_chart, write_page
from flood_seg.plots.statistics import draw_bands, draw_classes, draw_histogram, draw_image_sizes, draw_region_areas
from flood_seg.workshop.statistics import DataSetStatistics, measure_data_set

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def stats(
    data: DataConfig, task: str, seed: int, out: Path | None = None, write_config: Path | None = None
) -> DataSetStatistics:
    """Measures a data set and prints its statistics.

    Args:
        data: the data set.
        task: `binary` or `multiclass`.
        seed: of the split.
        out: folder of `report.html`, `stats.json` and the charts; None: none are written.
        write_config: file for `datamodule.stats_file`; None: none is written.

    Raises:
        DataError: no pixel could be read, or a mask has a value that the labels do not list.
        OutputError: a file cannot be written.
    """
    if out:
        check_writable(out)
    if write_config:
        check_suffix(write_config, (".yaml", ".yml"), "YAML")
        check_writable(write_config, folder=False)
    measured = measure_data_set(data, task, seed)
    _show(measured, data.value_scale)
    if write_config:
        write_stats(write_config, measured.bands, data)
    if out:
        _write_report(out, measured, data.bands, data.value_scale, data.classes(task))
    return measured


def _show(measured: DataSetStatistics, scale: float) -> None:
    record = measured.record
    height, width = record["height"], record["width"]
    parts = ", ".join(f"{count} {part}" for part, count in record["parts"].items())
    say(f"{record['data']}: {record['images']} images{f' ({parts})' if parts else ''}, {record['megapixels']:.0f} MP, "
        f"{width['min']:.0f}×{height['min']:.0f} to {width['max']:.0f}×{height['max']:.0f}, median "
        f"{width['median']:.0f}×{height['median']:.0f}")  # fmt: skip
    rows = [(name, f"{one['mean']:.4f}", f"{one['std']:.4f}", f"{one['lowest']:g}", f"{one['highest']:g}")
            for name, one in record["bands"].items()]  # fmt: skip
    title = f"{record['training_images']} training images, mean and std divided by {scale:g}"
    show_table(title, ("band", "mean", "std", "min", "max"), rows)
    classes = [(name, f"{one['share']:.2%}", one["pixels"], one["images"], f"{one['median_share']:.1%}")
               for name, one in record["classes"].items()]  # fmt: skip
    if record["ignored_pixels"]:
        classes.append(("ignored or without data", "", record["ignored_pixels"], "", ""))
    show_table("Classes", ("class", "share", "pixels", "images", "median share per image"), classes)
    for suspect in record["suspected_nodata"]:
        warn(suspect["text"])
    if measured.bands.high.max() > 1.5 * scale:
        warn(f"values reach {measured.bands.high.max():g}: is datamodule.value_scale={scale:g} right?")


def _write_report(
    folder: Path, measured: DataSetStatistics, bands: list[str], value_scale: float, classes: Classes
) -> None:
    pictures = []
    for name, title, meaning, draw in _charts(measured, bands, value_scale, classes):
        write_chart(folder / f"{name}.png", draw)
        pictures.append({"title": title, "meaning": meaning, "source": chart(draw, fitted=True)})
    write_json(folder / "stats.json", measured.record)
    write_page(
        folder / "report.html", "stats.html", title=f"Statistics of {measured.record['data']}", record=measured.record,
        pictures=pictures, rows=_rows(measured, len(classes.names)), names=classes.names[1:],
    )  # fmt: skip
    say(f"{folder / 'report.html'}, {folder / 'stats.json'} and {len(pictures)} charts beside them")


def _rows(measured: DataSetStatistics, classes: int) -> list[dict[str, Any]]:
    """Returns one row per image for the page's table."""
    rows = []
    for one in measured.images:
        total = max(int(one.pixels[:classes].sum()), 1)
        rows.append({
            "stem": one.stem, "width": one.size[1], "height": one.size[0],
            "shares": [float(one.pixels[index] / total) for index in range(1, classes)],
            "regions": len(one.regions), "largest": max((region.area for region in one.regions), default=0),
        })  # fmt: skip
    return rows


def _charts(
    measured: DataSetStatistics, bands: list[str], value_scale: float, classes: Classes
) -> list[tuple[str, str, str, Callable[[Figure], None]]]:
    """Returns name, title, caption and drawing of each chart."""
    images, record = measured.images, measured.record["classes"]
    sizes = [one.size for one in images]
    foreground = [float(one.pixels[1:IGNORED].sum() / max(one.pixels[:IGNORED].sum(), 1)) for one in images]
    histograms = np.sum([one.histogram for one in images], axis=0)
    regions = [region for one in images for region in one.regions]
    return [
        ("sizes", "Image sizes", "One point per image.", lambda figure: draw_image_sizes(figure, sizes)),
        ("aspect_ratios", "Aspect ratios", "Width divided by height; that of the network's input is fixed.",
         lambda figure: draw_histogram(figure, [width / height for height, width in sizes], "width / height")),
        ("classes", "Classes", "Share of each class in all pixels, and number of images that contain it.",
         lambda figure: draw_classes(figure, record, classes.colors)),
        ("foreground", "Foreground per image", "Share of an image's pixels that are not background.",
         lambda figure: draw_histogram(figure, foreground, "share of an image", (0, 1))),
        ("bands", "Band values", "Histogram of each band; a peak at either end is clipped light or shadow.",
         lambda figure: draw_bands(figure, histograms, bands, value_scale)),
        ("shape_areas", "Region areas", "Connected regions of a class, holes filled; logarithmic scale.",
         lambda figure: draw_region_areas(figure, [region.area for region in regions])),
        ("shape_roundness", "Region roundness", "1 is a circle; values near 0 are rivers and ragged outlines.",
         lambda figure: draw_histogram(
             figure, [region.roundness for region in regions], "4π area / perimeter²", (0, 1))),
        ("shapes_per_image", "Regions per image", "Number of connected regions of an image.",
         lambda figure: draw_histogram(figure, [len(one.regions) for one in images], "regions of an image")),
    ]  # fmt: skip
