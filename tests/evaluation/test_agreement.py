import numpy as np
import pytest

from flood_seg.evaluation.agreement import compare


def test_the_figures_by_hand():
    """Two photos of 2 x 2; the second model loses one of the three water pixels of the first photo."""
    first = [np.array([[[2.0, 2.0], [2.0, -2.0]]], np.float32), np.array([[[-2.0, -2.0], [-2.0, 2.0]]], np.float32)]
    second = [first[0].copy(), first[1].copy()]
    second[0][0, 0, 0] = -1.0
    found = compare(first, second, 0.5)
    assert found.probability == pytest.approx(1 / (1 + np.exp(-2)) - 1 / (1 + np.exp(1)), abs=1e-6)
    assert found.flipped == 1 / 8
    assert found.mask_iou == pytest.approx((2 / 3 + 1) / 2)
    assert found.area_error == pytest.approx(1 / 4)
    assert found.worst == pytest.approx(1 / 4)


def test_the_same_answers_agree_entirely_also_where_there_is_no_water():
    dry = [np.full((1, 4, 4), -3.0, np.float32)]
    found = compare(dry, dry, 0.5)
    assert (found.probability, found.flipped, found.mask_iou, found.area_error, found.worst) == (0, 0, 1, 0, 0)


def test_area_errors_of_two_photos_do_not_cancel_out():
    wet, dry = np.full((1, 2, 2), 1.0, np.float32), np.full((1, 2, 2), -1.0, np.float32)
    assert compare([wet, dry], [dry, wet], 0.5).area_error == 2.0


def test_classes_are_compared_where_there_are_several():
    first = np.zeros((3, 1, 2), np.float32)
    first[1, 0, 0] = first[2, 0, 1] = 5
    second = np.zeros((3, 1, 2), np.float32)
    second[2] = 5
    found = compare([first], [second], 0.5)
    assert found.flipped == 0.5 and found.mask_iou == 0.25  # the mean of 0 and 1/2
