"""Maps of several dates of one place: how the flooded area grew and fell, and what was ever under water."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.analysis.pixel_grid import ClassSizes, PixelGrid
from flood_seg.analysis.result import DRY, FLOODED, PERMANENT, UNOBSERVED, MapResult
from flood_seg.classes import to_rgb
from flood_seg.console import counted, track
from flood_seg.errors import DataError, UsageError
from flood_seg.imaging.gdal import ground_sample_distance, open_raster
from flood_seg.products.layers import Legend, write_classes
from flood_seg.products.stac_item import time_text
from flood_seg.scenes.grid import Box

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MAXIMUM, COUNT = "maximum.tif", "count.tif"
WHOLE = 0.95  # share of the place from which on a date counts as observed
NEVER = 65535  # in count.tif, of pixels that were not observed on any date
# What counts where several results of one date say different things: the last one in this order.
RANKS = (UNOBSERVED, DRY, PERMANENT, FLOODED)
LEGEND = Legend(
    ("dry", "flooded", "permanent_water"),
    (DRY, FLOODED, PERMANENT),
    (to_rgb("#000000"), to_rgb("#d55e00"), to_rgb("#0072b2")),
)


@dataclass(frozen=True)
class Date:
    """The results that show a place at one time.

    Attributes:
        results: taken on one day; a single one where its time is not known.
        is_known: whether the time is that of the images, not that of their files.
    """

    results: tuple[MapResult, ...]
    is_known: bool

    @property
    def text(self) -> str:
        """The time, for JSON, of the first of the results."""
        return time_text(self.results[0].time)


def sort_by_date(results: Sequence[MapResult]) -> list[Date]:
    """Returns the dates of results in their order; results of one day are one date.

    Raises:
        UsageError: there is only one date.
    """
    ordered = sorted(results, key=lambda one: (one.time, one.name))
    dates = list[Date]()
    for result in ordered:
        known = result.properties.get("flood_seg:datetime_source") == "scene"
        last = dates[-1] if dates else None
        if known and last and last.is_known and last.results[0].time.date() == result.time.date():
            dates[-1] = Date((*last.results, result), True)
        else:
            dates.append(Date((result,), known))
    if len(dates) < 2:
        raise UsageError(f"--results: {counted(len(results), 'result')} of one date; give those of two dates or more")
    return dates


def common_grid(results: Sequence[MapResult], resolution: float | None = None) -> PixelGrid:
    """Returns pixels that cover all results: those of the finest one, continued.

    Args:
        results: of one place.
        resolution: of the pixels, in units of the CRS of the finest result; None: its own.

    Raises:
        DataError: one lies elsewhere, or some are not georeferenced and not all of one size.
    """
    grids = {result.folder: _grid_of(result) for result in results}
    first, (finest, _) = results[0], min(grids.values(), key=lambda one: one[1])
    for folder, (grid, _) in grids.items():
        if bool(grid.crs) != bool(finest.crs) or (not grid.crs and grid.shape != finest.shape):
            finest.check_overlap(grid, str(folder), str(first.folder))
    extents = {folder: finest.extent_of(grid) for folder, (grid, _) in grids.items()}
    for folder, box in extents.items():
        around = Box(box.row - 1, box.col - 1, box.height + 2, box.width + 2)  # neighbouring tiles touch
        if not any(around.meets(other) for name, other in extents.items() if name != folder):
            raise DataError(f"{folder}: lies elsewhere than the other results; leave it out")
    if not finest.crs:
        return finest
    top, left = (min(getattr(box, side) for box in extents.values()) for side in ("row", "col"))
    bottom = max(box.row + box.height for box in extents.values())
    right = max(box.col + box.width for box in extents.values())
    own = abs(finest.transform.determinant) ** 0.5
    factor = (resolution or own) / own
    move = type(finest.transform)
    transform = finest.transform @ move.translation(left, top) @ move.scale(factor)
    height, width = (max(1, int(np.ceil(length / factor - 1e-9))) for length in (bottom - top, right - left))
    return PixelGrid(height, width, finest.crs, transform)


def _grid_of(result: MapResult) -> tuple[PixelGrid, float]:
    """Returns the pixels of a result, and their size on the ground in metres."""
    with open_raster(result.flood.path) as dataset:
        return PixelGrid.of_raster(dataset), ground_sample_distance(dataset) or 1.0


def measure_series(dates: Sequence[Date], grid: PixelGrid, folder: Path) -> dict[str, Any]:
    """Writes maximum.tif and count.tif part by part, and measures each date.

    Args:
        dates: in their order.
        grid: of the rasters.
        folder: of the files.

    Returns:
        the record of series.json.

    Raises:
        ImageError: a result cannot be read.
        OutputError: a file cannot be written.
    """
    sizes, ever = [ClassSizes(grid.ground) for _ in dates], ClassSizes(grid.ground)
    parts = list(grid.parts())
    with ExitStack() as stack:
        readers = [[stack.enter_context(_ranks(one, grid)) for one in date.results] for date in dates]
        place = grid.shape, grid.georeference
        maximum = stack.enter_context(write_classes(folder / MAXIMUM, *place, LEGEND))
        profile: dict[str, Any] = {"count": 2, "dtype": "uint16", "nodata": NEVER}
        count = stack.enter_context(write_classes(folder / COUNT, *place, None, **profile))
        count.descriptions = ("dates under water", "observations")
        for box in track(parts, "Comparing", len(parts)):
            most = np.zeros((box.height, box.width), np.uint8)
            flooded, observed = np.zeros((2, box.height, box.width), np.uint16)
            for size, reading in zip(sizes, readers, strict=True):
                ranks = np.maximum.reduce([read(box) for read in reading])
                size.add(box, ranks)
                flooded += ranks == RANKS.index(FLOODED)
                observed += ranks > 0
                np.maximum(most, ranks, out=most)
            ever.add(box, most)
            if most.any():
                window = ((box.row, box.row + box.height), (box.col, box.col + box.width))
                maximum.write(np.array(RANKS, np.uint8)[most], 1, window=window)
                never = observed == 0
                count.write(np.stack([np.where(never, NEVER, one) for one in (flooded, observed)]).astype(np.uint16),
                            window=window)  # fmt: skip
    return _record(dates, grid, sizes, ever)


@contextmanager
def _ranks(result: MapResult, grid: PixelGrid) -> Iterator[Callable[[Box], np.ndarray]]:
    """Opens where a result shows a flood; the function returns a rectangle as indices of `RANKS`, uint8 [h, w]."""
    layer = result.flood
    table = np.full(256, RANKS.index(DRY), np.uint8)
    table[list(layer.flooded)], table[list(layer.permanent)] = RANKS.index(FLOODED), RANKS.index(PERMANENT)
    with grid.read_classes(layer.path) as read:

        def ranks(box: Box) -> np.ndarray:
            values, known = read(box)
            return np.where(known, table[values], np.uint8(RANKS.index(UNOBSERVED)))

        yield ranks


def _record(dates: Sequence[Date], grid: PixelGrid, sizes: Sequence[ClassSizes], ever: ClassSizes) -> dict[str, Any]:
    place = sum(ever.pixels(rank) for rank in range(1, len(RANKS)))
    rows = list[dict[str, Any]]()
    for date, size in zip(dates, sizes, strict=True):
        found = {name: size.of(RANKS.index(value)) for name, value in
                 (("flooded", FLOODED), ("permanent_water", PERMANENT), ("dry", DRY))}  # fmt: skip
        observed = sum(one["pixels"] for one in found.values())
        areas = [one["area_m2"] for one in found.values()]
        found["observed"] = {"pixels": observed, "area_m2": round(sum(areas), 2) if grid.ground else None}
        rows.append({
            "time": date.text, "time_is_known": date.is_known, "results": [str(one.folder) for one in date.results],
            "observed_share": round(observed / place, 6) if place else 0.0, **found,
        })  # fmt: skip
    peak = max(rows, key=lambda row: row["flooded"]["pixels"])
    meanings = sorted({one.flood.meaning for date in dates for one in date.results})
    named = (("flooded", FLOODED), ("permanent_water", PERMANENT), ("dry", DRY), ("not_observed", UNOBSERVED))
    return {
        "meaning": "; or ".join(meanings),
        "grid": {"crs": grid.crs.to_string() if grid.crs else None, "height": grid.height, "width": grid.width,
                 "transform": list(grid.transform)[:6] if grid.crs else None},
        "dates": rows,
        "maximum": {name: ever.of(RANKS.index(value)) for name, value in named},
        "peak": peak["time"],
        "warnings": _warnings(rows, meanings),
    }  # fmt: skip


def _warnings(rows: Sequence[dict[str, Any]], meanings: Sequence[str]) -> list[str]:
    warnings = []
    if unknown := sum(not row["time_is_known"] for row in rows):
        warnings.append(f"{unknown} of {counted(len(rows), 'date')} are those of files, since the images have none")
    if partial := sum(row["observed_share"] < WHOLE for row in rows):
        warnings.append(f"{partial} of {counted(len(rows), 'date')} observed less than {WHOLE:.0%} of the place: their "
                        "areas are lower bounds, and cannot be compared with others")  # fmt: skip
    if len(meanings) > 1:
        warnings.append(f"flooded means different things: {' or '.join(meanings)}; make all maps with the same "
                        "--before or --permanent")  # fmt: skip
    return warnings
