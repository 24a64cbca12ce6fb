"""Whether a probability means what it says, and the temperature that mends it.

Reliability, expected calibration error and temperature scaling as Guo et al. 2017 (ICML, "On Calibration of Modern
Neural Networks"). Of a binary task the foreground's probability is looked at; of several classes that of the decided
class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.metrics.curve import CENTERS

if TYPE_CHECKING:
    from collections.abc import Callable

GROUPS = 15  # of equal width, as in the paper
BOUNDS = (0.05, 20.0)  # of a temperature


@dataclass(frozen=True)
class Reliability:
    """Groups of pixels by what the model says.

    Attributes:
        said: mean probability of each group, in [0, 1]; NaN where it is empty.
        true: the share that the class is right in.
        pixels: in each group.
        ece: expected calibration error: the mean of |said - true|, weighted by pixels.
    """

    said: np.ndarray
    true: np.ndarray
    pixels: np.ndarray
    ece: float


def reliability(probabilities: np.ndarray, right: np.ndarray, pixels: np.ndarray) -> Reliability:
    """Groups values of equal probability.

    Args:
        probabilities: float [N] in [0, 1].
        right: of the pixels of each value, how many are right, [N].
        pixels: of each value, [N].
    """
    group = np.minimum((probabilities * GROUPS).astype(int), GROUPS - 1)
    total, hits, sums = (np.bincount(group, weights, GROUPS) for weights in (pixels, right, probabilities * pixels))
    with np.errstate(invalid="ignore"):
        said, true = sums / total, hits / total
    gap = np.nan_to_num(np.abs(said - true)) * total
    return Reliability(said, true, total, float(gap.sum() / max(total.sum(), 1)))


def binary_reliability(counts: np.ndarray, temperature: float = 1.0) -> Reliability:
    """Returns the reliability of the foreground's probability from histograms of logits, int64 [2, BINS]."""
    return reliability(1 / (1 + np.exp(-CENTERS / temperature)), counts[1], counts.sum(axis=0))


def class_reliability(logits: np.ndarray, target: np.ndarray, temperature: float = 1.0) -> Reliability:
    """Returns the reliability of the decided class from pixels: logits float [N, classes], indices int [N]."""
    chances = np.exp(_log_softmax(logits / temperature))
    return reliability(chances.max(axis=1), chances.argmax(axis=1) == target, np.ones(len(target)))


def binary_temperature(counts: np.ndarray) -> float:
    """Returns the temperature with the least negative log-likelihood, from histograms of logits, int64 [2, BINS]."""

    def loss(temperature: float) -> float:
        scaled = CENTERS / temperature
        return float((np.logaddexp(0, scaled) * counts[0] + np.logaddexp(0, -scaled) * counts[1]).sum())

    return _least(loss)


def class_temperature(logits: np.ndarray, target: np.ndarray) -> float:
    """Returns the temperature with the least negative log-likelihood: logits float [N, classes], indices int [N]."""
    rows = np.arange(len(target))
    return _least(lambda temperature: float(-_log_softmax(logits / temperature)[rows, target].sum()))


def _least(loss: Callable[[float], float]) -> float:
    from scipy.optimize import minimize_scalar

    low, high = np.log(BOUNDS)
    found = minimize_scalar(lambda logarithm: loss(float(np.exp(logarithm))), bounds=(low, high), method="bounded")
    return float(np.exp(found.x))


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
