"""Finished maps as the analyses read them: the folders of `flood-seg map`, and where they show a flood."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.errors import ImageError, UsageError
from flood_seg.imaging.gdal import open_raster, raster_errors
from flood_seg.imaging.preprocess import shrunk
from flood_seg.products.archive import COLLECTION
from flood_seg.products.ground import Ground
from flood_seg.products.layers import NODATA, mask_values
from flood_seg.products.stac_item import RECORD
from flood_seg.scenes.grid import Box
from flood_seg.spec import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

DRY, FLOODED, PERMANENT, UNOBSERVED = 0, 1, 2, 255  # values that `FloodLayer.read` returns, and those of flood.tif
NEW_WATER, RECEDED, STILL_WATER = 1, 2, 3  # values of change.tif, beside DRY and UNOBSERVED
WATER_NAMES = ("water", "flood")  # of the class that is water, where a model has several
BEFORE = "before"  # folder of the map of an earlier image, beside the results that it is compared with
ROWS = 512  # that are read at once: a row of blocks of a Cloud Optimized GeoTIFF


@dataclass(frozen=True)
class FloodLayer:
    """The raster that says where the flood is.

    Attributes:
        path: of the file, uint8 with one band and nodata 255.
        meaning: what counts as flooded, for readers: a phrase such as `water without permanent water`.
        flooded: values of the raster that are flooded.
        permanent: values that are water but not flood.
    """

    path: Path
    meaning: str
    flooded: tuple[int, ...]
    permanent: tuple[int, ...] = ()

    @cached_property
    def _table(self) -> np.ndarray:
        table = np.full(256, DRY, np.uint8)
        table[list(self.flooded)], table[list(self.permanent)], table[NODATA] = FLOODED, PERMANENT, UNOBSERVED
        return table

    def strips(self, rows: int = ROWS) -> Iterator[tuple[Box, np.ndarray]]:
        """Yields the raster in strips of full width: where each lies, and uint8 [height, width].

        The values are DRY, FLOODED, PERMANENT and UNOBSERVED, whatever those of the file are.

        Raises:
            ImageError: the file is missing or damaged.
        """
        with open_raster(self.path) as dataset, raster_errors(self.path):
            for row in range(0, dataset.height, rows):
                box = Box(row, 0, min(rows, dataset.height - row), dataset.width)
                window = ((row, row + box.height), (0, box.width))
                yield box, self._table[dataset.read(1, window=window)]

    def preview(self, longest: int) -> np.ndarray:
        """Returns the raster with at most `longest` pixels on its longer side, uint8 [h, w], by the nearest pixel.

        Raises:
            ImageError: the file is missing or damaged.
        """
        with open_raster(self.path) as dataset, raster_errors(self.path):
            return np.asarray(self._table[dataset.read(1, out_shape=shrunk(dataset.shape, longest))])


@dataclass(frozen=True)
class MapResult:
    """The result of a scene.

    Attributes:
        folder: that `flood-seg map` has written.
        record: the STAC item in it.
        spec: of the model.
        water: index of the class that is water.
        georeference: of the scene: crs and transform; empty: it is not georeferenced.
        height: in pixels.
        width: in pixels.
    """

    folder: Path
    record: dict[str, Any] = field(repr=False)
    spec: ModelSpec = field(repr=False)
    water: int
    georeference: dict[str, Any] = field(repr=False)
    height: int
    width: int

    @classmethod
    def open(cls, folder: Path, water: str | None = None) -> MapResult:
        """Opens the result of a scene.

        Args:
            folder: that `flood-seg map` has written.
            water: the name of the class that is water; None: the only one beside the background, else `water` or
                `flood`.

        Raises:
            UsageError: the folder has no complete result, or the model has no such class.
            ImageError: mask.tif cannot be read.
        """
        record = _read_record(folder)
        try:
            spec = ModelSpec.from_json(record["properties"]["flood_seg:model_spec"])
        except (KeyError, TypeError) as error:
            raise UsageError(f"{folder / RECORD}: was not written by flood-seg map") from error
        index = water_class(spec.class_names, water, folder)
        with open_raster(folder / "mask.tif") as dataset:
            place = {"crs": dataset.crs, "transform": dataset.transform} if dataset.crs else {}
            return cls(folder, record, spec, index, place, dataset.height, dataset.width)

    @property
    def name(self) -> str:
        """Of the scene."""
        return str(self.record.get("id", self.folder.name))

    @property
    def properties(self) -> dict[str, Any]:
        """Of the STAC item: the figures of `flood-seg map` are `flood_seg:*`."""
        found: dict[str, Any] = self.record["properties"]
        return found

    @property
    def time(self) -> datetime:
        """When the scene was taken, as far as it is known; see `flood_seg:datetime_source` of the properties."""
        return datetime.fromisoformat(self.properties["datetime"])

    @property
    def ground(self) -> Ground | None:
        """Where the scene lies on the Earth; None: it is not georeferenced."""
        return Ground.of(self.georeference)

    @property
    def mask(self) -> FloodLayer:
        """The water that the model has found, permanent or not."""
        value = mask_values(self.spec)[self.water]
        return FloodLayer(self.folder / "mask.tif", f"all {self.spec.class_names[self.water]}", (value,))

    @property
    def flood(self) -> FloodLayer:
        """The flood: without permanent water or the water of an earlier map where that is known, else all water."""
        if (path := self.folder / "flood.tif").is_file():
            return FloodLayer(path, "water without permanent water", (FLOODED,), (PERMANENT,))
        if (path := self.folder / "change.tif").is_file():
            return FloodLayer(path, "water that was not there before", (NEW_WATER,), (STILL_WATER,))
        return self.mask


def open_results(folders: Iterable[Path], water: str | None = None) -> list[MapResult]:
    """Opens results, of archives (several scenes with a collection.json) each one; raises as `MapResult.open`."""
    found = list[MapResult]()
    for folder in folders:
        if (folder / COLLECTION).is_file():
            scenes = [MapResult.open(path.parent, water) for path in sorted(folder.glob(f"*/{RECORD}"))]
            # The map that the scenes were compared with is none of them, unless a scene has that name.
            found += [one for one in scenes if one.folder.name != BEFORE or one.record.get("collection")]
        else:
            found.append(MapResult.open(folder, water))
    return found


def _read_record(folder: Path) -> dict[str, Any]:
    if "://" in str(folder).replace(":/", "://"):
        raise UsageError(f"{folder}: copy the results to a local folder first")
    if not folder.is_dir():
        raise UsageError(f"{folder}: is not a folder; give one that flood-seg map has written")
    try:
        record = json.loads((folder / RECORD).read_text("utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"{folder}: has no {RECORD}; give a folder that flood-seg map has completed") from error
    except ValueError as error:
        raise ImageError(f"{folder / RECORD}: is damaged; run flood-seg map again") from error
    if not isinstance(record, dict):
        raise ImageError(f"{folder / RECORD}: is damaged; run flood-seg map again")
    return record


def water_class(names: Sequence[str], chosen: str | None, where: object) -> int:
    """Returns the index of the class that is water, as `MapResult.open`; `where` the names are is for messages.

    Raises:
        UsageError: there is no such class, or it has to be chosen.
    """
    if chosen is not None:
        if chosen not in names:
            raise UsageError(f"{where}: has no class {chosen}; its classes are {', '.join(names)}")
        return names.index(chosen)
    if len(names) == 2:
        return 1
    for name in WATER_NAMES:
        if name in names:
            return names.index(name)
    raise UsageError(f"{where}: which of its classes is water? water=NAME, one of {', '.join(names)}")
