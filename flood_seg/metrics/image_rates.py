"""How the errors of a model vary between the images of its evaluation, and what follows for the areas on another map.

The true share of a class on an image is predicted from the mapped shares of the classes, w_k, as sum_k w_k p_k, where
p_k is the share of what is mapped as k, over all images, that truly is of the class: the estimator of Olofsson et al.
2014 with the rates of other images. Pixels of an image are not independent: an image counts as one unit, whatever its
number of pixels, and its residual in stratum k is e_k = c_k - w_k p_k, where c_k is its share of pixels that are mapped
as k and truly of the class.

What is asked for is the area on one more image, whose own rates differ from the average. The interval is thus one of
prediction; that of the average rates covers a third of single images where the other covers 95 % (docs/flood.md). Its
half-width is q s, where s is the standard deviation of the residuals, brought to the composition of the map by the
linearization of a ratio, sum_k (w_k / mean w_k) e_k; and q is the 95 % quantile of |error| / s over the images, each
predicted from all others. That is conformal prediction with the jackknife and local scales (Lei et al. 2018,
doi:10.1080/01621459.2017.1307116, section 5.2; Barber et al. 2021, doi:10.1214/20-AOS1965): it assumes that the map is
exchangeable with the images, and nothing of the distribution of the errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from flood_seg.metrics.area import LEVEL, Estimate

RATES_KEY = "image_rates"  # of a record in the provenance of a ModelSpec
FEWEST_IMAGES = 19  # of fewer, no error is exceeded by 5 % of the images
_DIGITS = 8  # significant, of the numbers in a record
_UNBOUNDED = 1e6  # standard deviations, of an error where the other images have none: as good as infinite


@dataclass(frozen=True)
class ImageRates:
    """The rates of a model on images, and how they vary.

    Attributes:
        images: their number.
        shares: mean share of the pixels by class of the map and true class, float [classes, classes].
        deviations: covariance between images of the residuals in the classes of the map, by true class, float [classes
            of the truth, classes of the map, classes of the map].
        factors: half-width of the interval in standard deviations, by true class, float [classes]; NaN: unknown.
        lowest: smallest share of each class of the map, float [classes].
        highest: largest share of each class of the map, float [classes].
    """

    images: int
    shares: np.ndarray
    deviations: np.ndarray
    factors: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray

    @classmethod
    def of(cls, matrices: np.ndarray) -> ImageRates | None:
        """Measures the rates on images.

        Args:
            matrices: confusion matrices, int [images, classes of the truth, classes of the map]; images without counted
                pixels are left out.

        Returns:
            None: there are fewer than two images.
        """
        sizes = matrices.sum(axis=(1, 2))
        kept = matrices[sizes > 0].astype(np.float64)
        if len(kept) < 2:
            return None
        each = (kept / kept.sum(axis=(1, 2), keepdims=True)).transpose(0, 2, 1)  # [images, map, truth]
        mapped = each.sum(axis=2)
        shares, deviations = _moments(each)
        return cls(len(kept), shares, deviations, _factors(each), mapped.min(axis=0), mapped.max(axis=0))

    def predict(self, mapped: np.ndarray, truth: int) -> Estimate | None:
        """Predicts the area of a class on another map.

        Args:
            mapped: area of each class of the map, float [classes]; their sum is above 0.
            truth: the class.

        Returns:
            None: there are fewer than `FEWEST_IMAGES` images, or they had another share of a class; see `misfit`.
        """
        if self.images < FEWEST_IMAGES or self.misfit(mapped) is not None:
            return None
        total = float(mapped.sum())
        area, deviation = _predict(self.shares, self.deviations, mapped / total, self.images)
        reach = float(self.factors[truth] * deviation[truth]) * total
        found = float(area[truth]) * total
        return Estimate(found, float(deviation[truth]) * total, max(0.0, found - reach), min(total, found + reach))

    def misfit(self, mapped: np.ndarray) -> int | None:
        """Returns a class of which a map, areas float [classes], has less or more than all images; None: none."""
        shares = mapped / mapped.sum()
        outside = np.maximum(self.lowest - shares, shares - self.highest)
        worst = int(np.argmax(outside))
        return worst if outside[worst] > 1e-6 else None  # more than rounding

    def to_record(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        arrays = {name: getattr(self, name) for name in ("shares", "deviations", "factors", "lowest", "highest")}
        return {"images": self.images} | {name: _rounded(values) for name, values in arrays.items()}

    @classmethod
    def from_record(cls, record: Any, classes: int) -> ImageRates | None:
        """Reads what `to_record` returned for a model of so many classes; None: that is nothing of the kind."""
        shapes = {"shares": 2, "deviations": 3, "factors": 1, "lowest": 1, "highest": 1}
        try:
            arrays = {name: np.array(record[name], np.float64) for name in shapes}
            if any(arrays[name].shape != (classes,) * rank for name, rank in shapes.items()):
                return None
            return cls(int(record["images"]), **arrays)
        except (KeyError, TypeError, ValueError):
            return None


def _moments(each: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns `shares` and `deviations` of images, float [images, map, truth]."""
    shares = each.mean(axis=0)
    residuals = each - _rates(shares) * each.sum(axis=2, keepdims=True)
    return shares, np.einsum("ikt,ilt->tkl", residuals, residuals) / (len(each) - 1)


