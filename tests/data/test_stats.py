from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from flood_seg.cli import main as cli
from flood_seg.config.compose import compose
from flood_seg.config.schema import TrainConfig
from flood_seg.config.schema.workshop import DataToolsConfig
from flood_seg.data.pairing import Pair, SampleWindow
from flood_seg.data.stats import BandStats, measure_ground_sample_distance, measure_image_scales
from flood_seg.errors import ConfigError
from flood_seg.spec import ModelSpec
from tests.scenes.conftest import write_scene
from tests.workshop.tools import stats


def write(folder: Path, count: int = 6) -> np.ndarray:
    """Writes rasters of three bands far from 0, a corner without data; returns the pixels with data [pixels, 3]."""
    random, pixels = np.random.default_rng(0), []
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for number in range(count):
        values = random.normal([30000, 100, 5], [200, 10, 0.001], (64 + number, 64, 3)).astype(np.float32)
        values[:8, :8] = -9999
        shape = {"height": len(values), "width": 64, "driver": "GTiff"}
        with rasterio.open(
            folder / "images" / f"{number}.tif", "w", count=3, dtype="float32", nodata=-9999, **shape
        ) as out:
            out.write(np.moveaxis(values, 2, 0))
        with rasterio.open(folder / "masks" / f"{number}.tif", "w", count=1, dtype="uint8", **shape) as out:
            out.write((values[None, :, :, 1] > 100).astype(np.uint8))
        pixels.append(values[values[:, :, 0] != -9999])
    return np.concatenate(pixels)


def config_of(folder: Path, *more: str) -> DataToolsConfig:
    split = folder / "split"
    split.mkdir(exist_ok=True)
    (split / "train.txt").write_text("\n".join("01234"))
    (split / "val.txt").write_text("5")
    options = [
        "bands=[a,b,c]",
        "value_scale=100",
        "mean=auto",
        "std=auto",
        f"data_dir='{folder}'",
        f"split_file='{split}'",
    ]
    return compose("data", [*(f"datamodule.{option}" for option in options), *more], DataToolsConfig)


