import numpy as np
import pytest
import torch
from torch.nn import functional

from flood_seg.imaging.postprocess import resize_logits, to_classes, to_labels, to_probabilities


def random_logits(channels: int, height: int = 12, width: int = 9) -> np.ndarray:
    return (np.random.default_rng(0).standard_normal((channels, height, width)) * 4).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 3])
def test_logits_are_enlarged_as_torch_does(channels):
    logits = random_logits(channels)
    expected = functional.interpolate(torch.from_numpy(logits)[None], (50, 41), mode="bilinear", align_corners=False)[0]
    np.testing.assert_allclose(resize_logits(logits, 50, 41), expected.numpy(), atol=1e-4)


def test_binary_probabilities_are_the_sigmoid():
    logits = np.concatenate([random_logits(1).ravel(), [-1000, 1000, 0]]).astype(np.float32).reshape(1, 1, -1)
    expected = torch.from_numpy(logits).sigmoid().permute(1, 2, 0).numpy()
    result = to_probabilities(logits)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_multiclass_probabilities_are_the_softmax():
    logits = random_logits(3)
    expected = torch.from_numpy(logits).softmax(0).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(to_probabilities(logits), expected, atol=1e-6)
    np.testing.assert_array_equal(to_classes(logits, 0.5), expected.argmax(2))


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.8])
def test_a_pixel_is_foreground_where_its_probability_is_above_the_threshold(threshold):
    logits = random_logits(1)
    np.testing.assert_array_equal(to_classes(logits, threshold), to_probabilities(logits)[:, :, 0] > threshold)


def test_the_ends_of_the_threshold_take_all_and_nothing():
    assert to_classes(random_logits(1), 0.0).all()
    assert not to_classes(random_logits(1), 1.0).any()


def test_the_decision_comes_after_the_resize():
    """Logits 3 and -1 side by side cross zero three quarters of the way; a resized mask would cross in the middle."""
    logits = np.array([[[3.0, -1.0]]], np.float32)
    mask = to_classes(resize_logits(logits, 1, 80), 0.5)[0]
    assert mask.sum() == 50  # pixel centres up to 20 + 40 * 3/4


@pytest.mark.parametrize(("values", "dtype"), [((0, 255), np.uint8), ((0, 7, 9), np.uint8), ((0, 1, 300), np.uint16)])
def test_each_class_is_written_as_its_value(values, dtype):
    classes = np.random.default_rng(0).integers(0, len(values), (20, 30)).astype(np.uint8)
    labels = to_labels(classes, values)
    assert labels.dtype == dtype
    np.testing.assert_array_equal(labels, np.array(values)[classes])
