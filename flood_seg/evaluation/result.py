"""The result of an evaluation."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flood_seg.evaluation.measure import ImageResult
    from flood_seg.evaluation.rows import Row
    from flood_seg.metrics.calibration import Reliability
    from flood_seg.metrics.curve import Curve
    from flood_seg.metrics.image_rates import ImageRates
    from flood_seg.spec import ModelSpec


@dataclass
class Gallery:
    """The images with the highest and the lowest IoU of a stream; only theirs keep their thumbnails.

    Attributes:
        count: number of images in each list.
        best: in descending order of IoU.
        worst: in ascending order of IoU.
    """

    count: int
    best: list[ImageResult] = field(default_factory=list)
    worst: list[ImageResult] = field(default_factory=list)
    _ious: dict[str, float] = field(default_factory=dict)

    def add(self, result: ImageResult, iou: float) -> None:
        """Adds an image, and drops the thumbnails of those that are in neither list any more."""
        self._ious[result.stem] = iou
        insort(self.best, result, key=lambda kept: -self._ious[kept.stem])
        insort(self.worst, result, key=lambda kept: self._ious[kept.stem])
        removed = [*self.best[self.count :], *self.worst[self.count :]]
        del self.best[self.count :], self.worst[self.count :]
        shown = {id(kept) for kept in (*self.best, *self.worst)}
        for one in removed:
            if id(one) not in shown:
                one.thumbnails = None


@dataclass(frozen=True)
class EvaluationResult:
    """The result of evaluating a model on a data set.

    Attributes:
        record: the metrics as plain values, the content of `metrics.json`.
        rows: the metrics of each image.
        gallery: the images with the highest and the lowest IoU.
        curve: metrics at every threshold; None for more than two classes.
        reliability: at the spec's temperature, and at the best one.
        spec: of the model.
        rates: how the errors vary between the images; None: there are fewer than two.
    """

    record: dict[str, Any]
    rows: list[Row]
    gallery: Gallery
    curve: Curve | None
    reliability: tuple[Reliability, Reliability]
    spec: ModelSpec
    rates: ImageRates | None
