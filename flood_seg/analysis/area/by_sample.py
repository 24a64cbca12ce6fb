"""Areas that are adjusted by a sample of the scenes: points, or places, whose true class is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.analysis.area.adjust import METHOD, Adjusted
from flood_seg.analysis.area.strata import NOT_OBSERVED, PERMANENT_WATER
from flood_seg.console import counted
from flood_seg.metrics.area import FEW_POINTS, from_places, from_points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.analysis.area.adjust import Adjuster
    from flood_seg.analysis.area.sample import Sample
    from flood_seg.analysis.area.sums import Sums
    from flood_seg.analysis.result import MapResult

FEW_OF_DISTRICT = 10  # points of a class: with fewer, those of all scenes say more of a district than its own


@dataclass
class ByPoints:
    """By random points in each class of the map.

    Attributes:
        counts: points by class of the map and by true class, int64 [classes, classes].
        by_district: the same of each district, int64 [districts, classes, classes].
        water: the class that is water.
        names: of the classes.
    """

    counts: np.ndarray
    by_district: np.ndarray
    water: int
    names: Sequence[str]
    warnings: list[str] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        number = int(self.counts.sum())
        few = [f"{self.names[k]} ({n})" for k, n in enumerate(self.counts.sum(axis=1)) if 0 < n < FEW_POINTS]
        if few:
            self.warnings.append(
                f"fewer than {FEW_POINTS} validation points on what is mapped as {', '.join(few)}: a wide interval, "
                "in which a single point counts much; check more"
            )
        self.limits += [
            f"The interval holds for the scenes of these {number} validation points, if the points were chosen at "
            "random within each class of the map, regardless of what is to be seen there, and if their classes are "
            "right. It does not cover errors of the reference, and says nothing of other scenes.",
            f"Where a district has fewer than {FEW_OF_DISTRICT} points in a class of the map, those of all scenes "
            "stand in for them: its interval then assumes that this class is as right there as on average.",
        ]

    def flooded(self, mapped: np.ndarray, district: int | None) -> Adjusted:
        """See `Adjuster`."""
        own = None if district is None else _two_by_two(self.by_district[district], self.water)
        return self._adjust(_two(mapped, self.water), _two_by_two(self.counts, self.water), own, 1)

    def of_class(self, mapped: np.ndarray, number: int, district: int | None) -> Adjusted:
        """See `Adjuster`."""
        if missing := _never_true(mapped, self.counts.sum(axis=0), self.names):
            return Adjusted(None, missing)
        own = None if district is None else self.by_district[district]
        return self._adjust(mapped, self.counts, own, number)

    def _adjust(self, mapped: np.ndarray, counts: np.ndarray, own: np.ndarray | None, truth: int) -> Adjusted:
        where = "of the scenes"
        if own is not None:
            enough = own.sum(axis=1) >= FEW_OF_DISTRICT
            counts = np.where(enough[:, None], own, counts)
            kinds = {"the district": enough, "all scenes": ~enough}
            used = [kind for kind, strata in kinds.items() if strata[mapped > 0].any()]
            where = f"of {' and of '.join(used)}"
        estimate = from_points(mapped, counts, truth)
        if estimate is None:
            return Adjusted(None, "none: a class of the map has fewer than two validation points")
        number = int(counts[mapped > 0].sum())
        return Adjusted(estimate, f"{METHOD} by {counted(number, 'validation point')} {where}")


@dataclass
class ByPlaces:
    """By places in which the truth is known everywhere.

    Attributes:
        places: area of each by class of the map and by true class, float64 [places, classes, classes].
        water: the class that is water.
        names: of the classes.
    """

    places: np.ndarray
    water: int
    names: Sequence[str]
    warnings: list[str] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if len(self.places) < FEW_POINTS:
            self.warnings.append(
                f"only {counted(len(self.places), 'validation place')} lie on what was observed: the variance between "
                f"them is uncertain; check {FEW_POINTS} or more"
            )
        self.limits += [
            f"The interval holds for the scenes of these {len(self.places)} validation places, if they were placed at "
            "random and all of each was classified, flooded and dry. It does not cover errors of the reference, and "
            "says nothing of other scenes.",
            "Districts are adjusted by the places of all scenes; their intervals assume that the map is as right there "
            "as on average.",
        ]

    def flooded(self, mapped: np.ndarray, district: int | None) -> Adjusted:
        """See `Adjuster`."""
        return self._adjust(
            _two(mapped, self.water), np.array([_two_by_two(one, self.water) for one in self.places]), 1
        )

    def of_class(self, mapped: np.ndarray, number: int, district: int | None) -> Adjusted:
        """See `Adjuster`."""
        if missing := _never_true(mapped, self.places.sum(axis=(0, 1)), self.names):
            return Adjusted(None, missing)
        return self._adjust(mapped, self.places, number)

    def _adjust(self, mapped: np.ndarray, places: np.ndarray, truth: int) -> Adjusted:
        if len(places) and (estimate := from_places(mapped, places, truth)):
            return Adjusted(estimate, f"{METHOD} by {len(places)} validation places of the scenes")
        return Adjusted(None, "none: fewer than two validation places, or none on a class of the map")


def by_sample(sample: Sample, sums: Sums, results: Sequence[MapResult], inside: np.ndarray) -> Adjuster:
    """Returns what adjusts areas by a sample of the scenes.

    Args:
        sample: points or polygons.
        sums: with what the map shows at them.
        results: of the scenes.
        inside: whether each point lies in each district, bool [points, districts].
    """
    names, water = results[0].spec.class_names, results[0].water
    if not sample.is_points:
        return _by_places(sample, sums, names, water)
    classes = len(names)
    used = (sums.points >= 0) & (sums.points < classes)
    warnings = []
    for what, count in (
        ("lie outside of the scenes", np.count_nonzero(sums.points < 0)),
        ("lie on pixels without data", np.count_nonzero(sums.points == NOT_OBSERVED)),
        ("lie on permanent water, which is not of the map", np.count_nonzero(sums.points == PERMANENT_WATER)),
    ):
        if count:
            warnings.append(f"{count} of {len(used)} validation points {what} and are left out")
    counts = _count(sums.points[used], sample.truth[used], classes)
    by_district = [_count(sums.points[used & one], sample.truth[used & one], classes) for one in inside.T]
    return ByPoints(counts, np.array(by_district).reshape(-1, classes, classes), water, names, warnings)


def _by_places(sample: Sample, sums: Sums, names: Sequence[str], water: int) -> Adjuster:
    places = np.zeros((sample.units, len(names), len(names)))
    for areas, truth, place in zip(sums.shapes, sample.truth, sample.places, strict=True):
        places[place, :, truth] += areas.mapped
    seen = np.asarray(places.any(axis=(1, 2)))
    left_out = np.count_nonzero(~seen)
    warnings = (
        [f"{left_out} of {len(seen)} validation places show no observed land and are left out"] if left_out else []
    )
    return ByPlaces(places[seen], water, names, warnings)


def _count(mapped: np.ndarray, truth: np.ndarray, classes: int) -> np.ndarray:
    cells = mapped.astype(np.int64) * classes + truth
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def _two(mapped: np.ndarray, water: int) -> np.ndarray:
    """Returns the areas of all other classes together, and of water."""
    return np.array([np.delete(mapped, water).sum(), mapped[water]])


def _two_by_two(matrix: np.ndarray, water: int) -> np.ndarray:
    """Returns a matrix [mapped, truth] of water against all other classes."""
    both, rows, columns = matrix[water, water], matrix[water].sum(), matrix[:, water].sum()
    return np.array([[matrix.sum() - rows - columns + both, columns - both], [rows - both, both]])


def _never_true(mapped: np.ndarray, truths: np.ndarray, names: Sequence[str]) -> str | None:
    """Returns why single classes cannot be adjusted: the sample tells fewer apart than the map; None: they can."""
    missing = [names[number] for number in np.flatnonzero((mapped > 0) & (truths == 0)).tolist()]
    return f"none: nothing in the sample is truly {missing[0]}" if missing else None
