"""The figures of an impact, of all and of each district, as JSON and as a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

KILOMETRE = 1000
LENGTHS = ("roads_length_km", "roads_km", "roads_not_observed_km", "roads_bridges_km")  # by class


@dataclass
class Figures:
    """Sums over one area.

    Attributes:
        roads: kilometres by name of the figure (LENGTHS) and class; empty: no roads were given.
        counts: other figures by name.
    """

    roads: dict[str, dict[str, float]] = field(default_factory=dict)
    counts: dict[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Returns them as JSON."""
        return {**self.roads, **self.counts}

    def row(self) -> dict[str, Any]:
        """Returns them as the row of a table: of classes the sum, then each."""
        found: dict[str, Any] = {}
        for name, lengths in self.roads.items():
            found[name] = round(sum(lengths.values()), 6)
        found |= self.counts
        for name, lengths in self.roads.items():
            found |= {f"{name}:{kind}": length for kind, length in lengths.items()}
        return found


def lengths_by_class(metres: Mapping[str, np.ndarray], classes: list[str]) -> dict[str, dict[str, float]]:
    """Returns kilometres by figure and class, of metres by figure, float64 [classes]; of classes that have roads.

    Args:
        metres: by the names of LENGTHS.
        classes: names.
    """
    present = np.flatnonzero(metres["roads_length_km"] > 0)
    order = present[np.argsort(-metres["roads_length_km"][present], kind="stable")]
    return {
        name: {classes[kind]: round(float(metres[name][kind]) / KILOMETRE, 6) for kind in order} for name in LENGTHS
    }
