"""Bands that may be missing: read as if there, filled with the training mean, and said."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flood_seg.errors import ImageError
from flood_seg.imaging.bands import BandSelection, band_files
from flood_seg.imaging.optional import OptionalBands, fill_missing
from flood_seg.imaging.preprocess import normalize
from flood_seg.imaging.read import read_bands
from flood_seg.inference.inputs import read_input
from tests.conftest import make_spec
from tests.imaging.test_bands import write_raster

BANDS = ("nir_before", "nir_after", "vv")
GROUPS = {"optical": BANDS[:2], "before": BANDS[:1], "sar": BANDS[2:]}
MEAN, STD = (0.2, 0.4, 0.6), (0.1, 0.2, 0.3)
SIZE = (12, 20)


def spec_of(**changes: object):
    values = {"bands": BANDS, "mean": MEAN, "std": STD, "optional_bands": GROUPS, "one_of": BANDS[1:]}
    return make_spec(12, 20, **(values | changes))


SOURCES = {name: f"*_{{}}.png={name}/{name}_{{}}.png" for name in BANDS}


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, np.ndarray]:
    """A file for each band, in a folder of its name; any of them can be the given image."""
    random, images = np.random.default_rng(0), {}
    for name in BANDS:
        (tmp_path / "data" / name).mkdir(parents=True)
        images[name] = random.integers(1, 256, SIZE, np.uint8)
        Image.fromarray(images[name]).save(tmp_path / "data" / name / f"{name}_07.png")
    return images


def given(tmp_path: Path, name: str) -> Path:
    return tmp_path / "data" / name / f"{name}_07.png"


@pytest.mark.parametrize(
    ("missing", "said"),
    [((), ""), (("vv",), "sar"), (("nir_before", "nir_after"), "optical"), (("nir_before",), "before"),
     (("nir_before", "vv"), "before, sar")],
)  # fmt: skip
def test_a_missing_file_of_a_group_is_filled_with_the_mean_and_said(folders, tmp_path, missing, said):
    spec = spec_of(band_sources=SOURCES)
    for name in missing:
        given(tmp_path, name).unlink()
    there = [name for name in BANDS if name not in missing]
    raster = read_bands(given(tmp_path, there[0]), BandSelection.of(spec))
    assert raster.values.dtype == np.uint8 and raster.valid is None
    for place, name in enumerate(BANDS):
        expected = np.full(SIZE, round(MEAN[place] * 255)) if name in missing else folders[name]
        np.testing.assert_array_equal(raster.values[:, :, place], expected)
    assert raster.missing == dict.fromkeys(missing, 1.0)
    assert OptionalBands.of(spec).describe(raster.missing) == said
    tensor = normalize(raster.values, spec)
    assert all(np.abs(tensor[BANDS.index(name)]).max() <= 0.5 / 255 / 0.1 for name in missing)
    assert [path.stem for path in band_files(given(tmp_path, there[0]), BandSelection.of(spec))][1:] == [
        f"{name}_07" for name in sorted(there)
    ]


def test_what_the_model_was_not_trained_to_miss_is_an_error(folders, tmp_path):
    given(tmp_path, "nir_after").unlink()
    with pytest.raises(ImageError, match="was trained to miss optical or before or sar, not nir_after$"):
        read_bands(given(tmp_path, "vv"), BandSelection.of(spec_of(band_sources=SOURCES)))
    given(tmp_path, "vv").unlink()  # nothing of `one_of` is left
    with pytest.raises(ImageError, match="not nir_after, vv$"):
        read_bands(given(tmp_path, "nir_before"), BandSelection.of(spec_of(band_sources=SOURCES)))
    plain = spec_of(band_sources=SOURCES, optional_bands={}, one_of=())
    with pytest.raises(ImageError) as caught:
        read_bands(given(tmp_path, "nir_before"), BandSelection.of(plain))
    assert "beside" in str(caught.value) and "trained to miss" not in str(caught.value)


def test_a_stacked_file_with_band_names_stands_in_for_one_file_per_band(tmp_path):
    values = np.random.default_rng(1).integers(1, 256, (2, *SIZE)).astype(np.float32)
    path = write_raster(tmp_path / "scene.tif", values, ("vv", "NIR_after"))
    raster = read_bands(path, BandSelection.of(spec_of(band_sources=SOURCES)))
    np.testing.assert_array_equal(raster.values[:, :, 1:], np.moveaxis(values[::-1], 0, 2))
    np.testing.assert_allclose(raster.values[:, :, 0], 0.2 * 255, rtol=1e-6)
    assert raster.missing == {"nir_before": 1.0}
    own = read_bands(path, BandSelection.of(spec_of()))
    np.testing.assert_array_equal(own.values, raster.values)
    with pytest.raises(ImageError, match="has 2 bands"):
        read_bands(path, BandSelection.of(spec_of(optional_bands={}, one_of=())))


def test_a_grey_image_is_not_taken_for_the_colours_that_are_missing(tmp_path):
    """Photos are decoded as red, green and blue, whatever they show."""
    bands = ("red", "vv")
    Image.fromarray(np.full(SIZE, 99, np.uint8)).save(tmp_path / "vv_1.png")
    spec = spec_of(
        bands=bands, mean=(0.2, 0.4), std=(0.1, 0.1), optional_bands={"optical": ("red",)}, one_of=(),
        band_sources={"red": "vv_{}.png=optical/red_{}.png", "vv": "1"},
    )  # fmt: skip
    raster = read_bands(tmp_path / "vv_1.png", BandSelection.of(spec))
    assert raster.missing == {"red": 1.0} and raster.values[0, 0].tolist() == [51, 99]


def test_pixels_where_a_group_has_no_data_are_filled_and_the_others_have_none(tmp_path):
    """A cloud over both optical dates is filled; one band alone without data is no group, and no data for all."""
    values = np.random.default_rng(2).integers(1, 200, (3, *SIZE)).astype(np.float32)
    values[:2, :, :5] = -9999  # both optical dates
    values[2, 8:, 10:] = np.nan  # SAR
    values[1, 0, 7] = -9999  # the later date alone
    values[:, 11, 0] = -9999  # everything
    path = write_raster(tmp_path / "scene.tif", values, BANDS, nodata=-9999.0)
    spec = spec_of()
    raster = read_bands(path, BandSelection.of(spec))
    valid = np.ones(SIZE, bool)
    valid[0, 7] = valid[11, 0] = False
    np.testing.assert_array_equal(raster.valid, valid)
    assert (raster.values[~valid] == 0).all()
    cloud, gap = valid & (np.arange(20) < 5), np.zeros(SIZE, bool)
    gap[8:, 10:] = True
    np.testing.assert_allclose(raster.values[cloud][:, :2], np.tile([51.0, 102.0], (cloud.sum(), 1)), rtol=1e-6)
    np.testing.assert_allclose(raster.values[gap][:, 2], 153.0, rtol=1e-6)
    np.testing.assert_array_equal(raster.values[cloud][:, 2], values[2][cloud])
    np.testing.assert_array_equal(raster.values[valid & ~cloud][:, 0], values[0][valid & ~cloud])
    total = valid.sum()
    assert raster.missing == pytest.approx(
        {"nir_before": cloud.sum() / total, "nir_after": cloud.sum() / total, "vv": gap.sum() / total}
    )
    assert OptionalBands.of(spec).describe(raster.missing) == (
        f"optical in {cloud.sum() / total:.1%} of the pixels, sar in {gap.sum() / total:.1%} of the pixels"
    )
    assert OptionalBands.of(spec).count([raster.missing, {}, {"vv": 1.0}]) == {
        "optical in a part of the image, sar in a part of the image": 1, "sar": 1,
    }  # fmt: skip
    strict = read_bands(path, BandSelection.of(spec_of(optional_bands={}, one_of=())))
    np.testing.assert_array_equal(strict.valid, valid & ~cloud & ~gap)
    array = np.moveaxis(np.where(values == -9999, np.nan, values), 0, 2)
    np.testing.assert_array_equal(read_input(array, BandSelection.of(spec)).raster.values, raster.values)


def test_siblings_of_another_size_keep_where_they_have_data(tmp_path):
    fine = np.full((1, 12, 20), 7, np.float32)
    coarse = np.full((1, 6, 10), 9, np.float32)
    coarse[0, :, 5:] = -1
    for name, values in zip(BANDS, (fine, fine, coarse), strict=True):
        write_raster(tmp_path / name / "a.tif", values, nodata=-1.0)
    raster = read_bands(tmp_path / "vv" / "a.tif", BandSelection.of(spec_of(band_sources={n: n for n in BANDS[:2]})))
    assert raster.values.shape == (6, 10, 3) and raster.valid is None
    assert raster.missing == {"vv": 0.5} and (raster.values[:, 5:, 2] == np.float32(0.6 * 255)).all()


def test_many_bands_are_filled_as_few_are():
    """More than 64, whose combinations do not fit a whole number."""
    names = tuple(f"b{number}" for number in range(70))
    optional = OptionalBands({"last": names[60:]}, names, dict.fromkeys(names, 5.0))
    values, valid = np.full((4, 4, 70), 9, np.uint8), np.ones((4, 4, 70), bool)
    valid[0, :, 60:] = valid[1, :, 0] = False
    raster = fill_missing(values, valid, names, optional)
    assert (raster.values[0, :, 60:] == 5).all() and (raster.values[0, :, :60] == 9).all()
    assert raster.valid is not None and not raster.valid[1].any() and (raster.values[1] == 0).all()
    assert raster.missing == dict.fromkeys(names[60:], 4 / 12)
