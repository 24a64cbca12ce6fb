from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from flood_seg.classes import IGNORED, parse_classes
from flood_seg.config.compose import compose
from flood_seg.config.defaults import defaults
from flood_seg.config.schema import DataConfig, EvaluateConfig, TrainConfig
from flood_seg.data.labels import encode, read_classes
from flood_seg.data.reading import SampleReader
from flood_seg.errors import ConfigError, DataError, ImageError
from flood_seg.imaging.label_values import Labels
from flood_seg.imaging.raster import Window
from flood_seg.spec import ModelSpec
from flood_seg.verbs.train_parts import make_spec

INDICES = np.random.default_rng(0).integers(0, 3, (20, 30)).astype(np.uint8)
COLORS = np.array([[0, 0, 0], [0, 0, 255], [250, 128, 7]], np.uint8)
BY_VALUE = parse_classes("multiclass", (), {64: "water", 128: "road"})
BY_COLOR = parse_classes("multiclass", (), {"#0000ff": "water", "250 128 7": "road"})
VALUES = np.array([0, 64, 128])


def palette() -> Image.Image:
    image = Image.fromarray(INDICES, "P")
    image.putpalette(COLORS.ravel().tolist())
    return image


@pytest.mark.parametrize(
    ("image", "suffix", "classes"),
    [
        (Image.fromarray(VALUES[INDICES].astype(np.uint8)), ".png", BY_VALUE),
        (Image.fromarray(VALUES[INDICES].astype(np.uint16)), ".png", BY_VALUE),
        (Image.fromarray(VALUES[INDICES].astype(np.uint8)), ".tif", BY_VALUE),
        (Image.fromarray(np.repeat(VALUES[INDICES].astype(np.uint8)[..., None], 3, 2)), ".png", BY_VALUE),
        (palette(), ".png", parse_classes("multiclass", (), max_label=2)),
        (palette(), ".png", BY_COLOR),
        (palette(), ".gif", BY_COLOR),
        (palette(), ".tif", BY_COLOR),
        (Image.fromarray(COLORS[INDICES]), ".png", BY_COLOR),
        (Image.fromarray(COLORS[INDICES]).convert("RGBA"), ".png", BY_COLOR),
    ],
)
def test_masks_of_any_values_become_class_indices(image, suffix, classes, tmp_path):
    image.save(tmp_path / f"mask{suffix}")
    found = read_classes(tmp_path / f"mask{suffix}", classes)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, INDICES)


@pytest.mark.parametrize("dtype", ["int16", "int32", "float32", "float64"])
def test_rasters_of_wide_numbers_too(dtype, tmp_path):
    path, values = tmp_path / "mask.tif", np.array([0, 70000 if dtype != "int16" else 700, 3])
    with rasterio.open(path, "w", driver="GTiff", height=20, width=30, count=1, dtype=dtype) as out:
        out.write(values[INDICES].astype(dtype), 1)
    labels = {int(values[1]): "water", 3: "road"}
    np.testing.assert_array_equal(read_classes(path, parse_classes("multiclass", (), labels)), INDICES)


def test_an_unlisted_value_names_file_value_and_pixels(tmp_path):
    values = VALUES[INDICES].astype(np.uint8)
    values[:2, :5], values[5, 5] = 7, 9
    Image.fromarray(values).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: the value 7 occurs in 10 pixels and 1 other values in 1,.*64 water"):
        read_classes(tmp_path / "a.png", BY_VALUE)
    lenient = parse_classes("multiclass", (), {64: "water", 128: "road"}, unlisted="ignore")
    found = read_classes(tmp_path / "a.png", lenient)
    assert (found[:2, :5] == IGNORED).all() and found[5, 5] == IGNORED and (found == IGNORED).sum() == 11


def test_an_unlisted_colour_is_written_as_one():
    with pytest.raises(DataError, match="#010203 occurs in 600"):
        encode(Labels(np.full((20, 30, 3), (1, 2, 3), np.uint8)), BY_COLOR, "mask")


