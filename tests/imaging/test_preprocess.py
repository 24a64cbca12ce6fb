import numpy as np
import pytest
import torch
from torch.nn import functional

from flood_seg.imaging.preprocess import normalize, preprocess, resize_image
from tests.conftest import draw_pond, make_spec


def test_normalisation_is_the_formula_band_by_band():
    image, _ = draw_pond(0)
    spec = make_spec()
    expected = ((image / 255.0 - np.array(spec.mean)) / np.array(spec.std)).transpose(2, 0, 1)
    result = normalize(image, spec)
    assert result.dtype == np.float32 and result.flags.c_contiguous
    np.testing.assert_allclose(result, expected, atol=2e-6)


@pytest.mark.parametrize(
    ("bands", "dtype", "scale"), [(4, np.uint16, 65535.0), (1, np.uint8, 255.0), (2, np.float32, 1.0)]
)
def test_any_number_of_bands_and_any_value_scale(bands, dtype, scale):
    random = np.random.default_rng(0)
    image = (random.random((40, 50, bands)) * scale).astype(dtype)
    mean, std = tuple(np.linspace(0.1, 0.4, bands)), tuple(np.linspace(0.2, 0.3, bands))
    spec = make_spec(40, 50, bands=tuple(f"b{i}" for i in range(bands)), value_scale=scale, mean=mean, std=std)
    expected = ((image.astype(np.float64) / scale - mean) / std).transpose(2, 0, 1)
    np.testing.assert_allclose(preprocess(image, spec), expected, atol=1e-5)


def test_shrinking_averages_areas():
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    expected = image.reshape(20, 2, 30, 2, 3).mean(axis=(1, 3))
    assert np.abs(resize_image(image, 20, 30) - expected).max() <= 0.5


def test_growing_interpolates_bilinearly_as_torch_does():
    image = np.random.default_rng(0).random((11, 13, 3)).astype(np.float32)
    as_torch = torch.from_numpy(image).permute(2, 0, 1)[None]
    expected = functional.interpolate(as_torch, (32, 48), mode="bilinear", align_corners=False)[0]
    np.testing.assert_allclose(resize_image(image, 32, 48), expected.permute(1, 2, 0).numpy(), atol=1e-5)


def test_a_single_band_keeps_its_axis():
    assert resize_image(np.zeros((10, 12, 1), np.uint8), 5, 6).shape == (5, 6, 1)
