"""`flood-seg flood-area` on results that the tests write."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from pyproj import Geod, Transformer
from rasterio.transform import Affine, from_origin

from flood_seg.errors import DataError, FloodSegError, UsageError
from flood_seg.metrics.image_rates import RATES_KEY, ImageRates
from flood_seg.verbs.flood_area import flood_area
from tests.analysis.conftest import UTM, write_result
from tests.analysis.test_vectors import write
from tests.conftest import make_spec

GEOD = Geod(ellps="WGS84")
WEST, NORTH, SIDE = 500_000, 5_000_000, 10  # of the scene in UTM zone 32N


def measure(results: Path | list[Path], out: Path, *overrides: str, **flags: Any) -> dict[str, Any]:
    folders = [str(one) for one in (results if isinstance(results, list) else [results])]
    flood_area(list(overrides), results=folders, out=out, **{key: str(value) for key, value in flags.items()})
    found: dict[str, Any] = json.loads((out / "flood_area.json").read_text("utf-8"))
    return found


def geodesic(shape: Any, crs: str = "EPSG:32632") -> float:
    """The area of a shape on the ellipsoid, in m²."""
    transformer = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    dense = shapely.segmentize(shape, 500 if crs != "EPSG:4326" else 0.005)
    return abs(
        GEOD.geometry_area_perimeter(
            shapely.transform(dense, lambda xy: np.column_stack(transformer.transform(*xy.T)))
        )[0]
    )


def pixels(rows: slice, cols: slice) -> Any:
    """The outline of pixels of the scene."""
    return shapely.box(
        WEST + SIDE * cols.start, NORTH - SIDE * rows.stop, WEST + SIDE * cols.stop, NORTH - SIDE * rows.start
    )


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """1100×1300 pixels, of which 500×700 are flooded and the upper left 100×200 have no data."""
    mask = np.zeros((1100, 1300), np.uint8)
    mask[300:800, 400:1100], mask[:100, :200] = 1, 255
    probability = np.where(mask == 1, 0.9, 0.1)
    return write_result(tmp_path / "map", mask, probability)


def test_areas_are_those_of_the_polygons(scene: Path, tmp_path: Path) -> None:
    total = measure(scene, tmp_path / "out")["total"]
    flooded, unseen = pixels(slice(300, 800), slice(400, 1100)), pixels(slice(0, 100), slice(0, 200))
    land = geodesic(pixels(slice(0, 1100), slice(0, 1300))) - geodesic(unseen)
    assert total["flooded"]["mapped_m2"] == pytest.approx(geodesic(flooded), rel=1e-5)
    assert total["land_m2"] == total["observed_m2"] == pytest.approx(land, rel=1e-5)
    assert total["not_observed_m2"] == pytest.approx(geodesic(unseen), rel=1e-5)
    expected = 0.9 * geodesic(flooded) + 0.1 * (land - geodesic(flooded))
    assert total["flooded"]["expected_m2"] == pytest.approx(expected, rel=1e-5)
    assert total["permanent_m2"] == 0 and total["flooded"]["interval_95_m2"] is None


@pytest.mark.parametrize(("crs", "place"), [
    ("EPSG:4326", from_origin(6, 61, 0.004, 0.002)), ("EPSG:3035", from_origin(2_500_000, 4_900_000, 300, 300)),
    ("EPSG:32632", Affine(200, 60, 100_000, 60, -200, 6_600_000)),
])  # fmt: skip
def test_districts_are_exact_in_any_system_and_across_a_country(crs: str, place: Affine, tmp_path: Path) -> None:
    height, width = 700, 1100
    mask = np.zeros((height, width), np.uint8)
    mask[:, : width // 2] = 1
    scene = write_result(tmp_path / "map", mask, crs=crs, transform=place)
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], float)
    outline = shapely.Polygon(
        [(place.a * c + place.b * r + place.c, place.d * c + place.e * r + place.f) for c, r in corners]
    )
    half = np.array([(0, 0), (width / 2, 0), (width / 2, height), (0, height)], float)
    water = shapely.Polygon(
        [(place.a * c + place.b * r + place.c, place.d * c + place.e * r + place.f) for c, r in half]
    )
    centre = outline.centroid
    radius = np.sqrt(outline.area) / 4
    circles = [shapely.Point(centre.x + shift * radius, centre.y).buffer(radius) for shift in (-0.8, 0, 0.3)]
    write(tmp_path / "d.gpkg", circles, crs, name=["a", "b", "c"])
    record = measure(scene, tmp_path / "out", districts=tmp_path / "d.gpkg")
    for circle, found in zip(circles, record["districts"], strict=True):
        assert found["area_m2"] == pytest.approx(geodesic(circle, crs), rel=1e-4)
        seen, wet = circle.intersection(outline), circle.intersection(water)
        assert found["observed_m2"] == pytest.approx(geodesic(seen, crs), rel=1e-3)
        assert found["flooded"]["mapped_m2"] == pytest.approx(geodesic(wet, crs), rel=1e-3)
        assert found["observed_m2"] + found["not_observed_m2"] == pytest.approx(found["area_m2"], rel=2e-3)


def test_districts_that_overlap_reach_out_or_lie_elsewhere(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = pixels(slice(200, 900), slice(300, 700)), pixels(slice(200, 900), slice(600, 1200))
    out, far = pixels(slice(500, 1500), slice(1000, 1400)), pixels(slice(90_000, 90_100), slice(0, 100))
    unseen = pixels(slice(0, 100), slice(0, 300))
    names = ["one", "other", "out", "far", "out", None]
    write(
        tmp_path / "d.geojson", [moved(shape) for shape in (one, other, out, far, unseen, one)], "EPSG:4326", NAME=names
    )
    record = measure(scene, tmp_path / "out", "area.name=NAME", districts=tmp_path / "d.geojson")
    by_number = record["districts"]
    assert [found["name"] for found in by_number] == ["one", "other", "out", "far", "out", "5"]
    wet = pixels(slice(300, 800), slice(400, 1100))
    for shape, found in zip((one, other, out), by_number, strict=False):
        assert found["flooded"]["mapped_m2"] == pytest.approx(geodesic(shape.intersection(wet)), rel=1e-3)
        assert found["area_m2"] == pytest.approx(geodesic(shape), rel=1e-4)
    assert by_number[0]["not_observed_m2"] == 0
    assert by_number[2]["not_observed_m2"] == pytest.approx(geodesic(out) * (1 - 600 * 300 / (1000 * 400)), rel=1e-3)
    assert by_number[3]["observed_m2"] == 0 and by_number[3]["flooded"]["mapped_m2"] == 0
    assert by_number[3]["not_observed_m2"] == by_number[3]["area_m2"]
    assert by_number[4]["observed_m2"] == pytest.approx(geodesic(pixels(slice(0, 100), slice(200, 300))), rel=1e-3)
    assert record["total"]["flooded"]["mapped_m2"] == pytest.approx(geodesic(wet), rel=1e-5)  # each place once
    warned = "\n".join(record["warnings"])
    assert "1 of 6 districts show nothing that was observed (far)" in warned
    assert "4 of 6 districts overlap each other" in warned
    assert "1 district with the name of another one" in warned
    said = capsys.readouterr().err
    assert all(f"flood-seg: {warning}" in said for warning in record["warnings"])


def moved(shape: Any) -> Any:
    transformer = Transformer.from_crs("EPSG:32632", "EPSG:4326", always_xy=True)
    return shapely.transform(shape, lambda xy: np.column_stack(transformer.transform(*xy.T)))


def test_the_files_agree(scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    squares = [
        pixels(slice(row, row + 100), slice(col, col + 100))
        for row in range(0, 1000, 200)
        for col in range(0, 1000, 200)
    ]
    write(tmp_path / "d.gpkg", squares, name=[f"district {number}" for number in range(25)])
    record = measure(scene, tmp_path / "out", districts=tmp_path / "d.gpkg")
    with (tmp_path / "out" / "flood_area.csv").open() as file:
        rows = list(csv.DictReader(file))
    meta, _, shapes, values = pyogrio.raw.read(tmp_path / "out" / "districts.gpkg")
    fields = dict(zip(meta["fields"], values, strict=True))
    assert [row["name"] for row in rows] == ["total", *fields["name"]]
    for number, found in enumerate(record["districts"]):
        assert (
            float(rows[number + 1]["flooded_mapped_m2"])
            == found["flooded"]["mapped_m2"]
            == fields["flooded_mapped_m2"][number]
        )
        assert rows[number + 1]["flooded_low_m2"] == "" and np.isnan(fields["flooded_low_m2"][number])
    assert shapely.from_wkb(shapes)[7].equals(squares[7])
    shown = capsys.readouterr().out
    assert (
        shown.count("│ district ") == 20
        and "5 more districts, with less mapped as flooded, are in flood_area.csv" in shown
    )
    assert "│ total " in shown and "none: the record of the model has no errors on single images" in shown


def test_permanent_water_is_no_flood(scene: Path, tmp_path: Path) -> None:
    layer = np.zeros((1100, 1300), np.uint8)
    layer[300:800, 400:1100], layer[300:800, 400:500], layer[:100, :200] = 1, 2, 255
    profile = {"driver": "GTiff", "height": 1100, "width": 1300, "count": 1, "dtype": "uint8", "nodata": 255}
    with rasterio.open(scene / "flood.tif", "w", **profile, **UTM) as out:
        out.write(layer, 1)
    record = measure(scene, tmp_path / "out")
    total, river = record["total"], geodesic(pixels(slice(300, 800), slice(400, 500)))
    assert record["meaning"] == "water without permanent water"
    assert total["permanent_m2"] == pytest.approx(river, rel=1e-5)
    assert total["flooded"]["mapped_m2"] == pytest.approx(6 * river, rel=1e-4)
    assert total["land_m2"] == pytest.approx(total["observed_m2"] - river, rel=1e-6)
    dry = total["land_m2"] - 6 * river
    assert total["flooded"]["expected_m2"] == pytest.approx(0.9 * 6 * river + 0.1 * dry, rel=1e-4)
    assert any("Permanent water is taken from its reference" in limit for limit in record["limits"])


def test_classes_have_areas_each(tmp_path: Path) -> None:
    mask = np.zeros((60, 90), np.uint8)
    mask[:, :30], mask[:, 30:40] = 7, 9
    spec = make_spec(task="multiclass", class_names=("ground", "water", "road"), label_values=(0, 7, 9))
    total = measure(write_result(tmp_path / "map", mask, spec=spec), tmp_path / "out")["total"]
    assert total["classes"]["road"]["mapped_m2"] == pytest.approx(total["observed_m2"] / 9)
    assert (
        total["classes"]["water"]["mapped_m2"]
        == total["flooded"]["mapped_m2"]
        == pytest.approx(total["observed_m2"] / 3)
    )
    assert total["flooded"]["expected_m2"] is None  # there is no probability.tif


def test_places_that_several_scenes_show_count_once_as_in_the_newest(tmp_path: Path) -> None:
    when = datetime(2026, 7, 1, tzinfo=UTC)
    old, new = np.ones((400, 600), np.uint8), np.zeros((400, 600), np.uint8)
    new[:, 500:], new[:50] = 1, 255
    east = from_origin(WEST + SIDE * 200, NORTH, SIDE, SIDE)
    scenes = [
        write_result(tmp_path / "old", old, time=when),
        write_result(tmp_path / "new", new, time=when + timedelta(days=3), transform=east),
    ]
    record = measure(scenes, tmp_path / "out")
    cell = geodesic(pixels(slice(0, 400), slice(0, 800))) / (400 * 800)
    # Of the old one what the new one does not show; of the new one its 100 wet columns.
    wet = 200 * 400 + 50 * 400 + 100 * 350
    assert record["total"]["flooded"]["mapped_m2"] == pytest.approx(wet * cell, rel=1e-4)
    assert record["total"]["observed_m2"] == pytest.approx((400 * 800 - 50 * 200) * cell, rel=1e-4)
    (warning,) = (one for one in record["warnings"] if "several" in one)
    assert warning.startswith(f"{100 * 350 * 400 / (350 * 400 + 400 * 800 - 50 * 200):.2g} % of what the scenes show")
    with pytest.raises(UsageError, match="--out is missing"):
        flood_area(results=[str(one) for one in scenes])


def test_an_archive_is_its_scenes_and_keeps_their_areas(tmp_path: Path) -> None:
    east = from_origin(WEST + SIDE * 60, NORTH, SIDE, SIDE)
    for name, place in (("west", UTM["transform"]), ("east", east)):
        write_result(tmp_path / "archive" / name, np.ones((50, 60), np.uint8), transform=place)
    (tmp_path / "archive" / "collection.json").write_text("{}")
    flood_area(results=[str(tmp_path / "archive")])
    record = json.loads((tmp_path / "archive" / "flood_area.json").read_text("utf-8"))
    assert [scene["name"] for scene in record["scenes"]] == ["east", "west"]
    assert record["total"]["flooded"]["mapped_m2"] == pytest.approx(
        geodesic(pixels(slice(0, 50), slice(0, 120))), rel=1e-5
    )


def test_scenes_side_by_side_add_up(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).integers(0, 2, (300, 400)).astype(np.uint8)
    whole = measure(write_result(tmp_path / "whole", mask), tmp_path / "a")["total"]
    east = from_origin(WEST + SIDE * 150, NORTH, SIDE, SIDE)
    halves = [
        write_result(tmp_path / "west", mask[:, :150]),
        write_result(tmp_path / "east", mask[:, 150:], transform=east),
    ]
    record = measure(halves, tmp_path / "b")
    assert record["total"]["flooded"]["mapped_m2"] == pytest.approx(whole["flooded"]["mapped_m2"], rel=1e-6)
    assert not any("several" in warning for warning in record["warnings"])


def points_of(
    random: np.random.Generator, mask: np.ndarray, truth: np.ndarray, numbers: tuple[int, int]
) -> tuple[list[Any], list[int]]:
    """Random points in each class of a map, and their true class."""
    chosen = np.concatenate(
        [random.choice(np.flatnonzero(mask.ravel() == k), number) for k, number in enumerate(numbers)]
    )
    rows, cols = np.divmod(chosen, mask.shape[1])
    x, y = WEST + SIDE * (cols + random.random(len(cols))), NORTH - SIDE * (rows + random.random(len(rows)))
    return list(shapely.points(x, y)), truth.ravel()[chosen].tolist()


def test_points_adjust_the_area_of_a_map_that_misses_much(tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    truth = np.zeros((400, 500), np.uint8)
    truth[:, 200:], mask = 1, np.zeros((400, 500), np.uint8)
    mask[:, 250:], mask[:40] = 1, 1  # 50 columns are missed; 40 rows are flooded on the map alone
    scene = write_result(tmp_path / "map", mask)
    shapes, classes = points_of(random, mask, truth, (300, 200))
    left_out = [shapely.Point(WEST - 100, NORTH), shapely.Point(WEST + 5, NORTH - 5)]
    write(
        tmp_path / "v.gpkg",
        [*shapes, *left_out],
        **{"class": [*(["dry", "flooded"][one] for one in classes), "dry", "unsure"]},
    )
    districts = [
        pixels(slice(0, 400), slice(0, 250)),
        pixels(slice(0, 400), slice(250, 500)),
        pixels(slice(0, 3), slice(0, 3)),
    ]
    write(tmp_path / "d.gpkg", districts, name=["west", "east", "tiny"])
    record = measure(scene, tmp_path / "out", districts=tmp_path / "d.gpkg", validation=tmp_path / "v.gpkg")
    flooded, land = record["total"]["flooded"], record["total"]["land_m2"]
    counts = np.array(
        [
            [np.sum([mask_of(p, mask) == k and c == j for p, c in zip(shapes, classes, strict=True)]) for j in (0, 1)]
            for k in (0, 1)
        ]
    )
    assert counts.sum(axis=1).tolist() == [300, 200]
    weights, shares = np.array([1 - mask.mean(), mask.mean()]), counts[:, 1] / counts.sum(axis=1)
    error = np.sqrt((weights**2 * shares * (1 - shares) / (counts.sum(axis=1) - 1)).sum())
    assert flooded["adjusted_m2"] == pytest.approx(land * (weights @ shares), rel=1e-4)
    assert flooded["standard_error_m2"] == pytest.approx(land * error, rel=1e-4)
    low, high = flooded["interval_95_m2"]
    assert low < land * truth.mean() < high < low + 4.2 * land * error
    assert flooded["mapped_m2"] == pytest.approx(land * mask.mean(), rel=1e-4)  # and stays beside it
    west, east, tiny = (one["flooded"] for one in record["districts"])
    assert "of the district" in west["method"] and "of all scenes" in tiny["method"]
    assert west["interval_95_m2"][0] < 0.2 * land / 2 < west["interval_95_m2"][1]
    assert "1 of 501 validation points lie outside of the scenes and are left out" in record["warnings"]
    assert any("1 of 502 shapes are of unknown class (unsure)" in warning for warning in record["warnings"])
    assert any("chosen at random within each class" in limit for limit in record["limits"])
    assert east["adjusted_m2"] == pytest.approx(east["mapped_m2"], rel=0.01)


def mask_of(point: Any, mask: np.ndarray) -> int:
    return int(mask[int((NORTH - point.y) // SIDE), int((point.x - WEST) // SIDE)])


def test_few_points_are_said_and_none_in_a_class_gives_no_area(scene: Path, tmp_path: Path) -> None:
    wet = [shapely.Point(WEST + SIDE * (450 + 20 * k), NORTH - SIDE * 500) for k in range(12)]
    dry = [shapely.Point(WEST + SIDE * (50 + 20 * k), NORTH - SIDE * 1000) for k in range(40)]
    write(tmp_path / "v.geojson", [moved(one) for one in wet + dry], "EPSG:4326", truth=[1] * 12 + [0] * 40)
    record = measure(scene, tmp_path / "a", "area.truth=truth", validation=tmp_path / "v.geojson")
    assert any(
        "fewer than 30 validation points on what is mapped as water (12)" in warning for warning in record["warnings"]
    )
    flooded = record["total"]["flooded"]
    assert flooded["adjusted_m2"] == pytest.approx(flooded["mapped_m2"])  # all points are right, and yet
    assert flooded["interval_95_m2"][0] < 0.8 * flooded["mapped_m2"]
    assert flooded["interval_95_m2"][1] > 1.2 * flooded["mapped_m2"]
    write(tmp_path / "dry.geojson", [moved(one) for one in dry], "EPSG:4326", truth=[0] * 40)
    total = measure(scene, tmp_path / "b", "area.truth=truth", validation=tmp_path / "dry.geojson")["total"]
    assert total["flooded"]["adjusted_m2"] is None
    assert total["flooded"]["method"].startswith("none: a class of the map has fewer than two validation points")


def test_polygons_are_places_each(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    truth = np.kron(random.random((20, 25)) < 0.3, np.ones((20, 20))).astype(np.uint8)  # squares of 20 pixels
    mask = np.where(np.kron(random.random((20, 25)) < 0.15, np.ones((20, 20))), 1 - truth, truth).astype(np.uint8)
    scene = write_result(tmp_path / "map", mask)
    chosen = random.choice(500, 120, replace=False)
    shapes = [
        pixels(slice(20 * (k // 25), 20 * (k // 25) + 20), slice(20 * (k % 25), 20 * (k % 25) + 20)) for k in chosen
    ]
    classes = [["dry", "water"][int(truth[20 * (k // 25), 20 * (k % 25)])] for k in chosen]
    write(
        tmp_path / "v.gpkg",
        [shape.buffer(-1, join_style="mitre") for shape in shapes],
        state=classes,
        site=[f"s{k % 60}" for k in range(120)],
    )
    record = measure(scene, tmp_path / "out", "area.truth=state", validation=tmp_path / "v.gpkg")
    flooded, land = record["total"]["flooded"], record["total"]["land_m2"]
    wrong = mask[::20, ::20].ravel()[chosen] != truth[::20, ::20].ravel()[chosen]
    mapped = mask[::20, ::20].ravel()[chosen]
    shares = np.array([wrong[mapped == 0].mean(), 1 - wrong[mapped == 1].mean()])
    assert flooded["adjusted_m2"] == pytest.approx(
        land * (mask.mean() * shares[1] + (1 - mask.mean()) * shares[0]), rel=1e-3
    )
    assert flooded["interval_95_m2"][0] < land * truth.mean() < flooded["interval_95_m2"][1]
    assert "by 120 validation places" in flooded["method"]
    together = measure(scene, tmp_path / "out", "area.truth=state", "area.place=site", validation=tmp_path / "v.gpkg")
    assert "by 60 validation places" in together["total"]["flooded"]["method"]


def spec_with_rates(threshold: float = 0.5) -> Any:
    random = np.random.default_rng(0)
    matrices = random.integers(10, 60, (40, 2, 2)) + np.eye(2, dtype=int) * random.integers(100, 900, (40, 2, 2))
    rates = ImageRates.of(matrices)
    assert rates is not None
    return make_spec(
        provenance={RATES_KEY: rates.to_record() | {"threshold": threshold, "temperature": 1.0, "part": "val"}}
    ), rates


def test_the_errors_in_the_record_of_the_model_adjust_the_area(tmp_path: Path) -> None:
    spec, rates = spec_with_rates()
    mask = np.zeros((100, 200), np.uint8)
    mask[:, :80] = 1
    write(
        tmp_path / "d.gpkg",
        [pixels(slice(0, 100), slice(0, 80)), pixels(slice(0, 100), slice(40, 120))],
        name=["wet", "half"],
    )
    record = measure(write_result(tmp_path / "map", mask, spec=spec), tmp_path / "out", districts=tmp_path / "d.gpkg")
    flooded, land = record["total"]["flooded"], record["total"]["land_m2"]
    expected = rates.predict(land * np.array([0.6, 0.4]), 1)
    assert expected is not None
    assert (flooded["adjusted_m2"], *flooded["interval_95_m2"]) == pytest.approx(
        (expected.area, expected.low, expected.high), rel=1e-4
    )
    wet, half = (one["flooded"] for one in record["districts"])
    assert wet["adjusted_m2"] is None and "100.0 % of it is mapped as water, the 40 images" in wet["method"]
    assert half["interval_95_m2"][0] < half["adjusted_m2"] < half["interval_95_m2"][1]
    said = " ".join(record["limits"])
    assert any("errors of the model are those on photos" in warning for warning in record["warnings"])
    assert "It does not cover other imagery" in said and "or other regions" in said and "best epoch" in said


def test_errors_of_other_masks_are_not_taken(tmp_path: Path) -> None:
    mask = np.zeros((100, 200), np.uint8)
    mask[:, :80] = 1
    for spec, properties, reason in (
        (spec_with_rates(0.3)[0], {}, "of threshold 0.3, the map a is of 0.5"),
        (spec_with_rates()[0], {"flood_seg:threshold": 0.7}, "of threshold 0.5, the map a is of 0.7"),
        (make_spec(), {}, "flood-seg evaluate --save on labelled images writes them"),
    ):
        scene = write_result(tmp_path / "a", mask, spec=spec, **properties)
        total = measure(scene, tmp_path / "out")["total"]
        assert total["flooded"]["interval_95_m2"] is None and reason in total["flooded"]["method"]
    scenes = [write_result(tmp_path / "a", mask, spec=spec_with_rates()[0]), write_result(tmp_path / "b", mask)]
    assert "models with different errors" in measure(scenes, tmp_path / "out")["total"]["flooded"]["method"]


def test_what_the_map_has_warned_of_is_repeated(tmp_path: Path) -> None:
    warnings = {"flood_seg:warnings": ["its values are unusual"], "flood_seg:failed_blocks": {"r0c1": "damaged"}}
    record = measure(write_result(tmp_path / "map", np.zeros((9, 9), np.uint8), **warnings), tmp_path / "out")
    assert record["warnings"][:2] == ["map: its values are unusual", "map: 1 block failed and count as not observed"]


def test_what_has_no_area_is_refused_before_anything_is_written(scene: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    photo = write_result(tmp_path / "photo", np.zeros((5, 5), np.uint8), crs=None)
    with pytest.raises(DataError, match="is not georeferenced.*gdal_translate -a_srs EPSG:32632 -a_ullr"):
        measure(photo, out)
    local = write_result(tmp_path / "local", np.zeros((5, 5), np.uint8), crs='LOCAL_CS["site",UNIT["metre",1]]')
    with pytest.raises(DataError, match="does not say where on the Earth it lies"):
        measure(local, out)
    write(tmp_path / "far.gpkg", [pixels(slice(90_000, 90_100), slice(0, 100))], name=["far"])
    with pytest.raises(DataError, match="lies elsewhere: none of its 1 shape touches a scene"):
        measure(scene, out, districts=tmp_path / "far.gpkg")
    with pytest.raises(DataError, match=r"has no field 'title'; its fields are name; area\.name=FIELD chooses it"):
        measure(scene, out, "area.name=title", districts=tmp_path / "far.gpkg")
    write(
        tmp_path / "v.gpkg", [shapely.Point(WEST, NORTH), pixels(slice(0, 9), slice(0, 9))], **{"class": ["dry", "dry"]}
    )
    with pytest.raises(DataError, match="has points and polygons"):
        measure(scene, out, validation=tmp_path / "v.gpkg")
    write(tmp_path / "w.gpkg", [shapely.Point(WEST, NORTH)], **{"class": ["perhaps"]})
    with pytest.raises(
        DataError, match=r"no value of the field class is a class of the map \(perhaps\); its values may be"
    ):
        measure(scene, out, validation=tmp_path / "w.gpkg")
    other = write_result(tmp_path / "other", np.zeros((5, 5), np.uint8), spec=make_spec(class_names=("land", "water")))
    with pytest.raises(UsageError, match="has other classes than"):
        measure([scene, other], out)
    with pytest.raises(UsageError, match="would be overwritten"):
        measure(
            scene,
            tmp_path,
            districts=write(tmp_path / "districts.gpkg", [pixels(slice(0, 9), slice(0, 9))], name=["a"]),
        )
    with pytest.raises(UsageError, match="--results is missing"):
        flood_area()
    with pytest.raises(FloodSegError, match="is not a folder"):
        measure(tmp_path / "nothing", out)
    assert not out.exists()