def test_values_are_merged_and_ignored():
    classes = parse_classes("binary", (), {5: "water", 6: "water", 255: "ignore"})
    values = np.array([[0, 5, 6, 255]], np.uint8)
    assert encode(Labels(values), classes, "mask").tolist() == [[0, 1, 1, IGNORED]]


def test_fractions_and_negative_numbers_are_no_labels():
    for value in (0.5, -1.0, 1e9, np.inf):
        with pytest.raises(DataError, match="occurs in 1 pixels"):
            encode(Labels(np.array([[0, value]], np.float32)), BY_VALUE, "mask")


def test_a_mask_in_colour_wants_colours(tmp_path: Path):
    Image.fromarray(COLORS[INDICES]).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="is in colour"):
        read_classes(tmp_path / "a.png", BY_VALUE)


def test_a_model_reads_masks_with_the_classes_that_it_was_trained_with():
    """In their order, which is not that of their values as text."""
    config = compose("train", ["task=multiclass", "datamodule.labels={64:water,128:road,9:ignore}"], TrainConfig)
    spec = ModelSpec.from_json(make_spec(config).to_json())
    reader = SampleReader.for_model(defaults(DataConfig), spec)
    assert reader.classes.names == spec.class_names == ("background", "water", "road")
    assert encode(Labels(np.array([[0, 64, 128, 9]], np.uint8)), reader.classes, "mask").tolist() == [
        [0, 1, 2, IGNORED]
    ]
    with pytest.raises(ConfigError, match="2 classes .background, lake., the model knows 3"):
        SampleReader.for_model(defaults(DataConfig, labels={1: "lake"}), spec)


def write_labels(path: Path, values: np.ndarray, **options: object) -> Path:
    """Writes [H, W] or [bands, H, W] as a GeoTIFF."""
    bands = values if values.ndim == 3 else values[None]
    count, height, width = bands.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = {"height": height, "width": width, "count": count, "dtype": values.dtype, "crs": "EPSG:32632"}
    place = {"transform": rasterio.Affine(10, 0, 0, 0, -10, 0)}
    with rasterio.open(path, "w", driver="GTiff", **shape, **(place | options)) as out:
        out.write(bands)
    return path


def windows_of(height: int, width: int, size: int = 16) -> list[Window]:
    return [
        Window(row, col, min(size, height - row), min(size, width - col), (height, width))
        for row in range(0, height, size)
        for col in range(0, width, size)
    ]


# As Sen1Floods11 has them: int16, -1 no data, 0 land, 1 water
SIGNED = np.random.default_rng(1).integers(-1, 2, (20, 30)).astype(np.int16)


@pytest.mark.parametrize("window", [False, True])
@pytest.mark.parametrize("dtype", ["int16", "int32", "float32", "int8"])
@pytest.mark.parametrize("options", [{"labels": {-1: "ignore", 0: "land", 1: "water"}}, {"ignore_index": -1}])
def test_minus_one_is_ignored_where_the_configuration_says_so(options, dtype, window, tmp_path):
    path = write_labels(tmp_path / "a.tif", SIGNED.astype(dtype))
    classes = parse_classes("binary", ("land", "water"), **options)
    assert classes.names == ("land", "water") and classes.ignored == (-1,)
    expected = np.where(SIGNED < 0, IGNORED, SIGNED)
    for one in windows_of(20, 30) if window else [None]:
        rows, cols = (slice(*side) for side in one.slices) if one else (slice(None), slice(None))
        np.testing.assert_array_equal(read_classes(path, classes, one), expected[rows, cols])


def test_a_class_may_have_a_negative_value(tmp_path):
    classes = parse_classes("multiclass", (), {-7: "cloud", 0: "land", 1: "water", -1: "ignore"})
    values = np.array([[-7, 0, 1, -1]], np.int16)
    path = write_labels(tmp_path / "a.tif", values)
    assert read_classes(path, classes).tolist() == [[0, 1, 2, IGNORED]]
    assert classes.label_values == (0, 1, 2), "a predicted mask is a PNG"
    with pytest.raises(DataError, match="value -2 occurs in 1 pixels.*ignore_index=-2"):
        read_classes(write_labels(tmp_path / "b.tif", values - (values == 1) * np.int16(3)), classes)


