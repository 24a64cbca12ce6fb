"""The configuration of `map`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from flood_seg.config.schema.checks import check_choice, check_choices, check_range, closed_choices
from flood_seg.config.schema.model_use import InferenceUse
from flood_seg.errors import ConfigError

ProbabilityType = Literal["uint8", "float16", "float32", "none"]
VECTORS = ("gpkg", "fgb", "geojson", "kml")
AUTO, NATIVE = "auto", "native"  # of map.scale
SCALES = (1 / 32, 32.0)  # a window of 384 pixels is then at most 12,288 pixels of the scene wide


@dataclass
class WindowOptions:
    """How a scene is cut into windows."""

    scale: str
    overlap: float
    block_size: int

    def __post_init__(self) -> None:
        check_range("map.overlap", self.overlap, 0, 0.5)
        check_range("map.block_size", self.block_size, 64, 16384)
        if self.scale not in (AUTO, NATIVE):
            try:
                factor = float(self.scale)
            except ValueError:
                raise ConfigError(f"map.scale={self.scale}: give auto, native or a number, for example 0.5") from None
            check_range("map.scale", factor, *SCALES)


@closed_choices
@dataclass
class MapOptions(WindowOptions):
    """How a scene is cut into windows, and what is written."""

    probability: ProbabilityType
    vectors: list[str]
    min_area: float
    min_hole: float
    simplify: float
    smooth: float
    page: bool
    assets: list[str]
    work_dir: str
    share_blocks: bool
    progress_file: str | None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices("map", self)
        for name in self.vectors:
            check_choice("map.vectors", name, VECTORS)
        for key in ("min_area", "min_hole"):
            check_range(f"map.{key}", getattr(self, key), 0)
        check_range("map.simplify", self.simplify, 0, 100)
        check_range("map.smooth", self.smooth, 0, 10)


@dataclass
class ChangeOptions:
    """When a comparison with an earlier map warns."""

    max_shift: float
    max_season_days: float

    def __post_init__(self) -> None:
        check_range("change.max_shift", self.max_shift, 0)
        check_range("change.max_season_days", self.max_season_days, 0, 183)


@dataclass
class PermanentOptions:
    """What of a raster is permanent water."""

    threshold: float

    def __post_init__(self) -> None:
        check_range("permanent.threshold", self.threshold, 0, open_low=True)


@dataclass
class CloudOptions:
    """What of a raster is a cloud."""

    band: str
    values: list[int]
    bits: list[int]

    def __post_init__(self) -> None:
        for bit in self.bits:
            check_range("cloud.bits", bit, 0, 31)


@dataclass
class MapConfig(InferenceUse):
    """The whole of `flood-seg map`."""

    executor: dict[str, Any]
    map: MapOptions
    change: ChangeOptions
    permanent: PermanentOptions
    cloud: CloudOptions
    water: str | None
