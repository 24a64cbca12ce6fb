"""Reads roads of any number, batch by batch, as flat arrays."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.analysis.impact.frame import WGS84
from flood_seg.analysis.vectors import open_source
from flood_seg.console import counted, track
from flood_seg.errors import DataError
from flood_seg.extras import missing_extra
from flood_seg.products.vectors.polygons import starts_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from flood_seg.analysis.impact.frame import Frame
    from flood_seg.analysis.vectors import Source
    from flood_seg.config.schema.impact import ImpactOptions

BATCH = 65_536  # roads that are read at once
MEASURED = 1_000_000  # segments that are measured at once
OSM_ROADS = "highway IS NOT NULL"
OSM_CLASS = "highway"  # its lines without a value are rivers, fences and the like
UNKNOWN = "road"  # the class of roads that have none
FALSE = ("", "no", "n", "f", "false", "0", "none", "nan")  # values of a field `bridge`
_BRIDGE = re.compile(r'"bridge"=>"([^"]*)"')
_LEVEL = re.compile(r'"layer"=>"\s*\+?(-?\d+)')


@dataclass
class Roads:
    """Roads as polylines; a multi-part road is several.

    Attributes:
        points: longitudes and latitudes in WGS 84, float64 [points, 2]; see `forget_points`.
        offsets: the first point of each road, and the end, int64 [roads + 1].
        along: geodesic metres of all roads before each point, one after another, float64 [points].
        classes: names.
        kinds: the class of each road, int32 [roads].
        bridges: whether it is a bridge, bool [roads].
        vehicles: whether vehicles use it, bool [roads].
        near: whether it is near the scene, bool [roads].
        names: object [roads], None where there is none.
        left_out: the numbers of lines that are no roads, by class.
        warnings: what was left out, a sentence each.
        elsewhere: the error where none of them touches the scene.
    """

    points: np.ndarray = field(repr=False)
    offsets: np.ndarray = field(repr=False)
    along: np.ndarray = field(repr=False)
    classes: list[str]
    kinds: np.ndarray = field(repr=False)
    bridges: np.ndarray = field(repr=False)
    vehicles: np.ndarray = field(repr=False)
    near: np.ndarray = field(repr=False)
    names: np.ndarray = field(repr=False)
    left_out: dict[str, int]
    warnings: tuple[str, ...]
    elsewhere: DataError = field(repr=False)

    def __len__(self) -> int:
        """Of roads."""
        return len(self.kinds)

    def forget_points(self) -> None:
        """Frees a third of the memory, when the graph is made and the scene has its own points."""
        self.points = np.empty((0, 2))


def read_roads(path: Path, frame: Frame, options: ImpactOptions) -> Roads:
    """Reads a layer of lines.

    Args:
        path: of the layer; see `flood_seg.analysis.vectors.read_layer`.
        frame: of the scene.
        options: which fields and classes mean what.

    Raises:
        DataError: as of `read_layer`; or there is no line near the scene.
    """
    with open_source(path, {"line"}) as source, missing_extra(f"{path}: reading roads"):
        reader = _Reader(source, frame, options)
        for batch in track(_batches(source, reader.columns, options.where.roads), path.name, None):
            reader.add(batch)
        return reader.roads()


def _batches(source: Source, columns: list[str], where: str | None) -> Iterator[pa.RecordBatch]:
    from pyogrio.errors import DataLayerError, DataSourceError, GeometryError
    from pyogrio.raw import open_arrow
    from shapely import GEOSException

    where = where or (OSM_ROADS if source.is_osm else None)
    try:
        with open_arrow(source.file, layer=source.layer, columns=columns, where=where, batch_size=BATCH,
                        use_pyarrow=True) as (_, batches):  # fmt: skip
            yield from batches
    except (DataLayerError, DataSourceError, GeometryError, GEOSException, OSError) as error:
        raise DataError(f"{source.path}: cannot be read as shapes ({' '.join(str(error).split())})") from error
    except ValueError as error:
        if where is None:
            raise
        reason = " ".join(str(error).split())
        raise DataError(f"{source.path}: {where}: is no condition on its fields ({reason})") from error


class _Reader:
    """Collects batches."""

    def __init__(self, source: Source, frame: Frame, options: ImpactOptions) -> None:
        from pyproj import Transformer

        self._source, self._frame, self._options = source, frame, options
        fields = {name.lower(): name for name in source.fields}
        self._class = next((fields[name.lower()] for name in options.class_fields if name.lower() in fields), None)
        wanted = (self._class, *(fields.get(name) for name in (options.name_field.lower(), "bridge", "layer",
                                                               "other_tags")))  # fmt: skip
        self._name, self._bridge, self._level, self._tags = wanted[1:]
        self.columns = [name for name in dict.fromkeys(wanted) if name]
        self._to_degrees = Transformer.from_crs(source.crs, WGS84, always_xy=True)
        self._codes: dict[str, int] = {}
        self._texts: dict[str, str] = {}
        self._left_out = Counter[str]()
        self._lost = Counter[str]()
        self._total = 0
        self._points, self._counts, self._kinds = list[np.ndarray](), list[np.ndarray](), list[np.ndarray]()
        self._bridges, self._near, self._names = list[np.ndarray](), list[np.ndarray](), list[np.ndarray]()

    def add(self, batch: pa.RecordBatch) -> None:
        """Adds the roads of a batch."""
        import shapely

        column = next(name for name in reversed(batch.schema.names) if name not in self.columns)
        shapes = shapely.force_2d(shapely.from_wkb(batch.column(column).to_numpy(zero_copy_only=False)))
        self._total += len(shapes)
        kinds = self._kinds_of(batch)
        missing = shapely.is_missing(shapes) | shapely.is_empty(shapes)
        lines = shapely.get_dimensions(shapes) == 1
        self._lost["have no geometry"] += int((missing & (kinds >= 0)).sum())
        self._lost["are no lines"] += int((~missing & ~lines & (kinds >= 0)).sum())
        chosen = np.flatnonzero(~missing & lines & (kinds >= 0))
        parts, owner = shapely.get_parts(shapes[chosen], return_index=True)
        if not len(parts):
            return
        _, points, (offsets,) = shapely.to_ragged_array(parts)
        points = np.stack(self._to_degrees.transform(points[:, 0], points[:, 1]), 1)
        finite = np.logical_and.reduceat(np.isfinite(points).all(1), offsets[:-1])
        if not finite.all():
            self._lost["have coordinates without a place on the Earth"] += int((~finite).sum())
            counts = np.diff(offsets)
            points = points[np.repeat(finite, counts)]
            owner, offsets = owner[finite], starts_of(counts[finite])
            if not len(owner):
                return
        row = chosen[owner]
        self._points.append(points)
        self._counts.append(np.diff(offsets).astype(np.int32))
        self._kinds.append(kinds[row])
        self._near.append(np.logical_or.reduceat(self._frame.is_near(points), offsets[:-1]))
        self._bridges.append(self._are_bridges(batch)[row])
        self._names.append(self._names_of(batch)[row])

    def roads(self) -> Roads:
        """Returns all of them."""
        path, options = self._source.path, self._options
        if not self._points:
            raise DataError(f"{path}: holds no roads; give a file of lines"
                            f"{f', or other classes than {self._words()}' if self._left_out else ''}")  # fmt: skip
        warnings = [f"{path}: {count} of {self._total} shapes {what} and are left out"
                    for what, count in self._lost.items() if count]  # fmt: skip
        offsets = starts_of(np.concatenate([np.empty(0, np.int32), *self._counts]))
        self._counts.clear()
        points = np.empty((offsets[-1], 2))
        place = 0
        while self._points:  # without a second copy of all
            part = self._points.pop(0)
            points[place : place + len(part)] = part
            place += len(part)
        kinds, classes = np.concatenate(self._kinds), list(self._codes)
        walked = np.isin(kinds, [code for name, code in self._codes.items() if name in options.no_vehicles])
        near = np.concatenate(self._near)
        elsewhere = self._source.elsewhere(self._frame.ground.crs, self._frame.bounds)
        if not near.any():
            raise elsewhere
        along = measure(points, offsets)
        metres = np.diff(along)
        long = int(np.count_nonzero(metres > 2 * self._frame.margin))
        if long:
            warnings.append(f"{path}: {counted(long, 'segment')} longer than {2 * self._frame.margin / 1000:.0f} km: "
                            "where they run between their ends is not known")  # fmt: skip
        names, bridges = np.concatenate(self._names), np.concatenate(self._bridges)
        left_out = dict(self._left_out.most_common())
        return Roads(
            points, offsets, along, classes, kinds, bridges, ~walked, near, names, left_out, tuple(warnings), elsewhere
        )

    def _words(self) -> str:
        return ", ".join(list(self._left_out)[:5])

    def _kinds_of(self, batch: pa.RecordBatch) -> np.ndarray:
        """Returns the class of each line, int32; -1: it is no road."""
        if self._class is None:
            return np.full(batch.num_rows, self._codes.setdefault(UNKNOWN, 0), np.int32)
        encoded = batch.column(self._class).cast("string").dictionary_encode()
        names = [UNKNOWN if one is None else str(one).strip() or UNKNOWN for one in encoded.dictionary.to_pylist()]
        numbers = encoded.indices.fill_null(len(names)).to_numpy(zero_copy_only=False)
        none = None if self._class.lower() == OSM_CLASS else UNKNOWN
        counts = np.bincount(numbers, minlength=len(names) + 1)
        table = np.full(len(names) + 1, -1, np.int32)
        for number, name in enumerate([*names, none]):
            if name is None or not counts[number]:
                continue
            if name in self._options.ignore:
                self._left_out[name] += int(counts[number])
            else:
                table[number] = self._codes.setdefault(name, len(self._codes))
        return np.asarray(table[numbers])

    def _are_bridges(self, batch: pa.RecordBatch) -> np.ndarray:
        found = np.zeros(batch.num_rows, bool)
        if self._bridge:
            values = batch.column(self._bridge).to_pylist()
            found |= [value is not None and str(value).strip().lower() not in FALSE for value in values]
        if self._level:
            found |= [_number(value) > 0 for value in batch.column(self._level).to_pylist()]
        if self._tags:
            found |= [_bridge_in_tags(value) for value in batch.column(self._tags).to_pylist()]
        return found

    def _names_of(self, batch: pa.RecordBatch) -> np.ndarray:
        found = np.full(batch.num_rows, None, object)
        if self._name:  # each text once
            found[:] = [value if value is None else self._texts.setdefault(str(value), str(value))
                        for value in batch.column(self._name).to_pylist()]  # fmt: skip
        return found


def measure(points: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Returns the geodesic metres of all lines before each point, float64 [points].

    Args:
        points: longitudes and latitudes in WGS 84, float64 [points, 2].
        offsets: the first point of each line, and the end, int64 [lines + 1].
    """
    from pyproj import Geod

    geod = Geod(ellps="WGS84")
    along = np.zeros(len(points))
    for begin in range(0, len(points) - 1, MEASURED):
        end = min(begin + MEASURED, len(points) - 1)
        here, there = points[begin:end], points[begin + 1 : end + 1]
        along[begin + 1 : end + 1] = geod.inv(*here.T, *there.T)[2]
    along[offsets[:-1]] = 0
    return np.cumsum(along, out=along)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0


def _bridge_in_tags(tags: str | None) -> bool:
    """Returns whether tags of GDAL's OSM driver, `"bridge"=>"yes","layer"=>"1"`, are those of a bridge."""
    if not tags:
        return False
    bridge, level = _BRIDGE.search(tags), _LEVEL.search(tags)
    return bool(bridge and bridge[1] not in FALSE) or bool(level and int(level[1]) > 0)
