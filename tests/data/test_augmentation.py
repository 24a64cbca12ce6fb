import cv2
import numpy as np
import pytest

from flood_seg.data.augmentation import build_augmentation, random_matrix
from flood_seg.schema import AugmentationConfig
from tests.conftest import draw_pond

PROBABILITIES = [name for name in vars(AugmentationConfig()) if name.endswith("_probability")]


def only(**options: object) -> AugmentationConfig:
    return AugmentationConfig(**({name: 0.0 for name in PROBABILITIES} | options))


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
    first, again, other = (augment(AugmentationConfig(), IMAGE, MASK, seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.array_equal(first[0], other[0])


def test_switched_off_it_is_none():
    assert build_augmentation(AugmentationConfig(enabled=False)) is None
