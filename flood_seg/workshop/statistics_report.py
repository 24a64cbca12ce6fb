"""The data stats verb: what a data set is made of, in figures, pictures and a page."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.classes import IGNORED
from flood_seg.console import say, show_table, warn
from flood_seg.data.layout import choose_split, find_samples, warn_of
from flood_seg.data.nodata import find_strays
from flood_seg.data.reading import SampleReader
from flood_seg.data.stats import BandStats, write_stats
from flood_seg.files import check_suffix, check_writable, write_json
from flood_seg.plots.page import chart, write_chart, write_page
from flood_seg.workshop.output_layout import parts_of
from flood_seg.workshop.statistics import BINS, Look, survey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from flood_seg.config.schema.workshop import DataToolsConfig

BLUE, ORANGE = "#1669c1", "#d95f02"
COLORS = {"red": "#c0392b", "green": "#2e8b57", "blue": "#1669c1", "nir": "#7d3c98"}


@dataclass(frozen=True)
class Overview:
    """What was measured: bands of the training part, all else of every pair."""

    looks: list[Look]
    bands: BandStats
    record: dict[str, Any]


def stats(config: DataToolsConfig, out: Path | None = None, write_config: Path | None = None) -> Overview:
    """Measures a data set.

    Args:
        config: the data set, the task, the seed of the split.
        out: folder of `report.html`, `stats.json` and the pictures; None: nothing is drawn.
        write_config: where to write what `datamodule.stats_file` reads; None: nowhere.

    Raises:
        DataError: no pixel could be read, or a mask has a value that the labels do not list.
    """
    data = config.datamodule
    if out:
        check_writable(out)
    if write_config:
        check_suffix(write_config, (".yaml", ".yml"), "YAML")
        check_writable(write_config, folder=False)
    pairs, faults = find_samples(data)
    warn_of(faults)
    divided = choose_split(data, pairs, config.seed).train if len(pairs) > 1 else ()
    train = set(divided) or {pair.stem for pair in pairs}  # of validation alone, all of it
    looks = survey(pairs, SampleReader.of(data, config.task), data.value_scale)
    bands = BandStats(len(data.bands))
    for look in looks:
        if look.stem in train:
            bands.merge(look.bands)
    parts = parts_of(data, pairs)
    named = [parts.get(look.stem) for look in looks]
    overview = Overview(looks, bands, _describe(looks, bands, named, len(train), config))
    _show(overview, config)
    if write_config:
        write_stats(write_config, bands, config.datamodule)
    if out:
        _write(out, overview, config)
    return overview


def _describe(
    looks: Sequence[Look], bands: BandStats, parts: Sequence[str | None], train: int, config: DataToolsConfig
) -> dict[str, Any]:
    """Returns the figures as plain values."""
    data, names = config.datamodule, config.datamodule.classes(config.task).names
    pixels = np.sum([look.pixels for look in looks], axis=0)
    counted = pixels[: len(names)].sum()
    shares = np.array([look.pixels[: len(names)] / max(look.pixels[: len(names)].sum(), 1) for look in looks])
    heights, widths = (np.array([look.size[axis] for look in looks]) for axis in (0, 1))
    areas = np.array([shape.area for look in looks for shape in look.shapes])
    scale = data.value_scale
    return {
        "data": data.place,
        "images": len(looks),
        "parts": {part: parts.count(part) for part in ("train", "val", "test") if part in parts},
        "training_images": train,
        "megapixels": float((heights * widths).sum() / 1e6),
        "height": _spread(heights),
        "width": _spread(widths),
        "aspect_ratio": _spread(widths / heights),
        "value_scale": scale,
        "bands": {
            name: {
                "mean": float(bands.mean[band] / scale), "std": float(bands.std[band] / scale),
                "lowest": float(bands.low[band]), "highest": float(bands.high[band]),
            } for band, name in enumerate(data.bands)
        },
        "classes": {
            name: {
                "pixels": int(pixels[index]), "share": float(pixels[index] / max(counted, 1)),
                "images": int((shares[:, index] > 0).sum()), "median_share": float(np.median(shares[:, index])),
            } for index, name in enumerate(names)
        },
        "ignored_pixels": int(pixels[IGNORED]),
        "suspected_nodata": [
            asdict(stray) | {"text": str(stray)}
            for stray in find_strays({look.stem: look.ends for look in looks}, data.bands, scale)
        ],
        "shapes": {
            "count": len(areas), "per_image": _spread(np.array([len(look.shapes) for look in looks])),
            "area": _spread(areas),
            "roundness": _spread(np.array([shape.roundness for look in looks for shape in look.shapes])),
        },
    }  # fmt: skip


def _spread(values: np.ndarray) -> dict[str, float]:
    """The least, the quarters and the most of some values."""
    if not len(values):
        return {}
    found = np.percentile(values, (0, 25, 50, 75, 100)).tolist()
    return dict(zip(("min", "p25", "median", "p75", "max"), found, strict=True))


def _show(overview: Overview, config: DataToolsConfig) -> None:
    record, scale = overview.record, config.datamodule.value_scale
    height, width = record["height"], record["width"]
    parts = ", ".join(f"{count} {part}" for part, count in record["parts"].items())
    say(f"{record['data']}: {record['images']} images{f' ({parts})' if parts else ''}, {record['megapixels']:.0f} MP, "
        f"{width['min']:.0f}×{height['min']:.0f} to {width['max']:.0f}×{height['max']:.0f}, median "
        f"{width['median']:.0f}×{height['median']:.0f}")  # fmt: skip
    rows = [(name, f"{one['mean']:.4f}", f"{one['std']:.4f}", f"{one['lowest']:g}", f"{one['highest']:g}")
            for name, one in record["bands"].items()]  # fmt: skip
    title = f"{record['training_images']} images of the training part, values over {scale:g}"
    show_table(title, ("band", "mean", "std", "lowest", "highest"), rows)
    classes = [(name, f"{one['share']:.2%}", one["pixels"], one["images"], f"{one['median_share']:.1%}")
               for name, one in record["classes"].items()]  # fmt: skip
    if record["ignored_pixels"]:
        classes.append(("ignored or without data", "", record["ignored_pixels"], "", ""))
    show_table("Classes", ("class", "share", "pixels", "images with it", "median share of an image"), classes)
    for stray in record["suspected_nodata"]:
        warn(stray["text"])
    if overview.bands.high.max() > 1.5 * scale:
        warn(f"values reach {overview.bands.high.max():g}: is datamodule.value_scale={scale:g} right?")


def _write(folder: Path, overview: Overview, config: DataToolsConfig) -> None:
    pictures = []
    for name, title, meaning, draw in _charts(overview, config):
        write_chart(folder / f"{name}.png", draw)
        pictures.append({"title": title, "meaning": meaning, "source": chart(draw, fitted=True)})
    write_json(folder / "stats.json", overview.record)
    write_page(
        folder / "report.html", "stats.html", title=f"What is in {overview.record['data']}", record=overview.record,
        pictures=pictures, rows=_rows(overview, config), names=config.datamodule.classes(config.task).names[1:],
    )  # fmt: skip
    say(f"{folder / 'report.html'}, {folder / 'stats.json'} and {len(pictures)} pictures beside them")


def _rows(overview: Overview, config: DataToolsConfig) -> list[dict[str, Any]]:
    """A line an image for the page's table."""
    count = len(config.datamodule.classes(config.task).names)
    rows = []
    for look in overview.looks:
        total = max(int(look.pixels[:count].sum()), 1)
        rows.append({
            "stem": look.stem, "width": look.size[1], "height": look.size[0],
            "shares": [float(look.pixels[index] / total) for index in range(1, count)],
            "shapes": len(look.shapes), "largest": max((shape.area for shape in look.shapes), default=0),
        })  # fmt: skip
    return rows


