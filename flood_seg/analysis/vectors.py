"""Vector layers of any format that GDAL reads, checked, and in the reference system of a scene."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from flood_seg.analysis.geoparquet import readable_by_gdal
from flood_seg.analysis.reproject import boxes_around, cut, in_degrees, project, touching, wrapped
from flood_seg.errors import DataError, did_you_mean
from flood_seg.untrusted import check_vector

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from pyproj import CRS

    from flood_seg.analysis.reproject import Bounds

Kind = Literal["point", "line", "polygon"]
KINDS: tuple[Kind, ...] = ("point", "line", "polygon")  # by their dimension
FARTHEST = 1e12  # of a coordinate, in the unit of its system: no place on the Earth has a larger one
LAYER_SEPARATOR = "|layername="  # between file and layer, as QGIS writes it
OSM_LAYERS = {"point": "points", "line": "lines", "polygon": "multipolygons"}  # of files of OpenStreetMap


@dataclass(frozen=True)
class Layer:
    """Shapes with their attributes.

    Attributes:
        path: as it was given.
        crs: of the coordinates.
        geometries: valid shapely geometries, object [shapes]: (multi-)points, lines or polygons without heights.
        fields: an array [shapes] per attribute; text is of type object, with None where there is none.
        ids: of the shapes in the file, int64 [shapes].
        warnings: what was left out or repaired, a sentence each.
    """

    path: Path
    crs: CRS
    geometries: np.ndarray = field(repr=False)
    fields: dict[str, np.ndarray] = field(repr=False)
    ids: np.ndarray = field(repr=False)
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Of shapes."""
        return len(self.geometries)

    def values(self, name: str, advice: str = "") -> np.ndarray:
        """Returns an attribute of each shape; `advice` ends the message where there is none.

        Raises:
            DataError: there is none of this name.
        """
        if name not in self.fields:
            known = ", ".join(self.fields) or "none"
            near = did_you_mean(name, self.fields)
            raise DataError(
                f"{self.path}: has no field {name!r}{near}; its fields are {known}{advice and f'; {advice}'}"
            )
        return self.fields[name]

    def near(self, crs: Any, bbox: Bounds | None = None) -> Layer:
        """Returns the shapes that touch a rectangle, in its reference system; there may be none.

        Edges are straight in the reference system of the file, as OGC Simple Features defines them. Where it is another
        one, shapes are cut off farther from the rectangle than its own size: far from its region a projection is
        undefined or ambiguous.

        Args:
            crs: anything that pyproj takes for a coordinate reference system.
            bbox: in that system; of longitudes it may go beyond ±180; None: all shapes.
        """
        goal = _as_crs(crs)
        same = self.crs.equals(goal, ignore_axis_order=True)
        if same and bbox is None:
            return self
        boxes = None if bbox is None or same else boxes_around(bbox, goal, self.crs)
        chosen = self if boxes is None else self.select(touching(self.geometries, boxes))
        if not same:
            chosen = chosen._projected(goal, boxes, bbox)
        if bbox is None:
            return chosen
        if goal.is_geographic and (bbox[0] < -180 or bbox[2] > 180):
            chosen = replace(chosen, geometries=wrapped(chosen.geometries, bbox))
        import shapely

        return chosen.select(shapely.intersects(chosen.geometries, shapely.box(*bbox)))

    def select(self, chosen: np.ndarray, *warnings: str) -> Layer:
        """Returns some of the shapes, chosen by their indices or by whether each one is, with further warnings."""
        fields = {name: values[chosen] for name, values in self.fields.items()}
        return replace(
            self, geometries=self.geometries[chosen], fields=fields, ids=self.ids[chosen],
            warnings=(*self.warnings, *warnings),
        )  # fmt: skip

    def _projected(self, goal: CRS, boxes: list[Bounds] | None, bbox: Bounds | None) -> Layer:
        import shapely

        shapes = self.geometries if boxes is None else cut(self.geometries, boxes)
        middle = None if bbox is None or not goal.is_geographic else (bbox[0] + bbox[2]) / 2
        moved, good = project(shapes, self.crs, goal, middle)
        found = replace(self, crs=goal, geometries=_made_valid(moved))
        # What is cut away altogether is not on the scene either.
        good &= ~shapely.is_empty(found.geometries) | shapely.is_empty(shapes)
        if good.all():
            return found
        warning = f"{self.path}: {_share(~good)} cannot be projected to {goal.name} and are left out"
        return found.select(good, warning)


