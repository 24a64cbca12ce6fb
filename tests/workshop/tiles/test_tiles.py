"""Cutting and putting together, against plain windows of rasterio."""

import contextlib
import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin
from rasterio.windows import Window

from flood_seg.config.compose import compose
from flood_seg.config.schema.workshop import DataToolsConfig
from flood_seg.data.layout import find_samples
from flood_seg.data.reading import SampleReader
from flood_seg.errors import DataError, FindingsError, OutputError, UsageError
from flood_seg.workshop.tiles.grid import own_spans, starts
from flood_seg.workshop.tiles.mosaic import mosaic
from tests.workshop.tools import check, tile

GRID = {"driver": "GTiff", "crs": "EPSG:32632", "transform": from_origin(500_000, 5_500_000, 0.5, 0.5)}


def config_of(folder: Path | None = None, *options: str) -> DataToolsConfig:
    place = [f"datamodule.data_dir='{folder}'"] if folder else []
    return compose("data", [*place, *options], DataToolsConfig)


def write_scene(path: Path, height: int = 230, width: int = 310, bands: int = 4, dtype: str = "uint16", **more) -> Path:
    values = np.random.default_rng(0).integers(1, 4000, (bands, height, width)).astype(dtype)
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", height=height, width=width, count=bands, dtype=dtype, **GRID, **more) as out:
        out.write(values)
        out.descriptions = ["red", "green", "blue", "nir"][:bands]
    return path


@pytest.mark.parametrize("edge", ["shift", "pad", "crop"])
@pytest.mark.parametrize("overlap", [0, 24])
def test_tiles_are_windows_of_the_scene_with_its_place_and_bands(tmp_path, edge, overlap):
    scene = write_scene(tmp_path / "scene.tif")
    options = ["tile.size=96", f"tile.overlap={overlap}", f"tile.edge={edge}"]
    tile(config_of(None, *options), tmp_path / "out", str(scene))
    lines = json.loads((tmp_path / "out" / "index.json").read_text())["tiles"]
    seen = np.zeros((230, 310), int)
    with rasterio.open(scene) as whole:
        for line in lines:
            row, col = line["row"], line["col"]
            with rasterio.open(tmp_path / "out" / "images" / f"{line['tile']}.tif") as one:
                size = (96, 96) if edge != "crop" else (min(96, 230 - row), min(96, 310 - col))
                assert one.shape == size == (line["height"], line["width"])
                window = Window(col, row, min(96, 310 - col), min(96, 230 - row))
                read = one.read()
                np.testing.assert_array_equal(read[:, : window.height, : window.width], whole.read(window=window))
                assert not read[:, window.height :].any() and not read[:, :, window.width :].any()
                assert one.transform == whole.window_transform(window) and one.crs == whole.crs
                assert one.descriptions == whole.descriptions and one.dtypes == whole.dtypes
            seen[row : row + 96, col : col + 96] += 1
    assert seen.min() == 1 and (overlap or edge == "shift" or seen.max() == 1)
    with (tmp_path / "out" / "index.csv").open() as file:
        assert [row["tile"] for row in csv.DictReader(file)] == [line["tile"] for line in lines]


@pytest.mark.parametrize("edge", ["shift", "pad", "crop"])
@pytest.mark.parametrize("overlap", [0, 25])
def test_a_mosaic_of_the_tiles_is_the_scene_again(tmp_path, edge, overlap):
    scene = write_scene(tmp_path / "scene.tif", bands=1, dtype="uint8")
    options = ["tile.size=96", f"tile.overlap={overlap}", f"tile.edge={edge}"]
    tile(config_of(None, *options), tmp_path / "out", str(scene))
    (written,) = mosaic(tmp_path / "out", tmp_path / "out" / "images", tmp_path / "again.tif")
    with rasterio.open(scene) as wanted, rasterio.open(written) as found:
        np.testing.assert_array_equal(found.read(), wanted.read())
        assert found.transform == wanted.transform and found.crs == wanted.crs


def test_each_tile_keeps_the_half_of_an_overlap_that_is_nearer(tmp_path):
    assert starts(100, 40, 10, "shift") == [0, 30, 60] and starts(101, 40, 10, "shift") == [0, 30, 60, 61]
    assert starts(30, 40, 0, "shift") == [0] and starts(100, 40, 0, "pad") == [0, 40, 80]
    assert own_spans([(0, 40), (30, 70), (60, 100)], 100) == {
        (0, 40): (0, 35),
        (30, 70): (35, 65),
        (60, 100): (65, 100),
    }
    scene = write_scene(tmp_path / "scene.tif", 64, 112, bands=1, dtype="uint8")
    tile(config_of(None, "tile.size=64", "tile.overlap=16"), tmp_path / "out", str(scene))
    for number, path in enumerate(sorted((tmp_path / "out" / "images").iterdir())):
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(np.full((64, 64), number + 1, np.uint8)).save(tmp_path / "masks" / f"{path.stem}_mask.png")
    mosaic(tmp_path / "out", tmp_path / "masks", tmp_path / "again.tif")
    with rasterio.open(tmp_path / "again.tif") as found:
        assert (found.read(1)[:, :56] == 1).all() and (found.read(1)[:, 56:] == 2).all()


