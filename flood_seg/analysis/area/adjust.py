"""An area that is adjusted for the errors of the map, and what adjusts it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np

    from flood_seg.metrics.area import Estimate

METHOD = "stratified estimation (Olofsson et al. 2014)"


class Adjusted(NamedTuple):
    """An area adjusted for the errors of the map, or None; and how it was found, or why it was not."""

    estimate: Estimate | None
    method: str


class Adjuster(Protocol):
    """Adjusts areas.

    Attributes:
        warnings: of the sample.
        limits: sentences on what the intervals do not cover.
    """

    warnings: list[str]
    limits: list[str]

    def flooded(self, mapped: np.ndarray, district: int | None) -> Adjusted:
        """Returns the flooded area, by the areas of the classes of the map, float64 [classes]."""

    def of_class(self, mapped: np.ndarray, number: int, district: int | None) -> Adjusted:
        """Returns the true area of a class."""
