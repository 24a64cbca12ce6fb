"""Whether an image's values can be on the scale that a model was trained on.

A float image in [0, 1] given to a model of 8-bit photos is black to it, and the mask is dry: that is refused. Values
that are possible but unusual are measured, so that a person can be warned. On 250 real flood photos the measure of the
bundled model has a median of 0.45 and a maximum of 1.7 standard deviations.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from flood_seg.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flood_seg.spec import ModelSpec

# Of the training values' magnitude; values of 0 to 2 in 8 bits lie below it.
TOO_SMALL = 3 / 255
# Standard deviations between the means of an image and of the training data, in every band.
TOO_FAR = 8.0
# Scales that are the largest value of a number type: nothing can lie above them.
DEPTHS = (255.0, 65535.0)
# Scales that are proposed for values up to so much; reflectance may exceed its scale in clouds and on snow.
_USUAL = ((1.5, 1.0), (255.0, 255.0), (16000.0, 10000.0), (65535.0, 65535.0))


def measure_shift(
    tensor: np.ndarray, spec: ModelSpec, dtype: np.dtype | None = None, valid: np.ndarray | None = None,
    missing: Mapping[str, float] | None = None,
) -> float:  # fmt: skip
    """Measures how far an image's band means lie from the training data's.

    Args:
        tensor: what `preprocess` returned, float32 [bands, height, width].
        spec: that it was normalised by.
        dtype: of the raw image, where it is known.
        valid: bool [height, width], False where the image has no data; None: there is data everywhere.
        missing: the share of the pixels that a band is missing in, by its name; None: no band is.

    Returns:
        the largest distance over the bands, in standard deviations of the training data, at least 0.

    Raises:
        ImageError: no pixel has data, or the values cannot be on the model's scale; the text does not name the file.
    """
    statistics = replace(BandStatistics.of(tensor, valid), missing=missing_shares(spec, missing or {}))
    return check_statistics(statistics, spec, dtype)


def missing_shares(spec: ModelSpec, missing: Mapping[str, float]) -> np.ndarray:
    """Returns the share of the pixels that each band of a model is missing in, float64 [bands]."""
    return np.array([missing.get(name, 0.0) for name in spec.bands])


def missing_by_name(statistics: BandStatistics, spec: ModelSpec) -> dict[str, float]:
    """Returns the share of the pixels, in (0, 1], that each band is missing in, of those that are; see `Raster`."""
    shares = () if statistics.missing is None else zip(spec.bands, statistics.missing, strict=True)
    return {name: float(share) for name, share in shares if share}


@dataclass(frozen=True)
class BandStatistics:
    """What is measured of normalised values, of an image or of many.

    Attributes:
        pixels: how many have data.
        mean: of each band, float64 [bands].
        low: the minimum of each band.
        high: the maximum of each band.
        missing: the share of the pixels in which each band is missing and filled, in [0, 1]; None: no band is.
    """

    pixels: int
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    missing: np.ndarray | None = None

    @classmethod
    def of(cls, tensor: np.ndarray, valid: np.ndarray | None = None) -> BandStatistics:
        """Measures a network's input, float32 [bands, height, width], where `valid` is True; None: everywhere.

        Raises:
            ImageError: no pixel has data.
        """
        if valid is None:  # OpenCV's passes are several times as fast as NumPy's on 2-D arrays
            limits = np.array([cv2.minMaxLoc(band)[:2] for band in tensor])
            means = np.array([cv2.mean(band)[0] for band in tensor])
            return cls(tensor[0].size, means, limits[:, 0], limits[:, 1])
        if not valid.any():
            raise ImageError("no pixel has data")
        values = tensor[:, valid]
        return cls(values.shape[1], values.mean(axis=1, dtype=np.float64), values.min(axis=1), values.max(axis=1))

    @classmethod
    def merged(cls, parts: Sequence[BandStatistics]) -> BandStatistics:
        """Returns the statistics of several images together."""
        pixels = [part.pixels for part in parts]
        mean = np.average([part.mean for part in parts], axis=0, weights=pixels)
        low, high = np.min([part.low for part in parts], axis=0), np.max([part.high for part in parts], axis=0)
        shares = [np.zeros(len(mean)) if part.missing is None else part.missing for part in parts]
        return cls(sum(pixels), mean, low, high, np.average(shares, axis=0, weights=pixels))


def check_statistics(statistics: BandStatistics, spec: ModelSpec, dtype: np.dtype | None = None) -> float:
    """Returns the shift of what was measured; arguments and exceptions as of `measure_shift`."""
    there = slice(None) if statistics.missing is None else statistics.missing < 1
    mean, std = np.array(spec.mean)[there], np.array(spec.std)[there]
    scale, found = spec.value_scale, statistics.mean[there]
    low = (statistics.low[there] * std + mean).min()  # raw values over the scale
    high = (statistics.high[there] * std + mean).max()
    expected = float((np.abs(mean) + std).max())
    wrong = (
        max(abs(low), abs(high)) < TOO_SMALL * expected
        or (scale in DEPTHS and high > 1 + 1e-4)
        or bool((np.abs(found) > TOO_FAR).all())
        or (dtype is not None and dtype.kind in "ui" and bool((mean * scale > np.iinfo(dtype).max).all()))
    )
    if wrong:
        raise ImageError(_explain(low * scale, high * scale, spec))
    return float(np.abs(found).max())


def unusual_values(shift: float, limit: float) -> str:
    """Returns the warning of an image whose `measure_shift` is above `limit`."""
    return (
        f"unusual values: band means {shift:.1f} standard deviations from the training data's "
        f"(max_input_shift={limit:g}); check its mask"
    )


def _explain(low: float, high: float, spec: ModelSpec) -> str:
    low, high = (0.0 if abs(value) < 1e-6 * spec.value_scale else value for value in (low, high))  # rounding errors
    if high - low < 1e-6 * spec.value_scale:
        return f"the image is blank: all values are {high:.4g}"
    mean = ", ".join(f"{value * spec.value_scale:.4g}" for value in spec.mean[:4])
    more = ", ..." if len(spec.mean) > 4 else ""
    scale = f"value_scale={spec.value_scale:g}"
    text = f"values from {low:.4g} to {high:.4g} do not fit {scale} with band means {mean}{more}"
    proposed = next((scale for top, scale in _USUAL if high <= top), spec.value_scale)
    if proposed == spec.value_scale or high <= 0:
        return f"{text}; convert the image"
    return f"{text}; convert the image, or set value_scale={proposed:g} if that is its scale"
