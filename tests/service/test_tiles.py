"""Map tiles of finished jobs, against warps of the layers by GDAL and the files of `flood-seg map`."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import morecantile
import numpy as np
import pytest
import rasterio
from fastapi.testclient import TestClient
from PIL import Image
from rasterio.enums import Resampling
from rasterio.transform import from_bounds, from_origin
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds

from flood_seg.imaging.display import FALSE_ALARM, MISS
from flood_seg.products.layers import Legend, write_classes
from flood_seg.products.page.pictures import ramp
from tests.conftest import make_spec
from tests.scenes.conftest import write_scene, write_smoothing_model
from tests.service.mapped import add_job, asking, map_scene, smooth
from tests.service.running import Running

TMS = morecantile.tms.get("WebMercatorQuad")
HEIGHT, WIDTH = 700, 900


class Mapped:
    """A service with a job of a georeferenced scene."""

    def __init__(self, work: Path, client: TestClient, job: str, scene: Path) -> None:
        self.work, self.client, self.job, self.scene = work, client, job, scene
        self.results = work / "jobs" / job / "results"

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(f"/jobs/{self.job}/tiles/{path}", headers=headers)

    def json(self, layer: str, query: str = "") -> dict[str, Any]:
        found = self.get(f"{layer}/tilejson.json{query}")
        assert found.status_code == 200, found.text
        return dict(found.json())

    def picture(self, layer: str, tile: morecantile.Tile, query: str = "") -> np.ndarray:
        found = self.get(f"{layer}/{tile.z}/{tile.x}/{tile.y}.png{query}")
        assert found.status_code == 200, found.text
        return np.asarray(Image.open(io.BytesIO(found.content)).convert("RGBA"))


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory, smoothing_model: Path) -> Iterator[Mapped]:
    folder = tmp_path_factory.mktemp("tiles")
    image = smooth(HEIGHT, WIDTH)
    image[:120, :200] = 0
    scene = write_scene(folder / "scene.tif", image, nodata=0)
    results = map_scene(smoothing_model, scene, folder / "map", "map.probability=float32")
    with rasterio.open(results / "mask.tif") as mask:
        place = {"crs": mask.crs, "transform": mask.transform}
        values = mask.read(1)
    legend = Legend(("right", "missed", "false_alarm"), (0, 1, 2), ((0, 0, 0), MISS, FALSE_ALARM))
    with write_classes(results / "differences.tif", (HEIGHT, WIDTH), place, legend) as out:
        out.write(np.where(values == 255, 255, np.indices(values.shape)[1] // 50 % 3).astype(np.uint8), 1)
    with asking(folder / "work") as client:
        yield Mapped(folder / "work", client, add_job(folder / "work", scene, results), scene)


def tiles_of(record: dict[str, Any], zoom: int) -> list[morecantile.Tile]:
    """Returns the tiles of a zoom level in the upper left corner of the scene, nine at most."""
    west, _, _, north = record["bounds"]
    first = TMS.tile(west, north, zoom)
    tiles = list(TMS.tiles(*record["bounds"], [zoom]))
    return [tile for tile in tiles if tile.x < first.x + 3 and tile.y < first.y + 3]


def warped(path: Path, tiles: list[morecantile.Tile], resampling: Resampling, side: int = 256) -> np.ndarray:
    """Returns a layer on tiles that form a rectangle, by GDAL's exact warp; masked, [bands, h, w]."""
    corners = [TMS.xy_bounds(tile) for tile in tiles]
    box = (min(c.left for c in corners), min(c.bottom for c in corners), max(c.right for c in corners),
           max(c.top for c in corners))  # fmt: skip
    columns, rows = (len({getattr(tile, axis) for tile in tiles}) for axis in "xy")
    shape = {"width": columns * side, "height": rows * side}
    with rasterio.open(path) as source, WarpedVRT(
        source, crs="EPSG:3857", transform=from_bounds(*box, **shape), resampling=resampling, tolerance=1e-6, **shape
    ) as warp:  # fmt: skip
        return warp.read(masked=True)


