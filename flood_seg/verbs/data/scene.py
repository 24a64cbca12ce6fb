"""`flood-seg data scene`: scenes of satellites from public catalogues."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.config.compose import compose
from flood_seg.config.repository import choices, shipped_values
from flood_seg.config.schema.catalog import SceneConfig
from flood_seg.console import say, show_table, warn
from flood_seg.errors import DataError, PartialFailureError, UsageError, did_you_mean
from flood_seg.files import check_writable
from flood_seg.verbs.common import as_overrides, required
from flood_seg.workshop.catalog.area import check_pixels, parse_area, read_area
from flood_seg.workshop.catalog.download import download
from flood_seg.workshop.catalog.search import Catalog, check_dates, choose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.verbs.common import PathLike
    from flood_seg.workshop.catalog.search import Acquisition


def scene(
    overrides: Sequence[str] = (),
    *,
    bbox: str | None = None,
    aoi: PathLike | None = None,
    date: str | None = None,
    collection: str | None = None,
    bands: str | None = None,
    cloud: int | None = None,
    count: int | None = None,
    out: PathLike = "scenes",
    dry_run: bool = False,
) -> None:
    """Find scenes of an area in a public catalogue, and download the area of them.

    Raises:
        PartialFailureError: some of several dates failed; the rest is done.
        FloodSegError: of other kinds, before anything is written.
    """
    if (bbox is None) == (aoi is None):
        raise UsageError("give either --bbox W,S,E,N or --aoi FILE; see flood-seg data scene --help")
    if date is None:
        raise UsageError("--date is missing: --date 2026-01-14, or --date 2026-01-14/2026-02-01")
    flags = {
        "scene.collection": collection,
        "scene.bands": None if bands is None else bands.split(","),
        "scene.cloud": cloud,
        "scene.count": count,
    }
    config = compose("scene", _with_catalog([*overrides, *as_overrides(flags)], collection), SceneConfig)
    area = parse_area(bbox) if bbox else read_area(*required("data scene", aoi=aoi))
    dates = check_dates(date)
    check_pixels(area, config.resolution, config.scene.max_megapixels)
    to_file = Path(out).suffix.lower() in (".tif", ".tiff")
    if to_file and config.scene.count > 1:
        raise UsageError(f"--out {out}: is one file; give a folder for --count {config.scene.count}")
    check_writable(Path(out), folder=not to_file)

    catalog = Catalog(config)
    found = catalog.search(area, dates)
    if found:
        _show(found, config)
    chosen = choose(found, config.scene.cloud, config.scene.coverage, config.scene.count)
    paths = {one: Path(out) if to_file else Path(out) / _file_name(one, config) for one in chosen}
    if dry_run:
        say(*(f"{path}: would be written" for path in paths.values()))
        return
    failed = 0
    for one, path in paths.items():
        try:
            grid, share = download(one, config, area, catalog.token(), path)
        except DataError as error:
            if len(paths) == 1:
                raise
            warn(f"{path}: {error}")
            failed += 1
            continue
        names = ", ".join(config.bands)
        say(f"{path}: {grid.width}×{grid.height} pixels, {grid.crs}, {names}, {100 * share:.0f} % with data")
    if failed:
        raise PartialFailureError(f"{failed} of {len(paths)} dates failed, see above; the rest is done")


def _with_catalog(overrides: Sequence[str], collection: str | None) -> Sequence[str]:
    """Adds the catalogue that has a collection, the default one if possible, where none is chosen."""
    if collection is None or any(re.match(r"\+*catalog(=|\.url=|\.collections\b)", one) for one in overrides):
        return overrides
    default = next(entry["catalog"] for entry in shipped_values("scene")["defaults"] if entry != "_self_")
    known = {name: list(shipped_values(f"catalog/{name}")["collections"]) for name in choices("catalog")}
    for name in sorted(known, key=lambda name: name != default):
        if collection in known[name]:
            return [f"catalog={name}", *overrides]
    names = sorted({name for names in known.values() for name in names})
    near = did_you_mean(collection, names)
    raise UsageError(
        f"--collection {collection}: known are {', '.join(names)}{near}; docs/maps.md says how to add another"
    )


def _show(found: Sequence[Acquisition], config: SceneConfig) -> None:
    rows = [
        (f"{one.time:%Y-%m-%d %H:%M}", one.platform, len(one.items), "" if one.cloud is None else f"{one.cloud:.0f} %",
         f"{one.coverage:.0f} %", ", ".join(item.id for item in one.items))
        for one in found
    ]  # fmt: skip
    title = f"{config.scene.collection} at {config.catalog.url}"
    show_table(title, ("time (UTC)", "platform", "tiles", "clouds", "of the area", "items"), rows)


def _file_name(acquisition: Acquisition, config: SceneConfig) -> str:
    return f"{config.scene.collection}_{acquisition.time:%Y%m%dT%H%M%S}.tif"
