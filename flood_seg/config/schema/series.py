"""The configuration of `flood-series`."""

from __future__ import annotations

from dataclasses import dataclass

from flood_seg.config.schema.checks import check_range


@dataclass
class SeriesOptions:
    """The common pixels, and which class is water."""

    resolution: float | None
    water: str | None

    def __post_init__(self) -> None:
        check_range("series.resolution", 1 if self.resolution is None else self.resolution, 0, open_low=True)


@dataclass
class SeriesConfig:
    """The whole of `flood-seg flood-series`."""

    series: SeriesOptions
