"""The collections of a job: the layers of its vector files."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.analysis.result import BEFORE
from flood_seg.service.features.region import Box, extent_in_degrees
from flood_seg.service.problems import Problem

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT = "areas"  # the polygons of the classes
SUFFIXES = (".gpkg", ".fgb", ".geojson")  # the first one of a name is served
_FILES = 512  # whose layers are kept in memory


@dataclass(frozen=True)
class Collection:
    """A layer of a vector file.

    Attributes:
        name: of the collection.
        path: of the file.
        layer: its name in the file.
        kind: of its geometries, as OGC Simple Features names it.
        crs: of the file, as text; None: its coordinates are (column, -row).
        count: number of features.
        bounds: smallest and largest coordinates in `crs`; None: there are no features.
    """

    name: str
    path: Path = field(repr=False)
    layer: str
    kind: str
    crs: str | None
    count: int
    bounds: Box | None

    @property
    def extent(self) -> Box | None:
        """West, south, east and north in WGS 84; west is greater than east across the antimeridian."""
        if self.crs is None or self.bounds is None:
            return None
        west, south, east, north = extent_in_degrees(self.bounds, self.crs)
        return west, south, east - 360 * (east > 180), north


def collections_of(results: Path) -> dict[str, Collection]:
    """Returns the collections of a job by their names, those of the map first.

    Layers are named as their file where that has their name (`areas`), else by both (`impact_roads`).

    Args:
        results: folder of the results, and of those of further steps, a folder each.
    """
    folders = [results, *sorted(one for one in results.glob("*") if one.is_dir() and one.name != BEFORE)]
    found = dict[str, Collection]()
    for folder in folders:
        for suffix in SUFFIXES:
            for path in sorted(folder.glob(f"*{suffix}")):
                for one in _layers(path, path.stat().st_mtime_ns):
                    found.setdefault(one.name, one)
    return found


def choose(known: dict[str, Collection], name: str) -> Collection:
    """Returns a collection by its name.

    Raises:
        Problem: 404, there is none.
    """
    if name not in known:
        there = f"it has {', '.join(known)}" if known else "it has none at all"
        raise Problem(HTTPStatus.NOT_FOUND, f"collection {name[:40]}: the job has none; {there}")
    return known[name]


@lru_cache(_FILES)
def _layers(path: Path, changed: int) -> tuple[Collection, ...]:
    """Returns the layers of a file; `changed` is when it was written."""
    from pyogrio import list_layers, read_info
    from pyogrio.errors import DataLayerError, DataSourceError

    found = []
    try:
        for layer, kind in list_layers(path):
            info: dict[str, Any] = read_info(path, layer, force_feature_count=True, force_total_bounds=True)
            bounds = info["total_bounds"]
            there = bounds is not None and bool(np.isfinite(bounds).all())
            name = layer if layer == path.stem else f"{path.stem}_{layer}"
            found.append(Collection(
                name, path, layer, kind or "Unknown", info["crs"], int(info["features"]),
                (float(bounds[0]), float(bounds[1]), float(bounds[2]), float(bounds[3])) if there else None,
            ))  # fmt: skip
    except (DataLayerError, DataSourceError) as error:
        raise unreadable(path.stem) from error
    return tuple(found)


def unreadable(name: str) -> Problem:
    """Returns the problem that a file of the results cannot be read."""
    return Problem(HTTPStatus.NOT_FOUND, f"collection {name}: its file is damaged or was removed; run the job again")
