"""Areas that are adjusted by the errors of the model on the images of its evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flood_seg.analysis.area.adjust import METHOD, Adjusted
from flood_seg.console import counted
from flood_seg.imaging.postprocess import same_masks
from flood_seg.metrics.image_rates import FEWEST_IMAGES, RATES_KEY, ImageRates

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from flood_seg.analysis.area.adjust import Adjuster
    from flood_seg.analysis.result import MapResult

_OF_PART = {
    "val": "The images are those of the validation part, by which the best epoch of the training may have been chosen: "
    "then the errors are a little smaller than on new images.",
    "all": "Nothing says that the images are not those of the training: on those, errors are smaller than on others.",
}


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
    warnings = []
    if spec.ground_sample_distance is None:
        warnings.append(
            "the errors of the model are those on photos without georeference: on these scenes they may be quite "
            "different; check points of them (--validation)"
        )
    return ByImages(rates, results[0].water, spec.class_names, str(records[0].get("part", "")), warnings)
