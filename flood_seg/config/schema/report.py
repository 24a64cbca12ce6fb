"""The configuration of `report`."""

from __future__ import annotations

from dataclasses import dataclass

from flood_seg.config.schema.checks import check_choice, check_range
from flood_seg.errors import ConfigError

FORMATS = ("html", "pdf", "csv", "gpkg")


@dataclass
class ReportOptions:
    """What a situation report shows, and in which language and formats."""

    language: str
    formats: list[str]
    title: str | None
    timezone: str
    districts: int
    places: int
    water: str | None

    def __post_init__(self) -> None:
        for name in self.formats:
            check_choice("report.formats", name, FORMATS)
        if not self.formats:
            raise ConfigError(f"report.formats=[]: give at least one of {', '.join(FORMATS)}")
        check_range("report.districts", self.districts, 1, 100)
        check_range("report.places", self.places, 1, 100)


@dataclass
class ReportConfig:
    """The whole of `flood-seg report`."""

    report: ReportOptions
