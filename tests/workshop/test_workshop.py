"""Every verb of the workshop on every layout that training accepts."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin

from flood_seg.config.compose import compose
from flood_seg.config.schema.workshop import DataToolsConfig
from flood_seg.data.layout import find_samples
from flood_seg.data.reading import SampleReader
from flood_seg.synthetic.scene import draw_scene
from tests.workshop.tools import find_problems, overlay, split, stats, tile, to_coco, to_cvat, to_mmseg

COUNT = 8


def write(images: Path, masks: Path, numbers: range) -> None:
    images.mkdir(parents=True, exist_ok=True)
    masks.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        image, mask = draw_scene(number, 96, 128)
        Image.fromarray(image).save(images / f"{number}.png")
        Image.fromarray(mask).save(masks / f"{number}.png")


def plain(root: Path) -> list[str]:
    write(root / "images", root / "masks", range(COUNT))
    return [f"datamodule.data_dir='{root}'"]


def parts(root: Path) -> list[str]:
    write(root / "train" / "images", root / "train" / "masks", range(6))
    write(root / "val" / "images", root / "val" / "masks", range(6, COUNT))
    return plain_at(root)


def plain_at(root: Path) -> list[str]:
    return [f"datamodule.data_dir='{root}'"]


def mmseg(root: Path) -> list[str]:
    write(root / "img" / "train", root / "labels" / "train", range(6))
    write(root / "img" / "val", root / "labels" / "val", range(6, COUNT))
    return [*plain_at(root), "datamodule.images_dir=img", "datamodule.masks_dir=labels"]


def table(root: Path) -> list[str]:
    write(root / "a", root / "b", range(COUNT))
    rows = [(f"a/{n}.png", f"b/{n}.png", "val" if n > 5 else "train") for n in range(COUNT)]
    with (root / "pairs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "mask", "part"), *rows])
    return [*plain_at(root), "datamodule.pairs_file=pairs.csv"]


def several(root: Path) -> list[str]:
    for name, numbers in (("spring", range(4)), ("autumn", range(4, COUNT))):
        write(root / name / "images", root / name / "masks", numbers)
    return [f"datamodule.data_dir=['{root}/spring','{root}/autumn']"]


def rasters(root: Path) -> list[str]:
    """Sixteen bits, near-infrared in a folder beside, classes by number."""
    for number in range(COUNT):
        image, mask = draw_scene(number, 96, 128)
        bands = np.moveaxis(image, 2, 0).astype(np.uint16) * 30
        for folder, values in (
            ("images", bands),
            ("nir", bands[:1]),
            ("masks", (mask > 0)[None].astype(np.uint8) * 64),
        ):
            (root / folder).mkdir(parents=True, exist_ok=True)
            with rasterio.open(
                root / folder / f"{number}.tif", "w", driver="GTiff", count=len(values), height=96, width=128,
                dtype=values.dtype, crs="EPSG:32632", transform=from_origin(5e5 + number * 5000, 5e6, 10, 10),
            ) as out:  # fmt: skip
                out.write(values)
    return [
        *plain_at(root), "datamodule.bands=[red,green,blue,nir]", "datamodule.band_sources={nir:nir}",
        "datamodule.value_scale=10000", "datamodule.mean=auto", "datamodule.std=auto", "task=multiclass",
        "datamodule.labels={64:water}",
    ]  # fmt: skip


LAYOUTS = {layout.__name__: layout for layout in (plain, parts, mmseg, table, several, rasters)}


@pytest.fixture(scope="module", params=LAYOUTS)
def config(request, tmp_path_factory) -> DataToolsConfig:
    return compose("data", LAYOUTS[request.param](tmp_path_factory.mktemp(request.param)), DataToolsConfig)


def test_check_finds_nothing(config):
    checked = find_problems(config)
    assert len(checked.samples) == COUNT
    assert {finding.kind for finding in checked.findings} <= {"soft", "misfit"}


def test_stats_counts_all(config, tmp_path):
    record = stats(config, tmp_path).record
    assert record["images"] == COUNT and 0.05 < record["classes"]["water"]["share"] < 0.95
    assert set(record["bands"]) == set(config.datamodule.bands)
    assert all(0 < band["mean"] < 1 for band in record["bands"].values())
    pictures = {path.stem for path in tmp_path.glob("*.png")}
    assert len(pictures) == 8 and "water" in (tmp_path / "report.html").read_text()


def test_overlay_draws_all(config, tmp_path):
    overlay(config, tmp_path)
    assert len(list(tmp_path.glob("*.jpg"))) == COUNT + 1


def test_split_divides_all(config, tmp_path):
    (found,) = split(config, tmp_path / "split.txt")
    assert len(found.train) + len(found.val) == COUNT and len(found.val) in (1, 2)


def test_tile_cuts_all(config, tmp_path):
    config.tile.size = 64
    cuts = tile(config, tmp_path / "tiles")
    assert [len(cut.tiles) for cut in cuts] == [4] * COUNT
    folders = ("images", "masks", *(config.datamodule.band_sources or ()))
    assert all(len(list((tmp_path / "tiles").rglob(f"{folder}/*"))) == 4 * COUNT for folder in folders)
    if "nir" in folders:  # the tiles are read as the scenes were
        tiles = replace(config.datamodule, data_dir=str(tmp_path / "tiles"))
        pairs, _ = find_samples(tiles)
        image, _ = SampleReader.of(tiles, config.task).load(pairs[0])
        np.testing.assert_array_equal(image[:, :, 3], image[:, :, 0])


def test_other_formats_take_all(config, tmp_path):
    for name, convert in (("coco", to_coco), ("cvat", to_cvat), ("mmseg", to_mmseg)):
        convert(config, tmp_path / name)
        folder = "img_dir" if name == "mmseg" else "images"
        copied = [path for path in (tmp_path / name).rglob("*") if path.is_file() and folder in path.parts]
        assert len(copied) == COUNT, name


def test_large_rasters_are_checked_and_measured_by_windows(tmp_path):
    grid = {
        "driver": "GTiff",
        "height": 300,
        "width": 300,
        "crs": "EPSG:32632",
        "transform": from_origin(5e5, 5e6, 1, 1),
    }
    image, mask = draw_scene(0, 300, 300)
    for folder, values in (("images", np.moveaxis(image, 2, 0)), ("masks", mask[None])):
        (tmp_path / folder).mkdir()
        with rasterio.open(tmp_path / folder / "s.tif", "w", count=len(values), dtype="uint8", **grid) as out:
            out.write(values)
    options = [
        "datamodule=rasters",
        "datamodule.windows.size=64",
        "datamodule.windows.block=1",
        "datamodule.value_scale=255",
    ]
    config = compose("data", [f"datamodule.data_dir='{tmp_path}'", *options], DataToolsConfig)
    checked = find_problems(config)
    assert len(checked.samples) >= 16 and not checked.count("error")
    assert stats(config).record["images"] == len(checked.samples)
    shutil.copy(tmp_path / "images" / "s.tif", tmp_path / "masks" / "s.tif")  # a photo is no mask
    assert find_problems(config).count("error")
