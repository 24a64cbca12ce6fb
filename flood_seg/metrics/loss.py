"""Cross-entropy of a model's probabilities, the loss that is comparable between models."""

from __future__ import annotations

import numpy as np

from flood_seg.classes import IGNORED


def cross_entropy(logits: np.ndarray, target: np.ndarray, temperature: float = 1.0) -> float:
    """Returns the mean cross-entropy per pixel in nats, binary for one channel, else of the softmax.

    Args:
        logits: float32 [channels, H, W].
        target: class indices, uint8 [H, W]; `IGNORED` pixels do not count.
        temperature: that logits are divided by.

    Returns:
        0.0 where no pixel counts.
    """
    counted = target != IGNORED
    if not counted.any():
        return 0.0
    scores, true = logits[:, counted] / np.float32(temperature), target[counted]
    if len(scores) == 1:  # log(1 + exp(z)) - z * y, without overflow
        score = scores[0]
        losses = np.maximum(score, 0) - score * (true == 1) + np.log1p(np.exp(-np.abs(score)))
    else:
        peak = scores.max(axis=0)
        losses = peak + np.log(np.exp(scores - peak).sum(axis=0)) - np.take_along_axis(scores, true[None], axis=0)[0]
    return float(losses.mean(dtype=np.float64))
