from collections import Counter

import cv2
import numpy as np
import pytest

from flood_seg.config.compose import compose
from flood_seg.config.defaults import defaults
from flood_seg.config.schema import AugmentationConfig, DataConfig, TrainConfig
from flood_seg.data.augmentation.band_dropout import BandDropout
from flood_seg.data.augmentation.pipeline import build_augmentation, left_out
from flood_seg.data.augmentation.warp import random_matrix
from flood_seg.errors import ConfigError
from flood_seg.imaging.bands import BandSelection
from flood_seg.imaging.optional import OptionalBands, fill_missing
from flood_seg.imaging.preprocess import normalize
from tests.conftest import draw_pond, make_spec

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


BANDS = ("nir_before", "nir_after", "vv_before", "vv_after")
GROUPS = {"optical": BANDS[:2], "sar": BANDS[2:], "before": ("nir_before", "vv_before")}


def test_stretched_groups_follow_one_curve_each_and_the_other_bands_keep_their_values():
    config = only(stretch_probability=1.0, stretch_groups=[["vv_before"], ["nir_before", "nir_after"]])
    ramp = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (4, 1, 4))
    pipeline = build_augmentation(config, BandSelection(BANDS))
    for seed in range(20):
        pipeline.set_random_seed(seed)
        found = pipeline(image=ramp, mask=ramp[:, :, 0])["image"]
        np.testing.assert_array_equal(found[:, :, 3], ramp[:, :, 3])
        np.testing.assert_array_equal(found[:, :, 0], found[:, :, 1])
        assert not np.array_equal(found[:, :, 2], ramp[:, :, 2])
        assert not np.array_equal(found[:, :, 2], found[:, :, 0])
        assert (np.diff(found[0, :, 2].astype(int)) >= 0).all()  # brighter stays brighter
        whole = ramp.astype(np.uint16) * 100  # another type and scale, but the same curve
        scaled = build_augmentation(config, BandSelection(BANDS, {}, 25500.0))
        scaled.set_random_seed(seed)
        wide = scaled(image=whole, mask=ramp[:, :, 0])["image"]
        np.testing.assert_allclose(wide / 100, found, atol=0.51)


def test_a_stretch_by_hand():
    config = only(
        stretch_probability=1.0, stretch_groups=[["vv"]], stretch_gamma=[2.0, 2.0], stretch_range=0.0
    )  # fmt: skip
    image = np.array([[[0.0], [0.5], [1.0], [1.2]]], np.float32)
    found = build_augmentation(config, BandSelection(("vv",), {}, 1.0))(image=image, mask=MASK[:1, :4])["image"]
    np.testing.assert_allclose(found[0, :, 0], [0, 0.25, 1, 1.44], rtol=1e-6)


def dropped(probability: float, partial: float = 0.0, one_of: tuple[str, ...] = ("nir_after", "vv_after")):
    spec = make_spec(64, 64, bands=BANDS, mean=(0.2, 0.3, 0.5, 0.6), std=(0.1,) * 4, optional_bands=GROUPS,
                     one_of=one_of)  # fmt: skip
    config = defaults(DataConfig, bands=list(BANDS), mean=list(spec.mean), std=list(spec.std), band_dropout={
        "groups": {name: list(group) for name, group in GROUPS.items()}, "one_of": list(one_of),
        "probability": probability, "partial": partial,
    })  # fmt: skip
    return spec, build_augmentation(only(enabled=False), BandSelection.of(spec), BandDropout.of(config, spec))


def test_dropped_bands_are_what_inference_fills_in_and_something_is_left():
    spec, pipeline = dropped(0.4)
    image = np.random.default_rng(0).integers(1, 50, (64, 64, 4), np.uint8)
    fill, counts, optional = np.rint(np.array(spec.mean) * 255), Counter[tuple[str, ...]](), OptionalBands.of(spec)
    for seed in range(400):
        pipeline.set_random_seed(seed)
        found = pipeline(image=image, mask=MASK)
        np.testing.assert_array_equal(found["mask"], MASK)
        missing = tuple(name for place, name in enumerate(BANDS) if not np.array_equal(found["image"][:, :, place],
                                                                                       image[:, :, place]))  # fmt: skip
        for name in missing:
            assert (found["image"][:, :, BANDS.index(name)] == fill[BANDS.index(name)]).all()
        assert optional.allow(missing)
        valid = np.array([name not in missing for name in BANDS]) & np.ones((64, 64, 1), bool)
        read = fill_missing(image.copy(), valid, BANDS, optional)
        np.testing.assert_array_equal(normalize(read.values, spec), normalize(found["image"], spec))
        counts[missing] += 1
    assert set(counts) == {(), BANDS[:2], BANDS[2:], (BANDS[0], BANDS[2]), BANDS[:3], (BANDS[0], *BANDS[2:])}
    assert counts[()] / 400 == pytest.approx(0.6**3, abs=0.07)


def test_a_part_of_the_image_can_lack_bands():
    _, pipeline = dropped(1.0, partial=1.0)
    image, shares = np.full((64, 64, 4), 7, np.uint8), []
    for seed in range(50):
        pipeline.set_random_seed(seed)
        lost = (pipeline(image=image, mask=MASK)["image"] != 7)[:, :, 0]
        shares.append(lost.mean())
    assert 0.2 < np.mean(shares) < 0.8 and np.std(shares) > 0.1


def test_without_dropout_nothing_is_built_and_its_keys_are_checked():
    assert dropped(0.0)[1] is None
    for groups, one_of, message in (
        ({"sar": ["vh"]}, [], "groups.sar=vh: allowed are nir_before"), ({"sar": []}, [], "groups.sar: is empty"),
        ({"all": list(BANDS)}, [], "groups.all: leaves none of nir_before"),
        ({"after": ["nir_after", "vv_after"]}, ["nir_after", "vv_after"], "leaves none of nir_after, vv_after"),
        (None, ["vh"], "one_of=vh: allowed are"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=message):
            defaults(DataConfig, bands=list(BANDS), mean="auto", std="auto", band_dropout={
                "groups": groups, "one_of": one_of, "probability": 0.1, "partial": 0.0})  # fmt: skip
    with pytest.raises(ConfigError, match=r"augmentation.stretch_groups=vv: allowed are red, green, blue"):
        compose("train", ["augmentation.stretch_groups=[[vv]]"], TrainConfig)