@pytest.mark.parametrize(
    ("values", "listed", "advice"),
    [
        (SIGNED, "-1, 0, 1", "labels={-1: ignore, 0: background, 1: water}' or datamodule.ignore_index=-1"),
        (np.where(SIGNED < 0, 255, SIGNED).astype(np.uint8), "0, 1, 255", "datamodule.ignore_index=255"),
        (np.where(SIGNED < 0, 65535, SIGNED).astype(np.uint16), "0, 1, 65535", "datamodule.ignore_index=65535"),
        (np.full((20, 30), -9999, np.float32), "-9999", "datamodule.ignore_index=-9999"),
    ],
)
def test_three_values_without_labels_are_no_mask_of_two_classes(values, listed, advice, tmp_path):
    path = write_labels(tmp_path / "a.tif", values)
    for window in (None, *windows_of(20, 30)):
        with pytest.raises(DataError) as error:
            read_classes(path, parse_classes("binary", ("background", "water")), window)
        assert f"a.tif: a mask of two classes cannot have the values {listed};" in str(error.value)
        assert advice in str(error.value) and "\n" not in str(error.value)


def test_a_photo_format_with_three_values_is_refused_too(tmp_path):
    Image.fromarray(np.where(SIGNED < 0, 255, SIGNED).astype(np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="cannot have the values 0, 1, 255"):
        read_classes(tmp_path / "a.png", parse_classes("binary", ("background", "water")))


@pytest.mark.parametrize("nodata", [255, 2, -1, -9999, np.nan])
@pytest.mark.parametrize("labels", [None, {0: "land", 1: "water"}, {1: "water"}])
def test_what_a_label_file_declares_as_nodata_is_ignored(labels, nodata, tmp_path):
    dtype = np.float32 if np.isnan(nodata) else np.int16 if nodata < 0 else np.uint8
    path = write_labels(tmp_path / "a.tif", np.where(SIGNED < 0, nodata, SIGNED).astype(dtype), nodata=nodata)
    with rasterio.open(path) as source:
        truth = source.read(1, masked=True).filled(IGNORED).astype(np.uint8)  # rasterio's own mask
    assert (truth == IGNORED).mean() > 0.2
    classes = parse_classes("binary", ("land", "water"), labels)
    np.testing.assert_array_equal(read_classes(path, classes), truth)
    for window in windows_of(20, 30):
        rows, cols = (slice(*side) for side in window.slices)
        np.testing.assert_array_equal(read_classes(path, classes, window), truth[rows, cols])


def test_labels_that_name_the_nodata_value_win(tmp_path):
    path = write_labels(tmp_path / "a.tif", INDICES, nodata=2)
    named = parse_classes("multiclass", (), {0: "land", 1: "water", 2: "road"})
    np.testing.assert_array_equal(read_classes(path, named), INDICES)
    zero = write_labels(tmp_path / "b.tif", INDICES, nodata=0)
    np.testing.assert_array_equal(read_classes(zero, named), INDICES)
    np.testing.assert_array_equal(read_classes(zero, parse_classes("multiclass", (), max_label=2)), INDICES)
    two = parse_classes("binary", (), {1: "land", 2: "water"})  # 0 is neither
    np.testing.assert_array_equal(read_classes(zero, two), np.where(INDICES, INDICES - 1, IGNORED))


@pytest.mark.parametrize("labels", [None, {1: "water"}])
def test_zero_as_nodata_is_refused_where_nothing_says_that_it_is_the_background(labels, tmp_path):
    path = write_labels(tmp_path / "a.tif", (INDICES > 0).astype(np.uint8), nodata=0)
    for window in (None, *windows_of(20, 30)):
        with pytest.raises(DataError, match=r"a.tif: declares 0 as its nodata value.*labels=\{0: background, 1: water"):
            read_classes(path, parse_classes("binary", ("background", "water"), labels), window)


def test_pixels_that_a_mask_in_the_file_hides_are_ignored_whatever_their_value(tmp_path):
    path, water = tmp_path / "a.tif", (INDICES > 0).astype(np.uint8)
    write_labels(path, water)
    hidden = np.random.default_rng(3).random((20, 30)) < 0.2
    with rasterio.open(path, "r+") as out:
        out.write_mask(~hidden)
    for labels in (None, {0: "land", 1: "water"}):
        found = read_classes(path, parse_classes("binary", ("land", "water"), labels))
        np.testing.assert_array_equal(found, np.where(hidden, IGNORED, water))


def test_a_colour_with_a_channel_of_the_nodata_value_is_a_colour(tmp_path):
    """Of (0, 0, 255) two channels are 0; GDAL's masks are of single bands."""
    path = write_labels(tmp_path / "a.tif", np.moveaxis(COLORS[INDICES], 2, 0), nodata=0, photometric="RGB")
    named = parse_classes("multiclass", (), {"#000000": "ignore", "#0000ff": "water", "250 128 7": "road"})
    np.testing.assert_array_equal(read_classes(path, named), np.where(INDICES, INDICES - 1, IGNORED))
    with pytest.raises(DataError, match="declares 0 as its nodata value"):
        read_classes(path, BY_COLOR)


def test_a_transparent_background_of_a_mask_is_a_background(tmp_path):
    """As annotation tools write it; alpha says nothing of a mask."""
    water = (INDICES > 0).astype(np.uint8) * 255
    Image.fromarray(np.dstack([water, water, water, water])).save(tmp_path / "a.png")
    bands = np.stack([water] * 4)
    write_labels(tmp_path / "b.tif", bands, photometric="RGB", alpha="yes")
    for name in ("a.png", "b.tif"):
        found = read_classes(tmp_path / name, parse_classes("binary", ("land", "water")))
        np.testing.assert_array_equal(found, water > 0)


@pytest.mark.parametrize(
    "overrides",
    [
        ["datamodule.labels={-1:ignore,0:land,1:water}"],
        ["datamodule.labels={-1: ignore, 0: land, 1: water}"],
        ["datamodule.ignore_index=-1"],
        ["task=multiclass", "loss=ce", "datamodule.labels={-1:ignore,0:land,1:water,2:snow}"],
        ["task=multiclass", "loss=ce", "datamodule.max_label=2", "datamodule.ignore_index=-1"],
    ],
)
def test_a_model_keeps_negative_labels_so_that_evaluating_needs_no_key(overrides):
    config = compose("train", overrides, TrainConfig)
    spec = ModelSpec.from_json(make_spec(config).to_json())
    classes = SampleReader.for_model(compose("evaluate", [], EvaluateConfig).datamodule, spec).classes
    assert classes == config.datamodule.classes(config.task) and classes.ignored == (-1,)
    values = Labels(np.array([[-1, 0, 1]], np.int16))
    assert encode(values, classes, "mask").tolist() == [[IGNORED, 0, 1]]


def test_evaluating_takes_an_ignore_index_of_its_own():
    spec = ModelSpec.from_json(make_spec(compose("train", [], TrainConfig)).to_json())
    classes = SampleReader.for_model(defaults(DataConfig, ignore_index=-1), spec).classes
    assert encode(Labels(np.array([[-1, 0, 1]], np.int16)), classes, "mask").tolist() == [[IGNORED, 0, 1]]


def test_a_colour_of_16_bits_or_a_number_below_0_is_no_colour_that_labels_name():
    for value in (300, 65535, -1):
        values = np.full((2, 3, 3), value, np.int32 if value < 0 else np.uint16)
        with pytest.raises(DataError, match="the value of over 8 bits occurs in 6 pixels"):
            encode(Labels(values), BY_COLOR, "mask")


def test_without_gdal_a_tiff_that_declares_nodata_is_refused_and_any_other_read(tmp_path, monkeypatch):
    monkeypatch.setattr("flood_seg.imaging.label_values.has_rasterio", lambda: False)
    classes, water = parse_classes("binary", ("land", "water")), (INDICES > 0).astype(np.uint8)
    np.testing.assert_array_equal(read_classes(write_labels(tmp_path / "a.tif", water), classes), water)
    with pytest.raises(ImageError, match=r"b.tif: declares a nodata value.*flood-seg\[geo\]"):
        read_classes(write_labels(tmp_path / "b.tif", water, nodata=255), classes)
