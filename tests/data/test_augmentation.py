import cv2
import numpy as np
import pytest

from flood_seg.config.defaults import defaults
from flood_seg.config.schema import AugmentationConfig
from flood_seg.data.augmentation import build_augmentation, left_out, random_matrix
from flood_seg.imaging.bands import BandSelection
from tests.conftest import draw_pond

PROBABILITIES = [name for name in vars(defaults(AugmentationConfig)) if name.endswith("_probability")]


def only(**options: object) -> AugmentationConfig:
    return defaults(AugmentationConfig, **({name: 0.0 for name in PROBABILITIES} | options))


def augment(config: AugmentationConfig, image: np.ndarray, mask: np.ndarray, seed: int = 0):
    pipeline = build_augmentation(config)
    pipeline.set_random_seed(seed)
    result = pipeline(image=image, mask=mask)
    return result["image"], result["mask"]


IMAGE, MASK = draw_pond(0, 64, 64)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, lambda a: a),
        ({"horizontal_flip_probability": 1.0}, np.fliplr),
        ({"vertical_flip_probability": 1.0}, np.flipud),
        ({"horizontal_flip_probability": 1.0, "vertical_flip_probability": 1.0}, lambda a: a[::-1, ::-1]),
    ],
    ids=["nothing", "horizontal", "vertical", "both"],
)
def test_flips_are_numpys_to_the_pixel(options, expected):
    image, mask = augment(only(**options), IMAGE, MASK)
    np.testing.assert_array_equal(image, expected(IMAGE))
    np.testing.assert_array_equal(mask, expected(MASK))


def test_quarter_turns_are_numpys_to_the_pixel():
    seen = set()
    for seed in range(20):
        image, mask = augment(only(rotate90_probability=1.0), IMAGE, MASK, seed)
        turns = [k for k in (1, 2, 3) if np.array_equal(image, np.rot90(IMAGE, k))]
        assert turns and np.array_equal(mask, np.rot90(MASK, turns[0]))
        seen.add(turns[0])
    assert seen == {1, 2, 3}


@pytest.mark.parametrize("seed", range(12))
def test_image_and_mask_stay_together(seed):
    """An image that is its own mask must still be, but for the interpolated edge."""
    config = only(
        crop_probability=1.0, rotate_probability=1.0, perspective_probability=1.0, horizontal_flip_probability=0.5
    )
    large = cv2.resize(MASK, (256, 256), interpolation=cv2.INTER_NEAREST)
    image, mask = augment(config, np.stack([large] * 3, 2), large, seed)
    assert set(np.unique(mask)) <= {0, 255}
    bright, water = image[:, :, 0] > 127, mask > 0
    assert (bright & water).sum() >= 0.96 * (bright | water).sum()


def test_a_crop_lies_inside_and_has_its_share_of_the_area():
    random = np.random.default_rng(0)
    for _ in range(50):
        matrix = random_matrix(only(crop_probability=1.0, crop_scale=[0.3, 0.6]), 100, 200, random)
        corners = np.array([[[0, 0], [200, 0], [200, 100], [0, 100]]], np.float32) - 0.5
        seen = cv2.perspectiveTransform(corners, np.linalg.inv(matrix))[0] + 0.5
        assert seen.min() > -0.01 and seen[:, 0].max() < 200.01 and seen[:, 1].max() < 100.01
        assert 0.25 < cv2.contourArea(seen.astype(np.float32)) / 20_000 < 0.61


def test_colour_and_blur_change_the_image_and_not_the_mask():
    image, mask = augment(only(color_probability=1.0, blur_probability=1.0), IMAGE, MASK)
    assert (image != IMAGE).any()
    np.testing.assert_array_equal(mask, MASK)


def test_a_seed_gives_the_same_sample_again():
    first, again, other = (augment(defaults(AugmentationConfig), IMAGE, MASK, seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.array_equal(first[0], other[0])


def test_switched_off_it_is_none():
    assert build_augmentation(defaults(AugmentationConfig, enabled=False)) is None


@pytest.mark.parametrize(("bands", "dtype"), [(1, "uint8"), (4, "uint16"), (7, "uint16"), (13, "float32")])
def test_images_of_any_bands_and_values_are_augmented(bands, dtype):
    """Each band as if it were alone, but for brightness and contrast; values stay in their range."""
    top = {"uint8": 255, "uint16": 65535, "float32": 9000}[dtype]
    image = (np.random.default_rng(0).random((40, 50, bands)) * top).astype(dtype)
    mask = (image[:, :, 0] > top / 2).astype(np.uint8)
    several = BandSelection(tuple(f"b{number}" for number in range(bands)), {}, float(top))
    config = only(crop_probability=1.0, blur_probability=1.0, horizontal_flip_probability=0.5)
    found, _ = augment_with(build_augmentation(config, several), image, mask)
    assert found.dtype == image.dtype and found.shape == image.shape
    alone, _ = augment_with(build_augmentation(config, several), image[:, :, -1:].copy(), mask)
    np.testing.assert_array_equal(found[:, :, -1:], alone)
    bright, same = augment_with(build_augmentation(only(color_probability=1.0), several), image, mask)
    assert not np.array_equal(bright, image) and np.array_equal(same, mask)
    gain = bright.astype(float).mean() / image.astype(float).mean()
    assert 0.75 < gain < 1.25


def test_colours_that_make_no_sense_are_said_to_be_left_out():
    satellite = BandSelection(("red", "green", "blue", "nir"))
    assert "saturation and hue are left out, for red, green, blue, nir" in left_out(
        defaults(AugmentationConfig), satellite
    )
    assert not left_out(defaults(AugmentationConfig), BandSelection()) and not left_out(only(), satellite)


def augment_with(pipeline, image, mask):
    pipeline.set_random_seed(5)
    result = pipeline(image=image, mask=mask)
    return result["image"], result["mask"]
