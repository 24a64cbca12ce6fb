import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, jaccard_score, precision_score, recall_score

from flood_seg.classes import IGNORED
from flood_seg.errors import UsageError
from flood_seg.metrics.calibration import (
    binary_reliability,
    binary_temperature,
    class_reliability,
    class_temperature,
)
from flood_seg.metrics.curve import BINS, CENTERS, best_threshold, count_logits, sweep


def logits_and_truth(seed: int = 0, shape: tuple[int, int] = (80, 90), temperature: float = 1.0):
    """Logits whose sigmoid is the true share of water, times a temperature."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, shape).astype(np.float32)
    truth = (random.random(shape) < 1 / (1 + np.exp(-logits))).astype(np.uint8)
    return logits * np.float32(temperature), truth


def test_pixels_fall_into_their_bins_and_ignored_ones_into_none():
    logits, truth = logits_and_truth()
    truth[:10] = IGNORED
    counts = count_logits(logits, truth)
    edges = np.linspace(-16, 16, BINS + 1)
    for index in (0, 1):
        np.testing.assert_array_equal(counts[index].sum(), (truth == index).sum())
        wanted = np.histogram(logits[truth == index], edges)[0]
        assert np.abs(np.cumsum(counts[index]) - np.cumsum(wanted)).max() <= 1  # float32 on an edge
    far = count_logits(np.array([[-40.0, 40.0]], np.float32), np.array([[0, 1]], np.uint8))
    assert far[0, 0] == 1 and far[1, -1] == 1


def test_figures_at_a_threshold_and_the_area_are_scikit_learns():
    logits, truth = logits_and_truth()
    curve = sweep(count_logits(logits, truth))
    chances = 1 / (1 + np.exp(-logits.ravel()))
    for threshold in (0.2, 0.5, 0.77):
        place = int(np.searchsorted(curve.thresholds, threshold))
        decided = chances >= curve.thresholds[place]
        for name, measure in (("iou", jaccard_score), ("f1", f1_score), ("precision", precision_score),
                              ("recall", recall_score)):  # fmt: skip
            assert getattr(curve, name)[place] == pytest.approx(measure(truth.ravel(), decided), abs=2e-4)
    assert curve.average_precision == pytest.approx(average_precision_score(truth.ravel(), chances), abs=1e-3)


def test_a_goal_is_reached_and_nothing_better_is_left():
    logits, truth = logits_and_truth()
    curve = sweep(count_logits(logits, truth))

    def at(threshold, name):
        return getattr(curve, name)[np.searchsorted(curve.thresholds, threshold)]

    assert at(best_threshold(curve, "f1"), "f1") == curve.f1.max()
    assert at(best_threshold(curve, "iou"), "iou") == curve.iou.max()
    found = best_threshold(curve, "recall>=0.95")
    assert at(found, "recall") >= 0.95 and at(found, "precision") == curve.precision[curve.recall >= 0.95].max()
    found = best_threshold(curve, "precision >= .9")
    assert at(found, "precision") >= 0.9
    never = sweep(np.stack([np.full(BINS, 10), np.full(BINS, 1)]))
    assert best_threshold(never, "precision>=0.99") is None


@pytest.mark.parametrize("wrong", ["f2", "recall", "recall>=2", "recall>0.9", ""])
def test_a_goal_that_is_none_is_named(wrong):
    with pytest.raises(UsageError, match="give one of f1, iou, recall>=R"):
        best_threshold(sweep(np.ones((2, BINS), int)), wrong)


def test_the_temperature_that_was_put_in_is_found_and_makes_probabilities_true():
    counts = sum(count_logits(*logits_and_truth(seed, (300, 300), temperature=2.5)) for seed in range(3))
    assert binary_temperature(counts) == pytest.approx(2.5, rel=0.03)
    assert binary_reliability(counts, 2.5).ece < 0.005 < 0.08 < binary_reliability(counts).ece


def test_reliability_by_hand():
    counts = np.zeros((2, BINS), int)
    place = int(np.searchsorted(CENTERS, np.log(0.9 / 0.1)))  # the model says 0.9
    counts[:, place] = 30, 70
    found = binary_reliability(counts)
    group = int(0.9 * 15)
    assert found.accuracy[group] == pytest.approx(0.7) and found.confidence[group] == pytest.approx(0.9, abs=0.002)
    assert found.ece == pytest.approx(0.2, abs=0.002) and found.pixels.sum() == 100


def test_several_classes_are_calibrated_alike():
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (40_000, 4))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    target = (chances.cumsum(axis=1) < random.random((40_000, 1))).sum(axis=1)
    assert class_temperature(logits * 1.8, target) == pytest.approx(1.8, rel=0.03)
    assert class_reliability(logits * 1.8, target, 1.8).ece < 0.01 < class_reliability(logits * 1.8, target).ece


def test_a_temperature_changes_no_order_and_moves_the_threshold():
    counts = count_logits(*logits_and_truth())
    cool, warm = sweep(counts), sweep(counts, 2.0)
    np.testing.assert_array_equal(cool.iou, warm.iou)
    assert warm.thresholds[BINS // 2 + 200] < cool.thresholds[BINS // 2 + 200]
    assert cool.average_precision == warm.average_precision
