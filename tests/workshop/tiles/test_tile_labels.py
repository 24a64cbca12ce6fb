"""What the masks of tiles mean: the overrides that are printed read the classes of what was cut."""

import json
import shlex
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from PIL import Image
from rasterio.transform import from_origin

from flood_seg.classes import IGNORED
from flood_seg.cli import main as cli
from flood_seg.config.compose import compose
from flood_seg.config.schema import TrainConfig
from flood_seg.config.schema.workshop import DataToolsConfig
from flood_seg.data.layout import find_samples
from flood_seg.data.reading import SampleReader
from flood_seg.errors import DataError, FindingsError, OutputError
from tests.workshop.tools import stats, tile

GRID = {"driver": "GTiff", "crs": "EPSG:32632", "transform": from_origin(500_000, 5_500_000, 1, 1)}
MULTI = "task=multiclass"


def config_of(*options: str) -> DataToolsConfig:
    return compose("data", options, DataToolsConfig)


def printed(text: str) -> list[str]:
    """The overrides of the line that says how training reads the tiles, as a shell would split them."""
    (line,) = [line for line in text.splitlines() if line.startswith("train with ")]
    return shlex.split(line.removeprefix("train with "))


def write_photos(root: Path, masks: dict[str, np.ndarray]) -> Path:
    for name, mask in masks.items():
        for kind, values in (("images", np.random.default_rng(0).integers(0, 256, (*mask.shape[:2], 3), np.uint8)),
                             ("masks", mask)):  # fmt: skip
            (root / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(root / kind / f"{name}.png")
    return root


def write_raster(path: Path, values: np.ndarray, **more) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    bands, height, width = values.shape
    more = GRID | {"count": bands, "height": height, "width": width, "dtype": values.dtype} | more
    with rasterio.open(path, "w", **more) as out:
        out.write(values)
    return path


def read_classes(config: DataToolsConfig) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    pairs, faults = find_samples(config.datamodule)
    assert pairs and not faults
    reader = SampleReader.of(config.datamodule, config.task)
    return reader.classes.names, {pair.stem: reader.load(pair)[1] for pair in pairs}


def assert_tiles_are_read_as_the_set(whole: DataToolsConfig, tiles: Path, text: str) -> list[str]:
    """Each tile has the classes that its part of the image has by the whole set's own configuration."""
    overrides = printed(text)
    names, masks = read_classes(whole)
    tile_names, found = read_classes(config_of(*overrides))
    assert tile_names == names
    index = json.loads((tiles / "index.json").read_text())
    assert index["overrides"] == overrides and len(index["tiles"]) == len(found)
    for line in index["tiles"]:
        mask = masks[line["source"]]
        padded = np.full((line["row"] + line["height"], line["col"] + line["width"]), IGNORED, np.uint8)
        fits = mask[: padded.shape[0], : padded.shape[1]]
        padded[: fits.shape[0], : fits.shape[1]] = fits
        np.testing.assert_array_equal(found[line["tile"]], padded[line["row"] :, line["col"] :], line["tile"])
    return overrides


def patches(seed: int, values: list, height: int = 70, width: int = 90) -> np.ndarray:
    """Squares of 5 pixels, each of one of the values."""
    chosen = np.random.default_rng(seed).integers(0, len(values), (height // 5, width // 5))
    return np.array(values, np.uint8)[chosen].repeat(5, axis=0).repeat(5, axis=1)


@pytest.mark.parametrize("edge", ["shift", "pad"])
@pytest.mark.parametrize(
    ("values", "options", "kept"),
    [
        ([0, 255], [], True),
        ([0, 255], ["datamodule.class_names=[dry,'open water, deep']"], True),
        ([0, 1, 255], ["datamodule.ignore_index=255"], True),
        ([0, 3, 4, 200], ["datamodule.labels={3:water,4:water,200:ignore}"], False),
        ([0, 7, 255], ["datamodule.labels={255:water}", "datamodule.unlisted=ignore"], False),
        ([0, 64, 128, 200], [MULTI, "datamodule.labels={0:land,64:water,128:road,200:ignore}"], True),
        ([0, 1, 2, 9], [MULTI, "datamodule.max_label=2", "datamodule.unlisted=ignore"], False),
        ([0, 64], [MULTI, "datamodule.labels={64:water}"], True),
    ],
)  # fmt: skip
def test_the_printed_overrides_read_the_classes_that_were_cut(tmp_path, capsys, edge, values, options, kept):
    root = write_photos(tmp_path / "set", {str(seed): patches(seed, values) for seed in range(2)})
    whole = config_of(f"datamodule.data_dir='{root}'", *options)
    tile(config_of(f"datamodule.data_dir='{root}'", *options, "tile.size=40", f"tile.edge={edge}"), tmp_path / "a b")
    assert_tiles_are_read_as_the_set(whole, tmp_path / "a b", capsys.readouterr().out)
    if kept:
        written = {
            int(value) for file in (tmp_path / "a b" / "masks").iterdir() for value in np.unique(Image.open(file))
        }
        assert set(values) <= written


def test_colours_become_indices_that_the_overrides_name(tmp_path, capsys):
    colors = {(0, 0, 0): "land", (0, 0, 255): "water", (128, 128, 128): "ignore", (255, 0, 0): "road"}
    chosen = patches(0, list(range(4)))
    root = write_photos(tmp_path / "set", {"a": np.array(list(colors), np.uint8)[chosen]})
    labels = ",".join(f"{' '.join(map(str, color))}:{name}" for color, name in colors.items())
    options = [MULTI, f"datamodule.data_dir='{root}'", f"datamodule.labels={{{labels}}}"]
    tile(config_of(*options, "tile.size=35", "tile.edge=crop"), tmp_path / "tiles")
    overrides = assert_tiles_are_read_as_the_set(config_of(*options), tmp_path / "tiles", capsys.readouterr().out)
    assert overrides[-1] == "datamodule.labels={0:land,1:water,2:road,255:ignore}"
    shares = [stats(one).record["classes"] for one in (config_of(*options), config_of(*overrides))]
    assert {name: one["share"] for name, one in shares[0].items()} == pytest.approx(
        {name: one["share"] for name, one in shares[1].items()}
    )


def test_padding_is_ignored_and_read_without_its_label_no_water(tmp_path, capsys):
    root = write_photos(tmp_path / "set", {"a": np.full((40, 40), 255, np.uint8)})
    (cut,) = tile(config_of(f"datamodule.data_dir='{root}'", "tile.size=64", "tile.edge=pad"), tmp_path / "tiles")
    overrides = printed(capsys.readouterr().out)
    assert overrides[-1] == "datamodule.labels={0:background,255:water,127:ignore}"
    assert cut.tiles[0]["ignored_share"] == 1 - 40 * 40 / 64**2 and cut.tiles[0]["foreground_share"] == 1
    written = np.array(Image.open(tmp_path / "tiles" / "masks" / "a_r000000_c000000.png"))
    assert (written[:40, :40] == 255).all() and (written[40:] == 127).all() and (written[:, 40:] == 127).all()


def test_shapes_that_are_ignored_are_no_water(tmp_path, capsys):
    write_raster(tmp_path / "images" / "s.tif", np.full((3, 60, 80), 9, np.uint8))
    left, top = 500_000, 5_500_000
    boxes = [shapely.box(left + x, top - y - 20, left + x + 30, top - y) for x, y in ((0, 0), (40, 10))]
    (tmp_path / "masks").mkdir()
    pyogrio.raw.write(
        tmp_path / "masks" / "s.gpkg", shapely.to_wkb(np.array(boxes)), [np.array(["water", "ignore"], object)],
        ["kind"], geometry_type="Polygon", crs="EPSG:32632",
    )  # fmt: skip
    options = [f"datamodule.data_dir='{tmp_path}'", "datamodule.label_field=kind"]
    tile(config_of(*options, "tile.size=40", "tile.edge=crop"), tmp_path / "tiles")
    assert_tiles_are_read_as_the_set(config_of(*options), tmp_path / "tiles", capsys.readouterr().out)


@pytest.mark.parametrize("kind", ["nodata", "mask"])
@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_pixels_without_data_stay_ignored_in_every_format(tmp_path, capsys, kind, suffix):
    values = np.full((3, 60, 80), 9, np.uint8)
    values[:, 10:50, 5:30] = 0 if kind == "nodata" else 9
    file = write_raster(tmp_path / "images" / "s.tif", values, nodata=0 if kind == "nodata" else None)
    if kind == "mask":
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(file, "r+") as out:
            valid = np.ones((60, 80), bool)
            valid[10:50, 5:30] = False
            out.write_mask(valid)
    write_raster(tmp_path / "masks" / "s.tif", patches(0, [0, 255], 60, 80)[None])
    place = f"datamodule.data_dir='{tmp_path}'"
    tile(config_of(place, "tile.size=40", "tile.edge=crop", f"tile.format={suffix}"), tmp_path / "tiles")
    assert_tiles_are_read_as_the_set(config_of(place), tmp_path / "tiles", capsys.readouterr().out)


def test_values_beyond_16_bits_become_indices(tmp_path, capsys):
    write_raster(tmp_path / "images" / "s.tif", np.full((3, 40, 40), 9, np.uint8))
    write_raster(tmp_path / "masks" / "s.tif", patches(0, [0, 1, 2], 40, 40)[None].astype(np.uint32) * 70_000)
    options = [MULTI, f"datamodule.data_dir='{tmp_path}'", "datamodule.labels={70000:water,140000:road}"]
    tile(config_of(*options, "tile.size=32"), tmp_path / "tiles")
    assert_tiles_are_read_as_the_set(config_of(*options), tmp_path / "tiles", capsys.readouterr().out)


def test_bands_and_their_scale_are_among_the_overrides(tmp_path, capsys):
    write_raster(tmp_path / "images" / "s.tif", np.full((2, 40, 40), 900, np.uint16))
    write_raster(tmp_path / "masks" / "s.tif", patches(0, [0, 1], 40, 40)[None])
    options = ["datamodule.bands=[vv,vh]", "datamodule.band_sources={vv:1,vh:2}", "datamodule.value_scale=1000",
               "datamodule.mean=[0.9,0.8]", "datamodule.std=[0.1,0.2]"]  # fmt: skip
    tile(config_of(f"datamodule.data_dir='{tmp_path}'", *options, "tile.size=32"), tmp_path / "tiles")
    again = compose("train", printed(capsys.readouterr().out), TrainConfig).datamodule
    assert (again.bands, again.value_scale, again.mean, again.std) == (["vv", "vh"], 1000, [0.9, 0.8], [0.1, 0.2])
    (pair, *_), _ = find_samples(again)
    assert (SampleReader.of(again, "binary").load(pair)[0] == 900).all()
    tile(config_of(f"datamodule.data_dir='{tmp_path}'", *options[:3], "tile.size=32"), tmp_path / "again")
    again = compose("train", printed(capsys.readouterr().out), TrainConfig).datamodule
    assert again.bands == ["vv", "vh"] and again.mean == again.std == "auto"


def test_images_of_one_stem_keep_their_tiles_apart(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, value in (("a.png", 10), ("a.bmp", 20), ("A.tif", 30), ("b.png", 40)):
        Image.fromarray(np.full((40, 40, 3), value, np.uint8)).save(folder / name)
    tile(config_of("tile.size=32"), tmp_path / "tiles", str(folder))
    found = {file.name.partition("_r0")[0]: int(np.array(Image.open(file)).max())
             for file in (tmp_path / "tiles" / "images").iterdir()}  # fmt: skip
    assert found == {"a.png": 10, "a.bmp": 20, "A.tif": 30, "b": 40}
    index = json.loads((tmp_path / "tiles" / "index.json").read_text())
    assert (
        {line["source"] for line in index["tiles"]} == {source["source"] for source in index["sources"]} == set(found)
    )


def test_sets_whose_joined_names_clash_keep_their_tiles_apart(tmp_path):
    write_photos(tmp_path / "x", {"y_z": np.zeros((32, 32), np.uint8)})
    write_photos(tmp_path / "x_y", {"z": np.full((32, 32), 255, np.uint8)})
    place = f"datamodule.data_dir=['{tmp_path}/x','{tmp_path}/x_y']"
    with pytest.raises(DataError, match=r"would both be written as x_y_z\.png; rename one"):
        tile(config_of(place, "tile.size=32"), tmp_path / "tiles")
    assert not (tmp_path / "tiles").exists()


def test_images_without_a_mask_count_as_faults(tmp_path, capsys):
    root = write_photos(tmp_path / "set", {"a": np.zeros((32, 32), np.uint8), "b": np.zeros((32, 32), np.uint8)})
    (root / "masks" / "b.png").unlink()
    with pytest.raises(FindingsError, match="1 of 2 images could not be cut"):
        tile(config_of(f"datamodule.data_dir='{root}'", "tile.size=32"), tmp_path / "tiles")
    assert "b.png left out: image without a mask" in capsys.readouterr().err


@pytest.mark.parametrize("broken", [KeyboardInterrupt, OutputError])
def test_what_is_broken_off_leaves_nothing_and_can_be_cut_again(tmp_path, broken, monkeypatch):
    root = write_photos(tmp_path / "set", {name: patches(0, [0, 255]) for name in "ab"})
    config = config_of(f"datamodule.data_dir='{root}'", "tile.size=32")
    read = SampleReader.read_mask
    seen = []

    def stop(self, pair):
        seen.append(len(list((tmp_path / "tiles").rglob("*.png"))))
        if pair.stem == "b":
            raise broken("enough")
        return read(self, pair)

    monkeypatch.setattr(SampleReader, "read_mask", stop)
    with pytest.raises(broken):
        tile(config, tmp_path / "tiles")
    assert seen[-1] > 0 and not (tmp_path / "tiles").exists()
    monkeypatch.undo()
    tile(config, tmp_path / "tiles")


def test_a_killed_run_is_named_where_its_tiles_lie(tmp_path):
    root = write_photos(tmp_path / "set", {"a": patches(0, [0, 255])})
    config = config_of(f"datamodule.data_dir='{root}'", "tile.size=32")
    tile(config, tmp_path / "tiles")
    (tmp_path / "tiles" / "index.json").unlink()
    with pytest.raises(OutputError, match=r"holds tiles without index\.json, of a run that was killed; delete"):
        tile(config, tmp_path / "tiles")


def test_a_set_whose_labels_do_not_fit_is_not_half_cut(tmp_path):
    root = write_photos(tmp_path / "set", {"a": patches(0, [0, 1]), "b": patches(0, [0, 9])})
    options = [MULTI, f"datamodule.data_dir='{root}'", "datamodule.max_label=1", "tile.size=32"]
    with pytest.raises(DataError, match="the value 9"):
        tile(config_of(*options), tmp_path / "tiles")
    assert not (tmp_path / "tiles").exists()


def test_whole_rasters_are_cut_though_training_reads_windows(tmp_path):
    write_raster(tmp_path / "images" / "s.tif", np.full((3, 200, 200), 9, np.uint8))
    write_raster(tmp_path / "masks" / "s.tif", patches(0, [0, 255], 200, 200)[None])
    options = ["datamodule=rasters", f"datamodule.data_dir='{tmp_path}'", "datamodule.windows.size=64", "tile.size=100"]
    (cut,) = tile(config_of(*options), tmp_path / "tiles")
    assert len(cut.tiles) == 4


def run(*words: str) -> None:
    cli.main(["data", "tile", *words])


def exit_code(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        run(*words)
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture
def parts(tmp_path, monkeypatch) -> Path:
    """Tiles of two scenes of one name, in train and val, whose masks serve as predictions."""
    monkeypatch.chdir(tmp_path)
    for part, value in (("train", 100), ("val", 200)):
        write_raster(Path("set", part, "images", "s.tif"), np.full((3, 64, 96), 9, np.uint8))
        write_raster(Path("set", part, "masks", "s.tif"), np.full((1, 64, 96), value, np.uint8))
    run(
        "--data", "set", "--out", "tiles", "tile.size=64", "tile.overlap=16", "datamodule.labels={100:water,200:ignore}"
    )
    return tmp_path


def test_a_mosaic_takes_each_part_from_its_own_folder(parts):
    for part in ("train", "val"):
        Path("masks", part).mkdir(parents=True)
        for file in Path("tiles", part, "masks").iterdir():
            file.rename(Path("masks", part, file.name))
    run("--data", "tiles", "--mosaic", "masks", "--out", "whole", "tile.compress=lzw")
    for part, value in (("train", 100), ("val", 200)):
        with rasterio.open(f"whole/{part}_s.tif") as found:
            assert (found.read() == value).all() and found.compression.name.lower() == "lzw"


def test_a_mosaic_does_not_guess_which_part_a_prediction_is_of(parts, capsys):
    Path("tiles/train/masks").rename("masks")
    assert exit_code("--data", "tiles", "--mosaic", "masks", "--out", "whole") == 2
    assert "several parts have a tile s_r000000_c000000; put the predictions of part 'train'" in capsys.readouterr().err
    assert not Path("whole").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tile.size=9"], "tile.size=9: "),
        (["tile.overlap=8"], "tile.overlap=8: has no effect with --mosaic, which takes tile.compress alone"),
        (["tile.sise=64"], "tile.sise"),
        (["task=multiclass"], "task=multiclass: has no effect with --mosaic"),
        (["tile.compress=zip"], "tile.compress"),
        (["--image", "s.tif"], "--image: has no effect with --mosaic"),
        (["--labels", "s.tif"], "--labels: has no effect with --mosaic"),
    ],
)
def test_what_a_mosaic_does_not_take_is_an_error(parts, capsys, words, message):
    assert exit_code("--data", "tiles", "--mosaic", "tiles/val/masks", "--out", "whole", *words) == 2
    assert message in capsys.readouterr().err and not Path("whole").exists()


@pytest.fixture
def one(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_raster(Path("scenes", "s.tif"), np.full((1, 64, 128), 7, np.uint8))
    run("--image", "scenes/s.tif", "--out", "tiles", "tile.size=64")
    return tmp_path


def test_tiles_without_a_prediction_are_counted_and_the_mosaic_is_no_success(one, capsys):
    Path("tiles/images/s_r000000_c000064.tif").unlink()
    assert exit_code("--data", "tiles", "--mosaic", "tiles/images", "--out", "m.tif") == 1
    said = capsys.readouterr().err
    assert "50.00% of s has no prediction and is 0 there (1 of 2 tiles have none)" in said
    assert "1 of 2 tiles have no prediction" in said and Path("m.tif").is_file()


def test_a_mosaic_never_replaces_the_scene(one, capsys):
    before = Path("scenes/s.tif").read_bytes()
    for out in ("scenes", "scenes/s.tif"):
        assert exit_code("--data", "tiles", "--mosaic", "tiles/images", "--out", out) == 2
    assert "is the image that was cut" in capsys.readouterr().err and Path("scenes/s.tif").read_bytes() == before


def test_two_predictions_of_a_tile_or_of_two_kinds_are_named(one, capsys):
    Path("p/x").mkdir(parents=True)
    for col, dtype in (("000", "uint8"), ("064", "uint16")):
        write_raster(Path(f"p/s_r000000_c000{col}_mask.tif"), np.full((1, 64, 64), 7, dtype))
    assert exit_code("--data", "tiles", "--mosaic", "p", "--out", "m.tif") == 2
    assert "has 1 band(s) of uint16, others 1 of uint8" in capsys.readouterr().err
    write_raster(Path("p/x/s_r000000_c000000.tif"), np.full((1, 64, 64), 7, np.uint8))
    assert exit_code("--data", "tiles", "--mosaic", "p", "--out", "m.tif") == 2
    assert "is a prediction of the same tile as" in capsys.readouterr().err and not Path("m.tif").exists()


@pytest.mark.parametrize(
    "change",
    [lambda i: i["tiles"][0].pop("row"), lambda i: i["tiles"].append(3), lambda i: i["sources"][0].update(crs="?"),
     lambda i: i["sources"][0].update(height="x"), lambda i: i["sources"][0].update(transform=[1])],
)  # fmt: skip
def test_an_index_that_was_changed_is_one_line(one, capsys, change):
    index = json.loads(Path("tiles/index.json").read_text())
    change(index)
    Path("tiles/index.json").write_text(json.dumps(index))
    assert exit_code("--data", "tiles", "--mosaic", "tiles/images", "--out", "m.tif") == 2
    assert capsys.readouterr().err.count("\n") == 1 and not Path("m.tif").exists()


def test_a_scene_that_breaks_within_leaves_no_tile(tmp_path, capsys):
    values = np.random.default_rng(0).integers(0, 255, (3, 200, 200), np.uint8)
    for name in ("whole", "broken[1]"):
        write_raster(tmp_path / "images" / f"{name}.tif", values, tiled=True, blockxsize=64, blockysize=64)
    data = (tmp_path / "images" / "broken[1].tif").read_bytes()
    (tmp_path / "images" / "broken[1].tif").write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(FindingsError, match="1 of 2 images could not be cut"):
        tile(config_of("tile.size=64", "tile.workers=1"), tmp_path / "tiles", str(tmp_path / "images"))
    assert "broken[1] left out" in capsys.readouterr().err
    names = {file.name.partition("_r")[0] for file in (tmp_path / "tiles" / "images").iterdir()}
    assert names == {"whole"}


def test_photos_of_several_folders_are_all_cut(tmp_path):
    for folder, value in (("x", 10), ("y", 20)):
        (tmp_path / folder / "images").mkdir(parents=True)
        Image.fromarray(np.full((32, 32, 3), value, np.uint8)).save(tmp_path / folder / "images" / "a.png")
    config = config_of(f"datamodule.data_dir=['{tmp_path}/x','{tmp_path}/y']", "tile.size=32")
    tile(config, tmp_path / "tiles")
    found = {file.name: int(np.array(Image.open(file)).max()) for file in (tmp_path / "tiles" / "images").iterdir()}
    assert found == {"x_a_r000000_c000000.png": 10, "y_a_r000000_c000000.png": 20}
    write_photos(tmp_path / "y", {"a": np.zeros((32, 32), np.uint8)})
    with pytest.raises(DataError, match="x/masks: no such folder"):
        tile(config, tmp_path / "more")
