import flood_seg.torchvision_compat  # noqa: F401 - before torchmetrics

import numpy as np
import pytest
import torch

from flood_seg.evaluation.metrics import confusion_counts, image_ious, metrics_from_counts


def counts_of(*pairs: tuple[list[int], list[int]]) -> np.ndarray:
    return np.concatenate(
        [np.stack(confusion_counts(np.array([p], bool), np.array([t], bool)), axis=1) for p, t in pairs]
    )


def test_counts_by_hand():
    assert counts_of(([1, 1, 0, 0, 1], [1, 0, 1, 0, 1])).tolist() == [[2, 1, 1, 1]]


def test_metrics_by_hand():
    metrics = metrics_from_counts(counts_of(([1, 1, 0, 0], [1, 0, 1, 0]), ([1, 1, 1, 1], [1, 1, 1, 0])))
    assert metrics.iou == pytest.approx(4 / 7)  # of all pixels together, not the mean of 1/3 and 3/4
    assert metrics.f1 == pytest.approx(8 / 11)
    assert metrics.accuracy == pytest.approx(5 / 8)
    assert metrics.precision == pytest.approx(4 / 6)
    assert metrics.recall == pytest.approx(4 / 5)
    assert metrics.image_iou == pytest.approx((1 / 3 + 3 / 4) / 2)


def test_metrics_agree_with_torchmetrics():
    from torchmetrics.functional.classification import binary_accuracy, binary_f1_score, binary_jaccard_index

    random = torch.Generator().manual_seed(0)
    predicted, target = (torch.rand(6, 20, 30, generator=random) > share for share in (0.4, 0.6))
    metrics = metrics_from_counts(np.stack([c.numpy() for c in confusion_counts(predicted, target)], axis=1))
    assert metrics.iou == pytest.approx(float(binary_jaccard_index(predicted, target)), abs=1e-6)
    assert metrics.f1 == pytest.approx(float(binary_f1_score(predicted, target)), abs=1e-6)
    assert metrics.accuracy == pytest.approx(float(binary_accuracy(predicted, target)), abs=1e-6)


def test_agreeing_on_no_water_is_right_and_inventing_or_missing_it_is_wrong():
    dry, wet = [0, 0], [1, 0]
    for pair, expected in (((dry, dry), 1.0), ((wet, dry), 0.0), ((dry, wet), 0.0)):
        metrics = metrics_from_counts(counts_of(pair))
        found = (metrics.iou, metrics.f1, metrics.precision, metrics.recall, metrics.image_iou)
        assert found == (expected,) * 5


def test_the_batch_size_does_not_matter():
    random = np.random.default_rng(0)
    predicted, target = random.random((2, 7, 50)) > 0.5
    whole = np.stack(confusion_counts(predicted, target), axis=1)
    parts = [np.stack(confusion_counts(predicted[i : i + 3], target[i : i + 3]), axis=1) for i in (0, 3, 6)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert metrics_from_counts(np.concatenate(parts)) == metrics_from_counts(whole)


def test_image_ious_of_empty_images_are_one():
    assert image_ious(np.array([[0, 0, 0, 9], [1, 1, 0, 0]])).tolist() == [1.0, 0.5]
