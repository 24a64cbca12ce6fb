"""`flood-seg flood-area`: how much is flooded, in all and in each district, and how sure that is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.analysis.area.files import DISTRICTS, show, write_files
from flood_seg.analysis.area.measure import measure_area
from flood_seg.analysis.area.sample import read_sample
from flood_seg.analysis.result import open_results
from flood_seg.analysis.vectors import Layer, read_layer
from flood_seg.config.compose import compose
from flood_seg.config.schema.area import AreaConfig
from flood_seg.console import say, warn
from flood_seg.errors import UsageError
from flood_seg.files import check_writable
from flood_seg.imaging.gdal import import_rasterio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.verbs.common import PathLike


def flood_area(
    overrides: Sequence[str] = (),
    *,
    results: Sequence[str] = (),
    districts: PathLike | None = None,
    validation: PathLike | None = None,
    out: PathLike | None = None,
) -> None:
    """Measure the flooded area, with an interval, and write it.

    Raises:
        FloodSegError: before anything is written.
    """
    if not results:
        raise UsageError(
            "--results is missing: flood-seg flood-area --results DIR, a folder that flood-seg map has made"
        )
    if out is None and len(results) > 1:
        raise UsageError("--out is missing: with several results, give a folder for the areas")
    config = compose("flood_area", overrides, AreaConfig)
    import_rasterio()  # before any work, where it is not installed
    folder = Path(out if out is not None else results[0])
    scenes = open_results([Path(one) for one in results], config.area.water)
    if not scenes:
        raise UsageError(f"{results[0]}: has no scenes; give folders that flood-seg map has completed")
    check_writable(folder)
    layer, names = _read_districts(districts, config.area.name, folder)
    sample = None
    if validation is not None:
        has_permanent = any(scene.flood.permanent for scene in scenes)
        sample = read_sample(
            validation, config.area.truth, config.area.place, scenes[0].spec, scenes[0].water,
            without_permanent=has_permanent,
        )  # fmt: skip
    record = measure_area(scenes, layer, names, sample)
    for warning in record["warnings"]:
        warn(warning)
    files = write_files(folder, record, layer)
    show(record)
    say(", ".join(map(str, files)))


def _read_districts(path: PathLike | None, field: str, folder: Path) -> tuple[Layer | None, list[str]]:
    """Returns the districts, numbered from 0, and the name of each."""
    if path is None:
        return None, []
    if Path(path).resolve() == (folder / DISTRICTS).resolve():
        raise UsageError(f"--districts {path}: would be overwritten; give another --out, or rename it")
    layer = read_layer(path, kinds={"polygon"})
    values = layer.values(field, "area.name=FIELD chooses it")
    return replace(layer, ids=np.arange(len(layer))), [
        str(number) if value is None or value == "" else str(value)
        for number, value in zip(layer.ids, values, strict=True)
    ]
