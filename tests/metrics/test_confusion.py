import flood_seg.torchvision_compat  # noqa: F401 - before torchmetrics

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn_metrics

from flood_seg.classes import IGNORED
from flood_seg.metrics.confusion import (
    by_class,
    class_metrics,
    confusion_matrices,
    image_ious,
    task_metrics,
    task_scores,
)


def matrices_of(*pairs: tuple[list[int], list[int]], classes: int = 2) -> np.ndarray:
    return np.concatenate(
        [confusion_matrices(np.array([p], np.uint8), np.array([t], np.uint8), classes) for p, t in pairs]
    )


def test_counts_by_hand():
    assert matrices_of(([1, 1, 0, 0, 1], [1, 0, 1, 0, 1])).tolist() == [[[1, 1], [1, 2]]]
    assert matrices_of(([2, 1, 0, 2], [2, 0, 0, 1]), classes=3).tolist() == [[[1, 1, 0], [0, 0, 1], [0, 0, 1]]]


def test_metrics_by_hand():
    metrics = task_metrics(matrices_of(([1, 1, 0, 0], [1, 0, 1, 0]), ([1, 1, 1, 1], [1, 1, 1, 0])), "binary")
    assert metrics.iou == pytest.approx(4 / 7)  # of all pixels together, not the mean of 1/3 and 3/4
    assert metrics.f1 == pytest.approx(8 / 11)
    assert metrics.accuracy == pytest.approx(5 / 8)
    assert metrics.precision == pytest.approx(4 / 6)
    assert metrics.recall == pytest.approx(4 / 5)
    assert metrics.image_iou == pytest.approx((1 / 3 + 3 / 4) / 2)


def test_means_over_images_by_hand():
    pairs = ([1, 1, 0, 0], [1, 0, 0, 0]), ([0, 0, 0, 0], [0, 0, 0, 0]), ([1, 1, 1, 1], [0, 0, 0, 1])
    metrics = task_metrics(matrices_of(*pairs), "binary")
    assert metrics.macro_iou == pytest.approx(((1 / 2 + 2 / 3) / 2 + 1 + (1 / 4 + 0) / 2) / 3)
    assert metrics.frequency_weighted_iou == pytest.approx(
        ((1 / 4 * 1 / 2 + 3 / 4 * 2 / 3) + 1 + (1 / 4 * 1 / 4 + 0)) / 3
    )


@pytest.mark.parametrize("classes", [2, 4])
def test_means_over_images_agree_with_scikit_learn(classes):
    """Its `weighted` average is the frequency-weighted IoU; a class that is in neither is left out of `macro`."""
    random = np.random.default_rng(classes)
    predicted, target = random.integers(0, classes, (2, 6, 15, 20)).astype(np.uint8)
    predicted[0], target[0] = predicted[0] % (classes - 1), target[0] % (classes - 1)  # without the last class
    target[random.random(target.shape) > 0.9] = IGNORED
    task = "binary" if classes == 2 else "multiclass"
    metrics = task_metrics(confusion_matrices(predicted, target, classes), task)
    kept = [(t[t != IGNORED], p[t != IGNORED]) for p, t in zip(predicted, target, strict=True)]
    for name, average in (("macro_iou", "macro"), ("frequency_weighted_iou", "weighted")):
        wanted = [sklearn_metrics.jaccard_score(t, p, average=average) for t, p in kept]
        assert getattr(metrics, name) == pytest.approx(np.mean(wanted))
    if task == "multiclass":
        assert metrics.macro_iou == pytest.approx(metrics.image_iou)


def test_an_image_without_counted_pixels_leaves_the_means_over_images_as_they_are():
    seen = ([1, 0], [1, 1])
    alone, beside = (matrices_of(*pairs) for pairs in ([seen], [seen, ([1, 0], [IGNORED, IGNORED])]))
    assert task_metrics(beside, "binary") == task_metrics(alone, "binary")


def test_metrics_agree_with_torchmetrics():
    from torchmetrics.functional.classification import binary_accuracy, binary_f1_score, binary_jaccard_index

    random = torch.Generator().manual_seed(0)
    predicted, target = (torch.rand(6, 20, 30, generator=random) > share for share in (0.4, 0.6))
    metrics = task_metrics(confusion_matrices(predicted, target.byte(), 2).numpy(), "binary")
    assert metrics.iou == pytest.approx(float(binary_jaccard_index(predicted, target)), abs=1e-6)
    assert metrics.f1 == pytest.approx(float(binary_f1_score(predicted, target)), abs=1e-6)
    assert metrics.accuracy == pytest.approx(float(binary_accuracy(predicted, target)), abs=1e-6)


