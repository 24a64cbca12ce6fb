"""Reliability, expected calibration error (ECE) and temperature scaling.

As Guo et al. 2017 (ICML, "On Calibration of Modern Neural Networks"). A binary task is calibrated on the probability
of the foreground, a multiclass task on that of the predicted class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.metrics.curve import CENTERS

if TYPE_CHECKING:
    from collections.abc import Callable

RELIABILITY_BINS = 15  # of equal width, as in the paper
TEMPERATURE_RANGE = (0.05, 20.0)


@dataclass(frozen=True)
class Reliability:
    """Pixels in bins of predicted probability.

    Attributes:
        confidence: mean predicted probability of each bin, in [0, 1]; NaN for empty bins.
        accuracy: share of correct pixels of each bin, in [0, 1]; NaN for empty bins.
        pixels: number of pixels in each bin.
        ece: expected calibration error: the mean of |confidence - accuracy|, weighted by pixels.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    pixels: np.ndarray
    ece: float


def reliability(probabilities: np.ndarray, correct: np.ndarray, pixels: np.ndarray) -> Reliability:
    """Bins predictions by probability.

    Args:
        probabilities: float [N] in [0, 1].
        correct: number of correct pixels of each probability, [N].
        pixels: number of pixels of each probability, [N].
    """
    bins = np.minimum((probabilities * RELIABILITY_BINS).astype(int), RELIABILITY_BINS - 1)
    weights = (pixels, correct, probabilities * pixels)
    total, hits, sums = (np.bincount(bins, weight, RELIABILITY_BINS) for weight in weights)
    with np.errstate(invalid="ignore"):
        confidence, accuracy = sums / total, hits / total
    gap = np.nan_to_num(np.abs(confidence - accuracy)) * total
    return Reliability(confidence, accuracy, total, float(gap.sum() / max(total.sum(), 1)))


def binary_reliability(counts: np.ndarray, temperature: float = 1.0) -> Reliability:
    """Returns the reliability of the foreground probability from histograms of logits, int64 [2, BINS]."""
    return reliability(1 / (1 + np.exp(-CENTERS / temperature)), counts[1], counts.sum(axis=0))


def class_reliability(logits: np.ndarray, target: np.ndarray, temperature: float = 1.0) -> Reliability:
    """Returns the reliability of the predicted class from pixels: logits float [N, classes], indices int [N]."""
    probabilities = np.exp(_log_softmax(logits / temperature))
    return reliability(probabilities.max(axis=1), probabilities.argmax(axis=1) == target, np.ones(len(target)))


def binary_temperature(counts: np.ndarray) -> float:
    """Returns the temperature with the lowest negative log-likelihood, from histograms of logits, int64 [2, BINS]."""

    def loss(temperature: float) -> float:
        scaled = CENTERS / temperature
        return float((np.logaddexp(0, scaled) * counts[0] + np.logaddexp(0, -scaled) * counts[1]).sum())

    return _minimize(loss)


def class_temperature(logits: np.ndarray, target: np.ndarray) -> float:
    """Returns the temperature with the lowest negative log-likelihood: logits float [N, classes], indices int [N]."""
    rows = np.arange(len(target))
    return _minimize(lambda temperature: float(-_log_softmax(logits / temperature)[rows, target].sum()))


def _minimize(loss: Callable[[float], float]) -> float:
    from scipy.optimize import minimize_scalar

    low, high = np.log(TEMPERATURE_RANGE)
    found = minimize_scalar(lambda logarithm: loss(float(np.exp(logarithm))), bounds=(low, high), method="bounded")
    return float(np.exp(found.x))


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
