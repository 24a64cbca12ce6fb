import numpy as np
import pytest

from flood_seg.errors import ImageError
from flood_seg.imaging.preprocess import preprocess
from flood_seg.inference.values import measure_shift
from tests.conftest import draw_pond, make_spec

PHOTO = draw_pond(0, 64, 64)[0]
REFLECTANCE = {"value_scale": 10000.0, "mean": (0.1, 0.1, 0.12), "std": (0.08, 0.08, 0.1)}
DECIBEL = {"bands": ("vv",), "value_scale": 1.0, "mean": (-12.0,), "std": (5.0,)}


def shift(image: np.ndarray, **spec: object) -> float:
    model = make_spec(**spec)
    return measure_shift(preprocess(image, model), model, image.dtype)


@pytest.mark.parametrize(
    ("image", "spec"),
    [
        ((PHOTO / 255).astype(np.float32), {}),
        (PHOTO // 100, {}),  # 0, 1 and 2 of 255
        (PHOTO.astype(np.float32) * 40, {}),  # reflectance up to 10000
        (PHOTO.astype(np.uint16) * 40, {}),
        (np.vstack([np.full((8, 64, 3), 256, np.uint16), PHOTO[8:]]), {}),  # 8 bits end at 255
        ((PHOTO / 255).astype(np.float32), REFLECTANCE),
        (PHOTO, REFLECTANCE),  # 8 bits end below each band's mean
        (PHOTO.astype(np.uint16) * 257, REFLECTANCE),
        (np.random.default_rng(0).uniform(0, 0.1, (64, 64, 1)).astype(np.float32), DECIBEL),  # power, not decibel
    ],
    ids=["0-1", "0-2", "float reflectance", "integer reflectance", "above 8 bits", "0-1 for reflectance",
         "8 bits for reflectance", "16 bits for reflectance", "power for decibel"],
)  # fmt: skip
def test_values_of_another_scale_are_refused_with_the_scale_that_the_model_expects(image, spec):
    with pytest.raises(ImageError, match=f"do not fit value_scale={spec.get('value_scale', 255.0):g} with band means"):
        shift(image, **spec)


def test_the_message_proposes_the_scale_of_the_values():
    with pytest.raises(ImageError, match="set value_scale=1 if"):
        shift((PHOTO / 255).astype(np.float32))
    with pytest.raises(ImageError, match="set value_scale=10000 if"):
        shift(PHOTO.astype(np.uint16) * 40)


@pytest.mark.parametrize(
    ("image", "spec"),
    [
        (PHOTO, {}),
        (PHOTO // 4, {}),  # dusk
        (PHOTO.astype(np.float32), {}),
        ((PHOTO / 255).astype(np.float32), {"value_scale": 1.0}),
        (PHOTO.astype(np.uint16) * 257, {"value_scale": 65535.0}),
        (PHOTO.astype(np.uint16) * 10, REFLECTANCE),
        (np.vstack([np.full((8, 64, 3), 16000), PHOTO[8:] * 8.0]).astype(np.float32), REFLECTANCE),
        (np.random.default_rng(0).normal(-14, 4, (64, 64, 1)).astype(np.float32), DECIBEL),
    ],
    ids=["photo", "dark photo", "float photo", "0-1", "16 bits", "reflectance", "clouds", "decibel"],
)
def test_values_of_the_models_scale_pass(image, spec):
    assert shift(image, **spec) < 8


def test_a_blank_image_is_refused():
    with pytest.raises(ImageError, match="the image is blank: all values are 0"):
        shift(np.zeros_like(PHOTO))


def test_the_shift_is_the_largest_distance_of_a_band_mean_in_standard_deviations():
    image = np.full((64, 64, 3), (124, 116, 200), np.uint8)
    assert shift(image) == pytest.approx((200 / 255 - 0.406) / 0.225, abs=1e-4)


def test_pixels_without_data_count_neither_for_the_shift_nor_for_the_scale():
    model, valid = make_spec(), np.ones((64, 64), bool)
    valid[:48] = False
    image = np.where(valid[:, :, None], (124, 116, 200), 0).astype(np.uint8)
    tensor = preprocess(image, model)
    assert measure_shift(tensor, model, image.dtype, valid) == pytest.approx((200 / 255 - 0.406) / 0.225, abs=1e-4)
    with pytest.raises(ImageError, match="no pixel has data"):
        measure_shift(tensor, model, image.dtype, np.zeros_like(valid))
