"""`flood-seg map --before`, `--permanent` and `--cloud` against hand-computed rasters and another way to warp."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyogrio
import pystac
import pytest
import rasterio
import shapely
from onnx import TensorProto, helper, numpy_helper
from rasterio.enums import Resampling
from rasterio.transform import Affine, from_origin
from rasterio.warp import reproject, transform_bounds
from scipy.ndimage import gaussian_filter, shift

from flood_seg.analysis.comparison.change import changes, check_times
from flood_seg.analysis.comparison.shift import measure_shift
from flood_seg.analysis.result import MapResult, open_results
from flood_seg.cli.main import main
from flood_seg.config.compose import compose
from flood_seg.config.schema.scenes import MapConfig
from flood_seg.imaging.bands import BandSelection
from flood_seg.scenes.scene import Scene
from flood_seg.spec import METADATA_KEY
from tests.conftest import make_spec

PLACE = {"crs": "EPSG:32632", "transform": from_origin(500_000, 5_000_000, 10, 10)}
DRY, NEW, RECEDED, STILL = 0, 1, 2, 3
BARE = ("map.page=false", "map.vectors=[]")
TIME = datetime(2026, 7, 10, tzinfo=UTC)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose water is where blue is 200 and not 100."""
    spec = make_spec(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), label_values=(0, 1))
    kernel = np.array([0, 0, 100], np.float32).reshape(1, 3, 1, 1)
    node = helper.make_node("Conv", ["input", "w", "b"], ["output"])
    graph = helper.make_graph(
        [node],
        "blue",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, "height", "width"])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 1, "height", "width"])],
        [numpy_helper.from_array(kernel, "w"), numpy_helper.from_array(np.array([-60], np.float32), "b")],
    )
    found = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(found, {METADATA_KEY: spec.to_json()})
    path = tmp_path_factory.mktemp("model") / "blue.onnx"
    onnx.save(found, path)
    return path


def write_scene(
    path: Path, water: np.ndarray, place: dict[str, Any] = PLACE, time: datetime | None = TIME, valid: Any = True
) -> Path:
    """Writes an image of rough ground: blue is 200 on water, else 100; 0, no data, where not `valid`."""
    random = np.random.default_rng(7)
    texture = gaussian_filter(random.normal(0, 1, water.shape), 1.5)
    red = 120 + 60 * texture / np.abs(texture).max()
    image = np.stack([red, red, np.where(water, 200, 100)]).astype(np.uint8) * np.asarray(valid, np.uint8)
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "height": water.shape[0], "width": water.shape[1]}
    with rasterio.open(path, "w", nodata=0, **profile, **place) as out:
        out.write(image)
        if time:
            out.update_tags(TIFFTAG_DATETIME=f"{time:%Y:%m:%d %H:%M:%S}")
    return path


def run(model: Path, image: Path, out: Path, *more: str) -> int:
    try:
        main(["map", "--model", str(model), "--image", str(image), "--out", str(out), *more, "map.block_size=128"])
    except SystemExit as done:
        return int(done.code or 0)
    return 0


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def lakes(height: int = 160, width: int = 200, seed: int = 0) -> np.ndarray:
    return gaussian_filter(np.random.default_rng(seed).normal(0, 1, (height, width)), 8) > 0.01


def test_values_of_the_change() -> None:
    before, after, known = (
        np.array([[0, 0, 1, 1, 1]], bool),
        np.array([[0, 1, 0, 1, 1]], bool),
        np.array([[1, 1, 1, 1, 0]]),
    )
    assert changes(before, after, known > 0).tolist() == [[DRY, NEW, RECEDED, STILL, 255]]


