"""`flood-seg impact`: figures against shapely and pyproj, and what it makes of odd input."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import osmium
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pystac
import pytest
import rasterio
import shapely
from pyproj import Transformer
from rasterio.transform import from_origin

from flood_seg.analysis.vectors import read_layer
from flood_seg.errors import FloodSegError
from flood_seg.verbs.impact import impact
from tests.analysis.conftest import write_result
from tests.analysis.impact.conftest import (
    CRS,
    NORTH,
    TO_DEGREES,
    WEST,
    at,
    degrees,
    kilometres,
    line,
    pixels,
    run,
    write,
)

SIZE = 60, 80
LEFT, RIGHT = at(shapely.box(0, 0, 333, 600)), at(shapely.Polygon([(333, 0), (800, 0), (800, 600), (333, 600)]))


def country() -> np.ndarray:
    """A lake, scattered water, and a corner without data."""
    mask = (np.random.default_rng(0).random(SIZE) < 0.05).astype(np.uint8)
    mask[20:40, 25:60], mask[50:, :20] = 1, 255
    return mask


def lattice() -> list[Any]:
    """Bent roads between crossings 90 m apart, some of them beyond the scene."""
    random = np.random.default_rng(1)
    corners = [(col * 90.0 - 33, row * 90.0 - 45) for col, row in np.ndindex(11, 8)]
    ends = [(corner, np.add(corner, step)) for corner in corners for step in ((90, 0), (0, 90))]
    return [line(begin, np.add(begin, end) / 2 + random.normal(0, 9, 2), end) for begin, end in ends]


def test_figures_are_those_of_shapely_and_pyproj(tmp_path: Path) -> None:
    mask, roads, random = country(), np.array(lattice(), object), np.random.default_rng(2)
    classes = random.choice(["primary", "residential"], len(roads))
    bridges = random.random(len(roads)) < 0.1
    write(tmp_path / "roads.fgb", degrees(roads), "EPSG:4326", "LineString", highway=classes.tolist(),
          bridge=np.where(bridges, "viaduct", "no").tolist())  # fmt: skip
    corner, size = random.uniform(-20, 800, (250, 2)) * (1, 0.75), random.uniform(4, 50, (250, 2))
    buildings = at(shapely.box(*corner.T, *(corner + size).T))
    write(tmp_path / "buildings.gpkg", buildings, CRS, "Polygon")
    write(tmp_path / "districts.gpkg", [LEFT, RIGHT], CRS, "Polygon", name=["left", "right"])
    people = random.uniform(0, 50, (8, 13))
    place = from_origin(8.9995, 45.1545, 0.001, 0.001)  # 9° E, 45.15° N is the corner of the scene
    with rasterio.open(tmp_path / "people.tif", "w", driver="GTiff", height=8, width=13, count=1, dtype="float64",
                       crs="EPSG:4326", transform=place) as out:  # fmt: skip
        out.write(people, 1)
    found = run(tmp_path, mask, roads=tmp_path / "roads.fgb", buildings=tmp_path / "buildings.gpkg",
                districts=tmp_path / "districts.gpkg", population=tmp_path / "people.tif")  # fmt: skip
    wet, unseen, scene = pixels(mask, 1), pixels(mask, 255), at(shapely.box(0, 0, 800, 600))
    areas = {"left": LEFT, "right": RIGHT, "all": scene}
    for figures in (*found["districts"], {"name": "all", **found["total"]}):
        area = areas[figures["name"]]
        for kind in ("primary", "residential"):
            own, dry = roads[(classes == kind) & ~bridges], roads[(classes == kind) & bridges]
            every = roads[classes == kind]
            cases = {"roads_km": (own, wet), "roads_bridges_km": (dry, wet), "roads_not_observed_km": (every, unseen),
                     "roads_length_km": (every, scene)}  # fmt: skip
            for name, (lines, where) in cases.items():
                parts = shapely.intersection(lines, where & area)
                assert figures[name][kind] == pytest.approx(sum(map(kilometres, parts)), rel=1e-4, abs=1e-6), name
        inside = shapely.intersects(area, shapely.point_on_surface(buildings))
        if figures["name"] == "all":
            inside[:] = True
        shares = shapely.area(shapely.intersection(buildings, wet)) / shapely.area(buildings)
        assert figures["buildings_touched"] == np.count_nonzero(shares[inside] > 1e-9)
        assert figures["buildings_half"] == np.count_nonzero(shares[inside] > 0.5)
        cells = in_utm(place, people.shape)
        for name, where in (("people", wet), ("people_not_observed", unseen), ("people_on_scene", scene)):
            covered = shapely.area(shapely.intersection(cells, where & area)) / shapely.area(cells)
            assert figures[name] == pytest.approx(float((people.ravel() * covered).sum()), rel=1e-3, abs=0.051)
    assert 10 < found["total"]["buildings_half"] < found["total"]["buildings_touched"] < 200
    assert any("not observed" in warning for warning in found["warnings"])
    assert any("wider than roads of 1 classes (residential" in warning for warning in found["warnings"])


def in_utm(place: Any, shape: tuple[int, int]) -> np.ndarray:
    """Cells of a raster in degrees, as polygons in the scene's reference system."""
    row, col = (one.ravel() for one in np.indices(shape))
    west, north = place.c + place.a * col, place.f + place.e * row
    boxes = shapely.box(west, north + place.e, west + place.a, north)
    return np.asarray(shapely.transform(
        boxes, lambda xy: np.column_stack(TO_DEGREES.transform(*xy.T, direction="INVERSE"))
    ))  # fmt: skip


