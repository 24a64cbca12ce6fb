"""Features of finished jobs, against the GeoPackages that they come from, and as GDAL reads them over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import pytest
import shapely
from fastapi.testclient import TestClient
from pyproj import Geod, Transformer
from rasterio.transform import from_origin

from flood_seg.products.vectors.vector_file import Shapes, write_layers
from tests.scenes.conftest import write_scene
from tests.service.mapped import add_job, asking, map_scene, smooth
from tests.service.running import Running

UTM = "EPSG:32632"
PLACE = {"crs": UTM, "transform": from_origin(500_000, 5_000_000, 20, 20)}


class Collected:
    """A service with a job, and its polygons."""

    def __init__(self, client: TestClient, job: str, results: Path, crs: str = UTM) -> None:
        self.client, self.job, self.results, self.crs = client, job, results, crs

    def get(self, path: str) -> Any:
        return self.client.get(f"/jobs/{self.job}/{path}")

    def json(self, path: str) -> dict[str, Any]:
        found = self.get(path)
        assert found.status_code == 200, found.text
        return dict(found.json())

    def pages(self, path: str) -> list[dict[str, Any]]:
        """Returns all pages by their links."""
        found = [self.json(path)]
        while links := [link["href"] for link in found[-1]["links"] if link["rel"] == "next"]:
            found.append(self.client.get(links[0]).json())
        return found

    def polygons(self, path: str = "areas.gpkg") -> tuple[np.ndarray, np.ndarray]:
        """Returns identifiers and polygons in WGS 84, longitudes first."""
        _, numbers, shapes, _ = pyogrio.raw.read(self.results / path, return_fids=True)
        to_degrees = Transformer.from_crs(self.crs, "EPSG:4326", always_xy=True)
        moved = shapely.transform(
            shapely.from_wkb(shapes), lambda points: np.column_stack(to_degrees.transform(*points.T))
        )
        return numbers, moved


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory, smoothing_model: Path) -> Iterator[Collected]:
    folder = tmp_path_factory.mktemp("features")
    scene = write_scene(folder / "scene.tif", smooth(300, 400), **PLACE)
    results = map_scene(smoothing_model, scene, folder / "map", "map.probability=none")
    x, y = 500_000 + 100 * np.arange(5.0), np.full(5, 4_999_000.0)
    write_layers(results / "impact" / "impact.gpkg", {
        "places": Shapes("Point", shapely.points(x, y), {
            "name": np.array(["Ü", None, "c", "d", "e"], object), "people": np.array([1, 2, 3, 4, 5], np.int32),
            "flooded": np.array([True, False, True, False, True]), "km": np.array([1.5, np.nan, 3, 4, 5])}),
        "roads": Shapes("LineString", shapely.linestrings(np.stack([x, y, x + 50, y + 10], 1).reshape(5, 2, 2)), {}),
    }, UTM)  # fmt: skip
    with asking(folder / "work") as client:
        identifier = add_job(folder / "work", scene, results)
        yield Collected(client, identifier, folder / "work" / "jobs" / identifier / "results")


def test_pages_are_the_whole_layer(job: Collected) -> None:
    numbers, polygons = job.polygons()
    assert len(numbers) > 14
    pages = job.pages("features?limit=7")
    assert {page["numberMatched"] for page in pages} == {len(numbers)}
    assert [page["numberReturned"] for page in pages][:-1] == [7] * (len(pages) - 1)
    features = [feature for page in pages for feature in page["features"]]
    assert [feature["id"] for feature in features] == numbers.tolist()
    found = np.array([shapely.geometry.shape(feature["geometry"]) for feature in features])
    assert shapely.hausdorff_distance(found, polygons).max() < 1e-6  # 7 decimals, a centimetre
    geod = Geod(ellps="WGS84")
    measured = [abs(geod.geometry_area_perimeter(shape)[0]) for shape in found]
    assert measured == pytest.approx([feature["properties"]["area_m2"] for feature in features], rel=1e-3)
    assert set(features[0]["properties"]) == {"class", "area_m2", "perimeter_m", "mean_probability", "touches_edge"}
    whole = job.json("features")
    assert whole["numberReturned"] == whole["numberMatched"] == len(numbers)
    assert job.json(f"features?offset={len(numbers)}")["features"] == []
    back = [link["href"] for link in pages[1]["links"] if link["rel"] == "prev"]
    assert job.client.get(back[0]).json()["features"] == pages[0]["features"]


@pytest.mark.parametrize(
    "box", [(9.01, 45.11, 9.05, 45.13), (9.0, 45.09, 9.02, 45.1), (-180, -90, 180, 90), (1, 1, 2, 2)]
)
def test_bbox_finds_what_touches_it(job: Collected, box: tuple[float, ...]) -> None:
    numbers, polygons = job.polygons()
    expected = numbers[shapely.intersects(polygons, shapely.box(*box))]
    pages = job.pages(f"features?limit=5&bbox={','.join(map(str, box))}")
    assert [feature["id"] for page in pages for feature in page["features"]] == expected.tolist()
    assert pages[0]["numberMatched"] == len(expected)
    heights = job.json(f"features?bbox={box[0]},{box[1]},-10,{box[2]},{box[3]},10")
    assert heights["numberMatched"] == len(expected)


def test_boxes_of_the_parametrization_differ(job: Collected) -> None:
    assert 0 < job.json("features?bbox=9.01,45.11,9.05,45.13")["numberMatched"] < job.json("features")["numberMatched"]


def test_fields_keep_their_types(job: Collected) -> None:
    features = job.json("features?collection=impact_places")["features"]
    assert [feature["properties"]["name"] for feature in features] == ["Ü", None, "c", "d", "e"]
    assert features[1]["properties"] == {"name": None, "people": 2, "flooded": False, "km": None}
    expected = Transformer.from_crs(UTM, "EPSG:4326", always_xy=True).transform(500_000, 4_999_000)
    assert features[0]["geometry"]["coordinates"] == pytest.approx(expected, abs=1e-6)


def test_collections(job: Collected) -> None:
    landing = job.json("ogc")
    links = {link["rel"]: link["href"] for link in landing["links"]}
    assert {"self", "service-desc", "conformance", "data"} <= set(links)
    assert all(job.client.get(href).status_code == 200 for href in links.values())
    classes = job.client.get(links["conformance"]).json()["conformsTo"]
    assert "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core" in classes
    records = {one["id"]: one for one in job.client.get(links["data"]).json()["collections"]}
    assert list(records) == ["areas", "impact_places", "impact_roads"]
    _, polygons = job.polygons()
    np.testing.assert_allclose(
        records["areas"]["extent"]["spatial"]["bbox"][0], shapely.total_bounds(polygons), atol=1e-3
    )
    for name, record in records.items():
        assert job.json(f"ogc/collections/{name}") == record
        items = next(link["href"] for link in record["links"] if link["rel"] == "items")
        page = job.client.get(f"{items}?limit=1")
        assert page.headers["content-type"] == "application/geo+json"
        feature = page.json()["features"][0]
        alone = job.json(f"ogc/collections/{name}/items/{feature['id']}")
        assert {key: alone[key] for key in feature} == feature


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("features?collection=roads", 404, "collection roads: the job has none; it has areas, impact_places"),
        ("ogc/collections/roads", 404, "collection roads: the job has none"),
        ("ogc/collections/roads/items", 404, "collection roads: the job has none"),
        ("ogc/collections/areas/items/99999", 404, "feature 99999: collection areas has none"),
        ("ogc/collections/areas/items/x", 422, "path.feature"),
        ("features?limit=0", 422, "query.limit"),
        ("features?offset=-1", 422, "query.offset"),
        ("features?bbox=1,2,3", 422, "bbox=1,2,3: give west,south,east,north"),
        ("features?bbox=", 422, "bbox=: give west,south,east,north"),
        ("features?bbox=1,2,3,nan", 422, "give west,south,east,north"),
        ("features?bbox=1,5,3,2", 422, "south is greater than north"),
        ("features?bbox=1,2,300,4", 422, "longitudes are within ±180"),
        ("features?crs=pixels", 422, "the scene is georeferenced; leave out crs=pixels"),
        ("features?crs=EPSG:3857", 422, "query.crs"),
    ],
)
def test_wrong_requests(job: Collected, path: str, status: int, words: str) -> None:
    found = job.get(path)
    assert found.status_code == status
    assert words in found.json()["detail"]


def test_a_large_limit_gives_a_whole_page(job: Collected) -> None:
    assert job.json(f"features?limit={10**20}")["numberReturned"] == len(job.polygons()[0])


def test_a_damaged_file_is_said(job: Collected) -> None:
    path = job.results / "impact" / "other.gpkg"
    path.write_bytes(b"SQLite format 3\0damaged")
    found = job.get("features")
    path.unlink()
    assert found.status_code == 404 and "collection other: its file is damaged" in found.json()["detail"]


def test_across_the_antimeridian(smoothing_model: Path, tmp_path: Path) -> None:
    """Polygons are cut there, as GeoJSON demands, and a bbox from 179.9 to -179.9 is the strip around it."""
    crs = "EPSG:32660"
    place = {"crs": crs, "transform": from_origin(594_000, 8_000_000, 30, 30)}
    scene = write_scene(tmp_path / "scene.tif", smooth(300, 600), **place)
    results = map_scene(smoothing_model, scene, tmp_path / "map", "map.probability=none")
    with asking(tmp_path / "work") as client:
        job = Collected(client, add_job(tmp_path / "work", scene, results), results, crs)
        numbers, polygons = job.polygons()
        unwrapped = shapely.transform(polygons, lambda points: points + (points[:, :1] < 0) * [360, 0])
        for west, east in ((179.9, -179.9), (179.9, 180), (-180, -179.9)):
            strip = shapely.box(west % 360, 71, east % 360, 73)
            expected = numbers[shapely.intersects(unwrapped, strip)]
            found = job.pages(f"features?bbox={west},71,{east},73&limit=4")
            assert [one["id"] for page in found for one in page["features"]] == expected.tolist()
            assert 0 < len(expected) < len(numbers)
        features = job.json("features")["features"]
        west, _, east, _ = job.json("ogc/collections/areas")["extent"]["spatial"]["bbox"][0]
    assert west > 179 and east < -179
    found = np.array([shapely.geometry.shape(one["geometry"]) for one in features])
    widths = np.array([shapely.bounds(part)[2] - shapely.bounds(part)[0] for part in shapely.get_parts(found)])
    assert widths.max() < 1  # none goes around the Earth
    assert any(one["geometry"]["type"] == "MultiPolygon" for one in features)
    geod = Geod(ellps="WGS84")
    measured = [sum(abs(geod.geometry_area_perimeter(part)[0]) for part in shapely.get_parts(shape)) for shape in found]
    assert measured == pytest.approx([one["properties"]["area_m2"] for one in features], rel=1e-3)


def test_photos_have_features_in_pixels(smoothing_model: Path, tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(smooth(200, 300)).save(tmp_path / "photo.png")
    results = map_scene(smoothing_model, tmp_path / "photo.png", tmp_path / "map")
    with asking(tmp_path / "work") as client:
        job = Collected(client, add_job(tmp_path / "work", tmp_path / "photo.png", results), results)
        assert "crs=pixels" in job.get("features").json()["detail"]
        assert job.json("ogc/collections")["collections"] == []
        whole = job.json("features?crs=pixels")["features"]
        some = job.json("features?crs=pixels&bbox=0,-60,100,0")["features"]
    _, numbers, shapes, _ = pyogrio.raw.read(results / "areas.gpkg", return_fids=True)
    shapes = shapely.from_wkb(shapes)
    assert [shapely.geometry.shape(one["geometry"]) for one in whole] == list(shapes)
    expected = numbers[shapely.intersects(shapes, shapely.box(0, -60, 100, 0))]
    assert [one["id"] for one in some] == expected.tolist()
    assert 0 < len(some) < len(whole)


def test_jobs_without_a_map(job: Collected, tmp_path: Path) -> None:
    work = job.results.parents[2]
    other = add_job(work, "scene.tif", None, "accepted")
    for path in ("features", "ogc", "ogc/collections", "ogc/collections/areas/items"):
        assert job.client.get(f"/jobs/{other}/{path}").status_code == 409
        assert job.client.get(f"/jobs/{'0' * 26}/{path}").status_code == 404


def test_gdal_reads_the_collections(server: Running, job: Collected) -> None:
    """Its driver of OGC API - Features, which QGIS uses too, finds the layers and all features at their places."""
    identifier = add_job(server.folder / "work", "scene.tif", job.results)
    address = f"OAPIF:{server.url}/jobs/{identifier}/ogc"
    assert [name for name, _ in pyogrio.list_layers(address)] == ["areas", "impact_places", "impact_roads"]
    meta, _, shapes, values = pyogrio.raw.read(address, "areas", return_fids=True)
    _, polygons = job.polygons()
    assert shapely.hausdorff_distance(shapely.from_wkb(shapes), polygons).max() < 1e-6
    _, _, _, expected = pyogrio.raw.read(job.results / "areas.gpkg")
    for name, one in zip(meta["fields"], values, strict=True):
        other = expected[["class", "area_m2", "perimeter_m", "mean_probability", "touches_edge"].index(name)]
        assert np.array_equal(one, other) or np.allclose(one.astype(float), other.astype(float), equal_nan=True)
    box = 9.01, 45.11, 9.05, 45.13
    _, _, some, _ = pyogrio.raw.read(address, "areas", bbox=box)
    assert len(some) == np.count_nonzero(shapely.intersects(polygons, shapely.box(*box)))