def test_several_classes_agree_with_torchmetrics_ignored_pixels_and_absent_classes_apart():
    from torchmetrics.functional import classification as reference

    random = torch.Generator().manual_seed(0)
    predicted = torch.randint(0, 4, (5, 20, 30), generator=random)
    target = torch.randint(0, 4, (5, 20, 30), generator=random).byte()
    target[torch.rand(5, 20, 30, generator=random) > 0.8] = IGNORED
    matrices = confusion_matrices(predicted, target, 5).numpy()  # the fifth class is nowhere
    options = {"num_classes": 4, "ignore_index": IGNORED, "average": "macro"}
    metrics, truth = task_metrics(matrices, "multiclass"), target.long()
    assert metrics.iou == pytest.approx(float(reference.multiclass_jaccard_index(predicted, truth, **options)))
    assert metrics.f1 == pytest.approx(float(reference.multiclass_f1_score(predicted, truth, **options)))
    assert metrics.precision == pytest.approx(float(reference.multiclass_precision(predicted, truth, **options)))
    assert metrics.recall == pytest.approx(float(reference.multiclass_recall(predicted, truth, **options)))
    assert metrics.accuracy == pytest.approx(
        float(reference.multiclass_accuracy(predicted, truth, **options | {"average": "micro"}))
    )
    each = [
        float(reference.multiclass_jaccard_index(p[None], t[None], **options))
        for p, t in zip(predicted, truth, strict=True)
    ]
    assert image_ious(matrices, "multiclass") == pytest.approx(each)
    counted = reference.multiclass_confusion_matrix(predicted, truth, num_classes=4, ignore_index=IGNORED)
    np.testing.assert_array_equal(matrices.sum(axis=0)[:4, :4], counted)


@pytest.mark.parametrize("classes", [2, 4])
def test_arrays_and_tensors_are_counted_alike(classes):
    random = np.random.default_rng(0)
    predicted, target = random.integers(0, classes, (2, 3, 9, 7)).astype(np.uint8)
    target[random.random(target.shape) > 0.7] = IGNORED
    found = confusion_matrices(predicted, target, classes)
    tensors = confusion_matrices(torch.from_numpy(predicted), torch.from_numpy(target), classes)
    np.testing.assert_array_equal(tensors.numpy(), found)
    assert found.sum() == (target != IGNORED).sum()


def test_agreeing_on_no_water_is_right_and_inventing_or_missing_it_is_wrong():
    dry, wet = [0, 0], [1, 0]
    for pair, expected in (((dry, dry), 1.0), ((wet, dry), 0.0), ((dry, wet), 0.0)):
        metrics = task_metrics(matrices_of(pair), "binary")
        found = (metrics.iou, metrics.f1, metrics.precision, metrics.recall, metrics.image_iou)
        assert found == (expected,) * 5


def test_images_without_a_counted_pixel_are_no_error():
    nothing = matrices_of(([1, 0], [IGNORED, IGNORED]))
    assert task_metrics(nothing, "binary").iou == task_metrics(nothing, "binary").accuracy == 1
    assert task_metrics(matrices_of(([1], [IGNORED]), classes=3), "multiclass").image_iou == 1


def test_the_batch_size_does_not_matter():
    random = np.random.default_rng(0)
    predicted, target = (random.random((2, 7, 50)) > 0.5).astype(np.uint8)
    whole = confusion_matrices(predicted, target, 2)
    parts = [confusion_matrices(predicted[i : i + 3], target[i : i + 3], 2) for i in (0, 3, 6)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert task_metrics(np.concatenate(parts), "binary") == task_metrics(whole, "binary")


def test_image_ious_of_empty_images_are_one():
    assert image_ious(np.array([[[9, 0], [0, 0]], [[0, 1], [0, 1]]]), "binary").tolist() == [1.0, 0.5]


def test_a_class_is_measured_against_all_others():
    pixels = matrices_of(([0, 1, 2, 2, 1], [0, 1, 2, 1, 0]), classes=3)
    named = by_class(pixels, ("land", "water", "road"))
    assert named["water"]["iou"] == pytest.approx(1 / 3) and named["water"]["recall"] == 0.5
    assert named["road"] == {"iou": 0.5, "f1": pytest.approx(2 / 3), "accuracy": 0.8, "precision": 0.5, "recall": 1.0,
                             "pixels": 1, "present": True}  # fmt: skip
    assert not class_metrics(matrices_of(([0], [0]), classes=3)[0])[2].present


@pytest.mark.parametrize(("task", "classes"), [("binary", 2), ("multiclass", 4)])
def test_the_figures_of_many_matrices_are_scikit_learns_of_each(task, classes):
    matrices = np.random.default_rng(0).integers(1, 200, (5, classes, classes))
    if task == "multiclass":
        matrices[0, 3] = matrices[0, :, 3] = 0  # a class that is nowhere
    matrices[1] = 0
    matrices[1, 0, 0] = 10  # all background
    figures = task_scores(matrices, task)
    truth, predicted = (index.ravel() for index in np.indices((classes, classes)))
    for row, matrix in enumerate(matrices):
        there = [1] if task == "binary" else [index for index in range(classes) if matrix[index].any()]
        same = {"labels": there, "average": "macro", "sample_weight": matrix.ravel(), "zero_division": 1.0}
        precision, recall, f1, _ = sklearn_metrics.precision_recall_fscore_support(truth, predicted, **same)
        wanted = {
            "iou": sklearn_metrics.jaccard_score(truth, predicted, **same), "f1": f1, "precision": precision,
            "recall": recall,
            "accuracy": sklearn_metrics.accuracy_score(truth, predicted, sample_weight=matrix.ravel()),
        }  # fmt: skip
        assert {name: values[row] for name, values in figures.items()} == pytest.approx(wanted), row