def test_roads_along_a_border_and_beyond_districts_add_up(tmp_path: Path) -> None:
    mask = np.ones(SIZE, np.uint8)
    along, across, outside = line((333, 100), (333, 400)), line((100, 200), (700, 200)), line((10, 610), (10, 590))
    write(tmp_path / "roads.gpkg", [along, across, outside], CRS)
    write(tmp_path / "districts.gpkg", [LEFT, RIGHT], CRS, "Polygon", name=["left", "right"])
    found = run(tmp_path, mask, roads=tmp_path / "roads.gpkg", districts=tmp_path / "districts.gpkg")
    left, right = (sum(one["roads_km"].values()) for one in found["districts"])
    assert left + right == pytest.approx(found["total"]["roads_km"]["road"], abs=2e-6)
    one, other = line((100, 200), (333, 200)), line((333, 200), (700, 200))
    difference = kilometres(along) + kilometres(other) - kilometres(one) - kilometres(outside) / 2
    assert right - left == pytest.approx(difference, abs=2e-6)
    assert found["total"]["roads_cut"] == sum(one["roads_cut"] for one in found["districts"]) == 3


def test_districts_that_overlap_are_reported(tmp_path: Path) -> None:
    write(tmp_path / "roads.gpkg", [line((10, 50), (790, 50))], CRS)
    both = [at(shapely.box(0, 0, 500, 600)), at(shapely.box(400, 0, 900, 600))]
    write(tmp_path / "districts.gpkg", both, CRS, "Polygon", name=["Au", None])
    found = run(tmp_path, np.ones(SIZE, np.uint8), roads=tmp_path / "roads.gpkg", districts=tmp_path / "districts.gpkg")
    lengths = [one["roads_km"]["road"] for one in found["districts"]]
    assert lengths == pytest.approx(
        [kilometres(line((10, 50), (500, 50))), kilometres(line((400, 50), (790, 50)))], rel=1e-5
    )
    assert any("1 pair of districts overlap, such as Au and 2" in warning for warning in found["warnings"])
    assert any("1 of 2 districts lie partly outside" in warning for warning in found["warnings"])


def streets(tmp_path: Path) -> Path:
    """A village in the west, a town in the east; a bridge and a ford between them, and a road along the shore."""
    mask = np.zeros(SIZE, np.uint8)
    mask[:, 40:44] = 1  # a river from 400 to 440 m
    write_result(tmp_path / "map", mask)
    write(tmp_path / "places.geojson", degrees([at(shapely.Point(105, 103)), at(shapely.Point(700, 500)),
                                                at(shapely.Point(420, 500))]), "EPSG:4326", "Point",
          name=["village", "town", "boat"])  # fmt: skip
    write(tmp_path / "depots.gpkg", [at(shapely.box(90, 90, 110, 110))], CRS, "Polygon")
    return tmp_path


