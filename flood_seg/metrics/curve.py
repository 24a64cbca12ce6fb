"""Metrics of a binary model at every threshold, from histograms of logits, and the best threshold for a goal.

Two histograms, of the logits of foreground and of background pixels, are enough for the threshold curve, the
reliability and the temperature. Counting takes about 1 ms per megapixel.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import cv2
import numpy as np

from flood_seg.classes import IGNORED
from flood_seg.errors import UsageError

BINS = 2048
LIMIT = 16.0  # logits beyond ±16 (probabilities within 1.1e-7 of 0 or 1) fall into the outer bins
CENTERS = (np.arange(BINS) + 0.5) * (2 * LIMIT / BINS) - LIMIT
GOALS = "f1, iou, recall>=R, precision>=P (R and P in [0, 1])"


def count_logits(logits: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Counts the logits of the background and foreground pixels of an image, in `BINS` bins from -16 to 16.

    Args:
        logits: float32 [H, W].
        target: class indices, uint8 [H, W]; `IGNORED` pixels are skipped.

    Returns:
        int64 [2, BINS], background first.
    """
    # Minus half a bin, since OpenCV rounds and a histogram's bins start at integers.
    scaled = cv2.addWeighted(logits, 65536 / (2 * LIMIT), logits, 0, 32768 - 0.5, dtype=cv2.CV_16U)
    counts = [_histogram(scaled, target == 1)]
    if (target == IGNORED).any():
        counts.insert(0, _histogram(scaled, target == 0))
    else:
        counts.insert(0, _histogram(scaled, None) - counts[0])
    return np.stack(counts)


def _histogram(values: np.ndarray, where: np.ndarray | None) -> np.ndarray:
    mask = None if where is None else where.view(np.uint8)
    return np.asarray(cv2.calcHist([values], [0], mask, [BINS], [0, 65536]), np.float64).ravel().astype(np.int64)


@dataclass(frozen=True)
class Curve:
    """Scores in [0, 1] at each threshold, float64 [thresholds] each; thresholds are ascending probabilities."""

    thresholds: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    iou: np.ndarray
    f1: np.ndarray

    @property
    def average_precision(self) -> float:
        """The area below the precision-recall curve, computed as scikit-learn's `average_precision_score`."""
        recall = np.append(self.recall, 0.0)
        return float(((recall[:-1] - recall[1:]) * self.precision).sum())


def sweep(counts: np.ndarray, temperature: float = 1.0) -> Curve:
    """Returns the metrics at every threshold.

    Args:
        counts: int64 [2, BINS], the sum of results of `count_logits`.
        temperature: logits are divided by it before the sigmoid.
    """
    # Background and foreground pixels at or above the lower edge of each bin.
    alarms, hits = (np.cumsum(row[::-1])[::-1].astype(float) for row in counts)
    positives = max(hits[0], 0.0)
    wrong = alarms + (positives - hits)
    edges = CENTERS - LIMIT / BINS
    return Curve(
        thresholds=1 / (1 + np.exp(-edges / temperature)),
        precision=_ratio(hits, hits + alarms),
        recall=_ratio(hits, np.full_like(hits, positives)),
        iou=_ratio(hits, hits + wrong),
        f1=_ratio(2 * hits, 2 * hits + wrong),
    )


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.maximum(whole, 1), 1.0)


def check_goal(goal: str) -> tuple[str, str | None, float]:
    """Parses the goal of a threshold.

    Returns:
        the score to maximize; the score that has a lower bound, None: neither has; and the bound.

    Raises:
        UsageError: an invalid goal.
    """
    if goal in ("f1", "iou"):
        return goal, None, 0.0
    found = re.fullmatch(r"(recall|precision)\s*>=\s*(0?\.\d+|0|1|1\.0+)", goal.strip())
    if not found:
        raise UsageError(f"--goal {goal}: give one of {GOALS}; quote it, since > is special in a shell")
    return "precision" if found[1] == "recall" else "recall", found[1], float(found[2])


def best_threshold(curve: Curve, goal: str) -> float | None:
    """Returns the best threshold for a goal; None where no threshold reaches it.

    Among equally good ones it is the median. Thresholds of 0 and 1 and those with a recall of 0 are excluded.
    """
    score, bounded, bound = check_goal(goal)
    value: np.ndarray = getattr(curve, score)
    inside = (curve.recall > 0) & (curve.thresholds > 1e-6) & (curve.thresholds < 1 - 1e-6)
    if bounded:
        inside &= getattr(curve, bounded) >= bound
    if not inside.any():
        return None
    best = np.flatnonzero(inside & (value >= value[inside].max() - 1e-12))
    return float(curve.thresholds[best[len(best) // 2]])
