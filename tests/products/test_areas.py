"""Polygons of a scene's classes against hand-computed cases, other formulations and other libraries."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyogrio
import pyproj
import pytest
import rasterio
import shapely
from rasterio.features import rasterize
from rasterio.transform import Affine, from_origin
from scipy.ndimage import gaussian_filter, label

from flood_seg.config.compose import compose
from flood_seg.config.schema.scenes import MapConfig, MapOptions
from flood_seg.errors import ConfigError, ImageError, OutputError
from flood_seg.products.layers import NODATA
from flood_seg.products.vectors import class_means
from flood_seg.products.vectors.areas import ClassAreas, write_areas
from tests.conftest import make_spec

UTM = {"crs": "EPSG:32632", "transform": from_origin(500_000, 5_600_000, 2, 2)}
WATER = make_spec()
CLASSES = make_spec(task="multiclass", class_names=("land", "river", "lake", "sea"), label_values=(0, 1, 2, 3))


def options(*overrides: str) -> MapOptions:
    return compose("map", [f"map.{one}" for one in overrides], MapConfig).map


def write_layers(folder: Path, mask: np.ndarray, probability: np.ndarray | None = None, **place: object) -> Path:
    """Writes mask.tif and probability.tif, uint8 [bands, H, W] in steps of 0.005, in small blocks."""
    folder.mkdir(exist_ok=True)
    common = {"driver": "GTiff", "height": mask.shape[0], "width": mask.shape[1], "dtype": "uint8", "nodata": NODATA,
              "tiled": True, "blockxsize": 16, "blockysize": 16} | place  # fmt: skip
    with rasterio.open(folder / "mask.tif", "w", count=1, **common) as out:
        out.write(mask.astype(np.uint8), 1)
    if probability is not None:
        with rasterio.open(folder / "probability.tif", "w", count=len(probability), **common) as out:
            out.write(probability.astype(np.uint8))
            out.scales = [0.005] * out.count
    return folder


def read(path: Path) -> tuple[dict[str, np.ndarray], np.ndarray, dict]:
    """Returns fields by name, shapely geometries and pyogrio's description."""
    meta, _, geometry, values = pyogrio.raw.read(path)
    return dict(zip(meta["fields"], values, strict=True)), shapely.from_wkb(geometry), meta


def areas(folder: Path, mask: np.ndarray, *overrides: str, spec=WATER, place=UTM) -> tuple:
    """Writes areas.gpkg of a mask without probabilities and reads it back."""
    write_areas(write_layers(folder, mask, **place), spec, options("probability=none", *overrides))
    return read(folder / "areas.gpkg")


def ponds(height: int = 150, width: int = 170, classes: int = 2, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(classes, height, width))
    return gaussian_filter(noise, (0, 4, 4)).argmax(axis=0).astype(np.uint8)


def drawn(shapes: np.ndarray, values: np.ndarray, mask: np.ndarray, transform: Affine) -> np.ndarray:
    return rasterize(zip(shapes, values, strict=True), mask.shape, transform=transform, dtype="uint8")