def together(mapped: Mapped, layer: str, tiles: list[morecantile.Tile], query: str = "") -> np.ndarray:
    """Returns tiles that form a rectangle as one picture."""
    rows = sorted({tile.y for tile in tiles})
    return np.vstack([
        np.hstack([mapped.picture(layer, tile, query) for tile in sorted(tiles) if tile.y == row]) for row in rows
    ])  # fmt: skip


def test_classes_are_the_pixels_of_the_mask_in_its_colours(mapped: Mapped) -> None:
    record = mapped.json("mask")
    tiles = tiles_of(record, record["maxzoom"])
    assert len(tiles) == 9
    drawn = together(mapped, "mask", tiles)
    with rasterio.open(mapped.results / "mask.tif") as mask:
        colors = mask.colormap(1)
    expected = warped(mapped.results / "mask.tif", tiles, Resampling.nearest)[0]
    water = drawn[:, :, 3] > 0
    # A pixel of a tile may take its neighbour where GDAL approximates the projection, to 1/50 of a pixel.
    assert np.mean(water == (expected == 1).filled(False)) > 0.9985
    assert {tuple(color) for color in drawn[water]} == {colors[1]}
    assert 0.2 < water[~expected.mask].mean() < 0.8  # both classes are there


def test_tiles_have_no_seams(mapped: Mapped) -> None:
    """The rows and columns beside the edges of tiles are as near to one warp of all as the others are."""
    record = mapped.json("probability")
    for zoom in (record["maxzoom"], record["maxzoom"] + 2):
        tiles = [tile for tile in tiles_of(record, zoom) if mapped.get(f"mask/{tile.z}/{tile.x}/{tile.y}.png")]
        columns, rows = (sorted({getattr(tile, axis) for tile in tiles}) for axis in "xy")
        middle = len(columns) // 2, len(rows) // 2
        pair = [
            tile for tile in tiles if tile.x in columns[middle[0] - 1 : middle[0] + 1] and tile.y == rows[middle[1]]
        ]
        assert len(pair) == 2
        drawn = together(mapped, "scene", pair)[:, :, :3].astype(int)
        expected = warped(mapped.work / "jobs" / mapped.job / "tiles" / "scene.tif", pair, Resampling.bilinear)
        wrong = np.abs(drawn - np.moveaxis(expected.filled(0), 0, 2)).max(axis=2)
        assert np.percentile(wrong[:, 254:258], 99) <= max(2, np.percentile(wrong, 99))


