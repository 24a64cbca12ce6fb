"""What the verbs of `flood-seg data` may be told, beside all that training takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flood_seg.config.schema.checks import check_choice, check_range, check_workers
from flood_seg.config.schema.training import TrainConfig
from flood_seg.errors import ConfigError


@dataclass
class CheckConfig:
    """What `data check` calls wrong."""

    duplicate_bits: int = 10
    duplicate_correlation: float = 0.7
    mask_agreement: float = 0.7
    swap_warning: float = 0.01
    swap_error: float = 1e-6
    misfit_warning: float = 0.001
    misfit_share: float = 0.01
    fix_swaps: Any = False
    lossy_share: float = 0.005
    thumbnail: int = 320
    listed: int = 60

    def __post_init__(self) -> None:
        check_range("check.duplicate_bits", self.duplicate_bits, 0, 32)
        for name in ("duplicate_correlation", "mask_agreement", "lossy_share", "misfit_share"):
            check_range(f"check.{name}", getattr(self, name), 0, 1)
        for name in ("swap_warning", "swap_error", "misfit_warning"):
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
            raise ConfigError(f"{key}: {stem!r} is no text; a stem of digits is quoted in a yaml: ['0014', '0015']")
    return stems


@dataclass
class OverlayConfig:
    """What `data overlay` draws."""

    count: int = 0
    part: str = "all"
    size: int = 1600
    opacity: float = 0.4
    columns: int = 4
    rows: int = 6
    thumbnail: int = 420

    def __post_init__(self) -> None:
        check_range("overlay.count", self.count, 0)
        check_choice("overlay.part", self.part, ("auto", "train", "val", "test", "all"))
        check_range("overlay.size", self.size, 32)
        check_range("overlay.opacity", self.opacity, 0, 1)
        for name in ("columns", "rows"):
            check_range(f"overlay.{name}", getattr(self, name), 1, 100)
        check_range("overlay.thumbnail", self.thumbnail, 32, 4096)


@dataclass
class TileConfig:
    """How `data tile` cuts."""

    size: int = 512
    overlap: int = 0
    min_data: float = 0.1
    empty: float = 1.0
    edge: str = "shift"
    format: str = "auto"
    compress: str = "deflate"
    workers: int = 0

    def __post_init__(self) -> None:
        check_range("tile.size", self.size, 16)
        check_range("tile.overlap", self.overlap, 0, self.size - 1)
        check_range("tile.min_data", self.min_data, 0, 1)
        check_range("tile.empty", self.empty, 0, 1)
        check_choice("tile.edge", self.edge, ("shift", "pad", "crop"))
        check_choice("tile.format", self.format, ("auto", "tif", "png"))
        check_choice("tile.compress", self.compress, ("none", "lzw", "deflate", "zstd"))
        check_workers("tile.workers", self.workers)


@dataclass
class SplitConfig:
    """How `data split` divides."""

    val: float = 0.2
    test: float = 0.0
    folds: int = 0
    stratify: bool = False
    groups: str = "alike"
    block: float = 0.0

    def __post_init__(self) -> None:
        check_range("split.val", self.val, 0, 0.95)
        check_range("split.test", self.test, 0, 0.95)
        check_range("split.val + split.test", self.val + self.test, 0, 0.95, open_low=True)
        if self.folds:
            check_range("split.folds", self.folds, 2)
        check_range("split.block", self.block, 0)


@dataclass
class CocoConfig:
    """How masks become polygons and the other way round."""

    shape: str = "auto"
    instances: str = "component"
    tolerance: float = 0.0
    min_area: int = 1

    def __post_init__(self) -> None:
        check_choice("coco.shape", self.shape, ("auto", "polygon", "rle"))
        check_choice("coco.instances", self.instances, ("component", "class"))
        check_range("coco.tolerance", self.tolerance, 0)
        check_range("coco.min_area", self.min_area, 1)


@dataclass
class DataToolsConfig(TrainConfig):
    """The whole of `flood-seg data ...`."""

    backend: dict[str, Any] = field(default_factory=dict)
    check: CheckConfig = field(default_factory=CheckConfig)
    overlay: OverlayConfig = field(default_factory=OverlayConfig)
    tile: TileConfig = field(default_factory=TileConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    coco: CocoConfig = field(default_factory=CocoConfig)