ROADS = {"west": [(100, 100), (100, 500)], "ford": [(100, 500), (700, 500)], "east": [(700, 100), (700, 500)],
         "bridge": [(100, 100), (700, 100)], "shore": [(396, 0), (396, 300), (402, 300), (396, 303)]}  # fmt: skip


def test_water_below_a_bridge_does_not_cut_it(tmp_path: Path) -> None:
    folder = streets(tmp_path)
    nodes, ways = [], []
    for number, (name, points) in enumerate(ROADS.items()):
        for place, point in enumerate(degrees(line(*points)).coords):
            nodes.append(
                f'<node id="{number * 10 + place + 1}" lat="{point[1]:.7f}" lon="{point[0]:.7f}" version="1"/>'
            )
        refs = "".join(f'<nd ref="{number * 10 + place + 1}"/>' for place in range(len(points)))
        tags = {"highway": "primary", "name": name} | ({"layer": "1"} if name == "bridge" else {})
        words = "".join(f'<tag k="{key}" v="{value}"/>' for key, value in tags.items())
        ways.append(f'<way id="{number + 1}" version="1">{refs}{words}</way>')
    ways.append('<way id="99" version="1"><nd ref="1"/><nd ref="2"/><tag k="waterway" v="river"/></way>')
    text = f'<?xml version="1.0"?><osm version="0.6">{"".join(nodes + ways)}</osm>'
    (tmp_path / "region.osm").write_text(text)
    inputs = {"roads": tmp_path / "region.osm", "places": folder / "places.geojson", "depots": folder / "depots.gpkg"}
    found = run(tmp_path, np.zeros(1), **inputs)
    town, shore = found["places"][1], line((400, 300), (402, 300), (400, 301))
    around = kilometres(line((100, 100), (700, 100), (700, 500)))
    direct = kilometres(line((100, 100), (100, 500), (700, 500)))
    assert (found["total"]["roads_cut"], found["total"]["places_cut_off"]) == (1, 0)
    assert found["total"]["roads_km"] == pytest.approx({"primary": 0.04 + kilometres(shore)}, rel=1e-3)
    assert found["total"]["roads_bridges_km"] == pytest.approx({"primary": 0.04}, rel=1e-3)
    assert (around, direct) == pytest.approx((1, 1), rel=1e-3)
    assert town["detour_km"] == pytest.approx(max(0, around - direct), abs=1e-6)
    assert [place["under_water"] for place in found["places"]] == [False, False, True]
    layer = read_layer(f"{tmp_path / 'out' / 'impact.gpkg'}|layername=roads", kinds={"line"})
    assert {name: (bool(bridge), bool(cut)) for name, bridge, cut in
            zip(layer.values("name"), layer.values("bridge"), layer.values("cut"), strict=True)
            } == {"ford": (False, True), "bridge": (True, False), "shore": (False, False)}  # fmt: skip
    # Without its bridge, the town is cut off.
    (tmp_path / "region.osm").write_text(text.replace('k="layer" v="1"', 'k="layer" v="-1"'))
    cut = run(tmp_path, np.zeros(1), **inputs)
    assert [place["cut_off"] for place in cut["places"]] == [False, True, True]
    assert cut["places"][1]["distance_km"] is None
    # A tractor drives through.
    assert run(tmp_path, np.zeros(1), "impact.cut_length=50", **inputs)["total"]["roads_cut"] == 0


def test_geoparquet_and_geopackage_give_the_same(tmp_path: Path) -> None:
    roads = degrees(np.array(lattice(), object))
    write(tmp_path / "roads.gpkg", roads, "EPSG:4326", "LineString", highway=["primary"] * len(roads))
    bounds = pa.array([{"xmin": 0.0}] * len(roads))  # as Overture's files have
    table = pa.table({"highway": pa.array(["primary"] * len(roads)).dictionary_encode(), "bbox": bounds,
                      "shape": shapely.to_wkb(roads).tolist()})  # fmt: skip
    geo = {
        "version": "1.1.0",
        "primary_column": "shape",
        "columns": {"shape": {"encoding": "WKB", "geometry_types": []}},
    }
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), tmp_path / "roads.parquet")
    pq.write_table(table, tmp_path / "plain.parquet")
    one = run(tmp_path, country(), roads=tmp_path / "roads.gpkg")
    other = run(tmp_path, country(), roads=tmp_path / "roads.parquet")
    assert one["total"] == other["total"]
    with pytest.raises(FloodSegError, match=r"plain.parquet: is no GeoParquet"):
        run(tmp_path, country(), roads=tmp_path / "plain.parquet")


