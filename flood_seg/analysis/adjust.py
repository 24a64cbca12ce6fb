"""Which errors of the map are known, and the areas that are adjusted for them, each with its interval."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from flood_seg.analysis.strata import NOT_OBSERVED, PERMANENT_WATER
from flood_seg.console import counted
from flood_seg.imaging.postprocess import same_masks
from flood_seg.metrics.area import FEW_POINTS, Estimate, from_places, from_points
from flood_seg.metrics.image_rates import FEWEST_IMAGES, RATES_KEY, ImageRates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.analysis.result import MapResult
    from flood_seg.analysis.sums import Sums
    from flood_seg.analysis.validation import Sample

FEW_OF_DISTRICT = 10  # points of a class: with fewer, those of all scenes say more of a district than its own
METHOD = "stratified estimation (Olofsson et al. 2014)"
_OF_PART = {
    "val": "The images are those of the validation part, by which the best epoch of the training may have been chosen: "
    "then the errors are a little smaller than on new images.",
    "all": "Nothing says that the images are not those of the training: on those, errors are smaller than on others.",
}


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


@dataclass
class ByImages:
    """By the errors of the model on the images of its evaluation."""

    rates: ImageRates
    water: int
    names: Sequence[str]
    part: str
    warnings: list[str] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        number = self.rates.images
        self.limits += [
            f"The interval is by the errors of the model on the {number} images of its evaluation. It covers how much "
            "these differ from each other, and assumes that this map is like one more of them, taken as a whole: the "
            "same kind of imagery, of a similar region and season, with as much water. It does not cover other "
            "imagery (another sensor, resolution, light, haze, season) or other regions; validation points of the "
            "scenes (--validation) do.",
            "The interval of each district is the one of a whole map with its share of water. Those of several "
            "districts are not independent and cannot be added; the total has its own.",
        ]
        if sentence := _OF_PART.get(self.part):
            self.limits.append(sentence)

    def flooded(self, mapped: np.ndarray, district: int | None) -> Adjusted:
        """See `Adjuster`."""
        return self.of_class(mapped, self.water, district)

    def of_class(self, mapped: np.ndarray, number: int, district: int | None) -> Adjusted:
        """See `Adjuster`."""
        if estimate := self.rates.predict(mapped, number):
            of = counted(self.rates.images, "image")
            return Adjusted(estimate, f"{METHOD} by the errors on {of} of the model's evaluation, this map as one more")
        misfit = self.rates.misfit(mapped)
        assert misfit is not None
        misfit = self.water if len(self.names) == 2 else misfit  # which says the same of the other class
        share, low, high = (
            f"{100 * value:.1f} %"
            for value in (mapped[misfit] / mapped.sum(), self.rates.lowest[misfit], self.rates.highest[misfit])
        )
        return Adjusted(
            None,
            f"none: {share} of it is mapped as {self.names[misfit]}, the {self.rates.images} images of the model's "
            f"evaluation had {low} to {high}; give validation points of the scenes by --validation",
        )


@dataclass
class NotAtAll:
    """Without known errors."""

    reason: str
    warnings: list[str] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.limits.append(f"There is no interval: {self.reason}.")

    def flooded(self, mapped: np.ndarray, district: int | None) -> Adjusted:
        """See `Adjuster`."""
        return Adjusted(None, f"none: {self.reason}")

    def of_class(self, mapped: np.ndarray, number: int, district: int | None) -> Adjusted:
        """See `Adjuster`."""
        return self.flooded(mapped, district)


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


def by_images(results: Sequence[MapResult]) -> Adjuster:
    """Returns what adjusts areas by the record of the model."""
    records = [result.spec.provenance.get(RATES_KEY) or {} for result in results]
    spec = results[0].spec
    rates = ImageRates.from_record(records[0], len(spec.class_names))
    advice = "flood-seg evaluate --save on labelled images writes them, --validation takes points of the scenes instead"
    if rates is None:
        return NotAtAll(f"the record of the model has no errors on single images; {advice}")
    if any(record != records[0] for record in records):
        return NotAtAll("the scenes are of models with different errors; give validation points by --validation")
    if rates.images < FEWEST_IMAGES:
        return NotAtAll(f"the model was evaluated on {rates.images} images, and {FEWEST_IMAGES} are needed; {advice}")
    cut = float(records[0]["threshold"]), float(records[0]["temperature"])
    for result in results:
        threshold = float(result.properties.get("flood_seg:threshold", spec.threshold))
        if spec.task == "binary" and not same_masks(cut, (threshold, result.spec.temperature)):
            return NotAtAll(
                f"the errors in the record of the model are of threshold {cut[0]:g}, the map {result.name} is of "
                f"{threshold:g}; {advice}"
            )
    return ByImages(rates, results[0].water, spec.class_names, str(records[0].get("part", "")))


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
