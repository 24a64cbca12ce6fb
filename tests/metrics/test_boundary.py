import cv2
import numpy as np
import pytest
from scipy.ndimage import binary_erosion, distance_transform_edt, generate_binary_structure

from flood_seg.classes import IGNORED
from flood_seg.metrics.boundary import boundary_f1


def blob(seed: int, size: int = 60) -> np.ndarray:
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=(size, size)), (0, 0), 5)
    return (noise > 0).astype(np.uint8)


def by_distance(predicted: np.ndarray, target: np.ndarray, radius: int) -> float:
    """The same by SciPy's exact distance transform."""
    cross = generate_binary_structure(2, 1)
    rims = [mask & ~binary_erosion(mask, cross, border_value=1) for mask in (predicted > 0, target > 0)]
    precision, recall = (
        np.mean(distance_transform_edt(~other)[rim] <= radius) for rim, other in (rims, rims[::-1])
    )  # fmt: skip
    return 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize("radius", [1, 2, 5])
def test_it_is_that_of_the_distances_between_outlines(radius):
    for seed in range(6):
        predicted, target = blob(seed), blob(seed + 100)
        assert boundary_f1(predicted, target, 2, [radius])[0] == pytest.approx(by_distance(predicted, target, radius))


def test_a_square_that_is_moved_by_three_pixels_by_hand():
    target = np.zeros((40, 40), np.uint8)
    target[10:20, 10:20] = 1
    moved = np.roll(target, 3, axis=1)
    exact, near = boundary_f1(moved, target, 2, [2, 3])
    # Of 36 outline pixels within 2: nine of ten at top and bottom, and of the inner side the two next to each corner.
    assert near == 1.0 and exact == pytest.approx(22 / 36)


def test_no_outline_in_both_is_right_and_in_one_wrong():
    empty, full = np.zeros((20, 20), np.uint8), np.ones((20, 20), np.uint8)
    assert boundary_f1(empty, empty, 2, [2]) == [1.0] and boundary_f1(full, full, 2, [2]) == [1.0]
    assert boundary_f1(blob(0, 20), empty, 2, [2, 5]) == [0.0, 0.0]


def test_outlines_of_ignored_areas_do_not_count():
    target = blob(1)
    predicted = target.copy()
    predicted[20:40, 20:40] ^= 1
    assert boundary_f1(predicted, target, 2, [1])[0] < 0.9
    ignoring = target.copy()
    ignoring[18:42, 18:42] = IGNORED
    assert boundary_f1(predicted, ignoring, 2, [1])[0] == pytest.approx(1.0, abs=0.03)


def test_several_classes_are_averaged_over_those_that_are_there():
    target = blob(2) * 2
    assert boundary_f1(target, target, 4, [2]) == [1.0]
    other = target.copy()
    other[:5, :5] = 3
    assert boundary_f1(other, target, 4, [2])[0] == pytest.approx(0.5, abs=0.1)  # class 3 is only predicted