def test_what_cannot_be_used_is_counted(tmp_path: Path) -> None:
    several = at(shapely.MultiLineString([[(0, 0), (9, 9)]]))
    roads = [line((10, 50), (790, 50)), at(shapely.Point(50, 50)), None, several,
             shapely.force_3d(line((10, 90), (90, 90))), line((10, 70), (790, 70)), line((0, 20), (9, 20))]  # fmt: skip
    write(tmp_path / "roads.gpkg", roads, CRS, fclass=["a"] * 5 + ["construction", "path"])
    bow_tie = at(shapely.Polygon([(100, 100), (200, 200), (200, 100), (100, 200)]))
    write(tmp_path / "buildings.gpkg", [bow_tie, at(shapely.box(0, 0, 10, 10))], CRS, "Polygon")
    with rasterio.open(tmp_path / "people.tif", "w", driver="GTiff", height=2, width=2, count=1, dtype="float32",
                       crs=CRS, transform=from_origin(WEST, NORTH, 100, 100), nodata=-9) as out:  # fmt: skip
        out.write(np.array([[1000, -9], [np.nan, -1]], np.float32), 1)
    found = run(tmp_path, np.ones(SIZE, np.uint8), "impact.population_unit=per_km2", roads=tmp_path / "roads.gpkg",
                buildings=tmp_path / "buildings.gpkg", population=tmp_path / "people.tif")  # fmt: skip
    text = "\n".join(found["warnings"])
    for words in ("1 of 7 shapes have no geometry", "1 of 7 shapes are no lines", "1 of 2 shapes are invalid",
                  "1 cell with a negative number of people"):  # fmt: skip
        assert words in text
    assert found["not_roads"] == {"construction": 1}
    lengths = {"a": kilometres(roads[0]) + kilometres(roads[3]) + kilometres(line((10, 90), (90, 90))),
               "path": kilometres(roads[6])}  # fmt: skip
    assert found["total"]["roads_km"] == pytest.approx(lengths, abs=2e-6)
    assert found["total"]["buildings_half"] == 2
    assert found["total"]["people"] == pytest.approx(10, rel=0.01)  # of 1 ha


