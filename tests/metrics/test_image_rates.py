"""Areas by the errors of a model on other images."""

from __future__ import annotations

import json

import numpy as np
import pytest

from flood_seg.metrics.image_rates import FEWEST_IMAGES, ImageRates

RUNS, PIXELS = 1000, 384 * 384


def draw(random: np.random.Generator, count: int) -> np.ndarray:
    """Confusion matrices [truth, map] of images, each with shares of water, precision and omission of its own."""
    mapped, precision, missed = random.beta(1.2, 1.5, count), random.beta(12, 2, count), random.beta(1.2, 15, count)
    hits, lost = mapped * precision, (1 - mapped) * missed
    shares = np.stack([1 - mapped - lost, mapped - hits, lost, hits], 1)
    return np.rint(shares * PIXELS).astype(np.int64).reshape(count, 2, 2)


@pytest.mark.parametrize("images", [25, 100])
def test_the_interval_covers_the_true_area_of_one_more_image(images):
    random = np.random.default_rng(3)
    covered = average = told = 0
    for _ in range(RUNS):
        *seen, new = draw(random, images + 1)
        found = ImageRates.of(np.array(seen)).predict(new.sum(axis=0).astype(float), 1)
        if found is None:  # it has more or less water than all others
            continue
        truth, told = new[1].sum(), told + 1
        covered += found.low <= truth <= found.high
        average += abs(found.area - truth) <= 1.96 * found.standard_error / np.sqrt(images + 1)
    assert told > 0.9 * RUNS
    assert 0.93 <= covered / told <= 0.97
    assert average / told < 0.5  # the average rates are known much better than those of an image


def test_a_map_as_the_images_are_on_average_has_their_true_area():
    matrices = draw(np.random.default_rng(0), 60)
    shares = matrices / matrices.sum(axis=(1, 2), keepdims=True)
    rates = ImageRates.of(matrices)
    found = rates.predict(1000 * shares.sum(axis=1).mean(axis=0), 1)
    assert found.area == pytest.approx(1000 * shares[:, 1].sum(axis=1).mean())
    deviation = np.std(
        shares[:, 1].sum(axis=1) - shares.sum(axis=1) @ (shares.mean(axis=0)[1] / shares.sum(axis=1).mean(axis=0)),
        ddof=1,
    )
    assert found.standard_error == pytest.approx(1000 * deviation * np.sqrt(1 + 1 / 60))


def test_an_image_counts_as_one_whatever_its_size():
    matrices = draw(np.random.default_rng(1), 40)
    larger = matrices * np.arange(1, 41)[:, None, None]
    one, other = (ImageRates.of(some).predict(np.array([6.0, 4.0]), 1) for some in (matrices, larger))
    assert one == pytest.approx(other)


def test_a_perfect_model_has_no_interval_to_speak_of():
    water = np.random.default_rng(2).integers(1000, 9000, 50)
    matrices = np.zeros((50, 2, 2), np.int64)
    matrices[:, 1, 1], matrices[:, 0, 0] = water, 10_000 - water
    found = ImageRates.of(matrices).predict(np.array([7.0, 3.0]), 1)
    assert found == pytest.approx((3, 0, 3, 3))


def test_classes_are_adjusted_together():
    random = np.random.default_rng(4)
    matrices = random.integers(1, 50, (60, 3, 3)) + 400 * np.eye(3, dtype=int) * random.integers(1, 4, (60, 1, 1))
    rates = ImageRates.of(matrices)
    mapped = matrices[7].sum(axis=0).astype(float)
    found = [rates.predict(mapped, truth) for truth in range(3)]
    assert sum(one.area for one in found) == pytest.approx(mapped.sum())
    assert all(0 <= one.low < one.area < one.high for one in found)


def test_few_images_and_other_maps_have_no_area():
    matrices = draw(np.random.default_rng(6), 60)
    assert ImageRates.of(matrices[:1]) is None
    assert ImageRates.of(matrices[: FEWEST_IMAGES - 1]).predict(np.array([6.0, 4.0]), 1) is None
    assert ImageRates.of(matrices[:FEWEST_IMAGES]).predict(np.array([6.0, 4.0]), 1) is not None
    rates = ImageRates.of(matrices)
    assert rates.predict(np.array([0.0, 1.0]), 1) is None and rates.misfit(np.array([0.0, 1.0])) is not None
    assert rates.misfit(np.array([rates.lowest[0], 1 - rates.lowest[0]])) is None


def test_a_record_returns_the_same_and_nonsense_nothing():
    rates = ImageRates.of(np.concatenate([draw(np.random.default_rng(8), 50), np.zeros((3, 2, 2), np.int64)]))
    record = json.loads(json.dumps(rates.to_record()))
    assert record["images"] == 50  # without those that have no pixels
    mapped = np.array([6.0, 4.0])
    assert ImageRates.from_record(record, 2).predict(mapped, 1) == pytest.approx(rates.predict(mapped, 1), rel=1e-5)
    for nonsense in (None, [], {}, record | {"shares": [[1]]}, record | {"images": "many"}):
        assert ImageRates.from_record(nonsense, 2) is None
    assert ImageRates.from_record(record, 3) is None
    few = ImageRates.from_record(ImageRates.of(draw(np.random.default_rng(0), 5)).to_record(), 2)
    assert few.images == 5 and few.predict(mapped, 1) is None