def test_probability_is_the_ramp_of_the_map_page(mapped: Mapped) -> None:
    record = mapped.json("probability")
    tiles = tiles_of(record, record["maxzoom"])
    drawn = together(mapped, "probability", tiles).astype(int)
    layer = warped(mapped.results / "probability.tif", tiles, Resampling.bilinear)[0]
    expected = ramp()[np.rint(layer.filled(0) * 100).astype(int)].astype(int)
    inside = ~layer.mask & (layer > 0.2)  # below, colours differ by their opacity alone
    wrong = np.abs(drawn - expected).max(axis=2)[inside]
    assert np.percentile(wrong, 99.5) <= 4  # a step of the ramp
    assert not drawn[layer.mask & np.roll(layer.mask, 2, 0) & np.roll(layer.mask, 2, 1)][:, 3].any()


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.62])
def test_threshold_is_that_of_the_map(mapped: Mapped, smoothing_model: Path, tmp_path: Path, threshold: float) -> None:
    """What is drawn above a threshold is the mask that `flood-seg map threshold=` makes, pixel by pixel."""
    words = [f"threshold={threshold}", "map.vectors=[]", "map.probability=none"]
    other = map_scene(smoothing_model, mapped.scene, tmp_path / "map", *words)
    with rasterio.open(other / "mask.tif") as mask:
        expected = mask.read(1) == 1
    zoom = mapped.json("probability", "?crs=pixels")["maxzoom"]
    drawn = np.zeros((4 * 256, 4 * 256), bool)
    for row in range(-(-HEIGHT // 256)):
        for col in range(-(-WIDTH // 256)):
            tile = morecantile.Tile(col, row, zoom)
            picture = mapped.picture("probability", tile, f"?crs=pixels&threshold={threshold}")
            drawn[row * 256 : row * 256 + 256, col * 256 : col * 256 + 256] = picture[:, :, 3] > 0
    assert np.array_equal(drawn[:HEIGHT, :WIDTH], expected)
    assert not drawn[HEIGHT:].any() and not drawn[:, WIDTH:].any()
    assert 0 < expected.mean() < 1


def test_threshold_of_a_file_in_steps(smoothing_model: Path, tmp_path: Path) -> None:
    """Where the file has steps of 0.005, only pixels within half a step of the threshold may differ."""
    scene = write_scene(tmp_path / "scene.tif", smooth(256, 256))
    exact = map_scene(smoothing_model, scene, tmp_path / "exact", "map.probability=float32", "map.vectors=[]")
    with rasterio.open(exact / "probability.tif") as layer:
        probability = layer.read(1)
    steps = map_scene(smoothing_model, scene, tmp_path / "steps", "map.vectors=[]")
    with asking(tmp_path / "work") as client:
        here = Mapped(tmp_path / "work", client, add_job(tmp_path / "work", scene, steps), scene)
        for threshold in (0.4, 0.5, 0.405):
            drawn = here.picture("probability", morecantile.Tile(0, 0, 0), f"?crs=pixels&threshold={threshold}")
            differs = (drawn[:, :, 3] > 0) != (probability > threshold)
            assert np.abs(probability[differs] - threshold).max(initial=0) <= 0.0025 + 1e-6
            assert (drawn[:, :, 3] > 0).any()


def test_scene_is_drawn_as_it_is(mapped: Mapped) -> None:
    with rasterio.open(mapped.scene) as source:
        image = np.moveaxis(source.read(), 0, 2)
    zoom = mapped.json("scene", "?crs=pixels")["maxzoom"]
    drawn = mapped.picture("scene", morecantile.Tile(1, 1, zoom), "?crs=pixels")
    np.testing.assert_allclose(drawn[:, :, :3], image[256:512, 256:512], atol=12)  # JPEG
    assert np.abs(drawn[:, :, :3].astype(int) - image[256:512, 256:512]).mean() < 1.5
    corner = mapped.picture("scene", morecantile.Tile(0, 0, zoom), "?crs=pixels")
    assert not corner[:120, :200, 3].any() and corner[122:, :, 3].all()  # no data, data


def test_scene_of_16_bits_has_one_stretch(smoothing_model: Path, tmp_path: Path) -> None:
    """A dark half and a bright half stay so: tiles are not stretched one by one."""
    image = smooth(300, 600).astype(np.uint16) * 4
    image[:, 300:] += 8000
    scene = write_scene(tmp_path / "scene.tif", image)
    results = map_scene(smoothing_model, scene, tmp_path / "map", "map.vectors=[]", "value_scale=65535")
    with asking(tmp_path / "work") as client:
        here = Mapped(tmp_path / "work", client, add_job(tmp_path / "work", scene, results), scene)
        zoom = here.json("scene", "?crs=pixels")["maxzoom"]
        dark, bright = (here.picture("scene", morecantile.Tile(x, 0, zoom), "?crs=pixels") for x in (0, 2))
    assert dark[:200, :200, :3].mean() < 40 and bright[:200, :80, :3].mean() > 215


def test_legends_are_those_of_the_files(mapped: Mapped) -> None:
    assert [(one["name"], one["value"]) for one in mapped.json("mask")["legend"]] == [("water", 1)]
    differences = mapped.json("differences")["legend"]
    assert [one["name"] for one in differences] == ["missed", "false_alarm"]
    zoom = mapped.json("differences", "?crs=pixels")["maxzoom"]
    drawn = mapped.picture("differences", morecantile.Tile(1, 1, zoom), "?crs=pixels")
    shown = {"#" + bytes(color[:3]).hex() for color in drawn[drawn[:, :, 3] > 0]}
    assert shown == {one["color"] for one in differences}
    columns = np.arange(256, 512) // 50 % 3
    assert np.array_equal(drawn[:, :, 3] > 0, np.broadcast_to(columns > 0, (256, 256)))
    found = mapped.json("probability", "?threshold=0.3")
    assert [(one["name"], one["value"]) for one in found["legend"]] == [("water", 0.3)]
    assert found["tiles"][0].endswith("{z}/{x}/{y}.png?threshold=0.3")


def test_tilejson(mapped: Mapped) -> None:
    record = mapped.json("mask")
    with rasterio.open(mapped.results / "mask.tif") as mask:
        bounds = transform_bounds(mask.crs, "EPSG:4326", *mask.bounds)
    np.testing.assert_allclose(record["bounds"], bounds, atol=1e-6)
    assert record["tilejson"] == "3.0.0" and record["crs"] == "mercator"
    assert record["center"][2] == record["minzoom"] and isinstance(record["center"][2], int)
    # The largest zoom level shows each pixel of 0.5 m, which is wider in Web Mercator, the one below it does not.
    width = 0.5 / np.cos(np.radians(bounds[1]))
    assert TMS.matrix(record["maxzoom"]).cellSize <= width < TMS.matrix(record["maxzoom"] - 1).cellSize
    assert len(tiles_of(record, record["minzoom"])) <= 4
    assert mapped.json("mask", "?crs=pixels")["extent"] == [0, -HEIGHT, WIDTH, 0]
    assert "bounds" not in mapped.json("mask", "?crs=pixels")


def test_the_whole_scene_is_on_one_tile_of_level_0_in_pixels(mapped: Mapped) -> None:
    record = mapped.json("mask", "?crs=pixels")
    assert record["maxzoom"] == 2  # 900 pixels: 225 on a tile
    drawn = mapped.picture("scene", morecantile.Tile(0, 0, 0), "?crs=pixels")[:, :, 3] > 0
    assert drawn[176 - 3, 3] and not drawn[176:].any() and not drawn[:, 226:].any()
    assert mapped.get("mask/0/1/0.png?crs=pixels").status_code == 404
    assert mapped.get("mask/3/0/0.png?crs=pixels").status_code == 404


def test_fine_screens_get_four_times_the_pixels(mapped: Mapped) -> None:
    record = mapped.json("mask")
    tile = tiles_of(record, record["minzoom"])[0]
    fine = mapped.picture("mask", tile, "?scale=2")[:, :, 3]
    below = [child for child in TMS.children(tile)]
    assert fine.shape == (512, 512)
    expected = np.zeros((512, 512), np.uint8)
    for child in below:
        found = mapped.get(f"mask/{child.z}/{child.x}/{child.y}.png")
        if found.status_code == 200:
            row, col = 256 * (child.y - 2 * tile.y), 256 * (child.x - 2 * tile.x)
            expected[row : row + 256, col : col + 256] = mapped.picture("mask", child)[:, :, 3]
    assert np.mean(fine == expected) > 0.999


def test_a_known_tile_is_not_sent_again(mapped: Mapped) -> None:
    record = mapped.json("probability")
    tile = tiles_of(record, record["maxzoom"])[5]
    path = f"probability/{tile.z}/{tile.x}/{tile.y}.png"
    first = mapped.get(path)
    assert first.headers["cache-control"] == "private, max-age=3600"
    known = mapped.get(path, **{"If-None-Match": first.headers["etag"]})
    assert known.status_code == 304 and not known.content and known.headers["etag"] == first.headers["etag"]
    for query in ("?threshold=0.3", "?scale=2", "?crs=pixels"):
        other = mapped.get(f"probability/0/0/0.png{query}" if "pixels" in query else path + query,
                           **{"If-None-Match": first.headers["etag"]})  # fmt: skip
        assert other.status_code == 200
    layer = mapped.results / "probability.tif"
    status = layer.stat()
    os.utime(layer, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
    assert mapped.get(path, **{"If-None-Match": first.headers["etag"]}).status_code == 200


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("nothing/tilejson.json", 404, "layer nothing: the job has none; it has scene, probability, mask, differences"),
        ("change/1/0/0.png", 404, "layer change: the job has none"),
        ("mask/14/0/0.png", 404, "tile 14/0/0: lies beside the scene"),
        ("mask/2/9/9.png", 404, "tile 2/9/9: lies beside the scene"),
        ("mask/25/0/0.png", 422, "path.z"),
        ("mask/-1/0/0.png", 422, "path.z"),
        ("mask/1/-1/0.png", 422, "path.x"),
        ("mask/1/0/x.png", 422, "path.y"),
        ("mask/tilejson.json?threshold=0.5", 422, "threshold and band are of probability alone"),
        ("probability/tilejson.json?threshold=nan", 422, "query.threshold"),
        ("probability/tilejson.json?threshold=1.5", 422, "query.threshold"),
        ("probability/tilejson.json?band=2", 422, "band 2: there is none; there are 1 water"),
        ("probability/tilejson.json?band=0", 422, "query.band"),
        ("mask/tilejson.json?crs=EPSG:4326", 422, "query.crs"),
        ("mask/0/0/0.png?crs=pixels&scale=3", 422, "query.scale"),
    ],
)
def test_wrong_requests(mapped: Mapped, path: str, status: int, words: str) -> None:
    found = mapped.get(path)
    assert found.status_code == status
    assert found.headers["content-type"] == "application/problem+json"
    assert words in found.json()["detail"]


def test_jobs_without_a_map(mapped: Mapped) -> None:
    for status, words in (("running", "has not mapped its scene yet"), ("failed", "is failed and has no map")):
        job = add_job(mapped.work, mapped.scene, None, status)  # type: ignore[arg-type]
        for path in ("tiles", "tiles/mask/tilejson.json", "tiles/mask/1/0/0.png"):
            found = mapped.client.get(f"/jobs/{job}/{path}")
            assert found.status_code == 409 and words in found.json()["detail"]
    for job in ("0" * 26, "..", "x"):
        assert mapped.client.get(f"/jobs/{job}/tiles/mask/tilejson.json").status_code == 404


def test_a_removed_scene_and_a_damaged_layer_are_said(mapped: Mapped, tmp_path: Path) -> None:
    scene = tmp_path / "other.tif"
    scene.write_bytes(mapped.scene.read_bytes())
    job = add_job(mapped.work, scene, mapped.results)
    folder = mapped.work / "jobs" / job
    data = scene.read_bytes()
    scene.write_bytes(data[: len(data) // 3])
    (folder / "results" / "probability.tif").write_bytes(b"II*\0damaged")
    here = Mapped(mapped.work, mapped.client, job, scene)
    for layer in ("scene", "probability"):
        found = here.get(f"{layer}/0/0/0.png?crs=pixels")
        assert found.status_code == 404 and "damaged" in found.json()["detail"]
        assert str(tmp_path) not in found.text
    assert not (folder / "tiles").exists() or not any((folder / "tiles").iterdir())
    assert here.get("mask/0/0/0.png?crs=pixels").status_code == 200


def test_several_classes(tmp_path: Path) -> None:
    names = ("background", "water", "road")
    spec = make_spec(task="multiclass", class_names=names, label_values=(0, 1, 2),
                     class_colors=("#000000", "#00ff00", "#ff0000"))  # fmt: skip
    model = write_smoothing_model(tmp_path / "model.onnx", spec)
    scene = write_scene(tmp_path / "scene.tif", smooth(250, 250))
    results = map_scene(model, scene, tmp_path / "map", "map.vectors=[]")
    with rasterio.open(results / "probability.tif") as layer:
        bands = layer.read() * 0.005
    with asking(tmp_path / "work") as client:
        here = Mapped(tmp_path / "work", client, add_job(tmp_path / "work", scene, results), scene)
        assert here.json("probability")["bands"] == list(names)
        found = here.get("probability/0/0/0.png?crs=pixels&threshold=0.5")
        assert found.status_code == 422 and "give the band too, 1 to 3" in found.json()["detail"]
        tile = morecantile.Tile(0, 0, 0)
        road = here.picture("probability", tile, "?crs=pixels&threshold=0.501&band=3")[:250, :250]
        largest = here.picture("probability", tile, "?crs=pixels")[:250, :250]
    assert np.array_equal(road[:, :, 3] > 0, bands[2] > 0.501)
    assert {tuple(color) for color in road[road[:, :, 3] > 0]} == {(255, 0, 0, 255)}
    expected = ramp()[np.rint(bands.max(axis=0) * 100).astype(int)]
    assert np.percentile(np.abs(largest.astype(int) - expected).max(axis=2), 99) <= 4  # half percents round either way


def test_photos_have_tiles_in_pixels(smoothing_model: Path, tmp_path: Path) -> None:
    """A photo that lies on its side is drawn upright, as its mask is."""
    image = smooth(300, 420)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees clockwise to be upright
    Image.fromarray(image).save(tmp_path / "photo.jpg", quality=98, exif=exif)
    results = map_scene(smoothing_model, tmp_path / "photo.jpg", tmp_path / "map")
    with asking(tmp_path / "work") as client:
        job = add_job(tmp_path / "work", tmp_path / "photo.jpg", results)
        here = Mapped(tmp_path / "work", client, job, tmp_path / "photo.jpg")
        record = here.json("scene")
        assert (record["crs"], record["width"], record["height"]) == ("pixels", 300, 420)
        drawn = here.picture("scene", morecantile.Tile(0, 0, record["maxzoom"]))
        assert client.get(f"/jobs/{job}/tiles").json()["wmts"] is None
        for path in ("mask/tilejson.json?crs=mercator", "WMTSCapabilities.xml"):
            assert "not georeferenced" in here.get(path).json()["detail"]
    upright = np.rot90(image, -1)
    assert np.abs(drawn[:, :, :3].astype(int) - upright[:256, :256]).mean() < 3


def test_a_scene_across_the_antimeridian(smoothing_model: Path, tmp_path: Path) -> None:
    """In UTM zone 60 it goes on beyond 180 degrees: its tiles lie at both edges of the map."""
    place = {"crs": "EPSG:32660", "transform": from_origin(594_000, 8_000_000, 30, 30)}
    scene = write_scene(tmp_path / "scene.tif", smooth(300, 600), **place)
    results = map_scene(smoothing_model, scene, tmp_path / "map", "map.vectors=[]")
    with asking(tmp_path / "work") as client:
        here = Mapped(tmp_path / "work", client, add_job(tmp_path / "work", scene, results), scene)
        record = here.json("scene")
        west, _, east, _ = record["extent"]
        assert west < 180 < east and record["bounds"][0] == -180 and record["bounds"][2] == 180
        zoom = record["maxzoom"]
        latitude = (record["extent"][1] + record["extent"][3]) / 2
        left, right = (here.picture("scene", TMS.tile(lon, latitude, zoom)) for lon in (179.999, -179.999))
        there = (left[:, -1, 3] > 0) & (right[:, 0, 3] > 0)
        assert there.mean() > 0.3 and np.array_equal(left[:, -1, 3] > 0, right[:, 0, 3] > 0)
        assert np.abs(left[:, -1, :3].astype(int) - right[:, 0, :3])[there].max() < 24  # soft blobs go on
        assert here.get(f"mask/{zoom}/{2 ** (zoom - 1)}/{TMS.tile(0, latitude, zoom).y}.png").status_code == 404


@pytest.mark.parametrize("layer", ["mask", "scene"])
def test_gdal_reads_the_wmts(
    server: Running, tmp_path: Path, mapped: Mapped, monkeypatch: pytest.MonkeyPatch, layer: str
) -> None:
    """Its driver finds the layer at its place, and reads its pixels over HTTP."""
    job = add_job(server.folder / "work", mapped.scene, mapped.results)
    monkeypatch.chdir(tmp_path)  # GDAL makes a folder of tiles
    address = f"WMTS:{server.url}/jobs/{job}/tiles/WMTSCapabilities.xml,layer={layer}"
    with rasterio.open(mapped.results / "mask.tif") as mask, rasterio.open(address) as source:
        assert source.crs == "EPSG:3857" and source.count == 4
        with WarpedVRT(source, crs=mask.crs, transform=mask.transform, width=WIDTH, height=HEIGHT) as back:
            found = back.read()
        values = mask.read(1)
    known = values != 255
    inside = np.zeros(values.shape, bool)
    inside[5:-5, 5:-5] = True
    expected = (values == 1) if layer == "mask" else known
    assert np.mean((found[3] > 0)[inside] == expected[inside]) > 0.97  # resampled twice
    if layer == "scene":
        with rasterio.open(mapped.scene) as scene:
            wrong = np.abs(found[:3].astype(int) - scene.read())[:, known & inside]
        assert wrong.mean() < 4


def test_capabilities_name_what_is_there(mapped: Mapped) -> None:
    root = Xml.fromstring(mapped.get("WMTSCapabilities.xml").content)
    names = {"w": "http://www.opengis.net/wmts/1.0", "ows": "http://www.opengis.net/ows/1.1"}
    layers = [one.text for one in root.findall("w:Contents/w:Layer/ows:Identifier", names)]
    assert layers == [one["name"] for one in mapped.get("").json()["layers"]]
    single = Xml.fromstring(mapped.get("mask/WMTSCapabilities.xml").content)
    for limits in single.iterfind(".//w:TileMatrixLimits", names):
        zoom, row, col = (
            limits.findtext(f"w:{name}", "", names) for name in ("TileMatrix", "MinTileRow", "MinTileCol")
        )
        assert mapped.get(f"mask/{zoom}/{col}/{row}.png").status_code == 200
        assert mapped.get(f"mask/{zoom}/{int(col) - 1}/{row}.png").status_code == 404
    denominators = [float(one.text or "") for one in single.iterfind(".//w:ScaleDenominator", names)]
    record = mapped.json("mask")
    assert denominators == pytest.approx(
        [TMS.matrix(zoom).scaleDenominator for zoom in range(record["minzoom"], record["maxzoom"] + 1)]
    )


def test_an_earlier_image_is_a_layer_in_the_place_that_it_has(tmp_path: Path, smoothing_model: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", smooth(150, 200))
    # Of another grid: of 1 m, 20 m to the west
    place = {"transform": from_origin(499_980, 5_000_000, 1, 1), "nodata": 0}
    before = write_scene(tmp_path / "before.tif", np.maximum(smooth(120, 160, seed=1), 1), **place)
    results = map_scene(smoothing_model, scene, tmp_path / "map", "--before", str(before))
    with asking(tmp_path / "work") as client:
        asked = Mapped(tmp_path / "work", client, add_job(tmp_path / "work", scene, results, before=before), scene)
        assert [one["name"] for one in asked.get("").json()["layers"]][:2] == ["scene", "before"]
        tiles = tiles_of(record := asked.json("before"), record["maxzoom"])
        assert record["bounds"] == asked.json("scene")["bounds"]
        drawn, expected = together(asked, "before", tiles), warped(before, tiles, Resampling.bilinear)
        inside = ~np.ma.getmaskarray(expected).any(axis=0)
        inside &= np.roll(inside, 2, 0) & np.roll(inside, -2, 0) & np.roll(inside, 2, 1) & np.roll(inside, -2, 1)
        shown = np.abs(drawn[:, :, :3].astype(int) - np.moveaxis(expected.filled(0), 0, 2))[inside]
        assert inside.any() and (drawn[inside][:, 3] == 255).all()
        assert shown.mean() < 4  # the picture is a JPEG
