from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

from flood_seg.classes import IGNORED
from flood_seg.config.compose import compose
from flood_seg.config.defaults import defaults
from flood_seg.config.schema import DataConfig, TrainConfig, WindowsConfig
from flood_seg.data.layout import choose_split, find_samples
from flood_seg.data.reading import SampleReader
from flood_seg.data.windows import move
from flood_seg.errors import DataError, ImageError
from flood_seg.imaging.binary_mask import read_binary_mask
from flood_seg.training.history import read_history
from flood_seg.verbs.train_run import run_training as train

SIZE = 64


def write_scene(
    folder: Path, name: str, height: int, width: int, east: float = 0.0, north: float = 0.0, **options
) -> None:
    """An image whose two bands say each pixel's place on the map, and a mask."""
    place = {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 500000 + east, 0, -10, 5600000 + north)} | options
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([columns + round(east / 10), rows - round(north / 10)]) + 1000
    mask = ((rows // 20 + columns // 20) % 2).astype(np.uint8)
    for kind, values in (("images", image.astype(np.uint16)), ("masks", mask[None])):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        shape = {"height": height, "width": width, "count": len(values), "dtype": values.dtype}
        nodata = {"nodata": 0} if kind == "images" else {}
        with rasterio.open(folder / kind / f"{name}.tif", "w", driver="GTiff", **shape, **nodata, **place) as out:
            out.write(values)


def config_of(folder: Path, **options: object) -> DataConfig:
    windows = WindowsConfig(**({"size": SIZE, "block": 2.0, "min_data": 0.1, "seed": 0} | options))
    names = {"bands": ["east", "south"], "mean": [0.1, 0.1], "std": [1.0, 1.0], "value_scale": 1e4}
    return defaults(DataConfig, data_dir=str(folder), height=SIZE, width=SIZE, windows=windows, cache="none", **names)


def ground(pairs, config: DataConfig, moved: int = 0) -> set[tuple[int, int]]:
    """The places on the map of all pixels that windows read, by the pixels' own values."""
    reader, random, seen = SampleReader.of(config, "binary"), np.random.default_rng(0), set()
    for pair in pairs:
        for _ in range(max(moved, 1)):
            window = move(pair.window, random) if moved else pair.window
            image, mask = reader.load(replace(pair, window=window))
            assert image.shape == (SIZE, SIZE, 2) and mask.shape == (SIZE, SIZE)
            seen |= set(map(tuple, image[mask != IGNORED].tolist()))
    return seen


def test_windows_cover_a_raster_once_but_for_narrow_strips(tmp_path):
    write_scene(tmp_path, "a", 300, 420)
    config = config_of(tmp_path)
    pairs, _ = find_samples(config)
    covered = np.zeros((300, 420), int)
    for pair in pairs:
        (top, bottom), (left, right) = pair.window.slices
        covered[top:bottom, left:right] += 1
    assert covered.max() == 1 and covered.mean() > 0.9
    assert {pair.part for pair in pairs} == {"train", "val"}


def test_no_ground_is_both_trained_and_validated_on_in_overlapping_rasters(tmp_path):
    """The rasters lie on one another by half, along no common line."""
    write_scene(tmp_path, "spring", 400, 400)
    write_scene(tmp_path, "autumn", 390, 370, east=1970, north=-830)
    config = config_of(tmp_path)
    pairs, _ = find_samples(config)
    parts = {part: [pair for pair in pairs if pair.part == part] for part in ("train", "val")}
    trained, validated = ground(parts["train"], config, moved=5), ground(parts["val"], config)
    assert trained and validated and not trained & validated
    assert 0.1 < len(validated) / (len(trained) + len(validated)) < 0.45


def test_windows_move_within_their_block_and_reach_all_of_it(tmp_path):
    write_scene(tmp_path, "a", 256, 256, transform=rasterio.Affine(10, 0, 0, 0, -10, 2560))
    pairs, _ = find_samples(config_of(tmp_path))
    assert len({pair.window.block for pair in pairs}) == 4
    top, left, bottom, right = pairs[0].window.block
    random, moved = np.random.default_rng(0), []
    for _ in range(300):
        window = move(pairs[0].window, random)
        assert top <= window.row <= bottom - SIZE and left <= window.col <= right - SIZE
        assert (window.height, window.width) == (SIZE, SIZE)
        moved.append((window.row, window.col))
    assert min(moved)[0] == top and max(moved)[0] == bottom - SIZE and len(set(moved)) > 250


def test_pixels_without_data_are_ignored_and_empty_windows_left_out(tmp_path):
    write_scene(tmp_path, "a", 256, 256)
    with rasterio.open(tmp_path / "images" / "a.tif", "r+") as raster:
        values = raster.read()
        values[:, :128, :128] = 0
        values[:, 200, 200] = 0
        raster.write(values)
    config = config_of(tmp_path)
    pairs, _ = find_samples(config)
    assert all(pair.window.row >= 64 or pair.window.col >= 64 for pair in pairs)
    reader = SampleReader.of(config, "binary")
    ignored = sum((reader.load(pair)[1] == IGNORED).sum() for pair in pairs)
    read = sum(pair.window.height * pair.window.width for pair in pairs)
    assert len({pair.stem for pair in pairs}) == len(pairs)
    assert ignored >= 1 and read - ignored <= 256 * 256 - 128 * 128 - 1


def test_a_layouts_own_parts_stay(tmp_path):
    write_scene(tmp_path / "train", "a", 128, 128)
    write_scene(tmp_path / "val", "b", 128, 128)
    pairs, _ = find_samples(config_of(tmp_path))
    assert {pair.stem.split("/")[0]: pair.part for pair in pairs} == {"train": "train", "val": "val"}


def test_rasters_without_a_part_are_divided_by_blocks_beside_others_of_validation(tmp_path):
    write_scene(tmp_path / "flat", "a", 300, 300)
    write_scene(tmp_path / "more" / "val", "b", 128, 128, east=9000)
    config = replace(config_of(tmp_path), data_dir=[str(tmp_path / "flat"), str(tmp_path / "more")])
    alone, _ = find_samples(config_of(tmp_path / "flat"))
    pairs, _ = find_samples(config)
    assert {pair.stem: pair.part for pair in pairs if pair.stem.startswith("flat/")} == {
        f"flat/{pair.stem}": pair.part for pair in alone
    }
    assert {pair.part for pair in pairs if pair.stem.startswith("more/")} == {"val"}


def test_a_raster_too_small_for_two_blocks_is_one_line(tmp_path):
    write_scene(tmp_path, "a", 70, 70, transform=rasterio.Affine(10, 0, 0, 0, -10, 700))
    with pytest.raises(DataError, match="1 block of a raster.*datamodule.windows.block"):
        find_samples(config_of(tmp_path))


@pytest.mark.usefixtures("no_curves")
def test_training_on_rasters_reads_windows_anew_each_epoch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_scene(tmp_path / "data", "a", 300, 300)
    overrides = [
        "datamodule=rasters", "datamodule.data_dir=data", "datamodule.bands=[east,south]", "datamodule.height=64",
        "datamodule.value_scale=10000", "datamodule.windows.block=2", "model=mobilenet_unet", "datamodule.batch_size=4",
        "model.encoder_weights=null", "trainer.max_epochs=2", "trainer.precision=32-true", "logger=none",
    ]  # fmt: skip
    seen = []
    real = SampleReader.load_at
    monkeypatch.setattr(SampleReader, "load_at", lambda self, pair, *size: seen.append(pair) or real(self, pair, *size))
    summary = train(compose("train", overrides, TrainConfig), overrides)
    assert len(read_history(summary.run_dir / "history.csv")) == 2
    places = [(pair.window.row, pair.window.col) for pair in seen if pair.part == "train"]
    assert len(set(places)) > 2 * len({pair.stem for pair in seen if pair.part == "train"})
    split = (summary.run_dir / "split.txt").read_text().splitlines()
    assert all(line.split("\t")[1].startswith("a/r") for line in split)


def test_the_split_of_a_run_says_which_windows_are_validation(tmp_path):
    write_scene(tmp_path, "a", 300, 300)
    config = config_of(tmp_path)
    pairs, _ = find_samples(config)
    split = choose_split(config, pairs, seed=9)
    assert set(split.val) == {pair.stem for pair in pairs if pair.part == "val"}


def redraw_mask(path: Path, change) -> None:
    with rasterio.open(path) as source:
        values, profile = source.read(), source.profile
    with rasterio.open(path, "w", **profile) as out:
        out.write(change(values))


def test_windows_of_a_mask_with_grey_edges_are_the_whole_masks(tmp_path):
    """A window that has nothing but a lossy mask's specks shows no foreground."""
    write_scene(tmp_path, "a", 100, 130)
    specks = np.random.default_rng(0).integers(0, 9, (1, 100, 130))
    redraw_mask(tmp_path / "masks" / "a.tif", lambda v: np.where(v > 0, 255 - specks, specks).astype(np.uint8))
    path, reader = tmp_path / "masks" / "a.tif", SampleReader.of(config_of(tmp_path), "binary")
    whole = read_binary_mask(path)
    assert 0.4 < whole.mean() < 0.6
    for pair in find_samples(config_of(tmp_path))[0]:
        (top, bottom), (left, right) = pair.window.slices
        assert (reader.read_mask(pair) == whole[top:bottom, left:right]).all()


def test_a_raster_that_is_no_mask_of_two_classes_is_refused_in_each_window(tmp_path):
    write_scene(tmp_path, "a", 100, 130)
    redraw_mask(tmp_path / "masks" / "a.tif", lambda values: values * 2)
    pairs, _ = find_samples(config_of(tmp_path))
    with pytest.raises(ImageError, match=r"a.tif: the mask's brightest value is 2; give a mask of 0 and 1"):
        SampleReader.of(config_of(tmp_path), "binary").load(pairs[0])


def test_what_has_no_data_and_alpha_do_not_say_how_bright_a_mask_is(tmp_path):
    write_scene(tmp_path, "a", 700, 130)
    path = tmp_path / "masks" / "a.tif"
    with rasterio.open(path) as source:
        ponds, profile = source.read(1), source.profile
    ponds[:3] = 0
    holes, opaque = ponds.copy(), np.full_like(ponds, 255)
    holes[:3] = 255
    for bands, more in (([holes], {"nodata": 255}), ([ponds] * 3 + [opaque], {"photometric": "RGB", "alpha": "yes"})):
        with rasterio.open(path, "w", **(profile | {"count": len(bands)} | more)) as out:
            out.write(np.stack(bands))
        pair = find_samples(config_of(tmp_path))[0][0]
        (top, bottom), (left, right) = pair.window.slices
        assert (SampleReader.of(config_of(tmp_path), "binary").read_mask(pair) == ponds[top:bottom, left:right]).all()


def test_windows_without_data_by_the_configuration_alone_are_left_out(tmp_path):
    """As if the file declared the value."""
    write_scene(tmp_path, "a", 256, 256)
    with rasterio.open(tmp_path / "images" / "a.tif") as source:
        values, profile = source.read().astype(np.int16), source.profile
    values[:, :128, :128] = -9999
    found = []
    for declared, told in ((-9999, None), (None, -9999.0)):
        with rasterio.open(
            tmp_path / "images" / "a.tif", "w", **(profile | {"dtype": "int16", "nodata": declared})
        ) as out:
            out.write(values)
        config = replace(config_of(tmp_path), nodata=told)
        pairs, reader = find_samples(config)[0], SampleReader.of(config, "binary")
        found.append({pair.stem: reader.load(pair)[1] for pair in pairs})
    assert found[0].keys() == found[1].keys() and "a/r0c0" not in found[0]
    assert all((found[0][stem] == found[1][stem]).all() for stem in found[0])