def test_masks_are_cut_alike_and_training_takes_the_tiles(tmp_path):
    scene = write_scene(tmp_path / "set" / "images" / "s.tif", dtype="uint8", bands=3)
    labels = (np.random.default_rng(1).random((230, 310)) > 0.5).astype(np.uint8) * 255
    (tmp_path / "set" / "masks").mkdir()
    with rasterio.open(
        tmp_path / "set" / "masks" / "s.tif", "w", height=230, width=310, count=1, dtype="uint8", **GRID
    ) as out:
        out.write(labels, 1)
    tile(config_of(tmp_path / "set", "tile.size=100"), tmp_path / "out")
    config = config_of(tmp_path / "out")
    pairs, faults = find_samples(config.datamodule)
    assert len(pairs) == 12 and not faults
    reader = SampleReader.of(config.datamodule, "binary")
    with rasterio.open(scene) as whole:
        for line, pair in zip(json.loads((tmp_path / "out" / "index.json").read_text())["tiles"], pairs, strict=True):
            image, mask = reader.load(pair)
            rows, cols = slice(line["row"], line["row"] + 100), slice(line["col"], line["col"] + 100)
            np.testing.assert_array_equal(mask * 255, labels[rows, cols])
            np.testing.assert_array_equal(np.moveaxis(image, 2, 0), whole.read()[:, rows, cols])
            assert line["foreground_share"] == pytest.approx(mask.mean(), abs=1e-5)


def test_shapes_are_drawn_as_masks(tmp_path):
    scene = write_scene(tmp_path / "scene.tif", 200, 200)
    left, top = 500_000, 5_500_000
    ring = [
        [left + 10, top - 10],
        [left + 60, top - 10],
        [left + 60, top - 30],
        [left + 10, top - 30],
        [left + 10, top - 10],
    ]
    shape = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32632"}}
    (tmp_path / "w.geojson").write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": [shape]}))
    tile(config_of(None, "tile.size=100"), tmp_path / "out", str(scene), str(tmp_path / "w.geojson"))
    with rasterio.open(tmp_path / "out" / "masks" / "scene_r000000_c000000.tif") as mask:
        wanted = np.zeros((100, 100), np.uint8)
        wanted[20:60, 20:100] = 255
        np.testing.assert_array_equal(mask.read(1), wanted)


def test_tiles_without_data_or_water_are_left_out(tmp_path):
    values = np.full((3, 200, 400), 7, np.uint8)
    values[:, :, :100] = 0  # nodata
    root = tmp_path / "set"
    for kind, data, more in (("images", values, {"nodata": 0}), ("masks", np.zeros((1, 200, 400), np.uint8), {})):
        (root / kind).mkdir(parents=True)
        data[:, 150:, 350:] = 255 if kind == "masks" else 7
        with rasterio.open(
            root / kind / "s.tif", "w", height=200, width=400, count=len(data), dtype="uint8", **GRID, **more
        ) as out:
            out.write(data)
    (cut,) = tile(config_of(root, "tile.size=100"), tmp_path / "all")
    assert len(cut.tiles) == 6 and cut.skipped == 2
    (cut,) = tile(config_of(root, "tile.size=100", "tile.empty=0"), tmp_path / "wet")
    assert [line["tile"] for line in cut.tiles] == ["s_r000100_c000300"]
    kept = [len(tile(config_of(root, "tile.size=20", "tile.empty=0.3"), tmp_path / str(n))[0].tiles) for n in (0, 1)]
    assert kept[0] == kept[1] and 30 < kept[0] < 70


def test_photos_are_cut_upright_into_png(tmp_path):
    photo = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    picture = Image.fromarray(np.rot90(photo))
    exif = picture.getexif()
    exif[0x0112] = 6
    (tmp_path / "photos").mkdir()
    picture.save(tmp_path / "photos" / "p.png", exif=exif)
    tile(config_of(None, "tile.size=30"), tmp_path / "out", str(tmp_path / "photos"))
    read = np.array(Image.open(tmp_path / "out" / "images" / "p_r000030_c000060.png"))
    np.testing.assert_array_equal(read, photo[30:60, 60:90])