def test_files_are_whole_where_nothing_is_affected(tmp_path: Path) -> None:
    folder = write_result(tmp_path / "map", np.zeros(SIZE, np.uint8))
    write(tmp_path / "roads.gpkg", [line((10, 50), (790, 50))], CRS)
    write(tmp_path / "buildings.gpkg", [at(shapely.box(0, 0, 10, 10))], CRS)
    write(tmp_path / "districts.gpkg", [LEFT], CRS, "Polygon", name=["left"])
    impact((), flood=folder, roads=tmp_path / "roads.gpkg", buildings=tmp_path / "buildings.gpkg",
           districts=tmp_path / "districts.gpkg")  # fmt: skip
    layers = {str(name): pyogrio.read_info(folder / "impact.gpkg", layer=name)["features"]
              for name, _ in pyogrio.list_layers(folder / "impact.gpkg")}  # fmt: skip
    assert layers == {"roads": 0, "buildings": 0, "districts": 1}
    with (folder / "impact.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["all", "left"]
    assert float(rows[0]["roads_km"]) == float(rows[0]["buildings_touched"]) == 0
    assert float(rows[1]["roads_length_km:road"]) == pytest.approx(kilometres(line((10, 50), (333, 50))), abs=2e-6)
    with pytest.raises(FloodSegError, match="would be overwritten"):
        impact(
            (), flood=folder, districts=f"{folder / 'impact.gpkg'}|layername=districts", roads=tmp_path / "roads.gpkg"
        )
    item = pystac.Item.from_file(folder / "item.json")
    assert {"impact_json", "impact_csv", "impact_gpkg"} <= set(item.assets)
    assert json.loads((folder / "impact.json").read_text())["meaning"] == "all water"


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "give at least one of --roads"),
        ({"districts": "districts"}, "give at least one of --roads"),
        ({"roads": "roads", "depots": "depots"}, "--depots: which places reach"),
        ({"roads": "missing"}, "does not exist"),
        ({"roads": "far"}, "lies elsewhere"),
        ({"roads": "nowhere"}, "coordinate reference system"),
        ({"roads": "districts"}, "holds no roads"),
        ({"roads": "waterways"}, "holds no roads"),
        ({"buildings": "roads"}, "holds lines; give a file of polygons"),
        ({"population": "roads"}, "damaged or no raster"),
        ({"population": "map/mask"}, ""),
        ({"places": "depots", "roads": "far"}, "lies elsewhere"),
        ({"places": "depots", "roads": "paths"}, "no vehicle uses the roads"),
    ],
)
def test_input_of_no_use_is_one_line(inputs: dict[str, str], words: str, tmp_path: Path) -> None:
    write_result(tmp_path / "map", np.ones(SIZE, np.uint8))
    write(tmp_path / "roads.gpkg", [line((10, 50), (790, 50))], CRS)
    write(tmp_path / "far.gpkg", [shapely.LineString([(900_000, 0), (900_100, 0)])], CRS)
    write(tmp_path / "paths.gpkg", [line((10, 50), (790, 50))], CRS, highway=["path"])
    write(tmp_path / "nowhere.gpkg", [line((10, 50), (790, 50))], None)
    write(tmp_path / "waterways.gpkg", [line((10, 50), (790, 50))] * 2, CRS, highway=[None, "construction"])
    write(tmp_path / "districts.gpkg", [LEFT], CRS, "Polygon", name=["left"])
    write(tmp_path / "depots.gpkg", [at(shapely.Point(9, 9))], CRS)
    files = {name: tmp_path / f"{file}{'.tif' if '/' in file else '.gpkg'}" for name, file in inputs.items()}
    if not words:
        assert run(tmp_path, np.ones(1), **files)["total"]["people"] == 60 * 80  # 1 in each pixel
        return
    with pytest.raises(FloodSegError, match=words) as error:
        run(tmp_path, np.ones(1), **files)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_scene_without_a_place_is_refused(tmp_path: Path) -> None:
    write_result(tmp_path / "map", np.ones(SIZE, np.uint8), crs=None)
    write(tmp_path / "roads.gpkg", [line((10, 50), (790, 50))], CRS)
    with pytest.raises(FloodSegError, match="not georeferenced"):
        run(tmp_path, np.ones(1), roads=tmp_path / "roads.gpkg")


@pytest.mark.parametrize(("crs", "west"), [("EPSG:4326", 179.99), ("EPSG:4326", -180.01), ("EPSG:32601", None)])
def test_scenes_across_the_antimeridian(crs: str, west: float | None, tmp_path: Path) -> None:
    step = 0.0001 if west else 10.0
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(180, 10)
    corner = (west, 10.01) if west else (x - 1000, y + 1000)
    write_result(tmp_path / "map", np.ones((200, 200), np.uint8), crs=crs, transform=from_origin(*corner, step, step))
    roads = [shapely.LineString([(179.995, 10), (180, 10)]), shapely.LineString([(-180, 10), (-179.995, 10)])]
    crossing = shapely.LineString([(179.996, 9.999), (-179.996, 9.999)])
    write(tmp_path / "roads.gpkg", [*roads, crossing], "EPSG:4326")
    write(tmp_path / "places.gpkg", [shapely.Point(-179.9951, 10)], "EPSG:4326")
    with rasterio.open(tmp_path / "people.tif", "w", driver="GTiff", height=180, width=360, count=1, dtype="float32",
                       crs="EPSG:4326", transform=from_origin(-180, 90, 1, 1)) as out:  # fmt: skip
        out.write(np.full((180, 360), 10_000, np.float32), 1)
    found = run(tmp_path, np.zeros(1), roads=tmp_path / "roads.gpkg", places=tmp_path / "places.gpkg",
                population=tmp_path / "people.tif")  # fmt: skip
    assert found["total"]["roads_km"]["road"] == pytest.approx(111.31949 * 0.018 * 0.98509, rel=2e-4)
    assert found["places"][0]["under_water"]
    share = 0.02**2 if west else (2000 / 111_000) ** 2 / np.cos(np.radians(10))
    assert found["total"]["people"] == pytest.approx(10_000 * share, rel=0.02)