def test_mean_and_deviation_are_numpys_of_the_training_part_without_what_has_no_data(tmp_path, capsys):
    pixels = write(tmp_path)[: -(69 * 64 - 64)].astype(np.float64)
    found = stats(config_of(tmp_path), None, tmp_path / "stats.yaml").bands
    assert found.count == len(pixels)
    np.testing.assert_allclose(found.mean, pixels.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(found.std, pixels.std(axis=0), rtol=1e-6)
    assert (found.low == pixels.min(axis=0)).all() and (found.high == pixels.max(axis=0)).all()
    shown = capsys.readouterr()
    assert "5 training images" in shown.out and "without data" in shown.out
    assert "is datamodule.value_scale=100 right?" in shown.err
    read = config_of(tmp_path, f"datamodule.stats_file='{tmp_path}/stats.yaml'").datamodule
    assert read.mean == pytest.approx(pixels.mean(axis=0) / 100, rel=1e-4)
    assert read.std == pytest.approx(pixels.std(axis=0) / 100, abs=1e-6)


def test_sets_are_joined_without_loss_of_digits():
    pixels = np.random.default_rng(0).normal(1e6, 1e-2, (9000, 1))
    whole, parts = BandStats(1), BandStats(1)
    whole.add(pixels)
    for start in range(0, 9000, 700):
        parts.add(pixels[start : start + 700])
    parts.add(pixels[:0])
    assert parts.std[0] == pytest.approx(pixels.std(), rel=1e-6) and parts.mean[0] == pytest.approx(
        whole.mean[0], rel=1e-14
    )


def test_a_file_of_other_bands_or_none_is_named(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("bands: [x]\nband_sources: {x: 1}\nvalue_scale: 1.0\nmean: [1]\nstd: [1]\n")
    for given, message in (
        ("bands=[red]", r"its bands is \['x'\], not \['red'\]"),
        ("value_scale=255", "its value_scale is 1.0, not 255"),
        ("mean=[0.5]", r"its mean is \[1\], not \[0.5\]"),
        ("band_sources={x:2}", "its band_sources is {'x': '1'}, not {'x': '2'}"),
    ):
        with pytest.raises(ConfigError, match=message):
            compose("train", [f"datamodule.stats_file='{path}'", f"datamodule.{given}"], TrainConfig)
    path.write_text("nothing")
    with pytest.raises(ConfigError, match="s.yaml: cannot be read"):
        compose("train", [f"datamodule.stats_file='{path}'"], TrainConfig)
    with pytest.raises(ConfigError, match="4 bands, 3 values in mean"):
        compose("train", ["datamodule.bands=[r,g,b,n]"], TrainConfig)
    with pytest.raises(ConfigError, match="mean=automatic: give one number per band, or auto"):
        compose("train", ["datamodule.mean=automatic"], TrainConfig)


def write_nir(folder: Path) -> None:
    """Reflectance of four bands without names, as most tools write them, and masks."""
    random = np.random.default_rng(0)
    for number in range(6):
        values = (random.random((4, 64, 64)) * (1000, 2000, 3000, 4000)[number % 4]).astype(np.uint16)
        values[3] = 7000 + number
        for kind, array in (("images", values), ("masks", (values[:1] > 500).astype(np.uint8))):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            shape = {"height": 64, "width": 64, "count": len(array), "dtype": array.dtype, "driver": "GTiff"}
            with rasterio.open(folder / kind / f"{number}.tif", "w", **shape) as out:
                out.write(array)


@pytest.mark.usefixtures("no_curves")
def test_bands_are_measured_without_a_mean_and_trained_on_without_being_named_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_nir(tmp_path / "data")
    bands = ["datamodule.bands=[red,green,blue,nir]", "datamodule.band_sources={nir:4}", "datamodule.value_scale=10000"]
    cli.main(["data", "check", "--data", "data", *bands])
    cli.main(["data", "stats", "--data", "data", "--write-config", "stats.yaml", *bands])
    cli.main(["data", "preview", "datamodule.data_dir=data", "--count", "2", *bands])

    data = compose("train", ["datamodule.stats_file=stats.yaml"], TrainConfig).datamodule
    assert data.bands == ["red", "green", "blue", "nir"] and data.band_sources == {"nir": "4"}
    assert data.value_scale == 10000 and data.mean[3] == pytest.approx(0.7, abs=0.001) and len(data.std) == 4
    assert compose("train", ["datamodule.stats_file=stats.yaml", *bands], TrainConfig).datamodule == data
    with pytest.raises(ConfigError, match=r"stats.yaml: its bands is .*'nir'\], not \['red', 'green', 'blue'\]"):
        compose("train", ["datamodule.stats_file=stats.yaml", "datamodule.bands=[red,green,blue]"], TrainConfig)
    with pytest.raises(ConfigError, match="4 bands, 3 values in mean"):
        compose("train", bands, TrainConfig)

    cli.main(["train", "datamodule.stats_file=stats.yaml", "datamodule.data_dir=data", "datamodule.height=64",
              "datamodule.batch_size=2", "model=tiny_unet", "trainer.max_epochs=1", "logger=none"])  # fmt: skip
    spec = ModelSpec.from_json((tmp_path / "outputs/latest/spec.json").read_text())
    assert spec.bands == ("red", "green", "blue", "nir") and spec.mean == tuple(data.mean)


WINDOW = SampleWindow(0, 0, 64, 64, (128, 256), 64, (0, 0, 128, 256))


@pytest.mark.parametrize(("window", "expected"), [(None, 1.0), (WINDOW, 0.5)])
def test_ground_sample_distance(window, expected, tmp_path):
    scene = write_scene(tmp_path / "a.tif", np.ones((128, 256, 3), np.uint8))  # 0.5 m
    Image.new("RGB", (64, 64)).save(tmp_path / "b.png")
    placed = Pair("a", scene, tmp_path / "a.png", None, window)
    photo = Pair("b", tmp_path / "b.png", tmp_path / "b.png")
    size = (64, 128) if window is None else (64, 64)
    assert measure_ground_sample_distance([placed, placed, photo], *size) == pytest.approx(expected)
    assert measure_ground_sample_distance([placed, photo, photo], *size) is None


def test_image_scales(tmp_path):
    Image.new("RGB", (64, 32)).save(tmp_path / "a.png")
    Image.new("RGB", (256, 128)).save(tmp_path / "b.jpg")
    scene = write_scene(tmp_path / "c.tif", np.ones((128, 256, 3), np.uint8))
    photos = [Pair(name, tmp_path / name, tmp_path / name) for name in ("a.png", "b.jpg")]
    tile = Pair("c", scene, scene, None, WINDOW)
    # 32×64 to 64×64 pixels is the root of 2; 128×256, the root of 1/8; a window of 64×64 is not resized.
    assert measure_image_scales([*photos, tile], 64, 64)[1] == 1
    low, median, high = measure_image_scales(photos, 64, 64)
    assert median == pytest.approx((2**0.5 + 0.125**0.5) / 2, abs=1e-4)
    assert 0.125**0.5 < low < median < high < 2**0.5
    assert measure_image_scales([], 64, 64) is None