def test_photos_have_no_place_on_the_map_and_nobody_complains(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8)).save(tmp_path / "a.png")
    for words in (["--image", "a.png", "--out", "t", "tile.size=64", "tile.overlap=16", "tile.format=tif"],
                  ["--data", "t", "--mosaic", "t/images", "--out", "again.tif"]):  # fmt: skip
        command = [sys.executable, "-m", "flood_seg", "data", "tile", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert not done.stderr
    with Image.open(tmp_path / "a.png") as photo, rasterio.open(tmp_path / "again.tif") as again:
        assert (np.moveaxis(again.read(), 0, 2) == np.asarray(photo)).all()


def test_parts_and_several_scenes_stay_apart(tmp_path):
    for part in ("train", "val"):
        write_scene(tmp_path / "set" / part / "images" / "s.tif", 100, 100, bands=3, dtype="uint8")
        with rasterio.open(write_scene(tmp_path / "x.tif", 100, 100, 1, "uint8")) as source:
            mask = (source.read() > 100).astype(np.uint8)
        (tmp_path / "set" / part / "masks").mkdir()
        with rasterio.open(
            tmp_path / "set" / part / "masks" / "s.tif", "w", height=100, width=100, count=1, dtype="uint8", **GRID
        ) as out:
            out.write(mask)
    tile(config_of(tmp_path / "set", "tile.size=50"), tmp_path / "out")
    assert {pair.stem.partition("/")[0] for pair in find_samples(config_of(tmp_path / "out").datamodule)[0]} == {
        "train", "val"
    }  # fmt: skip
    with pytest.raises(OutputError, match="2 images were cut; give --out FOLDER"):
        mosaic(tmp_path / "out", tmp_path / "out", tmp_path / "one.tif")


def test_what_is_wrong_is_one_line_and_the_rest_is_done(tmp_path):
    folder = tmp_path / "photos"
    write_scene(folder / "good.tif", 64, 64)
    (folder / "bad.tif").write_bytes(b"II*\0nonsense")
    with pytest.raises(FindingsError, match="1 of 2 images could not be cut"):
        tile(config_of(None, "tile.size=64"), tmp_path / "out", str(folder))
    assert len(list((tmp_path / "out" / "images").iterdir())) == 1
    with pytest.raises(OutputError, match="is not empty"):
        tile(config_of(None), tmp_path / "out", str(folder))
    with pytest.raises(UsageError, match="give --image FILE too"):
        tile(config_of(None), tmp_path / "new", None, "labels.gpkg")
    with pytest.raises(DataError, match="no such file or folder"):
        tile(config_of(None), tmp_path / "new", str(tmp_path / "none"))
    with pytest.raises(DataError, match="no index of tiles"):
        mosaic(tmp_path, tmp_path, tmp_path / "a.tif")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no prediction of a tile of good"):
        mosaic(tmp_path / "out", tmp_path / "empty", tmp_path / "a.tif")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "empty" / "good_r000000_c000000.png")
    with pytest.raises(DataError, match="is 9×9, its tile is 64×64"):
        mosaic(tmp_path / "out", tmp_path / "empty", tmp_path / "a.tif")
    assert not (tmp_path / "a.tif").exists() and not (tmp_path / "new").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no peak memory of a child")
def test_memory_does_not_grow_with_the_scene(tmp_path):
    """300 megapixels of three bands that are no data but for a corner; a byte for each would be above the limit."""
    path = tmp_path / "huge.tif"
    with rasterio.open(
        path, "w", height=17_400, width=17_400, count=3, dtype="uint8", nodata=0, tiled=True, sparse_ok=True,
        compress="deflate", **GRID,
    ) as out:  # fmt: skip
        out.write(np.full((3, 400, 400), 9, np.uint8), window=Window(17_000, 17_000, 400, 400))
    command = [sys.executable, "-m", "flood_seg", "data", "tile", "--image", str(path), "--out", str(tmp_path / "out")]
    # By a small process: the peak of one that is started counts from that of its parent, the tests' own.
    script = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    )
    small = [sys.executable, "-S", "-c", script, *command, "tile.size=1000"]
    done = subprocess.run(small, capture_output=True, text=True, timeout=100, check=True)
    assert float(done.stdout) < 500 and len(list((tmp_path / "out" / "images").iterdir())) == 1


def write_signed(root: Path, labels: np.ndarray, **more: object) -> None:
    """A scene, and its labels as they are given."""
    write_scene(root / "images" / "s.tif", *labels.shape, dtype="uint8", bands=3)
    (root / "masks").mkdir()
    height, width = labels.shape
    with rasterio.open(
        root / "masks" / "s.tif", "w", height=height, width=width, count=1, dtype=labels.dtype, **GRID, **more
    ) as out:
        out.write(labels, 1)


SIGNED = np.random.default_rng(1).integers(-1, 2, (100, 200)).astype(np.int16)