def test_a_scene_around_a_pole(tmp_path: Path) -> None:
    transform = from_origin(-100_000, 100_000, 1000, 1000)
    write_result(tmp_path / "map", np.ones((200, 200), np.uint8), crs="EPSG:3995", transform=transform)
    write(tmp_path / "roads.gpkg", [shapely.LineString([(20, 89.5), (20, 90)]),
                                    shapely.LineString([(70, 90), (70, 89.5)])], "EPSG:4326")  # fmt: skip
    with rasterio.open(tmp_path / "people.tif", "w", driver="GTiff", height=180, width=360, count=1, dtype="float32",
                       crs="EPSG:4326", transform=from_origin(-180, 90, 1, 1)) as out:  # fmt: skip
        out.write(np.full((180, 360), 10, np.float32), 1)
    found = run(tmp_path, np.zeros(1), roads=tmp_path / "roads.gpkg", population=tmp_path / "people.tif")
    assert found["total"]["roads_km"]["road"] == pytest.approx(2 * 55.847, rel=1e-4)
    assert found["total"]["roads_cut"] == 2
    # 200 km × 200 km of a cap with a radius of 111.7 km, in which 3600 people live; the corners are in the next ring.
    assert 3500 < found["total"]["people"] < 4000


@pytest.mark.parametrize("suffix", [".osm", ".osm.pbf"])
def test_one_extract_of_openstreetmap_holds_all_layers(tmp_path: Path, suffix: str) -> None:
    corners = {1: (100, 100), 2: (700, 100), 3: (700, 500), 4: (100, 500), 5: (350, 120), 6: (390, 120), 7: (390, 160),
               8: (20, 20), 9: (780, 20), 10: (780, 580), 11: (20, 580)}  # fmt: skip
    tags = {1: {"amenity": "fire_station"}, 3: {"place": "village", "name": "Au"}, 4: {"amenity": "bench"}}
    ways = {1: ([1, 2, 3], {"highway": "primary"}), 2: ([1, 4], {"waterway": "river"}),
            3: ([3, 4], {"highway": "footway"}), 4: ([5, 6, 7, 5], {"building": "yes"}),
            5: ([5, 6, 7, 5], {"landuse": "grass"}),
            6: ([8, 9, 10, 11, 8], {"boundary": "administrative", "admin_level": "8", "name": "Town"})}  # fmt: skip
    lines = []
    for number, point in corners.items():
        (x, y), words = degrees(at(shapely.Point(point))).coords[0], osm_tags(tags.get(number, {}))
        lines.append(f'<node id="{number}" lat="{y:.7f}" lon="{x:.7f}" version="1">{words}</node>')
    for number, (nodes, own) in ways.items():
        refs = "".join(f'<nd ref="{node}"/>' for node in nodes)
        lines.append(f'<way id="{number}" version="1">{refs}{osm_tags(own)}</way>')
    extract = tmp_path / "region.osm"
    extract.write_text(f'<?xml version="1.0"?><osm version="0.6">{"".join(lines)}</osm>')
    if suffix != extract.suffix:
        with osmium.SimpleWriter(tmp_path / f"region{suffix}") as writer:
            for element in osmium.FileProcessor(extract):
                writer.add(element)
        extract = tmp_path / f"region{suffix}"
    mask = np.zeros(SIZE, np.uint8)
    mask[:, 36:42] = 1
    found = run(tmp_path, mask, "impact.where.districts=\"admin_level='8'\"",
                **dict.fromkeys(("roads", "buildings", "places", "depots", "districts"), extract))  # fmt: skip
    total, (town,) = found["total"], found["districts"]
    assert list(total["roads_length_km"]) == ["primary", "footway"]
    assert (total["roads_cut"], total["buildings"], total["buildings_touched"]) == (1, 1, 1)
    assert town["name"] == "Town"
    assert {name: town[name] for name in total} == total
    assert [(place["name"], place["cut_off"]) for place in found["places"]] == [("Au", True)]


def osm_tags(tags: dict[str, str]) -> str:
    return "".join(f'<tag k="{key}" v="{value}"/>' for key, value in tags.items())
