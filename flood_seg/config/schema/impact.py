"""The configuration of `impact`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from flood_seg.config.schema.checks import check_choices, check_range, closed_choices
from flood_seg.errors import ConfigError

PopulationUnit = Literal["count", "per_km2"]


@dataclass
class WhereOptions:
    """Conditions on the attributes of layers."""

    roads: str | None
    buildings: str | None
    places: str | None
    depots: str | None
    districts: str | None


@closed_choices
@dataclass
class ImpactOptions:
    """What the attributes of layers mean, and when a road is cut."""

    where: WhereOptions
    name_field: str
    class_fields: list[str]
    ignore: list[str]
    no_vehicles: list[str]
    widths: dict[str, float]
    cut_length: float | None
    join_distance: float
    snap_distance: float
    population_unit: PopulationUnit

    def __post_init__(self) -> None:
        check_choices("impact", self)
        check_range("impact.cut_length", self.cut_length or 0, 0, 10_000)
        check_range("impact.join_distance", self.join_distance, 0, 100)
        check_range("impact.snap_distance", self.snap_distance, 0, 100_000)
        for name, width in self.widths.items():
            check_range(f"impact.widths.{name}", width, 0, 1000, open_low=True)
        if "road" not in self.widths:
            raise ConfigError("impact.widths: has no road, the width of classes that it does not name")


@dataclass
class ImpactConfig:
    """The whole of `flood-seg impact`."""

    impact: ImpactOptions