@pytest.mark.parametrize(
    ("options", "more"),
    [
        (["datamodule.labels={-1:ignore,0:land,1:water}"], {}),
        (["datamodule.ignore_index=-1"], {}),
        ([], {"nodata": -1}),
        (["datamodule.labels={0:land,1:water}"], {"nodata": -1}),
        (["task=multiclass", "loss=ce", "datamodule.labels={-1:cloud,0:land,1:water}"], {}),
    ],
)
def test_tiles_of_signed_labels_are_read_as_the_scene_is(tmp_path, options, more):
    """What is ignored in the scene is ignored in its tiles, and nothing else."""
    write_signed(tmp_path / "set", SIGNED, **more)
    tile(config_of(tmp_path / "set", "tile.size=100", *options), tmp_path / "out")
    found = []
    printed = json.loads((tmp_path / "out" / "index.json").read_text())["overrides"]
    for config in (config_of(tmp_path / "set", *options), config_of(None, *printed)):
        reader = SampleReader.of(config.datamodule, config.task)
        found.append(np.hstack([reader.read_mask(pair) for pair in find_samples(config.datamodule)[0]]))
    np.testing.assert_array_equal(found[1], found[0])
    named = {-1: 0, 0: 1, 1: 2} if "cloud" in str(options) else {-1: 255, 0: 0, 1: 1}
    np.testing.assert_array_equal(found[0], np.vectorize(named.get)(SIGNED))


def test_a_tiles_mask_says_by_itself_what_is_ignored(tmp_path):
    """Whoever forgets the overrides that are printed does not train on it."""
    write_signed(tmp_path / "set", SIGNED)
    tile(config_of(tmp_path / "set", "tile.size=100", "datamodule.ignore_index=-1"), tmp_path / "out")
    plain = config_of(tmp_path / "out")
    masks = [SampleReader.of(plain.datamodule, "binary").read_mask(pair) for pair in find_samples(plain.datamodule)[0]]
    np.testing.assert_array_equal(np.hstack(masks), np.where(SIGNED < 0, 255, SIGNED))


def test_tiles_declare_the_nodata_value_that_the_configuration_names(tmp_path):
    values = np.full((2, 100, 300), 0.5, np.float32)
    values[:, :, :100], values[0, :, 150] = -9999, -9999
    with rasterio.open(
        tmp_path / "s.tif", "w", height=100, width=300, count=2, dtype="float32", **GRID
    ) as out:  # fmt: skip
        out.write(values)
    (cut,) = tile(
        config_of(None, "tile.size=100", "datamodule.nodata=-9999"), tmp_path / "out", str(tmp_path / "s.tif")
    )
    assert cut.skipped == 1 and [line["data_share"] for line in cut.tiles] == [0.99, 1.0]
    with rasterio.open(tmp_path / "out" / "images" / f"{cut.tiles[0]['tile']}.tif") as one:
        assert one.nodata == -9999 and (one.read(1)[:, 50] == -9999).all()


@pytest.mark.parametrize("source", ["../nir", "{absolute}", "../shared/nir"])
def test_bands_from_outside_of_the_data_set_are_written_inside_the_output_folder(tmp_path, source):
    source = source.format(absolute=tmp_path / "elsewhere" / "nir")
    folder = tmp_path / "set" / source
    write_scene(tmp_path / "set" / "images" / "a.tif", 64, 64, 3)
    write_scene(folder / "a.tif", 64, 64, 1)
    (tmp_path / "set" / "masks").mkdir()
    Image.fromarray(np.kron([[0, 255], [255, 0]], np.ones((32, 32))).astype(np.uint8)).save(
        tmp_path / "set" / "masks" / "a.png"
    )
    options = ["datamodule.bands=[red,green,blue,nir]", f"datamodule.band_sources={{nir:'{source}'}}"]
    config = config_of(tmp_path / "set", *options, "datamodule.value_scale=4000", "tile.size=32", "tile.empty=1")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.tif")}
    tile(config, tmp_path / "work" / "tiles")
    with contextlib.suppress(FindingsError):
        check(config, tmp_path / "work" / "report", tmp_path / "work" / "fixed")
    written = {path for path in tmp_path.rglob("*.tif")} - set(before)
    assert all(path.read_bytes() == content for path, content in before.items())
    tops = {path.relative_to(tmp_path / "work").parts[0] for path in written}
    assert tops == {"tiles", "fixed"}
    (bands,) = {path.parent.name for path in written} - {"images", "masks"}
    copy = replace(config.datamodule, data_dir=str(tmp_path / "work" / "fixed"), band_sources={"nir": bands})
    (pair,), _ = find_samples(copy)
    (original,), _ = find_samples(config.datamodule)
    read = SampleReader.of(copy, config.task).load(pair)[0]
    np.testing.assert_array_equal(read, SampleReader.of(config.datamodule, config.task).load(original)[0])
