import numpy as np
import pytest
from scipy import stats

from flood_seg.metrics.bootstrap import intervals, paired_difference, resample
from flood_seg.metrics.confusion import image_ious, task_metrics


def some_matrices(count: int, classes: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 200, (count, classes, classes))


def test_each_round_draws_as_many_images_as_there_are():
    drawn = resample(7, 50)
    assert drawn.shape == (50, 7) and (drawn.sum(axis=1) == 7).all()
    np.testing.assert_array_equal(drawn, resample(7, 50))


def test_the_interval_of_a_mean_is_scipys():
    matrices = some_matrices(40)
    values = image_ious(matrices, "binary")
    found = intervals(matrices, "binary", 4000, {"other": values})
    wanted = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", random_state=1)
    assert found["image_iou"] == found["other"]
    assert found["image_iou"] == pytest.approx(list(wanted.confidence_interval), abs=0.003)
    assert found["iou"][0] < task_metrics(matrices, "binary").iou < found["iou"][1]


def test_a_better_model_is_better_in_every_draw_and_equals_are_a_draw():
    matrices = some_matrices(30)
    better = matrices + np.array([[0, 0], [0, 60]])
    found = paired_difference(matrices, better, "binary", 500)
    whole = task_metrics(better, "binary").iou - task_metrics(matrices, "binary").iou
    assert found["difference"] == pytest.approx(whole)
    assert 0 < found["low"] < found["difference"] < found["high"] and found["share_better"] == 1.0
    same = paired_difference(matrices, matrices, "binary", 100)
    assert (same["difference"], same["low"], same["high"], same["share_better"]) == (0, 0, 0, 0.5)