def test_change_since_an_image(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = lakes(seed=1), lakes(seed=2)
    unseen = np.zeros_like(after)
    unseen[:20, :30] = True
    earlier = write_scene(tmp_path / "early.tif", before, time=datetime(2026, 6, 20, tzinfo=UTC))
    scene, out = write_scene(tmp_path / "late.tif", after, valid=~unseen), tmp_path / "map"
    assert run(model, scene, out, "--before", str(earlier)) == 0
    assert (read(out / "before" / "mask.tif") == before).all()
    expected = np.where(after, np.where(before, STILL, NEW), np.where(before, RECEDED, DRY))
    expected[unseen] = 255
    assert (read(out / "change.tif") == expected).all()
    with rasterio.open(out / "change.tif") as layer:
        assert layer.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert (layer.nodata, layer.tags(1)["CLASS_1"], layer.overviews(1)) == (255, "new_water", [])
        assert (layer.crs, layer.transform) == (PLACE["crs"], PLACE["transform"])
    found = load(out / "change.json")
    names = {"dry": 0, "new_water": 1, "receded": 2, "still_water": 3, "not_observed": 255}
    assert {name: one["pixels"] for name, one in found["classes"].items()} == {
        name: np.count_nonzero(expected == value) for name, value in names.items()
    }
    scale = 100 / 0.9996**2  # of UTM at its central meridian
    for name, value in names.items():
        assert found["classes"][name]["area_m2"] == pytest.approx((expected == value).sum() * scale, rel=1e-4)
    assert found["before"] == {"name": "early", "time": "2026-06-20T00:00:00Z", "source": str(earlier)}
    assert found["after"] == {"name": "late", "time": "2026-07-10T00:00:00Z", "source": str(scene)}
    assert found["warnings"] == []
    assert np.hypot(*found["shift_px"]) < 0.1
    meta, _, wkb, fields = pyogrio.raw.read(out / "change.gpkg")
    values = dict(zip(meta["fields"], fields, strict=True))
    for name in ("new_water", "receded", "still_water"):
        total = values["area_m2"][values["class"] == name].sum()
        assert total == pytest.approx(found["classes"][name]["area_m2"], rel=1e-3)
    assert shapely.is_valid(shapely.from_wkb(wkb)).all()
    assert values["mean_probability"][values["class"] == "new_water"].min() > 0.99
    assert values["mean_probability"][values["class"] == "receded"].max() < 0.01
    item = pystac.Item.from_file(out / "item.json")
    assert {"change_tif", "change_gpkg", "change_json"} <= set(item.assets)
    assert item.properties["flood_seg:change_area_m2"]["new_water"] == found["classes"]["new_water"]["area_m2"]
    assert "Change since early" in (out / "map.html").read_text()
    assert "% new_water" in capsys.readouterr().out
    result = MapResult.open(out)
    flooded = np.concatenate([strip for _, strip in result.flood.strips()])
    assert (flooded == 1).sum() == (expected == NEW).sum()


def warped(values: np.ndarray, source: dict[str, Any], target: dict[str, Any], shape: tuple[int, int], how: Resampling):
    """As QGIS would: 255 where there is nothing."""
    found = np.full(shape, 255, np.uint8)
    reproject(values.astype(np.uint8), found, src_crs=source["crs"], src_transform=source["transform"],
              dst_crs=target["crs"], dst_transform=target["transform"], resampling=how,
              init_dest_nodata=False)  # fmt: skip
    return found


@pytest.mark.parametrize("pixel", [13.0, 3.0])
def test_an_earlier_map_of_another_grid(pixel: float, model: Path, tmp_path: Path) -> None:
    after = lakes(120, 150, 3)
    scene, out = write_scene(tmp_path / "late.tif", after), tmp_path / "map"
    left, bottom, right, top = transform_bounds(PLACE["crs"], "EPSG:3857", 500_300, 4_998_800, 501_700, 5_000_100)
    scale = 1.41  # of Web Mercator at that latitude
    place = {"crs": "EPSG:3857", "transform": from_origin(left, top, pixel * scale, pixel * scale)}
    size = int((top - bottom) / pixel / scale), int((right - left) / pixel / scale)
    before = lakes(*size, seed=4)
    run(model, write_scene(tmp_path / "early.tif", before, place, datetime(2026, 7, 1, tzinfo=UTC)), tmp_path / "early")
    assert run(model, scene, out, "--before", str(tmp_path / "early"), *BARE) == 0
    assert not (out / "before").exists()
    how = Resampling.nearest if pixel > 10 else Resampling.mode
    expected = warped(before, place, PLACE, after.shape, how)
    known = warped(before, place, PLACE, after.shape, Resampling.nearest) != 255
    change = read(out / "change.tif")
    assert ((change != 255) == known).all()
    assert 0.3 < known.mean() < 0.9
    assert (np.isin(change[known], (RECEDED, STILL)) == (expected[known] == 1)).all()
    assert (np.isin(change[known], (NEW, STILL)) == after[known]).all()


def test_a_rerun_makes_anew_what_has_another_input(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    earlier, scene = (
        write_scene(tmp_path / "early.tif", lakes(seed=1)),
        write_scene(tmp_path / "late.tif", lakes(seed=2)),
    )
    out, more = tmp_path / "map", ("--before", str(earlier), *BARE)
    assert run(model, scene, out, *more) == 0
    mask, change = (out / "mask.tif").stat().st_mtime_ns, (out / "change.tif").stat().st_mtime_ns
    capsys.readouterr()
    assert run(model, scene, out, *more) == 0
    assert capsys.readouterr().out.count("skipped, it is complete") == 2
    assert (out / "change.tif").stat().st_mtime_ns == change
    write_scene(earlier, lakes(seed=5))
    assert run(model, scene, out, *more) == 0
    shown = capsys.readouterr().out
    assert "its layers are complete; the other files are made anew" in shown
    assert (out / "change.tif").stat().st_mtime_ns > change
    assert (out / "mask.tif").stat().st_mtime_ns == mask
    assert (np.isin(read(out / "change.tif"), (RECEDED, STILL)) == lakes(seed=5)).all()
    assert run(model, scene, out, *BARE) == 0  # what is not asked for any more must not mislead
    assert not list(out.glob("change.*"))


def test_several_scenes_are_compared_with_one_map(model: Path, tmp_path: Path) -> None:
    earlier, scenes, out = write_scene(tmp_path / "early.tif", lakes(seed=1)), tmp_path / "scenes", tmp_path / "maps"
    scenes.mkdir()
    for name in "ab":
        write_scene(scenes / f"{name}.tif", lakes(seed=ord(name)))
    assert run(model, scenes, out, "--before", str(earlier), *BARE) == 0
    assert (out / "before" / "item.json").is_file()
    assert [result.name for result in open_results([out])] == ["a", "b"]
    for name in "ab":
        assert (np.isin(read(out / name / "change.tif"), (NEW, STILL)) == lakes(seed=ord(name))).all()


def test_wrong_earlier_images(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene, out = write_scene(tmp_path / "late.tif", lakes()), tmp_path / "map"
    elsewhere = {"crs": "EPSG:32632", "transform": from_origin(600_000, 5_000_000, 10, 10)}
    far = write_scene(tmp_path / "far.tif", lakes(), elsewhere)
    unlocated = write_scene(tmp_path / "unlocated.tif", lakes(), {})
    (tmp_path / "empty").mkdir()
    for given, message in [(scene, "itself; give an earlier image"), (far, "lies elsewhere than"),
                           (unlocated, "is not georeferenced by a CRS"), (tmp_path / "empty", "a folder without item"),
                           (tmp_path / "none.tif", "does not exist")]:  # fmt: skip
        assert run(model, scene, out, "--before", str(given)) == 2
        error = capsys.readouterr().err
        assert message in error
        assert "Traceback" not in error
        assert not out.exists()
    run(model, scene, out, *BARE)
    assert run(model, scene, tmp_path / "other", "--before", str(out)) == 2
    assert "is the map of" in capsys.readouterr().err
    assert run(model, scene, out, "--before", str(out)) == 2
    assert "the folder of the results themselves" in capsys.readouterr().err


def test_order_and_season() -> None:
    def days(*dates: tuple[int, int, int]) -> list[str]:
        return check_times("early", *(datetime(*date, tzinfo=UTC) for date in dates), most_days=60)

    assert (
        days((2026, 1, 5), (2026, 2, 5))
        == days((2025, 12, 20), (2026, 1, 20))
        == days((2021, 7, 1), (2026, 7, 1))
        == []
    )
    assert "another season, 181 days" in days((2026, 1, 1), (2026, 7, 1))[0]
    assert "is later than the scene" in days((2026, 7, 2), (2026, 7, 1))[0]
    assert "is not known" in check_times("early", None, TIME, 60)[0]


def land(height: int, width: int, seed: int = 11) -> np.ndarray:
    random = np.random.default_rng(seed)
    fine = gaussian_filter(random.normal(0, 1, (height, width)), 1.2)
    coarse = gaussian_filter(random.normal(0, 1, (height, width)), 10)
    return 120 + 40 * fine / fine.std() / 2 + 40 * coarse / coarse.std() / 2


def write_grey(path: Path, grey: np.ndarray, transform: Affine = PLACE["transform"]) -> Path:
    values = np.repeat(grey.clip(1, 255).astype(np.uint8)[None], 3, axis=0)
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "height": grey.shape[0], "width": grey.shape[1]}
    with rasterio.open(path, "w", crs=PLACE["crs"], transform=transform, **profile) as out:
        out.write(values)
    return path


def shift_between(before: Path, after: Path):
    bands = BandSelection.of(make_spec())
    with Scene.open(before, bands) as one, Scene.open(after, bands) as other:
        return measure_shift(one, other)


@pytest.mark.parametrize("offset", [(0.0, 0.0), (0.4, -0.3), (-2.25, 3.5), (11.0, 7.6)])
def test_a_known_shift_is_measured(offset: tuple[float, float], tmp_path: Path) -> None:
    rows, cols = offset
    ground = land(420, 460)
    moved = shift(ground, (rows, cols), order=5, mode="reflect")
    flooded = moved.copy()
    flooded[100:250, 60:200] = np.random.default_rng(0).normal(60, 5, (150, 140))  # another surface
    found = shift_between(write_grey(tmp_path / "a.tif", flooded), write_grey(tmp_path / "b.tif", ground * 0.8 + 20))
    assert (found.cols, found.rows) == (pytest.approx(cols, abs=0.03), pytest.approx(rows, abs=0.03))
    assert found.agreeing > found.windows / 2


def test_a_shift_in_the_georeference_and_another_resolution(tmp_path: Path) -> None:
    """The earlier image says that it lies 12.3 m, 1.23 pixels, east of where it does; its pixels are half as large."""
    ground = land(800, 840)
    fine = from_origin(500_000 + 12.3, 5_000_000, 5, 5)
    coarse = ground.reshape(400, 2, 420, 2).mean(axis=(1, 3))
    found = shift_between(write_grey(tmp_path / "a.tif", ground, fine), write_grey(tmp_path / "b.tif", coarse))
    assert (found.cols, found.rows) == (pytest.approx(1.23, abs=0.03), pytest.approx(0, abs=0.03))
    found = shift_between(write_grey(tmp_path / "b.tif", coarse), write_grey(tmp_path / "a.tif", ground, fine))
    assert (found.cols, found.rows) == (pytest.approx(-2.46, abs=0.06), pytest.approx(0, abs=0.06))


def test_images_with_nothing_in_common_have_no_shift(tmp_path: Path) -> None:
    for seed in range(3):
        pair = [write_grey(tmp_path / f"{one}.tif", land(420, 460, one)) for one in (100 + seed, 200 + seed)]
        found = shift_between(*pair)
        assert found.pixels is None
        assert found.windows > 8
    flat = write_grey(tmp_path / "flat.tif", np.full((420, 460), 90.0))
    assert shift_between(flat, pair[0]).pixels is None


def test_a_shift_is_warned_of(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    water = lakes()
    moved = {**PLACE, "transform": from_origin(500_030, 5_000_000, 10, 10)}
    earlier, scene = write_scene(tmp_path / "early.tif", water, moved), write_scene(tmp_path / "late.tif", water)
    assert run(model, scene, tmp_path / "map", "--before", str(earlier), *BARE) == 0
    assert "lies 3.0 pixels away (+" in capsys.readouterr().err
    assert load(tmp_path / "map" / "change.json")["shift_px"] == [pytest.approx(3, abs=0.1), pytest.approx(0, abs=0.1)]
    assert "lies 3.0 pixels away" in json.dumps(
        load(tmp_path / "map" / "item.json")["properties"]["flood_seg:warnings"]
    )
    assert run(model, scene, tmp_path / "map", "--before", str(earlier), *BARE, "change.max_shift=4") == 0
    assert "pixels away" not in capsys.readouterr().err


def write_polygons(path: Path, *boxes: tuple[float, float, float, float]) -> Path:
    shapes = np.array([shapely.box(*box) for box in boxes])
    pyogrio.raw.write(path, shapely.to_wkb(shapes), [np.arange(len(boxes))], ["id"], geometry_type="Polygon",
                      crs=PLACE["crs"])  # fmt: skip
    return path


def test_permanent_water_of_polygons(model: Path, tmp_path: Path) -> None:
    water = lakes()
    river = write_polygons(tmp_path / "river.gpkg", (500_000, 4_999_000, 500_605, 5_000_000), (0, 0, 9, 9))
    scene, out = write_scene(tmp_path / "late.tif", water), tmp_path / "map"
    assert run(model, scene, out, "--permanent", str(river), "map.page=false") == 0
    inside = np.zeros_like(water)
    inside[:100, :60] = True  # the centre of the 61st column lies on the edge
    flood = read(out / "flood.tif")
    assert (flood[:, np.r_[:60, 61:200]] == np.where(water, np.where(inside, 2, 1), 0)[:, np.r_[:60, 61:200]]).all()
    found = load(out / "flood.json")
    assert found["classes"]["permanent_water"]["pixels"] == (flood == 2).sum() > 100
    assert found["classes"]["flood"]["area_m2"] == pytest.approx((flood == 1).sum() * 100 / 0.9996**2, rel=1e-4)
    assert found["warnings"] == []
    assert (found["permanent"], found["threshold"]) == (str(river), None)
    meta, _, _, fields = pyogrio.raw.read(out / "flood.gpkg")
    assert set(dict(zip(meta["fields"], fields, strict=True))["class"]) == {"flood", "permanent_water"}
    result = MapResult.open(out)
    assert result.flood.path.name == "flood.tif"


def test_permanent_water_of_a_raster(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As JRC's: per cent in degrees, 255 without data; it does not cover all of the scene."""
    water, random = lakes(), np.random.default_rng(0)
    occurrence = random.choice(np.array([0, 20, 49, 50, 100, 255], np.uint8), (40, 45))
    place = {"crs": "EPSG:4326", "transform": from_origin(9.002, 45.153, 0.0005, 0.0004)}
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "height": 40, "width": 45}
    with rasterio.open(tmp_path / "jrc.tif", "w", **profile, **place) as out:
        out.write(occurrence, 1)
    scene, folder = write_scene(tmp_path / "late.tif", water), tmp_path / "map"
    assert run(model, scene, folder, "--permanent", str(tmp_path / "jrc.tif"), *BARE) == 0
    on_scene = warped(occurrence, place, PLACE, water.shape, Resampling.nearest)
    permanent = (on_scene >= 50) & (on_scene != 255)
    assert 0.1 < permanent.mean() < 0.9
    assert (read(folder / "flood.tif") == np.where(water, np.where(permanent, 2, 1), 0)).all()
    unknown = np.count_nonzero(water & (on_scene == 255))
    assert f"has no value at {unknown} pixels of water" in load(folder / "flood.json")["warnings"][0]
    assert f"has no value at {unknown} pixels of water" in capsys.readouterr().err
    assert run(model, scene, folder, "--permanent", str(tmp_path / "jrc.tif"), *BARE, "permanent.threshold=101") == 0
    assert "reaches 101 nowhere" in capsys.readouterr().err
    assert (read(folder / "flood.tif") == water).all()


def test_both_are_written_and_flood_decides(model: Path, tmp_path: Path) -> None:
    earlier, scene = write_scene(tmp_path / "early.tif", lakes(seed=1)), write_scene(tmp_path / "late.tif", lakes())
    river = write_polygons(tmp_path / "river.geojson", (500_000, 4_999_000, 500_600, 5_000_000))
    out = tmp_path / "map"
    assert run(model, scene, out, "--before", str(earlier), "--permanent", str(river), "map.vectors=[fgb]") == 0
    names = {path.name for path in out.iterdir()}
    assert {"change.tif", "change.fgb", "change.json", "flood.tif", "flood.fgb", "flood.json"} <= names
    assert MapResult.open(out).flood.path.name == "flood.tif"
    page = (out / "map.html").read_text()
    assert "Change since early" in page
    assert "Flood and permanent water" in page


def test_nothing_is_observed_below_clouds(model: Path, tmp_path: Path) -> None:
    water = lakes()
    clouds = write_polygons(tmp_path / "clouds.gpkg", (500_400, 4_999_500, 501_000, 4_999_900))
    scene, out = write_scene(tmp_path / "late.tif", water), tmp_path / "map"
    assert run(model, scene, out, "--cloud", str(clouds), "map.page=false") == 0
    hidden = np.zeros_like(water)
    hidden[10:50, 40:100] = True
    assert (read(out / "mask.tif") == np.where(hidden, 255, water)).all()
    assert ((read(out / "probability.tif") == 255) == hidden).all()
    found = pystac.Item.from_file(out / "item.json").properties
    assert found["flood_seg:unobserved_share"] == found["flood_seg:cloud_share"] == pytest.approx(hidden.mean())
    assert found["flood_seg:shares"]["water"] == pytest.approx((water & ~hidden).mean())
    whole = tmp_path / "whole"
    run(model, scene, whole, *BARE)
    total = pyogrio.raw.read(out / "areas.gpkg", columns=["area_m2"])[3][0].sum()
    assert total == pytest.approx(found["flood_seg:area_m2"]["water"], rel=1e-3)
    # Other clouds, other layers.
    other = write_polygons(tmp_path / "more.gpkg", (500_000, 4_999_500, 501_000, 4_999_900))
    assert run(model, scene, out, "--cloud", str(other), *BARE) == 0
    assert np.count_nonzero(read(out / "mask.tif") == 255) == 40 * 100
    assert run(model, scene, out, *BARE) == 0
    assert (out / "mask.tif").read_bytes() == (whole / "mask.tif").read_bytes()


@pytest.mark.parametrize(
    ("options", "cloudy"), [([], {1, 3, 8, 9}), (["cloud.values=[8,9]"], {8, 9}), (["cloud.bits=[3]"], {8, 9})]
)
def test_clouds_of_a_raster(options: list[str], cloudy: set[int], model: Path, tmp_path: Path) -> None:
    water = lakes()
    values = np.random.default_rng(0).choice(np.array([0, 1, 3, 8, 9, 99], np.uint8), water.shape)
    with rasterio.open(tmp_path / "scl.tif", "w", driver="GTiff", count=2, dtype="uint8", height=160, width=200,
                       nodata=99, **PLACE) as out:  # fmt: skip
        out.write(values, 2)
        out.set_band_description(2, "scl")
    scene, folder = write_scene(tmp_path / "late.tif", water), tmp_path / "map"
    more = ["--cloud", str(tmp_path / "scl.tif"), "cloud.band=scl", *options]
    assert run(model, scene, folder, *more, *BARE) == 0
    assert (read(folder / "mask.tif") == np.where(np.isin(values, list(cloudy)), 255, water)).all()
    warning = f"has no value at {np.count_nonzero(values == 99)} pixels"
    assert warning in load(folder / "item.json")["properties"]["flood_seg:warnings"][0]


def test_wrong_files_are_refused_before_the_work(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene, out = write_scene(tmp_path / "late.tif", lakes()), tmp_path / "map"
    (tmp_path / "text.gpkg").write_text("no polygons")
    elsewhere = {"crs": "EPSG:32632", "transform": from_origin(600_000, 5_000_000, 10, 10)}
    far = write_scene(tmp_path / "far.tif", lakes(), elsewhere)
    for flag in ("--permanent", "--cloud"):
        for given, message in [("none.gpkg", "does not exist"), (tmp_path / "text.gpkg", "cannot be read"),
                               (far, "lies elsewhere")]:  # fmt: skip
            assert run(model, scene, out, flag, str(given)) == 2
            assert message in capsys.readouterr().err
            assert not (out / "mask.tif").exists()
    assert run(model, scene, out, "--cloud", str(scene), "cloud.band=nir") == 2
    assert "has no band nir; its bands are" in capsys.readouterr().err
    photo = write_scene(tmp_path / "unlocated.tif", lakes(), {})
    assert run(model, photo, out, "--permanent", str(write_polygons(tmp_path / "p.gpkg", (0, 0, 1, 1)))) == 2
    assert "is not georeferenced" in capsys.readouterr().err


def test_images_without_a_place_are_compared_by_pixels(model: Path, tmp_path: Path) -> None:
    before, after = lakes(seed=1), lakes(seed=2)
    earlier = write_scene(tmp_path / "early.tif", before, {})
    scene, out = write_scene(tmp_path / "late.tif", after, {}), tmp_path / "map"
    assert run(model, scene, out, "--before", str(earlier)) == 0
    assert (np.isin(read(out / "change.tif"), (RECEDED, STILL)) == before).all()
    assert load(out / "change.json")["classes"]["new_water"] == {
        "pixels": int((after & ~before).sum()),
        "area_m2": None,
    }
    small = write_scene(tmp_path / "small.tif", lakes(64, 64), {})
    assert run(model, scene, tmp_path / "other", "--before", str(small)) == 2


def test_keys() -> None:
    assert compose("map", ["permanent.threshold=1", "cloud.values=[3,8]"], MapConfig).cloud.values == [3, 8]
