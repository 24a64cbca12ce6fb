"""`flood-seg flood-series`: how a flood grew and fell, from maps of several dates."""

from __future__ import annotations

from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flood_seg.analysis.comparison.series import COUNT, MAXIMUM, WHOLE, common_grid, measure_series, sort_by_date
from flood_seg.analysis.result import open_results
from flood_seg.config.compose import compose
from flood_seg.config.schema.series import SeriesConfig
from flood_seg.console import say, show_table, warn
from flood_seg.errors import UsageError
from flood_seg.files import check_writable, write_csv, write_json
from flood_seg.imaging.gdal import import_rasterio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.verbs.common import PathLike

PARTS = ("flooded", "permanent_water", "dry", "observed")


def flood_series(overrides: Sequence[str] = (), *, results: Sequence[str] = (), out: PathLike = "flood_series") -> None:
    """Compare maps of several dates.

    Raises:
        FloodSegError: the results are not of several dates of one place, or a file cannot be read or written.
    """
    if not results:
        raise UsageError("--results is missing: flood-seg flood-series --results DIR DIR, folders of flood-seg map")
    config, folder = compose("flood_series", overrides, SeriesConfig), Path(out)
    import_rasterio()  # before any work, where it is not installed
    found = open_results([Path(one) for one in results], config.series.water)
    dates = sort_by_date(found)
    grid = common_grid(found, config.series.resolution)
    check_writable(folder)
    record = measure_series(dates, grid, folder)
    for warning in record["warnings"]:
        warn(warning)
    sizes = [(part, key) for part in PARTS for key in ("area_m2", "pixels")]
    columns = ["time", "results", "observed_share"]
    columns += [f"{part}_{key.removeprefix('area_')}" for part, key in sizes]
    rows = (
        (row["time"], " ".join(row["results"]), row["observed_share"], *(row[part][key] for part, key in sizes))
        for row in record["dates"]
    )
    write_csv(folder / "series.csv", columns, rows)
    files = [MAXIMUM, COUNT, "series.csv", *_plot(record, folder / "series.png"), "series.json"]
    write_json(folder / "series.json", record)
    _show(record)
    say(", ".join(str(folder / name) for name in files))


def _unit(record: dict[str, Any]) -> tuple[str, str, float]:
    """Returns the key of areas for readers, their unit, and what they are divided by for it."""
    if record["grid"]["crs"] is None:
        return "pixels", "pixels", 1
    largest = max(row["flooded"]["area_m2"] for row in record["dates"])
    return ("area_m2", "km²", 1e6) if largest >= 1e6 else ("area_m2", "ha", 1e4)


def _plot(record: dict[str, Any], path: Path) -> list[str]:
    """Draws the series where Matplotlib is installed; returns the name of the file."""
    if find_spec("matplotlib") is None:
        say("series.png is not drawn, since Matplotlib is not installed; pip install 'flood-seg[data]'")
        return []
    from flood_seg.plots.series import plot_series

    key, unit, divisor = _unit(record)
    rows = record["dates"]
    times = [datetime.fromisoformat(row["time"]) for row in rows]
    areas = [row["flooded"][key] / divisor for row in rows]
    plot_series(times, areas, [row["observed_share"] for row in rows], WHOLE, unit, record["meaning"], path)
    return [path.name]


def _show(record: dict[str, Any]) -> None:
    key, unit, divisor = _unit(record)
    rows = [(row["time"], f"{row['flooded'][key] / divisor:.4g}", f"{row['observed_share']:.1%}")
            for row in record["dates"]]  # fmt: skip
    most = record["maximum"]["flooded"][key] / divisor
    show_table(f"Flooded: {record['meaning']}", ("time", f"flooded ({unit})", "observed"), rows)
    say(f"Ever flooded: {most:.4g} {unit}; most at {record['peak']}")
