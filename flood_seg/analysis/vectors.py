"""Vector layers of any format that GDAL reads, checked, and in the reference system of a scene."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from flood_seg.analysis.geoparquet import readable_by_gdal
from flood_seg.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from pyproj import CRS

Kind = Literal["point", "line", "polygon"]
Bounds = tuple[float, float, float, float]  # of x and y: the smallest ones, the largest ones
KINDS: tuple[Kind, ...] = ("point", "line", "polygon")  # by their dimension
LAYER_SEPARATOR = "|layername="  # between file and layer, as QGIS writes it
OSM_LAYERS = {"point": "points", "line": "lines", "polygon": "multipolygons"}  # of files of OpenStreetMap
SEGMENTS = 64  # per side of a scene: longer edges are divided before they are projected, since they become curves


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
        boxes = None if bbox is None or same else _boxes_around(bbox, goal, self.crs)
        chosen = self if boxes is None else self.select(_touching(self.geometries, boxes))
        if not same:
            chosen = chosen._projected(goal, boxes, bbox)
        if bbox is None:
            return chosen
        if goal.is_geographic and (bbox[0] < -180 or bbox[2] > 180):
            chosen = replace(chosen, geometries=_wrapped(chosen.geometries, bbox))
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

        shapes = self.geometries if boxes is None else _cut(self.geometries, boxes)
        middle = None if bbox is None or not goal.is_geographic else (bbox[0] + bbox[2]) / 2
        moved, good = _project(shapes, self.crs, goal, middle)
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
        theirs, ours = _in_degrees(self.info["total_bounds"], self.crs), _in_degrees(bbox, goal)
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
        name, info = _describe(given, file, name, kinds)
        own = _as_crs(info["crs"]) if info["crs"] else None
        if own is None:
            raise DataError(f"{path}: does not say its coordinate reference system; write one into it, for example "
                            "with ogr2ogr -a_srs EPSG:4326")  # fmt: skip
        yield Source(given, file, name, own, info)


def read_layer(
    path: Path | str, crs: Any = None, kinds: Collection[Kind] = frozenset[Kind]({"polygon"}),
    bbox: Bounds | None = None, columns: Sequence[str] | None = None, where: str | None = None, *,
    may_be_empty: bool = False,
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
        boxes = None if bbox is None else _boxes_around(bbox, goal, source.crs)
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
    # Infinite coordinates would pass as points far away.
    there = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes)) & np.isfinite(shapely.bounds(shapes)).all(1)
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


def _boxes_around(bbox: Bounds, crs: CRS, goal: CRS) -> list[Bounds] | None:
    """Returns what surrounds a rectangle by its own size, in another system: two at the antimeridian; None: unknown."""
    from pyproj import Transformer
    from pyproj.exceptions import ProjError

    west, south, east, north = bbox
    wide, high = east - west, north - south
    west, south, east, north = west - wide, south - high, east + wide, north + high
    if crs.is_geographic:
        south, north = max(south, -90), min(north, 90)
        if east - west >= 360:
            west, east = -180, 180
    if crs.equals(goal, ignore_axis_order=True):
        box = west, south, east, north
    else:
        try:
            transformer = Transformer.from_crs(crs, goal, always_xy=True)
            box = transformer.transform_bounds(west, south, east, north, densify_pts=21)
        except ProjError:
            return None
    if not np.isfinite(box).all():
        return None
    if not goal.is_geographic:
        return [box]
    return _within_180(box)


def _within_180(box: Bounds) -> list[Bounds]:
    """Returns a rectangle of longitudes and latitudes as those within ±180 degrees."""
    west, south, east, north = box
    if west > east:
        east += 360
    if east - west >= 360:
        return [(-180, south, 180, north)]
    shift = 360 * np.floor((west + 180) / 360)
    west, east = float(west - shift), float(east - shift)
    if east <= 180:
        return [(west, south, east, north)]
    return [(west, south, 180, north), (-180, south, east - 360, north)]


def _touching(shapes: np.ndarray, boxes: list[Bounds]) -> np.ndarray:
    """Returns whether the bounding box of each shape touches one of some rectangles, bool [shapes]."""
    import shapely

    bounds = shapely.bounds(shapes)
    found = np.zeros(len(shapes), bool)
    for west, south, east, north in boxes:
        across = (bounds[:, 0] <= east) & (bounds[:, 2] >= west)
        found |= across & (bounds[:, 1] <= north) & (bounds[:, 3] >= south)
    return found


def _cut(shapes: np.ndarray, boxes: list[Bounds]) -> np.ndarray:
    """Returns shapes with what lies outside of some rectangles cut off, and their long edges divided."""
    import shapely

    area = shapely.union_all([shapely.box(*box) for box in boxes])
    reaching = ~shapely.covers(area, shapely.box(*shapely.bounds(shapes).T)) if len(shapes) else np.zeros(0, bool)
    found = shapes.copy()
    found[reaching] = shapely.intersection(shapes[reaching], area)
    longest = max(max(box[2] - box[0], box[3] - box[1]) for box in boxes) / (3 * SEGMENTS)
    return np.asarray(shapely.segmentize(found, longest))


def _project(shapes: np.ndarray, source: CRS, goal: CRS, middle: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Returns shapes in another system, and which of them that system can hold, bool [shapes].

    Longitudes are those within 180 degrees of `middle`; None: of 0.
    """
    import shapely
    from pyproj import Transformer

    transformer = Transformer.from_crs(source, goal, always_xy=True)

    def move(points: np.ndarray) -> np.ndarray:
        x, y = transformer.transform(points[:, 0], points[:, 1])
        if middle is not None:
            x = middle + (x - middle + 180) % 360 - 180
        return np.column_stack([x, y])

    moved = shapely.transform(shapes, move)
    finite = np.isfinite(shapely.bounds(moved)).all(1) | shapely.is_empty(moved)
    moved[~finite] = shapely.Point()
    return moved, finite & _still_inside(shapes, moved, move)


