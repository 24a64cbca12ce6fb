from itertools import pairwise

import numpy as np

from flood_seg.metrics.slices import group_slices, slices


def test_slices_are_quarters_that_hold_every_photo_once():
    values = np.random.default_rng(0).random(83)
    found = slices(values, " MP", 2)
    assert sorted(np.concatenate([one.indices for one in found])) == list(range(83))
    assert [len(one.indices) for one in found] == [21, 20, 21, 21] or max(len(one.indices) for one in found) <= 22
    bounds = [values[one.indices] for one in found]
    assert all(low.max() <= high.min() for low, high in pairwise(bounds))


def test_photos_of_one_size_are_one_slice():
    (only,) = slices([2.0] * 5, " MP", 1)
    assert only.label == "2.0 MP" and len(only.indices) == 5


def test_the_largest_group_comes_first():
    found = group_slices(["a", "b", "c"], {"a": "x", "b": "y", "c": "y"})
    assert [(one.label, one.indices.tolist()) for one in found] == [("y", [1, 2]), ("x", [0])]