def test_squares_with_a_hole(tmp_path: Path) -> None:
    mask = np.zeros((40, 50))
    mask[10:20, 5:25] = 1
    mask[12:15, 8:12] = 0
    mask[30:32, 40:45] = 1
    probability = np.full((1, 40, 50), 20)
    probability[0, 10:20, 5:25] = 100
    probability[0, 19, 5:25] = 200
    probability[0, 30:32, 40:45] = 160
    summary = write_areas(write_layers(tmp_path, mask, probability, **UTM), WATER, options())
    fields, shapes, meta = read(tmp_path / "areas.gpkg")
    assert list(fields) == ["class", "area_m2", "perimeter_m", "mean_probability", "touches_edge"]
    assert meta["crs"] == "EPSG:32632" and meta["geometry_type"] == "Polygon"
    hole = shapely.box(500_016, 5_600_000 - 30, 500_024, 5_600_000 - 24)
    lake = shapely.box(500_010, 5_600_000 - 40, 500_050, 5_600_000 - 20) - hole
    pond = shapely.box(500_080, 5_600_000 - 64, 500_090, 5_600_000 - 60)
    assert [shapely.equals(one, other) for one, other in zip(shapes, (lake, pond), strict=True)] == [True, True]
    # At the central meridian the scale of UTM is 0.9996.
    assert fields["area_m2"] == pytest.approx(np.array([800 - 48, 40]) / 0.9996**2, rel=1e-6)
    assert fields["perimeter_m"] == pytest.approx(np.array([120 + 28, 28]) / 0.9996, rel=1e-6)
    assert fields["mean_probability"] == pytest.approx([(168 * 0.5 + 20 * 1) / 188, 0.8])
    assert fields["touches_edge"].tolist() == [False, False]
    assert summary == {"water": ClassAreas(2, pytest.approx(fields["area_m2"].sum()))}


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32633", from_origin(300_000, 6_700_000, 500, 500)),
        ("EPSG:4326", from_origin(-3, 52, 0.01, 0.01)),
        ("EPSG:4326", Affine(0.001, 0.0004, 170, 0.0003, -0.001, -40)),
        ("EPSG:2154", Affine(8.66, 5.0, 7e5, 5.0, -8.66, 6.6e6)),
        ("EPSG:3857", from_origin(1_200_000, 8_400_000, 30, 30)),
    ],
)
def test_areas_are_those_of_an_equal_area_projection(crs: str, transform: Affine, tmp_path: Path) -> None:
    mask = ponds()
    mask[:70, :90] = 1
    mask[20:40, 20:80] = 0
    fields, shapes, _ = areas(tmp_path, mask, place={"crs": crs, "transform": transform})
    # Cylindrical, on the ellipsoid, with straight edges in the scene's own CRS cut into pieces of a tenth of a pixel.
    fine = shapely.segmentize(shapes, abs(transform.determinant) ** 0.5 / 10)
    flat = pyproj.Transformer.from_crs(crs, "+proj=cea +ellps=" + pyproj.CRS(crs).ellipsoid.name.replace(" ", "")
                                       .replace("GRS1980", "GRS80"), always_xy=True)  # fmt: skip
    expected = shapely.area(shapely.transform(fine, lambda xy: np.column_stack(flat.transform(*xy.T))))
    np.testing.assert_allclose(fields["area_m2"], expected, rtol=2e-5)
    assert np.array_equal(drawn(shapes, fields["area_m2"] * 0 + 1, mask, transform), mask)


