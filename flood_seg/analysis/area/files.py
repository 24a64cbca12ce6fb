"""The flooded areas as files, and on the console."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.analysis.area.measure import Record
from flood_seg.analysis.vectors import Layer
from flood_seg.console import one_line, say, show_table
from flood_seg.files import write_csv, write_json
from flood_seg.products.vectors.vector_file import write_vectors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

JSON, CSV, DISTRICTS = "flood_area.json", "flood_area.csv", "districts.gpkg"
SHOWN = 20  # districts on the console
UNITS = (("km²", 1e6), ("ha", 1e4), ("m²", 1.0))
Row = dict[str, Any]


def write_files(folder: Path, record: Record, districts: Layer | None) -> list[Path]:
    """Writes the CSV, of districts the GeoPackage, and the JSON, last; raises OutputError."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [_row("total", record["total"]), *(_row(one["name"], one) for one in record["districts"])]
    files = [folder / CSV]
    write_csv(folder / CSV, list(rows[0]), [list(row.values()) for row in rows])
    if districts is not None:
        fields = {key: _column([row[key] for row in rows[1:]]) for key in rows[0]}
        write_vectors(folder / DISTRICTS, districts.geometries, fields, districts.crs.to_wkt(), "MultiPolygon")
        files.append(folder / DISTRICTS)
    write_json(folder / JSON, record)
    return [*files, folder / JSON]


def show(record: Record) -> None:
    """Prints the total and the districts with the largest flooded areas, one line each."""
    total, districts = record["total"], record["districts"]
    largest = max(unit["flooded"]["mapped_m2"] for unit in (total, *districts))
    name, factor = next((unit for unit in UNITS if largest >= unit[1]), UNITS[-1])
    order = sorted(range(len(districts)), key=lambda number: -districts[number]["flooded"]["mapped_m2"])[:SHOWN]
    units = [*([districts[number]["name"], districts[number]] for number in sorted(order)), ["total", total]]
    rows = [[one_line(str(title)), *_cells(unit, factor)] for title, unit in units]
    show_table(
        f"Flooded ({record['meaning']}), in {name}",
        ("district", "mapped", "expected", "adjusted", "95 % interval", "land observed", "not observed"), rows,
    )  # fmt: skip
    if len(order) < len(districts):
        say(f"{len(districts) - len(order)} more districts, with less mapped as flooded, are in {CSV}")
    say(f"Adjusted area: {total['flooded']['method']}")
    if total["flooded"]["interval_95_m2"]:
        say(f"What the interval does not cover, other imagery and other regions for example, is in {JSON}: limits")


def _cells(unit: Record, factor: float) -> list[str]:
    def text(value: float | None) -> str:
        return "–" if value is None else f"{value / factor:,.2f}"

    flooded = unit["flooded"]
    low, high = flooded["interval_95_m2"] or (None, None)
    interval = "–" if low is None else f"{text(low)} to {text(high)}"
    return [
        text(flooded["mapped_m2"]), text(flooded["expected_m2"]), text(flooded["adjusted_m2"]), interval,
        text(unit["land_m2"]), text(unit["not_observed_m2"]),
    ]  # fmt: skip


def _row(name: str, unit: Record) -> Row:
    row: Row = {"name": name, "area_m2": unit.get("area_m2")}
    row |= {key: unit[key] for key in ("observed_m2", "land_m2")}
    row |= _flat("flooded", unit["flooded"])
    row |= {key: unit[key] for key in ("permanent_m2", "not_observed_m2")} | {"method": unit["flooded"]["method"]}
    for title, figures in unit.get("classes", {}).items():
        row |= _flat(title, figures)
    return row


def _flat(title: str, figures: Record) -> Row:
    low, high = figures["interval_95_m2"] or (None, None)
    row = {f"{title}_{key}": figures[key] for key in ("mapped_m2", "expected_m2", "adjusted_m2", "standard_error_m2")}
    return row | {f"{title}_low_m2": low, f"{title}_high_m2": high}


def _column(values: Sequence[Any]) -> np.ndarray:
    """Returns numbers as float64, with NaN for those that are not known, and text as objects."""
    if any(isinstance(value, str) for value in values):
        return np.array(values, object)
    return np.array([np.nan if value is None else value for value in values], np.float64)