def _still_inside(shapes: np.ndarray, moved: np.ndarray, move: Any) -> np.ndarray:
    """Returns whether a point in each polygon is still in it; it is not where one was torn, at a pole for example."""
    import shapely

    found = np.ones(len(shapes), bool)
    polygons = np.flatnonzero((shapely.get_dimensions(moved) == 2) & ~shapely.is_empty(moved))
    if len(polygons):
        points = shapely.points(move(shapely.get_coordinates(shapely.point_on_surface(shapes[polygons]))))
        near = 0.01 * np.sqrt(np.maximum(shapely.area(moved[polygons]), 0))  # of a sliver, rounding may move it out
        found[polygons] = shapely.distance(shapely.make_valid(moved[polygons]), points) <= near
    return found


def _wrapped(shapes: np.ndarray, bbox: Bounds) -> np.ndarray:
    """Returns shapes in degrees, turned once around the Earth where they lie on a rectangle beyond ±180 then."""
    import shapely

    copies = [shapely.transform(shapes, lambda points, turn=turn: np.add(points, (turn, 0))) for turn in (-360, 0, 360)]
    there = [shapely.intersects(copy, shapely.box(*bbox)) for copy in copies]
    found = shapes.copy()
    for number in np.flatnonzero(np.any(there, 0)):
        parts = [copy[number] for copy, on in zip(copies, there, strict=True) if on[number]]
        found[number] = parts[0] if len(parts) == 1 else shapely.union_all(parts)
    return found


def _in_degrees(box: Bounds | None, crs: CRS) -> str | None:
    from pyproj import Transformer
    from pyproj.exceptions import ProjError

    try:
        transformer = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
        found = transformer.transform_bounds(*box) if box is not None else (np.nan,)
    except ProjError:
        return None
    return ", ".join(f"{value:.3f}" for value in found) if np.isfinite(found).all() else None


def _kind_of(geometry_type: str) -> Kind | None:
    """Returns the kind that a layer says to hold; None: any or another one."""
    words = {"point": "point", "linestring": "line", "polygon": "polygon"}
    plain = geometry_type.lower().removeprefix("2.5d ").removeprefix("measured ").removeprefix("3d ")
    return words.get(plain.removeprefix("multi").split(" ")[0])  # type: ignore[return-value]


def _words(kinds: Collection[Kind]) -> str:
    return " or ".join(f"{kind}s" for kind in KINDS if kind in kinds)


def _share(which: np.ndarray) -> str:
    return f"{np.count_nonzero(which)} of {len(which)} shapes"
