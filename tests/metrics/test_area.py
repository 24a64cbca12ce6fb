"""Areas adjusted by a sample of the same map."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import binomtest, t

from flood_seg.metrics.area import from_places, from_points, t_quantile, wilson

RUNS = 1000


def test_the_example_of_olofsson_et_al():
    # Section 5.1 of the paper: deforestation, gain, forest, other, in pixels; 235,086 ± 68,418 are deforested.
    counts = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
    mapped = np.array([200_000.0, 150_000, 3_200_000, 6_450_000])
    found = from_points(mapped, counts, 0)
    assert found.area == pytest.approx(235_086, abs=1)
    assert 1.96 * found.standard_error == pytest.approx(68_418, abs=1)
    assert sum(from_points(mapped, counts, truth).area for truth in range(4)) == pytest.approx(1e7)
    # Three of 490 points show what was missed: it may be twice as much, but not much less than nothing.
    assert 235_086 - 68_418 < found.low < found.area < 235_086 + 68_418 < found.high


@pytest.mark.parametrize(("right", "size"), [(0, 30), (3, 50), (100, 100), (640, 900)])
def test_limits_of_a_share_are_those_of_scipy(right, size):
    expected = binomtest(right, size).proportion_ci(0.95, "wilson")
    low, high = wilson(np.array([right / size]), np.array([size]))
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_large_samples_have_the_interval_of_the_standard_error():
    found = from_points(np.array([3.0, 1.0]), np.array([[95_000, 5_000], [10_000, 90_000]]), 1)
    assert (found.low, found.high) == pytest.approx(
        (found.area - 1.96 * found.standard_error, found.area + 1.96 * found.standard_error), abs=1e-4
    )


def test_a_class_of_the_map_without_two_points_has_no_area():
    counts = np.array([[50, 1], [0, 1]])
    assert from_points(np.array([2.0, 1.0]), counts, 1) is None
    assert from_points(np.array([2.0, 0.0]), counts, 1).area == pytest.approx(2 / 51)  # it is not on the map


def random_map(random):
    """A map of 200×300 pixels with 20 % water, and a truth that differs near outlines and in lakes that were missed."""
    field = gaussian_filter(random.normal(size=(200, 300)), 12)
    truth = field > np.quantile(field, 0.8)
    mapped = field + 0.3 * field.std() * gaussian_filter(random.normal(size=field.shape), 3) / 0.1 > np.quantile(
        field, 0.8
    )
    missed = gaussian_filter(random.normal(size=field.shape), 2)
    return mapped, truth | (missed > np.quantile(missed, 0.985))


@pytest.mark.parametrize("points", [(75, 150), (40, 300)])
def test_the_interval_of_random_points_covers_the_true_area(points):
    random = np.random.default_rng(2014)
    mapped, truth = random_map(random)
    areas = np.array([(~mapped).sum(), mapped.sum()], float)
    strata = [truth[~mapped], truth[mapped]]
    assert 0.005 < strata[0].mean() < 0.1 and 0.6 < strata[1].mean() < 0.95  # errors of both kinds
    covered = 0
    for _ in range(RUNS):
        flooded = [random.choice(stratum, number).sum() for stratum, number in zip(strata, points, strict=True)]
        counts = np.array([[number - wet, wet] for number, wet in zip(points, flooded, strict=True)])
        found = from_points(areas, counts, 1)
        covered += found.low <= truth.sum() <= found.high
    assert 0.93 <= covered / RUNS <= 0.97


def test_points_that_miss_rare_errors_do_not_make_the_interval_too_sure():
    # 1 % of the dry land is flooded, and 100 points find none of it in a third of all samples.
    random, areas, shares, covered, plain = np.random.default_rng(1), np.array([95.0, 5.0]), (0.01, 0.8), 0, 0
    for _ in range(RUNS):
        wet = random.binomial(100, shares)
        found = from_points(areas, np.column_stack([100 - wet, wet]), 1)
        covered += found.low <= areas @ shares <= found.high
        plain += abs(found.area - areas @ shares) <= 1.96 * found.standard_error
    assert 0.93 <= covered / RUNS <= 0.97
    assert plain / RUNS < 0.7


def test_the_interval_of_places_covers_the_true_area():
    # Squares of 10×10 pixels, of which all pixels are checked: those of a square are alike.
    random = np.random.default_rng(5)
    mapped, truth = random_map(random)
    squares = [
        np.array([[(~m & ~t).sum(), (~m & t).sum()], [(m & ~t).sum(), (m & t).sum()]], float)
        for m, t in zip(
            *(layer.reshape(20, 10, 30, 10).swapaxes(1, 2).reshape(-1, 10, 10) for layer in (mapped, truth)),
            strict=True,
        )
    ]
    squares, areas = np.array(squares), np.array([(~mapped).sum(), mapped.sum()], float)
    covered = naive = 0
    for _ in range(RUNS):
        sample = squares[random.integers(len(squares), size=80)]
        found = from_places(areas, sample, 1)
        covered += found.low <= truth.sum() <= found.high
        pixels = from_points(areas, sample.sum(axis=0), 1)  # as if each pixel had been chosen by itself
        naive += pixels.low <= truth.sum() <= pixels.high
    assert 0.93 <= covered / RUNS <= 0.97
    assert naive / RUNS < 0.6


def test_places_of_one_pixel_are_points():
    counts = np.array([[180, 20], [9, 91]])
    places = np.concatenate([np.repeat(np.eye(4)[[cell]], number, 0) for cell, number in enumerate(counts.ravel())])
    areas = np.array([700.0, 300.0])
    points, found = from_points(areas, counts, 1), from_places(areas, places.reshape(-1, 2, 2), 1)
    assert found.area == pytest.approx(points.area)
    assert found.standard_error == pytest.approx(points.standard_error, rel=0.005)
    assert from_places(areas, places[:1].reshape(-1, 2, 2), 1) is None
    assert from_places(areas, places[:150].reshape(-1, 2, 2), 1) is None  # none on what is mapped as water


def test_students_t():
    assert t_quantile(9) == pytest.approx(t.ppf(0.975, 9))
