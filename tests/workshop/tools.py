"""The data set tools on a composed configuration, each given its groups as the verb gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flood_seg.inference.engines import open_backend
from flood_seg.inference.predictor import Predictor
from flood_seg.workshop import overlays, split_tool, statistics_report
from flood_seg.workshop.check import check as checking
from flood_seg.workshop.convert import coco, cvat, mmseg
from flood_seg.workshop.tiles import tile as tiling

if TYPE_CHECKING:
    from pathlib import Path

    from flood_seg.config.schema.workshop import DataToolsConfig
    from flood_seg.data.split import Split
    from flood_seg.workshop.check.result import CheckResult
    from flood_seg.workshop.statistics import DataSetStatistics


def check(config: DataToolsConfig, *arguments: Any) -> CheckResult:
    return checking.check(config.datamodule, config.task, config.check, *arguments)


def find_problems(config: DataToolsConfig) -> CheckResult:
    return checking.find_problems(config.datamodule, config.task, config.check)


def stats(config: DataToolsConfig, *arguments: Any) -> DataSetStatistics:
    return statistics_report.stats(config.datamodule, config.task, config.seed, *arguments)


def split(config: DataToolsConfig, out: Path) -> list[Split]:
    return split_tool.split(config.datamodule, config.task, config.seed, config.split, config.check, out)


def tile(config: DataToolsConfig, out: Path, *arguments: Any) -> list[tiling.TiledImage]:
    return tiling.tile(config.datamodule, config.task, config.tile, out, *arguments)


def overlay(config: DataToolsConfig, out: Path, model: str | None = None) -> None:
    predictor = Predictor(open_backend(config.backend, model)) if model else None
    overlays.overlay(config.datamodule, config.task, config.overlay, out, predictor)


def to_coco(config: DataToolsConfig, out: Path) -> list[Path]:
    return coco.to_coco(config.datamodule, config.task, config.coco, out)


def to_cvat(config: DataToolsConfig, out: Path) -> Path:
    return cvat.to_cvat(config.datamodule, config.task, config.coco, out)


def to_mmseg(config: DataToolsConfig, out: Path) -> None:
    mmseg.to_mmseg(config.datamodule, config.task, config.seed, out)


def from_mmseg(config: DataToolsConfig, out: Path) -> None:
    mmseg.from_mmseg(config.datamodule, config.task, out)
