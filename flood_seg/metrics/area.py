"""The area of a class from a map that has errors, and its 95 % interval, by the errors of a sample of the same map.

The estimator is the stratified one of Olofsson et al. 2014 (doi:10.1016/j.rse.2014.02.015, eq. 2): the classes of the
map are the strata, and the area of a class is the sum over the strata of their mapped area times the share of the
sample in them that truly is of the class. `flood_seg.metrics.image_rates` is for samples of other images.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

LEVEL = 0.95  # of the intervals
FEW_POINTS = 30  # of a stratum: below, one point more or less changes its share by more than 3 %


class Estimate(NamedTuple):
    """An area, its standard error and its 95 % interval, in the unit of the mapped areas."""

    area: float
    standard_error: float
    low: float
    high: float


def from_points(mapped: np.ndarray, counts: np.ndarray, truth: int) -> Estimate | None:
    """Estimates the area of a class from random points in each class of the map.

    The standard error is that of Olofsson et al. (eq. 10 and 11). The interval is not their 1.96 standard errors, which
    shrink to nothing where few or none of the points of a class are wrong, as of dry land usually, but has the same
    limit for large samples: Wilson's (1927) limits of each stratum's share, of which those of the sum follow by MOVER
    (Zou & Donner 2008, doi:10.1002/sim.3095).

    Args:
        mapped: area of each class of the map, float [classes].
        counts: points by class of the map and by true class, int [classes, classes].
        truth: the class.

    Returns:
        None: a class that is on the map has fewer than two points.
    """
    points = counts.sum(axis=1)
    on_map = mapped > 0
    if (points[on_map] < 2).any():
        return None
    areas, sizes = mapped[on_map], points[on_map]
    shares = counts[on_map, truth] / sizes
    low, high = wilson(shares, sizes)
    area = float(areas @ shares)
    error = _norm(areas * np.sqrt(shares * (1 - shares) / (sizes - 1)))
    return Estimate(area, error, area - _norm(areas * (shares - low)), area + _norm(areas * (high - shares)))


def from_places(mapped: np.ndarray, places: np.ndarray, truth: int) -> Estimate | None:
    """Estimates the area of a class from places, such as squares, in which the truth is known everywhere.

    What is right or wrong in one place is not independent: each is one cluster. The shares of the classes are ratios of
    sums over the places; their variance, by linearization (Särndal, Swensson & Wretman 1992, sections 5.6 and 5.7), is
    that between the places; the interval is by Student's t.

    Args:
        mapped: area of each class of the map, float [classes].
        places: area of each place by class of the map and by true class, float [places, classes, classes].
        truth: the class.

    Returns:
        None: there are fewer than two places, or none has a class that is on the map.
    """
    number, sampled = len(places), places.sum(axis=(0, 2))
    on_map = mapped > 0
    if number < 2 or not (sampled[on_map] > 0).all():
        return None
    factors = np.divide(mapped, sampled, out=np.zeros(len(mapped)), where=on_map)
    true = places[:, :, truth]
    shares = np.divide(true.sum(axis=0), sampled, out=np.zeros(len(mapped)), where=on_map)
    area = float(mapped @ shares)
    residuals = (true - shares * places.sum(axis=2)) @ factors
    error = float(np.sqrt(number / (number - 1)) * _norm(residuals))
    reach = t_quantile(number - 1) * error
    return Estimate(area, error, max(0.0, area - reach), min(float(mapped.sum()), area + reach))


def wilson(shares: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the lower and upper limits of Wilson's interval of a binomial share at `LEVEL`, each float [shares]."""
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    scale = 1 + z**2 / sizes
    middle = (shares + z**2 / (2 * sizes)) / scale
    reach = z / scale * np.sqrt(shares * (1 - shares) / sizes + z**2 / (4 * sizes**2))
    return np.maximum(middle - reach, 0), np.minimum(middle + reach, 1)


def t_quantile(freedom: int) -> float:
    """Returns how many standard errors a two-sided interval of `LEVEL` reaches, by Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + LEVEL) / 2))


def _norm(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).sum()))
