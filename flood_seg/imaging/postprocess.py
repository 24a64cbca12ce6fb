"""From the network's logits to a mask; the one place where that is done.

Logits are resized to the image's own size first; sigmoid or softmax and the decision come after. Deciding first and
enlarging the mask would give staircase edges.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from flood_seg.errors import LogitsError

if TYPE_CHECKING:
    from collections.abc import Sequence

STEPS = 65535  # that probabilities are counted in as integers


def check_logits(logits: np.ndarray, where: str = "") -> np.ndarray:
    """Returns `logits`, float32 of any shape, where all are finite.

    Comparing NaN with a threshold is False: without this check the mask of a broken model is background.

    Args:
        logits: of one image or several.
        where: the model's or the image's name, which the error starts with.

    Raises:
        LogitsError: some are NaN or infinite.
    """
    if np.isfinite(logits).all():
        return logits
    share = 1 - np.count_nonzero(np.isfinite(logits)) / logits.size
    prefix = f"{where}: " if where else ""
    raise LogitsError(
        f"{prefix}the model returns NaN or infinity for {share:.1%} of the logits, no mask is made; its weights are "
        "damaged or its arithmetic overflows; use another checkpoint, or run it in float32"
    )


def resize_logits(logits: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes `logits`, float32 [channels, h, w], bilinearly to [channels, height, width]."""
    if logits.shape[1:] == (height, width):
        return logits
    resized = [cv2.resize(c, (width, height), interpolation=cv2.INTER_LINEAR) for c in logits]
    return resized[0][None] if len(resized) == 1 else np.stack(resized)  # one needs no copy


def to_probabilities(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Turns logits into probabilities in [0, 1].

    Args:
        logits: float32 [channels, H, W]; one channel means binary.
        temperature: logits are divided by it first; see `ModelSpec`.

    Returns:
        float32 [H, W, channels]: the foreground's probability (sigmoid), or each class's (softmax).
    """
    if temperature != 1:
        logits = logits / np.float32(temperature)
    if len(logits) == 1:
        # exp(min(x, 0)) / (1 + exp(-|x|)) cannot overflow; a choice for each pixel would take four times as long.
        numerator, denominator = np.minimum(logits[0], 0), -np.abs(logits[0])
        np.exp(numerator, out=numerator)
        np.exp(denominator, out=denominator)
        denominator += 1
        numerator /= denominator
        return np.asarray(numerator)[:, :, None]
    shifted = np.exp(logits - logits.max(axis=0))
    return np.ascontiguousarray(np.moveaxis(shifted / shifted.sum(axis=0), 0, 2))


def to_classes(logits: np.ndarray, threshold: float, temperature: float = 1.0) -> np.ndarray:
    """Decides each pixel's class.

    Args:
        logits: float32 [channels, H, W]; one channel means binary.
        threshold: a pixel is foreground where its probability is above this, in [0, 1] (binary only).
        temperature: of the probabilities.

    Returns:
        uint8 [H, W] class indices.
    """
    if len(logits) > 1:
        return np.asarray(logits.argmax(axis=0), np.uint8)
    # The sigmoid is monotonic, so logits are compared with the threshold's logit.
    return np.asarray(logits[0] > temperature * logit(threshold), np.uint8)


def to_labels(classes: np.ndarray, values: Sequence[int]) -> np.ndarray:
    """Replaces class indices, uint8 [H, W], by each class's value; uint8, or a wider type that holds them."""
    low, high = min(values), max(values)
    limits = [np.iinfo(kind) for kind in (np.uint8, np.uint16, np.int16, np.int32)]
    table = np.zeros(256, next(one.dtype for one in limits if one.min <= low and high <= one.max))
    table[: len(values)] = values
    return np.asarray(cv2.LUT(classes, table))


def to_16_bits(probabilities: np.ndarray) -> np.ndarray:
    """Returns probabilities, float32 in [0, 1], as integers from 0 to `STEPS`, uint16 of their shape."""
    return np.rint(probabilities * np.float32(STEPS)).astype(np.uint16)


def to_logits(probabilities: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Inverts `to_probabilities`; probabilities within 2⁻¹⁷ of 0 or 1, half a step of 16 bits, count as that far.

    Args:
        probabilities: float32 [channels, H, W] in [0, 1]; one channel means binary.
        temperature: of the probabilities.

    Returns:
        float32 [channels, H, W]; of several classes, the logarithms of the probabilities times the temperature.
    """
    inside = np.clip(probabilities, 2.0**-17, 1 - 2.0**-17)
    logits = np.log(inside) - np.log1p(-inside) if len(inside) == 1 else np.log(inside)
    return np.asarray(logits * np.float32(temperature), np.float32)


def logit(probability: float) -> float:
    """Returns the logit of a probability; -inf at 0 and inf at 1."""
    if probability <= 0:
        return -math.inf
    return math.inf if probability >= 1 else math.log(probability / (1 - probability))


def same_masks(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two pairs of threshold and temperature make the same masks of the same logits."""
    (cut, temperature), (other_cut, other_temperature) = one, other
    if not (0 < cut < 1 and 0 < other_cut < 1):
        return cut == other_cut
    return math.isclose(logit(cut) * temperature, logit(other_cut) * other_temperature, rel_tol=1e-6, abs_tol=1e-6)
