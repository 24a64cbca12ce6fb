from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from flood_seg.classes import IGNORED, parse_classes
from flood_seg.config import compose
from flood_seg.data.labels import encode, read_classes
from flood_seg.data.reading import SampleReader
from flood_seg.errors import ConfigError, DataError, ImageError
from flood_seg.schema import DataConfig, TrainConfig
from flood_seg.spec import ModelSpec
from flood_seg.training.build import make_spec

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
    with pytest.raises(DataError, match=r"a\.png: the value 7 stands in 10 pixels and 1 other values in 1,.*64 water"):
        read_classes(tmp_path / "a.png", BY_VALUE)
    lenient = parse_classes("multiclass", (), {64: "water", 128: "road"}, unlisted="ignore")
    found = read_classes(tmp_path / "a.png", lenient)
    assert (found[:2, :5] == IGNORED).all() and found[5, 5] == IGNORED and (found == IGNORED).sum() == 11


def test_an_unlisted_colour_is_written_as_one():
    with pytest.raises(DataError, match="#010203 stands in 600"):
        encode(np.full((20, 30, 3), (1, 2, 3), np.uint8), BY_COLOR, "mask")


def test_values_are_merged_and_ignored():
    classes = parse_classes("binary", (), {5: "water", 6: "water", 255: "ignore"})
    values = np.array([[0, 5, 6, 255]], np.uint8)
    assert encode(values, classes, "mask").tolist() == [[0, 1, 1, IGNORED]]


def test_fractions_and_negative_numbers_are_no_labels():
    for value in (0.5, -1.0, 1e9, np.inf):
        with pytest.raises(DataError, match="stands in 1 pixels"):
            encode(np.array([[0, value]], np.float32), BY_VALUE, "mask")


def test_a_mask_in_colour_wants_colours(tmp_path: Path):
    Image.fromarray(COLORS[INDICES]).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="is in colour"):
        read_classes(tmp_path / "a.png", BY_VALUE)


def test_a_model_reads_masks_with_the_classes_that_it_was_trained_with():
    """In their order, which is not that of their values as text."""
    config = compose("train", ["task=multiclass", "datamodule.labels={64:water,128:road,9:ignore}"], TrainConfig)
    spec = ModelSpec.from_json(make_spec(config).to_json())
    reader = SampleReader.for_model(DataConfig(), spec)
    assert reader.classes.names == spec.class_names == ("background", "water", "road")
    assert encode(np.array([[0, 64, 128, 9]], np.uint8), reader.classes, "mask").tolist() == [[0, 1, 2, IGNORED]]
    with pytest.raises(ConfigError, match="2 classes .background, lake., the model knows 3"):
        SampleReader.for_model(DataConfig(labels={1: "lake"}), spec)