def _rates(shares: np.ndarray) -> np.ndarray:
    """Returns the share of each class of the map that truly is of each class, float [map, truth]."""
    mapped = shares.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(shares, mapped, out=np.zeros_like(shares), where=mapped > 0))


def _predict(
    shares: np.ndarray, deviations: np.ndarray, mapped: np.ndarray, images: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the share of each true class on another map, of which the shares are known, and its standard deviation.

    The latter has two parts: of one more image, and, that divided by the number of images, of the average rates.
    """
    average = shares.sum(axis=1)
    scale = np.divide(mapped, average, out=np.zeros_like(average), where=average > 0)
    variance = np.einsum("k,l,tkl->t", scale, scale, deviations) * (1 + 1 / images)
    return mapped @ _rates(shares), np.sqrt(np.maximum(variance, 0))


def _factors(each: np.ndarray) -> np.ndarray:
    """Returns `factors`: quantiles of the errors of images, each predicted from all others, in standard deviations."""
    number, _, classes = each.shape
    if number < FEWEST_IMAGES:
        return np.full(classes, np.nan)
    mapped = each.sum(axis=2)
    shares = (each.sum(axis=0) - each) / (number - 1)  # of the others, and so are the following
    average = shares.sum(axis=2)
    rates = np.divide(shares, average[:, :, None], out=np.zeros_like(each), where=average[:, :, None] > 0)
    scale = np.divide(mapped, average, out=np.zeros_like(mapped), where=average > 0)
    residuals = each - _rates(each.mean(axis=0)) * mapped[:, :, None]
    products = np.einsum("ikt,ilt->tkl", residuals, residuals)
    squares = np.einsum("ik,il,tkl->it", scale, scale, products) - np.einsum("ik,ikt->it", scale, residuals) ** 2
    deviation = np.sqrt(np.maximum(squares, 0) / (number - 2) * (1 + 1 / (number - 1)))
    error = np.abs(each.sum(axis=1) - np.einsum("ik,ikt->it", mapped, rates))
    scores = np.divide(error, deviation, out=np.where(error > 0, _UNBOUNDED, 0.0), where=deviation > 0)
    # At this position a new score is below with probability LEVEL, whatever its distribution.
    return np.asarray(np.quantile(scores, LEVEL, axis=0, method="weibull"))


def _rounded(values: np.ndarray) -> Any:
    if values.ndim:
        return [_rounded(one) for one in values]
    return float(f"{values:.{_DIGITS}g}") if np.isfinite(values) else None