@dataclass(frozen=True)
class Source:
    """A layer of a file that GDAL opens.

    Attributes:
        path: as it was given.
        file: that GDAL reads.
        layer: its name.
        crs: of the coordinates.
        info: what pyogrio knows of it.
    """

    path: Path
    file: Path
    layer: str
    crs: CRS
    info: dict[str, Any]

    @property
    def is_osm(self) -> bool:
        """Whether it is a file of OpenStreetMap, whose layers hold things of all kinds."""
        return bool(self.info["driver"] == "OSM")

    @property
    def fields(self) -> list[str]:
        """The names of the attributes."""
        return [str(name) for name in self.info["fields"]]

    def elsewhere(self, goal: CRS, bbox: Bounds | None) -> DataError:
        """Returns the error that no shape touches a scene: a rectangle in another reference system."""
        where = f"{self.path}: lies elsewhere: none of its {self.info['features']} shapes touches the scene"
        theirs, ours = in_degrees(self.info["total_bounds"], self.crs), in_degrees(bbox, goal)
        if theirs and ours:
            where += f" (west, south, east, north in degrees: {theirs}; the scene: {ours})"
        return DataError(f"{where}; give a file of this region, and check the coordinate reference systems of both")


@contextmanager
def open_source(path: Path | str, kinds: Collection[Kind]) -> Iterator[Source]:
    """Opens the layer of a file that holds shapes of some kinds.

    Args:
        path: of the file; `FILE|layername=NAME` chooses one of several layers.
        kinds: of the shapes that are wanted.

    Raises:
        DataError: the file is missing, damaged or empty, does not say its coordinate reference system, or has several
            layers of these kinds.
    """
    given, name = _file_and_layer(path)
    with readable_by_gdal(given) as file:
        check_vector(file)
        name, info = _describe(given, file, name, kinds)
        own = _as_crs(info["crs"]) if info["crs"] else None
        if own is None:
            raise DataError(f"{path}: does not say its coordinate reference system; write one into it, for example "
                            "with ogr2ogr -a_srs EPSG:4326")  # fmt: skip
        yield Source(given, file, name, own, info)


def read_layer(
    path: Path | str, crs: Any = None, kinds: Collection[Kind] = frozenset[Kind]({"polygon"}),
    bbox: Bounds | None = None, columns: Sequence[str] | None = None, where: str | None = None,
    *, may_be_empty: bool = False,
) -> Layer:  # fmt: skip
    """Reads a vector layer of any format of GDAL's, into the reference system of a scene.

    Invalid shapes are made valid. Shapes without geometry, of other kinds, or that cannot be projected are left out.
    Both are counted in the warnings.

    Args:
        path: of the file; `FILE|layername=NAME` chooses one of several layers.
        crs: of the scene, anything that pyproj takes for a coordinate reference system; None: the file's own.
        kinds: of the shapes that are wanted.
        bbox: in `crs`, of the scene: only shapes that touch it are returned, and no others are read; None: all.
        columns: names of the attributes that are read, as far as the file has them; None: all.
        where: a condition on attributes in SQL, as GDAL takes it (`-where` of ogr2ogr); None: all shapes.
        may_be_empty: whether it is no error that no shape touches `bbox`.

    Raises:
        DataError: the file is missing, damaged or empty, does not say its coordinate reference system, has several
            layers of these kinds, no shapes of these kinds, or none of them touches `bbox`.
    """
    with open_source(path, kinds) as source:
        goal = source.crs if crs is None else _as_crs(crs)
        boxes = None if bbox is None else boxes_around(bbox, goal, source.crs)
        layer = _checked(_read(source, boxes, columns, where), kinds)
        found = layer.near(goal, bbox)
        if not len(found) and not may_be_empty:
            if len(layer) and bbox is None:
                raise DataError(
                    f"{path}: none of its shapes can be projected to {goal.name}; give a file of the region"
                )
            raise source.elsewhere(goal, bbox)
        return found


def _file_and_layer(path: Path | str) -> tuple[Path, str | None]:
    file, _, name = str(path).partition(LAYER_SEPARATOR)
    if not Path(file).exists() and not file.startswith("/vsi"):
        raise DataError(f"{file}: does not exist; give a file of shapes (GeoPackage, GeoJSON, shapefile, FlatGeobuf)")
    return Path(file), name or None


def _describe(path: Path, file: Path, name: str | None, kinds: Collection[Kind]) -> tuple[str, dict[str, Any]]:
    """Returns the name of the layer to read, and what pyogrio knows of it."""
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError

    try:
        layers = {str(one): str(kind) for one, kind in pyogrio.list_layers(file) if kind is not None}  # not QGIS styles
        if name is None and set(OSM_LAYERS.values()) < set(layers):
            layers = {next(one for kind, one in OSM_LAYERS.items() if kind in kinds): ""}
        elif name is None and len(layers) > 1:  # those that can hold the kinds
            layers = {one: kind for one, kind in layers.items() if _kind_of(kind) in (*kinds, None)} or layers
        if name is not None and name not in layers:
            raise DataError(f"{path}: has no layer {name}{did_you_mean(name, layers)}; it has {', '.join(layers)}")
        if not layers:
            raise DataError(f"{path}: has no shapes; give a file of {_words(kinds)}")
        if name is None and len(layers) > 1:
            first = next(iter(layers))
            raise DataError(f"{path}: has {len(layers)} layers of shapes, {', '.join(layers)}; choose one, for example "
                            f"'{path}{LAYER_SEPARATOR}{first}'")  # fmt: skip
        name = name or next(iter(layers))
        info = pyogrio.read_info(file, layer=name, force_feature_count=True, force_total_bounds=True)
    except (DataLayerError, DataSourceError) as error:
        raise DataError(f"{path}: cannot be read as shapes ({' '.join(str(error).split())})") from error
    if not info["features"]:
        raise DataError(f"{path}: is empty; give a file of {_words(kinds)}")
    return name, info


