"""Subsets of a data set whose metrics are reported separately: groups, and slices by a property of the images."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Slice:
    """A subset of images, by their indices."""

    label: str
    indices: np.ndarray


def slices(values: Sequence[float], unit: str, digits: int, count: int = 4) -> list[Slice]:
    """Divides images into slices of about equal size, by quantiles of a property.

    Args:
        values: the property of each image.
        unit: suffix of the labels.
        digits: decimal places of the labels.
        count: number of slices; fewer where many images have the same value.
    """
    array = np.asarray(values, float)
    bounds = np.unique(np.quantile(array, np.linspace(0, 1, count + 1)))
    if len(bounds) < 2:
        return [Slice(f"{bounds[0]:.{digits}f}{unit}", np.arange(len(array)))]
    position = np.clip(np.searchsorted(bounds, array, side="right") - 1, 0, len(bounds) - 2)
    labels = [f"{low:.{digits}f}–{high:.{digits}f}{unit}" for low, high in pairwise(bounds)]
    return [Slice(label, np.flatnonzero(position == i)) for i, label in enumerate(labels) if (position == i).any()]


def group_slices(stems: Sequence[str], groups: dict[str, str]) -> list[Slice]:
    """Returns one slice per group, in descending order of size."""
    counts = Counter(groups[stem] for stem in stems)
    names = sorted(counts, key=lambda name: (-counts[name], name))
    return [Slice(name, np.array([i for i, stem in enumerate(stems) if groups[stem] == name])) for name in names]
