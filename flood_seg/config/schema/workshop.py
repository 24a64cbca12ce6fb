"""The configuration of the verbs of `flood-seg data`, besides that of training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from flood_seg.config.schema.checks import check_choices, check_range, check_workers, closed_choices
from flood_seg.config.schema.data import Part
from flood_seg.config.schema.training import TrainConfig
from flood_seg.errors import ConfigError


@dataclass
class CheckConfig:
    """Thresholds of `data check`."""

    duplicate_bits: int
    duplicate_correlation: float
    mask_agreement: float
    swap_warning: float
    swap_error: float
    misfit_warning: float
    misfit_share: float
    fix_swaps: Any
    lossy_share: float
    thumbnail: int
    listed: int

    def __post_init__(self) -> None:
        check_range("check.duplicate_bits", self.duplicate_bits, 0, 32)
        shares = ("duplicate_correlation", "mask_agreement", "lossy_share", "misfit_share")
        for name in (*shares, "swap_warning", "swap_error", "misfit_warning"):
            check_range(f"check.{name}", getattr(self, name), 0, 1)
        self.fix_swaps = _stems("check.fix_swaps", self.fix_swaps)
        check_range("check.thumbnail", self.thumbnail, 32, 2048)
        check_range("check.listed", self.listed, 1)


def _stems(key: str, value: Any) -> bool | list[str]:
    """Returns true, false or a list of stems; a number, which a yaml makes of 0014, is refused."""
    if value is None or isinstance(value, bool):
        return bool(value)
    stems = [value] if isinstance(value, str) else list(value) if isinstance(value, (list, tuple)) else [value]
    for stem in stems:
        if not isinstance(stem, str):
            raise ConfigError(f"{key}: {stem!r} is not text; a stem of digits is quoted in a yaml: ['0014', '0015']")
    return stems


@closed_choices
@dataclass
class OverlayConfig:
    """What `data overlay` draws."""

    count: int
    part: Part
    size: int
    opacity: float
    columns: int
    rows: int
    thumbnail: int

    def __post_init__(self) -> None:
        check_range("overlay.count", self.count, 0)
        check_choices("overlay", self)
        check_range("overlay.size", self.size, 32)
        check_range("overlay.opacity", self.opacity, 0, 1)
        for name in ("columns", "rows"):
            check_range(f"overlay.{name}", getattr(self, name), 1, 100)
        check_range("overlay.thumbnail", self.thumbnail, 32, 4096)


@closed_choices
@dataclass
class TileConfig:
    """How `data tile` cuts."""

    size: int
    overlap: int
    min_data: float
    empty: float
    edge: Literal["shift", "pad", "crop"]
    format: Literal["auto", "tif", "png"]
    compress: Literal["none", "lzw", "deflate", "zstd"]
    workers: int

    def __post_init__(self) -> None:
        check_range("tile.size", self.size, 16)
        check_range("tile.overlap", self.overlap, 0, self.size - 1)
        check_range("tile.min_data", self.min_data, 0, 1)
        check_range("tile.empty", self.empty, 0, 1)
        check_choices("tile", self)
        check_workers("tile.workers", self.workers)


@dataclass
class SplitConfig:
    """How `data split` divides."""

    val: float
    test: float
    folds: int
    stratify: bool
    groups: str
    block: float

    def __post_init__(self) -> None:
        check_range("split.val", self.val, 0, 0.95)
        check_range("split.test", self.test, 0, 0.95)
        check_range("split.val + split.test", self.val + self.test, 0, 0.95, open_low=True)
        if self.folds:
            check_range("split.folds", self.folds, 2)
        check_range("split.block", self.block, 0)


@closed_choices
@dataclass
class CocoConfig:
    """How masks are converted to polygons, and polygons to masks."""

    shape: Literal["auto", "polygon", "rle"]
    instances: Literal["component", "class"]
    tolerance: float
    min_area: int

    def __post_init__(self) -> None:
        check_choices("coco", self)
        check_range("coco.tolerance", self.tolerance, 0)
        check_range("coco.min_area", self.min_area, 1)


@dataclass(kw_only=True)
class DataToolsConfig(TrainConfig):
    """The whole of `flood-seg data ...`."""

    backend: dict[str, Any]
    check: CheckConfig
    overlay: OverlayConfig
    tile: TileConfig
    split: SplitConfig
    coco: CocoConfig