def _read(source: Source, boxes: list[Bounds] | None, columns: Sequence[str] | None, where: str | None) -> Layer:
    import shapely
    from pyogrio.errors import DataLayerError, DataSourceError, GeometryError
    from pyogrio.raw import read

    path = source.path
    bbox = boxes[0] if boxes and len(boxes) == 1 else None  # GDAL filters by one
    try:
        meta, ids, geometry, values = read(
            source.file, layer=source.layer, bbox=bbox, columns=columns, where=where, force_2d=True, return_fids=True
        )
        shapes = shapely.from_wkb(geometry)
    except (DataLayerError, DataSourceError, GeometryError, shapely.GEOSException) as error:
        raise DataError(f"{path}: cannot be read as shapes ({' '.join(str(error).split())})") from error
    except ValueError as error:
        if where is None:
            raise
        raise DataError(f"{path}: {where}: is no condition on its fields ({' '.join(str(error).split())})") from error
    return Layer(path, source.crs, shapes, dict(zip(meta["fields"], values, strict=True)), ids)


def _checked(layer: Layer, kinds: Collection[Kind]) -> Layer:
    """Returns valid shapes of the given kinds."""
    import shapely

    shapes = layer.geometries
    # Infinite coordinates would pass as points far away; huge ones are as little on the Earth, and break GEOS.
    near = (np.abs(shapely.bounds(shapes)) < FARTHEST).all(1)
    there = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes)) & near
    layer = layer.select(there, *([] if there.all() else [f"{layer.path}: {_share(~there)} have no geometry"]))
    invalid = ~shapely.is_valid(layer.geometries)
    layer = replace(layer, geometries=_made_valid(layer.geometries))
    if invalid.any():
        warning = f"{layer.path}: {_share(invalid)} are invalid, because they cross themselves for example, and were "
        layer = replace(layer, warnings=(*layer.warnings, f"{warning}made valid"))
    dimensions = shapely.get_dimensions(layer.geometries)
    fits = np.isin(dimensions, [KINDS.index(kind) for kind in kinds])
    if fits.all():
        return layer
    others = _words([KINDS[number] for number in np.unique(dimensions[~fits])])
    if not fits.any():
        raise DataError(f"{layer.path}: holds {others}; give a file of {_words(kinds)}")
    return layer.select(fits, f"{layer.path}: {_share(~fits)} are {others} and are left out")


def _made_valid(shapes: np.ndarray) -> np.ndarray:
    """Returns valid shapes, of collections the parts of the highest dimension alone."""
    import shapely

    invalid = ~shapely.is_valid(shapes)
    mixed = shapely.get_type_id(shapes) == shapely.GeometryType.GEOMETRYCOLLECTION
    if not (invalid | mixed).any():
        return shapes
    found, dimensions = shapes.copy(), shapely.get_dimensions(shapes)
    # By "structure" rings mean what they do in Simple Features; "linework", the default, drops what overlaps twice.
    found[invalid] = shapely.make_valid(shapes[invalid], method="structure", keep_collapsed=False)
    for number in np.flatnonzero(shapely.get_type_id(found) == shapely.GeometryType.GEOMETRYCOLLECTION):
        parts = shapely.get_parts(found[number])
        found[number] = shapely.union_all(parts[shapely.get_dimensions(parts) == dimensions[number]])
    return found


def _as_crs(crs: Any) -> CRS:
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        return CRS.from_wkt(crs.to_wkt()) if hasattr(crs, "to_wkt") else CRS.from_user_input(crs)
    except CRSError as error:
        raise DataError(f"{crs}: is no coordinate reference system that PROJ knows; write another into the file") from (
            error
        )


def _kind_of(geometry_type: str) -> Kind | None:
    """Returns the kind that a layer says to hold; None: any or another one."""
    words = {"point": "point", "linestring": "line", "polygon": "polygon"}
    plain = geometry_type.lower().removeprefix("2.5d ").removeprefix("measured ").removeprefix("3d ")
    return words.get(plain.removeprefix("multi").split(" ")[0])  # type: ignore[return-value]


def _words(kinds: Collection[Kind]) -> str:
    return " or ".join(f"{kind}s" for kind in KINDS if kind in kinds)


def _share(which: np.ndarray) -> str:
    return f"{np.count_nonzero(which)} of {len(which)} shapes"
