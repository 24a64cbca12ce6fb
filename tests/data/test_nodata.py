"""Suspected nodata: named where a file does not declare it, and never in ordinary imagery."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from flood_seg.config.compose import compose
from flood_seg.config.schema import TrainConfig
from flood_seg.config.schema.workshop import DataToolsConfig
from flood_seg.data.layout import find_samples
from flood_seg.data.nodata import band_extremes, find_suspected_nodata
from flood_seg.data.stats import measure_bands
from flood_seg.imaging.raster import Raster
from flood_seg.synthetic.scene import draw_scene
from tests.workshop.tools import find_problems, stats

RANDOM = np.random.default_rng(0)


def reflectances(seed: int = 0) -> np.ndarray:
    """float32 [64, 64] of -0.1 to 1.2, with a bright tail as of clouds."""
    random = np.random.default_rng(seed)
    values = random.gamma(2.0, 0.06, (64, 64)) - 0.02 + (random.random((64, 64)) < 0.02) * random.random((64, 64))
    return values.clip(-0.1, 1.2).astype(np.float32)


def strays_of(*images: np.ndarray, scale: float = 1.0) -> list[tuple[str, int, int]]:
    """Of images [H, W]: each stray value as text, its pixels and the number of images."""
    looks = {str(n): band_extremes(Raster(image[:, :, None], ("a",))) for n, image in enumerate(images)}
    return [(one.text, one.pixels, len(one.stems)) for one in find_suspected_nodata(looks, ("a",), scale)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-9999, "-9999"), (-32768, "-32768"), (65535, "65535"), (1e20, "1e+20"), (-999, "-999"), (-12345.5, "-12345.5"),
        (np.finfo(np.float32).min, "-3.4028235e+38"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("share", [0.003, 0.5, 1.0])
def test_a_value_far_outside_the_rest_is_named_with_its_pixels_and_images(value, text, share):
    images = [reflectances(seed) for seed in range(4)]
    holes = RANDOM.random((64, 64)) < share
    images[1][holes] = images[3][holes] = value
    assert strays_of(*images) == [(text, 2 * int(holes.sum()), 2)]
    parsed = compose("train", [f"datamodule.nodata={text}"], TrainConfig).datamodule.nodata
    assert np.float32(parsed) == np.float32(value), "what it says to set is that value"


def test_several_values_at_both_ends_are_all_named():
    images = [reflectances(seed) for seed in range(3)]
    images[0][:3], images[1][:4], images[2][5], images[2][6] = -9999, 65535, -32768, 1e20
    assert {text for text, _, _ in strays_of(*images)} == {"-9999", "65535", "-32768", "1e+20"}


def test_one_hot_pixel_hides_no_nodata_and_is_none_itself():
    image = reflectances()
    image[0, 0] = 5000.25
    assert strays_of(image) == []
    image[1] = -999
    assert [text for text, _, _ in strays_of(image)] == ["-999"]


def test_integers_of_ten_thousand_and_minus_9999():
    values = (reflectances() * 1e4).clip(0).round().astype(np.float32)  # as int16 is read
    values[:2] = -9999
    assert strays_of(values, scale=1e4) == [("-9999", 128, 1)]


def photo(seed: int, gain: float) -> np.ndarray:
    """A 16-bit photo whose lights are saturated, and shade off as optics makes them."""
    import cv2

    grey = draw_scene(seed, 128, 128)[0].astype(np.float32).mean(axis=2)
    lights = cv2.GaussianBlur((np.random.default_rng(seed).random((128, 128)) > 0.999).astype(np.float32), (0, 0), 1.5)
    return (grey * gain + lights * 3e6).clip(0, 65535).astype(np.uint16)


@pytest.mark.parametrize("scale", [255.0, 10000.0, 65535.0])
@pytest.mark.parametrize("gain", [2.0, 40.0, 256.0])
def test_saturated_lights_of_16_bit_photos_are_none(gain, scale):
    images = [photo(seed, gain) for seed in range(4)]
    assert max(image.max() for image in images) == 65535
    assert strays_of(*images, scale=scale) == []


@pytest.mark.parametrize(
    "image",
    [
        reflectances(),
        (RANDOM.normal(-14, 4, (64, 64))).astype(np.float32),  # backscatter in dB
        RANDOM.exponential(0.1, (256, 256)).astype(np.float32) ** 2,  # intensities with a long tail
        np.zeros((64, 64), np.float32),
        (RANDOM.random((64, 64)) > 0.5).astype(np.float32),
        np.where(RANDOM.random((64, 64)) > 0.5, 0, RANDOM.integers(500, 4000, (64, 64))).astype(np.uint16),  # a border
        np.where(RANDOM.random((64, 64)) > 0.9, 65535, RANDOM.integers(0, 16000, (64, 64))).astype(np.uint16),
        np.where(RANDOM.random((64, 64)) > 0.5, 255, RANDOM.integers(0, 9, (64, 64))).astype(np.uint8),
        RANDOM.integers(-400, 8800, (64, 64)).astype(np.float32),  # heights
    ],
)
def test_ordinary_bands_have_none(image):
    assert strays_of(image, scale=1.0 if image.dtype == np.float32 else 1e4) == []


def write_set(root: Path, nodata: float | None = None) -> np.ndarray:
    """Six tiles of two bands, a third of one undeclared -9999; returns the pixels that have data [pixels, 2]."""
    known = []
    for number in range(6):
        image = np.stack([reflectances(number), reflectances(number + 50)])
        if number == 2:
            image[:, :, :20] = -9999
        place = {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 1e4 * number, 0, -10, 0)}
        for kind, values in (("images", image), ("masks", (image[:1] > 0.1).astype(np.uint8))):
            (root / kind).mkdir(parents=True, exist_ok=True)
            shape = {"height": 64, "width": 64, "count": len(values), "dtype": values.dtype}
            more = {"nodata": nodata} if kind == "images" else {}
            with rasterio.open(root / kind / f"{number}.tif", "w", driver="GTiff", **shape, **place, **more) as out:
                out.write(values)
        known.append(image[:, image[0] != -9999].T)
    return np.concatenate(known)


def config_of(root: Path, *more: str, name: str = "data", schema: type = DataToolsConfig):
    options = ["bands=[a,b]", "value_scale=1", "mean=auto", "std=auto", f"data_dir='{root}'", f"cache_dir='{root}/c'"]
    return compose(name, [*(f"datamodule.{option}" for option in options), *more], schema)


LINE = "band a: the value -9999 in 1280 pixels of 1 image (2) lies far outside all others"
ADVICE = "if it means no data, set datamodule.nodata=-9999"


def test_stats_check_and_training_name_it_and_nodata_settles_it(tmp_path, capsys):
    pixels = write_set(tmp_path / "set").astype(np.float64)
    record = stats(config_of(tmp_path / "set"), tmp_path / "out").record
    assert [(one["band"], one["value"], one["pixels"], one["stems"]) for one in record["suspected_nodata"]] == [
        (band, -9999.0, 1280, ("2",)) for band in "ab"
    ]
    shown = " ".join(capsys.readouterr().err.split())
    assert LINE in shown and ADVICE in shown
    assert json.loads((tmp_path / "out" / "stats.json").read_text())["suspected_nodata"][0]["pixels"] == 1280
    assert LINE in (tmp_path / "out" / "report.html").read_text()
    (one, _) = [finding for finding in find_problems(config_of(tmp_path / "set")).findings if finding.kind == "stray"]
    assert one.stems == ("2",) and one.severity == "warning" and one.text.startswith(LINE) and ADVICE in one.text
    for _ in range(2):  # measured, and remembered
        config = config_of(tmp_path / "set", name="train", schema=TrainConfig)
        _, std = measure_bands(config.datamodule, config.task, find_samples(config.datamodule)[0])
        assert LINE in " ".join(capsys.readouterr().err.split())
        assert std[0] > 100

    told = config_of(tmp_path / "set", "datamodule.nodata=-9999")
    assert not stats(told).record["suspected_nodata"]
    findings = {(finding.kind, finding.stems[0]) for finding in find_problems(told).findings}
    assert ("nodata", "2") in findings and "stray" not in {kind for kind, _ in findings}
    config = config_of(tmp_path / "set", "datamodule.nodata=-9999", name="train", schema=TrainConfig)
    mean, std = measure_bands(config.datamodule, config.task, find_samples(config.datamodule)[0])
    np.testing.assert_allclose(mean, pixels.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(std, pixels.std(axis=0), rtol=1e-5)
    assert "-9999" not in capsys.readouterr().err


def test_what_a_file_declares_is_not_suspected(tmp_path):
    write_set(tmp_path / "set", nodata=-9999)
    assert not stats(config_of(tmp_path / "set")).record["suspected_nodata"]
    assert not [finding for finding in find_problems(config_of(tmp_path / "set")).findings if finding.kind == "stray"]
