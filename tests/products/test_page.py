"""map.html: what it holds and where it places it, that it does no harm, and that it works without a network."""

from __future__ import annotations

import base64
import io
import json
import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from PIL import Image
from pyogrio.raw import write
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.transform import from_bounds, from_origin
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds

from flood_seg.cli.main import main
from flood_seg.imaging.bands import BandSelection
from flood_seg.products.layers import LayerStatistics
from flood_seg.products.page.frame import Frame
from flood_seg.products.page.page import write_page
from flood_seg.products.page.pictures import scene_picture
from flood_seg.scenes.scene import Scene
from tests.conftest import make_spec
from tests.scenes.conftest import write_scene, write_smoothing_model

EVIL = '</script><script>document.body.dataset.evil = 1</script><img src=x onerror="document.body.dataset.evil = 1">'


def run(model: Path, image: Path, out: Path, *overrides: str) -> dict[str, Any]:
    """Maps a scene and returns the data of its page."""
    main(["map", "--model", str(model), "--image", str(image), "--out", str(out), *overrides])
    return data_of(out / "map.html")


def data_of(page: Path) -> dict[str, Any]:
    text = page.read_text("utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def noise(height: int = 300, width: int = 420) -> np.ndarray:
    return np.random.default_rng(3).integers(1, 256, (height, width, 3), np.uint8)


def picture(data: dict[str, Any], number: int) -> np.ndarray:
    content = base64.b64decode(data["pictures"][number]["source"].partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"))


def write_polygons(folder: Path, polygons: list[shapely.Polygon], name: str, crs: str | None) -> None:
    """Writes areas.gpkg as `write_areas` does; the areas given are 1, 2, 3 and so on."""
    count = len(polygons)
    areas = np.arange(1.0, count + 1)
    fields = {"class": np.full(count, name, object), "area_m2" if crs else "area_px": areas,
              "perimeter_m": areas * 10 if crs else np.full(count, np.nan),
              "mean_probability": np.full(count, 0.75)}  # fmt: skip
    write(folder / "areas.gpkg", shapely.to_wkb(np.array(polygons)), list(fields.values()), list(fields),
          layer="areas", geometry_type="Polygon", crs=crs)  # fmt: skip


def rewrite(folder: Path, image: Path, names: tuple[str, ...] = ("background", "water")) -> dict[str, Any]:
    """Writes the page of a mapped scene once more, with what has been added to its folder."""
    spec = make_spec(class_names=names)
    with Scene.open(image, BandSelection.of(spec)) as scene:
        predictor: Any = SimpleNamespace(spec=spec, threshold=0.4)
        statistics = LayerStatistics([scene.height * scene.width - 5, 5], 0, [], [1.0, 2.0])
        picture = partial(scene_picture, scene, Frame(scene))
        write_page(folder, scene, "models/a.onnx", predictor, statistics, picture, ["too bright"])
    return data_of(folder / "map.html")


def test_a_page_holds_the_layers_and_the_legend(smoothing_model: Path, tmp_path: Path) -> None:
    image = noise()
    image[:30, :42] = 0
    data = run(smoothing_model, write_scene(tmp_path / "scene.tif", image, nodata=0), tmp_path / "map")
    assert [one["title"] for one in data["pictures"]] == ["Scene", "Result", "Probability of water"]
    with rasterio.open(tmp_path / "map" / "mask.tif") as mask:
        classes = mask.read(1)
    found = {one["name"]: one["share"] for one in data["classes"]}
    assert found == {"background": pytest.approx((classes == 0).mean()), "water": pytest.approx((classes == 1).mean())}
    assert data["unobserved"] == pytest.approx(0.01)
    assert data["classes"][1]["area"] == pytest.approx((classes == 1).sum() * 0.25 / 0.9996**2, rel=1e-4)
    facts = dict(data["facts"])
    assert facts["Size"] == "420 × 300 pixels of 0.5 m" and facts["CRS"] == "WGS 84 / UTM zone 32N"
    assert facts["Model"].endswith("smoothing.onnx") and facts["Threshold"] == "0.5"
    assert data["warnings"] == [] or "differ" in data["warnings"][0]
    scene = picture(data, 0)
    assert (scene[5, 5, 3], scene[-200, -200, 3]) == (0, 255)  # no data is transparent
    assert set(np.unique(picture(data, 1)[..., 3])) == {0, 255}


def test_of_several_classes_the_probability_is_that_of_the_result(tmp_path: Path) -> None:
    spec = make_spec(task="multiclass", class_names=("none", "road", "house"), label_values=(0, 7, 9))
    photo = tmp_path / "photo.png"
    Image.fromarray(noise()).save(photo)
    data = run(write_smoothing_model(tmp_path / "model.onnx", spec), photo, tmp_path / "map")
    assert (data["threshold"], data["ramp"]["title"]) == (None, "Probability of the result")
    with rasterio.open(tmp_path / "map" / "mask.tif") as mask, rasterio.open(tmp_path / "map/probability.tif") as layer:
        classes, probabilities = mask.read(1), layer.read() * 0.005
    colors = [tuple(bytes.fromhex(one["color"][1:])) for one in data["classes"]]
    result = picture(data, 1)
    assert (result[classes == 0, 3] == 0).all()
    assert (result[classes == 7, :3] == colors[1]).all() and (result[classes == 9, :3] == colors[2]).all()
    certain = picture(data, 2)[probabilities.max(axis=0) > 0.996]
    assert len(certain) and (certain == [253, 231, 37, 255]).all(axis=1).mean() > 0.99  # the end of viridis


def test_files_that_are_switched_off_are_removed(smoothing_model: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", noise())
    run(smoothing_model, scene, tmp_path / "map")
    data = run(smoothing_model, scene, tmp_path / "map", "map.probability=none", "map.vectors=[]")
    assert [one["title"] for one in data["pictures"]] == ["Scene", "Result"]
    assert "ramp" not in data and "polygons" not in data
    arguments = ["--model", str(smoothing_model), "--image", str(scene), "--out", str(tmp_path / "map")]
    main(["map", *arguments, "map.page=false", "map.probability=none", "map.vectors=[]"])
    assert sorted(path.name for path in (tmp_path / "map").iterdir()) == ["item.json", "mask.tif"]


TURNED = Affine(0.45, 0.21, 500_000, 0.21, -0.45, 5_000_000)
PLACES = {
    "north up": {},
    "turned": {"transform": TURNED},
    "degrees": {"crs": "EPSG:4326", "transform": from_origin(20, 65, 0.01, 0.01)},
    "near a pole": {"crs": "EPSG:3413", "transform": from_origin(-300_000, -1_900_000, 500, 500)},
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_pictures_lie_where_another_warp_puts_them(
    place: dict[str, Any], smoothing_model: Path, tmp_path: Path
) -> None:
    data = run(smoothing_model, write_scene(tmp_path / "scene.tif", noise(), **place), tmp_path / "map")
    (south, west), (north, east) = data["bounds"]
    found = picture(data, 1)
    height, width = found.shape[:2]
    with rasterio.open(tmp_path / "map" / "mask.tif") as mask:
        # Of a turned scene these are the bounds of its bounding box, which are wider.
        wide = transform_bounds(mask.crs, "EPSG:4326", *_hull(mask), densify_pts=50)
        pixel = (north - south) / height
        assert max(wide[0] - west, wide[1] - south, east - wide[2], north - wide[3]) < pixel
        to_mercator = Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True)
        left, bottom = to_mercator.transform(west, south)
        right, top = to_mercator.transform(east, north)
        with WarpedVRT(mask, crs="EPSG:3857", transform=from_bounds(left, bottom, right, top, width, height),
                       width=width, height=height, resampling=Resampling.nearest, nodata=255) as warped:  # fmt: skip
            classes = warped.read(1)
    assert np.mean((found[..., 3] > 0) == (classes == 1)) > 0.995
    edge = [(classes < 255).any(axis=axis).mean() for axis in (0, 1)]
    assert min(edge) > 0.99  # the scene fills its picture


def _hull(dataset: Any) -> tuple[float, float, float, float]:
    """The smallest x and y of a raster's corners, and the largest ones."""
    cols, rows = np.array([0, dataset.width, 0, dataset.width]), np.array([0, 0, dataset.height, dataset.height])
    a, b, c, d, e, f = dataset.transform[:6]
    x, y = a * cols + b * rows + c, d * cols + e * rows + f
    return x.min(), y.min(), x.max(), y.max()


def test_a_scene_across_the_antimeridian_is_in_one_piece(smoothing_model: Path, tmp_path: Path) -> None:
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:32760", always_xy=True).transform(180, -17)
    place = {"crs": "EPSG:32760", "transform": from_origin(x - 2100, y + 1500, 10, 10)}
    scene = write_scene(tmp_path / "scene.tif", noise(), **place)
    data = run(smoothing_model, scene, tmp_path / "map")
    (_, west), (_, east) = data["bounds"]
    assert east - west < 0.05 and (west < 180 < east or west < -180 < east)
    assert picture(data, 0)[..., 3].mean() > 240  # both halves
    square = shapely.box(x + 100, y, x + 200, y + 100)  # east of it
    write_polygons(tmp_path / "map", [square], "water", "EPSG:32760")
    polygon = rewrite(tmp_path / "map", scene)["polygons"]["features"][0]["geometry"]["coordinates"][0]
    assert all(west < longitude < east for longitude, _ in polygon)


def test_polygons_are_in_wgs84_and_the_largest_come_first(smoothing_model: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", noise())
    run(smoothing_model, scene, tmp_path / "map")
    boxes = [shapely.box(500_010, 4_999_900, 500_020, 4_999_910), shapely.box(500_040, 4_999_900, 500_060, 4_999_940)]
    write_polygons(tmp_path / "map", boxes, "water", "EPSG:32632")
    data = rewrite(tmp_path / "map", scene)
    largest = data["polygons"]["features"][0]
    assert largest["properties"] == {"class": 1, "area": 2.0, "perimeter": 20.0, "probability": 0.75}
    to_wgs84 = Transformer.from_crs("EPSG:32632", "EPSG:4326", always_xy=True)
    expected = shapely.transform(boxes[1], lambda points: np.column_stack(to_wgs84.transform(*points.T)))
    found = shapely.from_geojson(json.dumps(largest["geometry"]))
    assert shapely.hausdorff_distance(found, expected) < 1e-6  # 0.1 m
    assert (data["threshold"], data["warnings"]) == (0.4, ["too bright"])


def test_a_scene_without_a_place_is_shown_in_pixels(smoothing_model: Path, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(noise()).save(photo)
    data = run(smoothing_model, photo, tmp_path / "map")
    assert data["bounds"] == [[-300, 0], [0, 420]] and not data["georeferenced"]
    assert dict(data["facts"])["Location"] == "not georeferenced"
    with rasterio.open(tmp_path / "map" / "mask.tif") as mask:
        np.testing.assert_array_equal(picture(data, 1)[..., 3] > 0, mask.read(1) == 1)
    write_polygons(tmp_path / "map", [shapely.box(10, -50, 30, -20)], "water", None)
    (feature,) = rewrite(tmp_path / "map", photo)["polygons"]["features"]
    assert feature["properties"]["perimeter"] == 100
    assert shapely.from_geojson(json.dumps(feature["geometry"])).bounds == (10, -50, 30, -20)


def test_a_damaged_scene_has_a_page_without_its_picture(smoothing_model: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", noise(600, 600), compress="deflate")
    scene.write_bytes(scene.read_bytes()[: scene.stat().st_size * 3 // 4])
    with pytest.raises(SystemExit):
        run(smoothing_model, scene, tmp_path / "map", "map.block_size=128")
    data = data_of(tmp_path / "map" / "map.html")
    assert [one["title"] for one in data["pictures"]] == ["Result", "Probability of water"]
    assert "blocks failed" in data["warnings"][-2] and "damaged" in data["warnings"][-1]


def test_the_file_stays_small(tmp_path: Path) -> None:
    """Noise, which hardly can be compressed, and more polygons than a page takes."""
    size = 2200
    scene = write_scene(tmp_path / "scene.tif", noise(size, size))
    random = np.random.default_rng(0)
    write_scene(tmp_path / "mask.tif", random.integers(0, 2, (size, size, 1), np.uint8), nodata=255)
    write_scene(tmp_path / "probability.tif", random.random((size, size, 1), np.float32), nodata=np.nan)
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    polygons = []
    for number in range(5200):
        x, y = 500_000 + number % 72 * 15, 5_000_000 - number // 72 * 15
        radii = random.uniform(3, 7, len(angles))
        polygons.append(shapely.Polygon(np.column_stack([x + radii * np.cos(angles), y + radii * np.sin(angles)])))
    write_polygons(tmp_path, polygons, "water", "EPSG:32632")
    data = rewrite(tmp_path, scene)
    assert (tmp_path / "map.html").stat().st_size < 8_000_000
    assert data["polygons"]["total"] == 5200
    drawn = [feature["properties"]["area"] for feature in data["polygons"]["features"]]
    assert 1000 < len(drawn) <= 5000 and drawn == sorted(drawn, reverse=True) and drawn[0] == 5200


def test_a_page_loads_nothing(smoothing_model: Path, tmp_path: Path) -> None:
    run(smoothing_model, write_scene(tmp_path / "scene.tif", noise()), tmp_path / "map")
    text = (tmp_path / "map" / "map.html").read_text("utf-8")
    assert not re.findall(r"<(?:script|img|iframe|source|object|embed)[^>]*\ssrc=|<link[^>]*href=(?!\"data:,)", text)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; img-src data:;") and "http" not in policy
    assert "sourceMappingURL" not in text
    assert "Redistributions in binary form" in text


@pytest.mark.parametrize("georeferenced", [True, False])
def test_the_map_works_in_a_browser(georeferenced: bool, visit: Any, smoothing_model: Path, tmp_path: Path) -> None:
    if georeferenced:
        image = write_scene(tmp_path / "scene.tif", noise())
        square, crs = shapely.box(500_100, 4_999_920, 500_120, 4_999_940), "EPSG:32632"
    else:
        image = tmp_path / "photo.png"
        Image.fromarray(noise()).save(image)
        square, crs = shapely.box(200, -170, 230, -140), None
    run(smoothing_model, image, tmp_path / "map")
    write_polygons(tmp_path / "map", [square], "water", crs)
    rewrite(tmp_path / "map", image)
    page, outside, errors = visit(tmp_path / "map" / "map.html", 1200)
    page.wait_for_selector("body[data-ready]")
    assert (outside, errors) == ([], [])
    assert page.locator(".leaflet-control-scale").count() == page.locator(".north").count() == int(georeferenced)
    loaded = "[...document.querySelectorAll('img.leaflet-image-layer')].map(one => one.naturalWidth > 0)"
    assert page.evaluate(loaded) == [True, True]
    page.get_by_role("checkbox", name="Probability of water").check()
    assert page.locator("img.leaflet-image-layer").count() == 3
    page.get_by_role("slider", name="Opacity of the layer Result").fill("25")
    assert page.evaluate("getComputedStyle(document.querySelector('.leaflet-layer-1-pane')).opacity") == "0.25"
    x, y = page.evaluate(
        "(() => { const at = map.latLngToContainerPoint(L.geoJSON(data.polygons.features).getBounds().getCenter());"
        " return [at.x, at.y]; })()"
    )
    box = page.locator("#map").bounding_box()
    page.mouse.click(box["x"] + x, box["y"] + y)
    popup = page.locator(".leaflet-popup").inner_text()
    assert "water" in popup and ("10.0 m" if georeferenced else "120 pixels") in popup and "75.0 %" in popup
    shown = page.locator(".position").inner_text()
    if georeferenced:
        assert re.fullmatch(r"45\.1\d{4}° N, 9\.00\d{3}° E \(WGS 84\)", shown), shown
    else:
        assert re.fullmatch(r"column 21\d, row 15\d", shown), shown
    assert (outside, errors) == ([], [])


def test_the_map_fits_a_phone(visit: Any, smoothing_model: Path, tmp_path: Path) -> None:
    run(smoothing_model, write_scene(tmp_path / "scene.tif", noise()), tmp_path / "map")
    page, _, errors = visit(tmp_path / "map" / "map.html", 360)
    page.wait_for_selector("body[data-ready]")
    assert page.evaluate("document.documentElement.scrollWidth") == 360 and not errors


def test_text_of_the_data_does_no_harm(visit: Any, tmp_path: Path) -> None:
    spec = make_spec(class_names=("background", EVIL))
    model = write_smoothing_model(tmp_path / "model.onnx", spec)
    scene = write_scene(tmp_path / "a\"b'<i onclick=1>&amp;c.tif", noise())
    run(model, scene, tmp_path / "map")
    write_polygons(tmp_path / "map", [shapely.box(500_000, 4_999_860, 500_200, 4_999_990)], EVIL, "EPSG:32632")
    rewrite(tmp_path / "map", scene, ("background", EVIL))
    assert EVIL not in (tmp_path / "map" / "map.html").read_text("utf-8")
    page, outside, errors = visit(tmp_path / "map" / "map.html", 1200)
    page.wait_for_selector("body[data-ready]")
    box = page.locator("#map").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert EVIL in page.locator(".leaflet-popup").inner_text()
    assert page.locator("#name").inner_text() == "a\"b'<i onclick=1>&amp;c"
    assert page.title() == "a\"b'<i onclick=1>&amp;c – map"
    assert page.evaluate("document.body.dataset.evil") is None
    assert (outside, errors) == ([], [])


def test_a_script_that_is_not_the_pages_own_does_not_run(visit: Any, smoothing_model: Path, tmp_path: Path) -> None:
    run(smoothing_model, write_scene(tmp_path / "scene.tif", noise()), tmp_path / "map")
    path = tmp_path / "map" / "map.html"
    added = "<script>document.body.dataset.evil = 1</script><img src='https://example.org/x.png'></body>"
    path.write_text(path.read_text("utf-8").replace("</body>", added), "utf-8")
    page, _, errors = visit(path, 1200)
    assert page.evaluate("document.body.dataset.evil") is None
    assert len(errors) == 2 and all("Content Security Policy" in error for error in errors)
