"""Sets of photos whose figures are told apart: groups, and slices by size, share of foreground, light or sharpness."""

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
    """Photos with a figure between two bounds: their places in a list."""

    label: str
    places: np.ndarray


def slices(values: Sequence[float], unit: str, digits: int, count: int = 4) -> list[Slice]:
    """Cuts photos into `count` slices of about equal number by a figure of theirs.

    Args:
        values: a figure a photo.
        unit: what stands behind the bounds.
        digits: behind their point.
        count: fewer where many photos have the same figure.
    """
    array = np.asarray(values, float)
    bounds = np.unique(np.quantile(array, np.linspace(0, 1, count + 1)))
    if len(bounds) < 2:
        return [Slice(f"{bounds[0]:.{digits}f}{unit}", np.arange(len(array)))]
    place = np.clip(np.searchsorted(bounds, array, side="right") - 1, 0, len(bounds) - 2)
    labels = [f"{low:.{digits}f}–{high:.{digits}f}{unit}" for low, high in pairwise(bounds)]
    return [Slice(label, np.flatnonzero(place == i)) for i, label in enumerate(labels) if (place == i).any()]


def places_by_group(stems: Sequence[str], groups: dict[str, str]) -> list[Slice]:
    """Returns the groups, the largest first."""
    counts = Counter(groups[stem] for stem in stems)
    names = sorted(counts, key=lambda name: (-counts[name], name))
    return [Slice(name, np.array([i for i, stem in enumerate(stems) if groups[stem] == name])) for name in names]