def _charts(overview: Overview, config: DataToolsConfig) -> list[tuple[str, str, str, Callable[[Figure], None]]]:
    """Returns name, title, meaning and drawing of each chart."""
    looks, classes = overview.looks, config.datamodule.classes(config.task)
    return [
        ("sizes", "Sizes", "Each dot is an image.", lambda figure: _draw_sizes(figure, looks)),
        ("aspect_ratios", "Aspect ratios", "Width over height; the network stretches all to one.",
         lambda figure: _draw_histogram(figure, [look.size[1] / look.size[0] for look in looks], "width / height")),
        ("classes", "Classes", "The share of each class in all pixels, and the share of the images that have it.",
         lambda figure: _draw_classes(figure, overview.record["classes"], classes.colors)),
        ("foreground", "Foreground of an image", "How much of an image is no background.",
         lambda figure: _draw_histogram(figure, _foreground(looks), "share of an image", (0, 1))),
        ("bands", "Values of the bands", "How often each value is there; a peak at an end is clipped light or shadow.",
         lambda figure: _draw_bands(figure, looks, config)),
        ("shape_areas", "Sizes of shapes", "Connected areas of a class, islands filled; log scale.",
         lambda figure: _draw_areas(figure, looks)),
        ("shape_roundness", "Roundness of shapes", "1 is a circle, near 0 a river or a ragged edge.",
         lambda figure: _draw_histogram(
             figure, [shape.roundness for look in looks for shape in look.shapes], "4π area / perimeter²", (0, 1))),
        ("shapes_per_image", "Shapes of an image", "How many connected areas an image has.",
         lambda figure: _draw_histogram(figure, [len(look.shapes) for look in looks], "shapes of an image")),
    ]  # fmt: skip