def test_polygons_are_the_regions_of_pixels_that_share_edges(tmp_path: Path) -> None:
    """Against SciPy's labels, on noise, whose regions touch at corners everywhere and span many blocks."""
    mask = (np.random.default_rng(0).random((90, 100)) < 0.55).astype(np.uint8)
    probability = np.random.default_rng(1).integers(0, 201, (1, 90, 100))
    write_areas(write_layers(tmp_path, mask, probability, **UTM), WATER, options())
    fields, shapes, _ = read(tmp_path / "areas.gpkg")
    regions, count = label(mask)
    assert len(shapes) == count and shapely.is_valid(shapes).all()
    found = np.zeros(mask.shape, np.uint16)
    rasterize(zip(shapes, range(1, count + 1), strict=True), out=found, transform=UTM["transform"])
    pairs = np.unique(np.stack([regions[mask > 0], found[mask > 0]]), axis=1)
    assert pairs.shape[1] == count and np.array_equal(found > 0, mask > 0)
    means = np.bincount(found.ravel(), probability.ravel())[1:] / np.bincount(found.ravel())[1:] * 0.005
    np.testing.assert_allclose(fields["mean_probability"], means, atol=1e-9)
    edge = np.unique(np.concatenate([found[0], found[-1], found[:, 0], found[:, -1]]))
    assert np.array_equal(np.flatnonzero(fields["touches_edge"]) + 1, edge[edge > 0])


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_mean_probabilities_of_parts_of_a_large_raster(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(class_means, "ROWS", 16)
    monkeypatch.setattr(class_means, "COLS", 7)
    random = np.random.default_rng(2)
    mask = ponds(90, 100, 4)
    mask[:10] = NODATA
    probability = random.integers(0, 201, (4, 90, 100)).astype(np.uint8)
    probability[:, :10] = NODATA
    write_layers(tmp_path, mask, probability, **UTM)
    if kind == "float32":
        values = np.where(probability == NODATA, np.nan, probability * 0.005)
        with rasterio.open(tmp_path / "probability.tif", "w", driver="GTiff", height=90, width=100, count=4,
                           dtype="float32", **UTM) as out:  # fmt: skip
            out.write(values.astype(np.float32))
    write_areas(tmp_path, CLASSES, options(f"probability={kind}"))
    fields, shapes, _ = read(tmp_path / "areas.gpkg")
    names = list(CLASSES.class_names)
    for shape, name, mean in zip(shapes, fields["class"], fields["mean_probability"], strict=True):
        inside = drawn([shape], [1], mask, UTM["transform"]) > 0
        assert (mask[inside] == names.index(name)).all()
        assert mean == pytest.approx(probability[names.index(name)][inside].mean() * 0.005, abs=1e-6)


def test_the_background_may_have_any_value(tmp_path: Path) -> None:
    spec = make_spec(label_values=(7, 3))
    mask = np.where(ponds() == 1, 3, 7)
    mask[:20, :30] = NODATA
    fields, shapes, _ = areas(tmp_path, mask, spec=spec)
    assert np.array_equal(drawn(shapes, np.ones(len(shapes)), mask, UTM["transform"]) == 1, mask == 3)
    assert set(fields["class"]) == {"water"}


def test_pixels_without_data_are_an_edge(tmp_path: Path) -> None:
    mask = np.zeros((30, 30))
    mask[5:8, 5:8] = 1
    mask[20:25, 20:25] = 1
    mask[22, 22] = NODATA
    mask[0:4, 10:20] = NODATA
    mask[4:6, 12:14] = 1
    mask[12:15, 27:30] = 1
    fields, shapes, _ = areas(tmp_path, mask)
    left = (shapely.bounds(shapes)[:, 0] - 500_000) / 2
    assert dict(zip(left.tolist(), fields["touches_edge"].tolist(), strict=True)) == {
        5: False, 12: True, 20: True, 27: True,
    }  # fmt: skip


def test_small_polygons_and_holes(tmp_path: Path) -> None:
    mask = np.zeros((40, 60))
    mask[2:22, 2:32] = 1
    mask[4:6, 4:7] = 0  # 6 pixels: filled
    mask[4:7, 10:13] = 0  # 9: stays
    mask[10:20, 10:20] = 0  # holds an island
    mask[14:17, 14:17] = 1  # 9 pixels
    mask[30:32, 30:34] = 1  # 8 pixels: left out
    kept = mask.copy()
    kept[30:32, 30:34] = 0
    kept[4:6, 4:7] = 1
    area = 4 / 0.9996**2
    fields, shapes, _ = areas(tmp_path, mask, f"min_area={8.9 * area}", f"min_hole={8.9 * area}")
    assert np.array_equal(drawn(shapes, np.ones(2), mask, UTM["transform"]), kept)
    # A hole that holds a polygon stays, however small it is; else the two would overlap.
    fields, shapes, _ = areas(tmp_path, mask, f"min_area={8.9 * area}", f"min_hole={500 * area}")
    kept[4:7, 10:13] = 1
    assert np.array_equal(drawn(shapes, np.ones(2), mask, UTM["transform"]), kept)
    assert fields["area_m2"] == pytest.approx(np.array([500, 9]) * area, rel=1e-6) or fields[
        "area_m2"
    ] == pytest.approx(np.array([9, 500]) * area, rel=1e-6)
    # Once the island is left out, its hole is filled.
    fields, shapes, _ = areas(tmp_path, mask, f"min_area={10 * area}", f"min_hole={500 * area}")
    assert fields["area_m2"] == pytest.approx([600 * area], rel=1e-6)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("overrides", [("simplify=1.5",), ("smooth=2",), ("smooth=2", "simplify=0.3")])
def test_outlines_stay_a_coverage(classes: int, overrides: tuple[str, ...], tmp_path: Path) -> None:
    mask = ponds(classes=classes)
    spec = CLASSES if classes > 2 else WATER
    _, exact, _ = areas(tmp_path, mask, spec=spec)
    fields, shapes, _ = areas(tmp_path, mask, *overrides, spec=spec)
    assert shapely.is_valid(shapes).all() and shapely.coverage_is_valid(shapes)
    assert shapely.get_num_coordinates(shapes).sum() < shapely.get_num_coordinates(exact).sum() * 3
    assert shapely.length(shapes).sum() < 0.9 * shapely.length(exact).sum()
    if "smooth=2" in overrides:
        np.testing.assert_allclose(shapely.area(shapes), shapely.area(exact), rtol=0.005, atol=4)
        assert (shapely.hausdorff_distance(shapes, exact) < 2).all()  # a pixel
    flat = shapely.area(shapes) / fields["area_m2"]
    np.testing.assert_allclose(flat, 0.9996**2, rtol=1e-5)


def test_smooth_outlines_of_noise_are_valid(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).integers(0, 4, (60, 70))
    _, exact, _ = areas(tmp_path, mask, spec=CLASSES)
    _, shapes, _ = areas(tmp_path, mask, "smooth=4", spec=CLASSES)
    assert shapely.is_valid(shapes).all() and shapely.coverage_is_valid(shapes)
    assert shapely.area(shapes).sum() == pytest.approx(shapely.area(exact).sum(), rel=0.01)


def test_a_smooth_disc_is_round(tmp_path: Path) -> None:
    rows, cols = np.mgrid[:101, :101] - 50
    mask = rows**2 + cols**2 < 40**2
    _, (shape,), _ = areas(tmp_path, mask, "smooth=3")
    radii = np.hypot(*(shapely.get_coordinates(shape) - [500_101, 5_600_000 - 101]).T) / 2
    assert radii.std() < 0.15 and radii.mean() == pytest.approx(np.sqrt(mask.sum() / np.pi), abs=0.02)
    assert shapely.length(shape) / 2 == pytest.approx(2 * np.pi * 40, rel=0.01)  # 27 % more along pixels


def test_formats_in_wgs84(tmp_path: Path) -> None:
    mask = ponds(60, 70)
    write_areas(write_layers(tmp_path, mask, **UTM), WATER,
                options("probability=none", "vectors=[gpkg,fgb,geojson,kml]"))  # fmt: skip
    fields, shapes, _ = read(tmp_path / "areas.gpkg")
    moved = pyproj.Transformer.from_crs("EPSG:32632", "EPSG:4326", always_xy=True)
    expected = shapely.transform(shapes, lambda xy: np.column_stack(moved.transform(*xy.T)))
    for suffix in ("fgb", "geojson", "kml"):
        others, found, meta = read(tmp_path / f"areas.{suffix}")
        order = np.argsort(others["area_m2"], kind="stable"), np.argsort(fields["area_m2"], kind="stable")
        assert meta["crs"] == ("EPSG:32632" if suffix == "fgb" else "EPSG:4326")
        np.testing.assert_allclose(np.sort(others["area_m2"].astype(float)), np.sort(fields["area_m2"]), rtol=1e-9)
        truth = shapes if suffix == "fgb" else expected
        np.testing.assert_allclose(
            shapely.bounds(found[order[0]])[-5:], shapely.bounds(truth[order[1]])[-5:], atol=2e-7
        )
    content = json.loads((tmp_path / "areas.geojson").read_text())
    assert "crs" not in content  # RFC 7946
    rings = [shapely.linearrings(one["geometry"]["coordinates"][0]) for one in content["features"]]
    assert shapely.is_ccw(rings).all()
    assert {one["properties"]["mean_probability"] for one in content["features"]} == {None}


def test_a_geojson_is_cut_at_the_antimeridian(tmp_path: Path) -> None:
    # 180° is at 166 km E.
    place = {"crs": "EPSG:32601", "transform": from_origin(150_000, 500_000, 1000, 1000)}
    mask = np.zeros((20, 30))
    mask[5:15, 2:28] = 1
    write_areas(write_layers(tmp_path, mask, **place), WATER, options("probability=none", "vectors=[geojson]"))
    _, (shape,), _ = read(tmp_path / "areas.geojson")
    assert shape.geom_type == "MultiPolygon" and shapely.is_valid(shape)
    assert shapely.area(shape) == pytest.approx(260 / 111.2**2, rel=0.02)


def test_without_georeference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask = np.zeros((20, 30))
    mask[5:8, 10:16] = 1
    mask[6, 12] = 0
    mask[15, 20] = 1
    write_layers(tmp_path, mask)
    summary = write_areas(tmp_path, WATER, options("probability=none", "min_area=2", "vectors=[gpkg,geojson]"))
    fields, (shape,), meta = read(tmp_path / "areas.gpkg")
    assert shapely.bounds(shape).tolist() == [10, -8, 16, -5] and meta["crs"] is None
    assert np.isnan(fields["area_m2"]).all() and np.isnan(fields["perimeter_m"]).all()
    assert fields["area_px"].tolist() == [17]
    assert summary == {"water": ClassAreas(1, None)}
    assert not (tmp_path / "areas.geojson").exists()
    assert "areas.geojson: is not written" in capsys.readouterr().err


@pytest.mark.parametrize("overrides", [(), ("smooth=1", "simplify=1", "min_hole=5")])
def test_nothing_found(overrides: tuple[str, ...], tmp_path: Path) -> None:
    write_layers(tmp_path, np.zeros((20, 30)), np.zeros((1, 20, 30)), **UTM)
    every = "vectors=[gpkg,fgb,geojson,kml]"
    assert write_areas(tmp_path, WATER, options(every, *overrides)) == {"water": ClassAreas(0, 0)}
    for suffix in ("gpkg", "fgb"):
        fields, shapes, meta = read(tmp_path / f"areas.{suffix}")
        assert len(shapes) == 0 and meta["crs"] == "EPSG:32632"
        assert list(fields) == ["class", "area_m2", "perimeter_m", "mean_probability", "touches_edge"]
    assert json.loads((tmp_path / "areas.geojson").read_text())["features"] == []
    assert "<kml" in (tmp_path / "areas.kml").read_text()


def test_a_polygon_smaller_than_the_tolerance_stays(tmp_path: Path) -> None:
    mask = np.zeros((20, 30))
    mask[5, 5] = 1
    mask[10:13, 10:13] = 1
    mask[11, 11] = 0
    _, shapes, _ = areas(tmp_path, mask, "simplify=10")
    assert len(shapes) == 2 and (shapely.area(shapes) > 0).all() and shapely.is_valid(shapes).all()


@pytest.mark.parametrize("suffix", ["gpkg", "fgb", "geojson", "kml"])
def test_the_same_polygons_make_the_same_bytes(suffix: str, tmp_path: Path) -> None:
    write_layers(tmp_path, ponds(), **UTM)
    chosen = options("probability=none", f"vectors=[{suffix}]")
    write_areas(tmp_path, WATER, chosen)
    path = tmp_path / f"areas.{suffix}"
    first = path.read_bytes()
    write_areas(tmp_path, WATER, chosen)
    assert path.read_bytes() == first
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(["mask.tif", path.name])


def test_files_of_an_earlier_run_go(tmp_path: Path) -> None:
    write_layers(tmp_path, ponds(60, 70), **UTM)
    write_areas(tmp_path, WATER, options("probability=none", "vectors=[fgb,kml]"))
    write_areas(tmp_path, WATER, options("probability=none"))
    assert sorted(file.name for file in tmp_path.glob("areas*")) == ["areas.gpkg"]


def test_no_format(tmp_path: Path) -> None:
    assert write_areas(tmp_path, WATER, options("vectors=[]")) == {}


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"map.vectors=shp: allowed are gpkg, fgb, geojson, kml"):
        options("vectors=[shp]")
    with pytest.raises(ConfigError, match="map.smooth=11"):
        options("smooth=11")
    with pytest.raises(ConfigError, match="map.min_area=-1"):
        options("min_area=-1")
    with pytest.raises(ImageError, match="mask.tif"):
        write_areas(tmp_path, WATER, options())
    write_layers(tmp_path, ponds(), **UTM)
    with pytest.raises(ImageError, match="probability.tif"):
        write_areas(tmp_path, WATER, options())
    (tmp_path / "areas.gpkg").mkdir()
    with pytest.raises(OutputError, match="areas.gpkg"):
        write_areas(tmp_path, WATER, options("probability=none"))
