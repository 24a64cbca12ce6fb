"""The record of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flood_seg.evaluation.gallery import Gallery
    from flood_seg.evaluation.rows import Row
    from flood_seg.metrics.calibration import Reliability
    from flood_seg.metrics.curve import Curve
    from flood_seg.spec import ModelSpec


@dataclass(frozen=True)
class Evaluated:
    """All that is known of a model after an evaluation.

    Attributes:
        record: the figures as plain values, what `metrics.json` holds.
        rows: a photo's figures each.
        gallery: the best and the worst photos, with pictures.
        curve: every threshold's figures; None of several classes.
        reliability: as it is, and with the temperature that was found.
        spec: of the model.
    """

    record: dict[str, Any]
    rows: list[Row]
    gallery: Gallery
    curve: Curve | None
    reliability: tuple[Reliability, Reliability]
    spec: ModelSpec