def _foreground(looks: Sequence[Look]) -> list[float]:
    return [float(look.pixels[1:IGNORED].sum() / max(look.pixels[:IGNORED].sum(), 1)) for look in looks]


def _draw_sizes(figure: Figure, looks: Sequence[Look]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    axes = figure.add_subplot()
    axes.scatter([look.size[1] for look in looks], [look.size[0] for look in looks], s=14, alpha=0.5, color=BLUE)
    axes.set(xlabel="width in pixels", ylabel="height in pixels", xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):  # 500, 1000, 2000 rather than powers of ten
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3)


def _draw_histogram(
    figure: Figure, values: Sequence[float], label: str, limits: tuple[float, float] | None = None
) -> None:
    axes = figure.add_subplot()
    if len(values):
        axes.hist(values, bins=24, range=limits, color=BLUE, edgecolor="white")
        middle = float(np.median(values))
        axes.axvline(middle, color=ORANGE, label=f"median {middle:.3g}")
        axes.legend()
    axes.set(xlabel=label, ylabel="how many")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_classes(figure: Figure, classes: dict[str, Any], colors: Sequence[str]) -> None:
    left, right = figure.subplots(1, 2, sharey=True)
    names, images = list(classes), max(1, *(one["images"] for one in classes.values()))
    shown = ["#8796a5" if color == "#000000" else color for color in colors]
    bars = left.barh(names, [one["share"] for one in classes.values()], color=shown)
    left.bar_label(bars, [f"{one['share']:.1%}" for one in classes.values()], padding=3)
    left.set(title="of all pixels", xlim=(0, 1.25))
    bars = right.barh(names, [one["images"] for one in classes.values()], color=shown)
    right.bar_label(bars, padding=3)
    right.set(title="images with it", xlim=(0, images * 1.25))
    left.invert_yaxis()
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)


def _draw_bands(figure: Figure, looks: Sequence[Look], config: DataToolsConfig) -> None:
    axes, scale = figure.add_subplot(), config.datamodule.value_scale
    counts = np.sum([look.histogram for look in looks], axis=0)
    edges = np.linspace(0, scale, BINS + 1)
    palette = ["#c0392b", "#2e8b57", "#1669c1", "#7d3c98", "#d95f02", "#555555"]
    for band, name in enumerate(config.datamodule.bands):
        color = COLORS.get(name, palette[band % len(palette)])
        axes.stairs(counts[band] / max(counts[band].sum(), 1), edges, color=color, label=name)
    axes.set(xlabel=f"value; those above {scale:g} in the last bin", ylabel="share of the pixels", xlim=(0, scale))
    axes.legend(ncols=math.ceil(len(config.datamodule.bands) / 4))


def _draw_areas(figure: Figure, looks: Sequence[Look]) -> None:
    axes = figure.add_subplot()
    areas = [shape.area for look in looks for shape in look.shapes]
    if areas:
        axes.hist(areas, bins=np.geomspace(min(areas), max(areas) + 1, 30).tolist(), color=BLUE, edgecolor="white")
    axes.set(xlabel="pixels of a shape", ylabel="how many", xscale="log")
    axes.spines[["top", "right"]].set_visible(False)
