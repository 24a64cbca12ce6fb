"""Vector layers in the reference system of a scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely
from pyproj import CRS, Geod, Transformer

from flood_seg.analysis.vectors import read_layer
from flood_seg.errors import DataError

UTM = "EPSG:32632"
SCENE = (500_000.0, 4_995_000.0, 505_000.0, 5_000_000.0)
INSIDE = shapely.box(501_000, 4_996_000, 502_000, 4_997_000)
REACHING = shapely.box(504_000, 4_999_000, 506_000, 5_001_000)
FAR = shapely.box(600_000, 4_996_000, 601_000, 4_997_000)
BOW_TIE = shapely.Polygon([(501_000, 4_996_000), (502_000, 4_997_000), (502_000, 4_996_000), (501_000, 4_997_000)])


def write(path: Path, shapes: list[Any], crs: str | None = UTM, kind: str = "Unknown", layer: str | None = None,
          **fields: list[Any]) -> Path:  # fmt: skip
    """Writes shapes given in UTM 32N, or in `crs` itself where that is none."""
    values = [np.array(value, object if isinstance(value[0], str) else None) for value in fields.values()]
    pyogrio.raw.write(
        path, shapely.to_wkb(np.array(shapes, object)), values, list(fields), geometry_type=kind, crs=crs, layer=layer,
        **({"append": True} if layer and path.exists() else {}),
    )  # fmt: skip
    return path


def moved(shape: Any, source: str, target: str) -> Any:
    transformer = Transformer.from_crs(source, target, always_xy=True)
    return shapely.transform(shape, lambda xy: np.column_stack(transformer.transform(*xy.T)))


@pytest.mark.parametrize(
    ("name", "crs"),
    [("a.gpkg", UTM), ("a.gpkg", "EPSG:3857"), ("a.geojson", "EPSG:4326"), ("a.fgb", "EPSG:25833"), ("a.shp", UTM)],
)
def test_shapes_on_the_scene_are_read_in_its_system(name: str, crs: str, tmp_path: Path) -> None:
    shapes = [moved(shape, UTM, crs) for shape in (FAR, INSIDE, REACHING)]
    write(tmp_path / name, shapes, crs, "Polygon", name=["far", "in", "edge"], people=[1, 2, 3])
    layer = read_layer(tmp_path / name, UTM, bbox=SCENE)
    assert sorted(layer.values("name")) == ["edge", "in"]
    assert sorted(layer.values("people")) == [2, 3]
    assert not layer.warnings
    for shape, name_ in zip(layer.geometries, layer.values("name"), strict=True):
        expected = INSIDE if name_ == "in" else REACHING
        assert shapely.symmetric_difference(shape, expected).area < 1000  # m² of 1 km² and more
    assert layer.crs == CRS(UTM)
    assert len(read_layer(tmp_path / name, UTM)) == 3
    assert read_layer(tmp_path / name).crs.equals(CRS(crs), ignore_axis_order=True)


def test_fields_are_chosen_and_unknown_ones_named(tmp_path: Path) -> None:
    write(tmp_path / "a.gpkg", [INSIDE], name=["x"], people=[1])
    assert list(read_layer(tmp_path / "a.gpkg", columns=["name"]).fields) == ["name"]
    with pytest.raises(DataError, match=r"has no field 'nam' \(did you mean 'name'\?\); its fields are name, people"):
        read_layer(tmp_path / "a.gpkg").values("nam")


def test_what_cannot_be_read_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_layer(tmp_path / "none.gpkg", UTM)
    (tmp_path / "text.gpkg").write_text("no shapes")
    with pytest.raises(DataError, match="cannot be read as shapes"):
        read_layer(tmp_path / "text.gpkg", UTM)
    with pytest.raises(DataError, match="does not say its coordinate reference system"):
        with pytest.warns(UserWarning, match="crs"):
            write(tmp_path / "plain.shp", [INSIDE], None, "Polygon")
        read_layer(tmp_path / "plain.shp", UTM)
    with pytest.raises(DataError, match="is empty; give a file of polygons"):
        read_layer(write(tmp_path / "empty.gpkg", [], kind="Polygon"), UTM)
    with pytest.raises(DataError, match="holds points; give a file of lines or polygons"):
        read_layer(write(tmp_path / "points.gpkg", [shapely.Point(501_000, 4_996_000)]), UTM, ("polygon", "line"))
    with pytest.raises(DataError, match=r"lies elsewhere: none of its 1 shapes .*10\.2.*; the scene: 9\.000, 45\.1"):
        read_layer(write(tmp_path / "far.gpkg", [FAR]), UTM, bbox=SCENE)
    with pytest.raises(DataError, match="lies elsewhere"):
        read_layer(write(tmp_path / "far.geojson", [shapely.box(100, 0, 101, 1)], "EPSG:4326"), UTM, bbox=SCENE)


def test_one_of_several_layers_is_chosen_by_kind_or_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    write(path, [INSIDE], kind="Polygon", layer="districts")
    write(path, [shapely.Point(501_000, 4_996_000)], kind="Point", layer="places")
    assert read_layer(path, UTM).geometries[0].equals(INSIDE)
    assert read_layer(path, UTM, {"point"}).geometries[0].x == 501_000
    with pytest.raises(DataError, match=r"has 2 layers of shapes, districts, places; choose one, .*\|layername=distr"):
        read_layer(path, UTM, {"point", "polygon"})
    assert len(read_layer(f"{path}|layername=places", UTM, {"point", "polygon"})) == 1
    with pytest.raises(DataError, match="has no layer place "):
        read_layer(f"{path}|layername=place", UTM)


def test_other_kinds_are_left_out_and_counted(tmp_path: Path) -> None:
    line = shapely.LineString([(501_000, 4_996_000), (502_000, 4_997_000)])
    both = shapely.GeometryCollection([INSIDE, line])
    write(tmp_path / "a.gpkg", [line, INSIDE, None, both, shapely.Polygon()])
    layer = read_layer(tmp_path / "a.gpkg", UTM, bbox=None)
    assert [shape.geom_type for shape in layer.geometries] == ["Polygon", "Polygon"]
    assert list(layer.warnings) == [
        f"{tmp_path / 'a.gpkg'}: 2 of 5 shapes have no geometry",
        f"{tmp_path / 'a.gpkg'}: 1 of 3 shapes are lines and are left out",
    ]


def test_coordinates_that_are_nowhere_on_earth_are_no_geometry(tmp_path: Path) -> None:
    far = shapely.Polygon([(501_000, 4_996_000), (1e308, 4_996_000), (1e308, 4_997_000)])
    write(tmp_path / "a.gpkg", [INSIDE, far])
    layer = read_layer(tmp_path / "a.gpkg", UTM, bbox=None)
    assert (len(layer), list(layer.warnings)) == (1, [f"{tmp_path / 'a.gpkg'}: 1 of 2 shapes have no geometry"])


def test_invalid_shapes_are_made_valid_and_counted(tmp_path: Path) -> None:
    twice = shapely.MultiPolygon([INSIDE, INSIDE])  # whose area counts twice
    layer = read_layer(write(tmp_path / "a.gpkg", [BOW_TIE, INSIDE, twice]), UTM, bbox=SCENE)
    assert shapely.is_valid(layer.geometries).all()
    assert shapely.area(layer.geometries).tolist() == [500_000, 1_000_000, 1_000_000]
    (warning,) = layer.warnings
    assert "2 of 3 shapes are invalid" in warning


def test_shapes_that_a_system_cannot_hold_are_counted_or_refused(tmp_path: Path) -> None:
    pole = shapely.box(-180, -90, 180, -60)
    path = write(tmp_path / "a.gpkg", [pole, shapely.box(9, 45, 9.1, 45.1)], "EPSG:4326", name=["pole", "Italy"])
    layer = read_layer(path, "EPSG:2154")  # a conic projection, which has no south pole
    assert list(layer.values("name")) == ["Italy"]
    (warning,) = layer.warnings
    assert warning == f"{path}: 1 of 2 shapes cannot be projected to RGF93 v1 / Lambert-93 and are left out"
    only = write(tmp_path / "b.gpkg", [pole], "EPSG:4326")
    with pytest.raises(DataError, match="none of its shapes can be projected"):
        read_layer(only, "EPSG:2154")


def test_a_polygon_around_a_pole_is_refused_where_it_would_become_another_one(tmp_path: Path) -> None:
    around = shapely.Point(0, 0).buffer(1_000_000, quad_segs=256)  # metres from the north pole
    path = write(tmp_path / "a.gpkg", [around], "EPSG:3995")
    with pytest.raises(DataError, match="can be projected"):
        read_layer(path, "EPSG:4326")
    scene = (20.0, 80.0, 25.0, 84.0)  # away from the pole it is cut to what is near the scene
    (shape,) = read_layer(path, "EPSG:4326", bbox=scene).geometries
    here = shapely.intersection(shape, shapely.box(*scene))
    edge = Transformer.from_crs("EPSG:3995", "EPSG:4326").transform(0, -1_000_000)[0]
    area, _ = Geod(ellps="WGS84").geometry_area_perimeter(shapely.segmentize(shapely.box(20, edge, 25, 84), 0.05))
    assert abs(Geod(ellps="WGS84").geometry_area_perimeter(here)[0]) == pytest.approx(area, rel=1e-3)


@pytest.mark.parametrize(
    ("crs", "scene"),
    [("EPSG:4326", (179.0, -18.0, 181.0, -17.0)), ("EPSG:4326", (-181.0, -18.0, -179.0, -17.0)),
     ("EPSG:4269", (179.0, -18.0, 181.0, -17.0)), ("EPSG:32701", (100_000.0, 8_009_000.0, 300_000.0, 8_119_000.0))],
)  # fmt: skip
def test_shapes_on_both_sides_of_the_antimeridian(crs: str, scene: tuple[float, ...], tmp_path: Path) -> None:
    west, east = shapely.box(179.5, -17.8, 180, -17.2), shapely.box(-180, -17.8, -179.7, -17.2)
    shapes = [west, east, shapely.MultiPolygon([west, east]), shapely.box(0, -17.8, 1, -17.2)]
    path = write(tmp_path / "a.geojson", shapes, "EPSG:4326", name=["west", "east", "both", "far"])
    layer = read_layer(path, crs, bbox=scene)
    assert list(layer.values("name")) == ["west", "east", "both"]
    here = shapely.intersection(layer.geometries, shapely.box(*scene))
    if crs != "EPSG:32701":
        assert shapely.area(here) == pytest.approx([0.3, 0.18, 0.48], rel=1e-4)
        return
    geod = Geod(ellps="WGS84")
    areas = [abs(geod.geometry_area_perimeter(shapely.segmentize(shape, 0.01))[0]) for shape in (west, east)]
    assert shapely.area(here)[1:] == pytest.approx([areas[1], sum(areas)], rel=3e-3)  # UTM enlarges by up to 0.2 %


def test_long_edges_are_straight_in_the_system_of_the_file(tmp_path: Path) -> None:
    # Along the parallel 45°: in UTM, 5 km of it bulge by half a metre, a degree of it by 400 m.
    path = write(tmp_path / "a.geojson", [shapely.box(8, 44, 10, 45)], "EPSG:4326")
    scene = (460_000.0, 4_900_000.0, 540_000.0, 5_000_000.0)
    (shape,) = read_layer(path, UTM, bbox=scene).geometries
    for longitude in (8.6, 9.0, 9.3):
        x, y = Transformer.from_crs("EPSG:4326", UTM, always_xy=True).transform(longitude, 45)
        assert shape.boundary.distance(shapely.Point(x, y)) < 1


def test_a_country_far_larger_than_the_scene(tmp_path: Path) -> None:
    world = shapely.box(-170, -80, 170, 80)
    path = write(tmp_path / "a.geojson", [world], "EPSG:4326")
    layer = read_layer(path, UTM, bbox=SCENE)
    assert shapely.covers(layer.geometries[0], shapely.box(*SCENE))
    assert not layer.warnings
