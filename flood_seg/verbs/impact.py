"""`flood-seg impact`: whom a mapped flood affects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from flood_seg.analysis.impact.assess import Inputs, assess
from flood_seg.analysis.impact.files import TITLES, write_impact
from flood_seg.analysis.result import MapResult
from flood_seg.analysis.vectors import LAYER_SEPARATOR
from flood_seg.config.compose import compose
from flood_seg.config.schema.impact import ImpactConfig
from flood_seg.console import counted, say, show_table, warn
from flood_seg.errors import UsageError
from flood_seg.files import check_writable
from flood_seg.imaging.gdal import import_rasterio
from flood_seg.verbs.common import as_path, required

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.verbs.common import PathLike

SHOWN = 20  # districts
# What the tables on the terminal show.
LENGTHS = {
    "roads_length_km": "km on the scene",
    "roads_km": "km under water",
    "roads_not_observed_km": "km not observed",
    "roads_bridges_km": "km of bridges over water",
}
FIGURES = {
    "roads_km": "km of road under water",
    "roads_cut": "segments cut",
    "buildings_touched": "buildings touched",
    "buildings_half": "more than half",
    "people": "people",
    "places_under_water": "places under water",
    "places_cut_off": "places cut off",
    "places_with_detour": "with a detour",
}
AFFECTED = ("roads", "buildings", "population", "places")


def impact(
    overrides: Sequence[str] = (),
    *,
    flood: PathLike | None = None,
    roads: PathLike | None = None,
    buildings: PathLike | None = None,
    population: PathLike | None = None,
    districts: PathLike | None = None,
    places: PathLike | None = None,
    depots: PathLike | None = None,
    out: PathLike | None = None,
) -> dict[str, Any]:
    """Find roads under water, buildings, people, and places that are cut off.

    Returns:
        what impact.json holds.

    Raises:
        FloodSegError: of any kind, before anything is written.
    """
    (folder,) = required("impact", flood=flood)
    config = compose("impact", overrides, ImpactConfig)
    import_rasterio()  # before any work, where it is not installed
    inputs = Inputs(*(as_path(one) for one in (roads, buildings, population, districts, places, depots)))
    if not any(getattr(inputs, name) for name in AFFECTED):
        raise UsageError(f"give at least one of --{', --'.join(AFFECTED)}; see flood-seg impact --help")
    if inputs.depots and not (inputs.roads and inputs.places):
        raise UsageError("--depots: which places reach a depot takes --roads and --places, too")
    target = Path(folder if out is None else out)
    check_writable(target)
    for path in (Path(str(one).partition(LAYER_SEPARATOR)[0]) for one in vars(inputs).values() if one):
        if path.resolve() in [(target / name).resolve() for name in TITLES]:
            raise UsageError(f"{path}: would be overwritten; give another --out")
    record = write_impact(target, assess(MapResult.open(folder), inputs, config.impact))
    _show(record)
    for warning in record["warnings"]:
        warn(warning)
    say(f"Wrote {target / 'impact.json'}, impact.csv and impact.gpkg")
    return record


def _show(record: dict[str, Any]) -> None:
    """Prints roads by class, and figures of the scene and of its first districts."""
    total = record["total"]
    if lengths := total.get("roads_length_km"):
        rows = [(kind, *(f"{total[name][kind]:.2f}" for name in LENGTHS)) for kind in lengths]
        rows.append(("all", *(f"{sum(total[name].values()):.2f}" for name in LENGTHS)))
        show_table(f"Roads, flooded by {record['meaning']}", ("class", *LENGTHS.values()), rows)
    shown = [name for name in FIGURES if name in total]
    areas = [{"name": "all", **total}, *record["districts"][:SHOWN]]
    rows = [(area["name"], *(_text(area[name]) for name in shown)) for area in areas]
    show_table("Affected", ("", *(FIGURES[name] for name in shown)), rows)
    if (more := len(record["districts"]) - SHOWN) > 0:
        say(f"{counted(more, 'district')} more in impact.csv")


def _text(value: Any) -> str:
    """Returns a figure, of lengths by class the sum."""
    return f"{sum(value.values()):.2f}" if isinstance(value, dict) else f"{value:,.0f}"
