"""Hands an evaluation to the trackers: its figures as metrics, its page and tables as files."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from flood_seg.console import say
from flood_seg.errors import UsageError
from flood_seg.tracking.composite import open_trackers
from flood_seg.tracking.contract import RunInfo, git_commit

if TYPE_CHECKING:
    from pathlib import Path

    from flood_seg.config.schema import EvaluateConfig
    from flood_seg.evaluation.evaluate import Evaluated
    from flood_seg.tracking.composite import Trackers


def open_for_evaluation(config: EvaluateConfig, model: str | None, out: Path | None) -> Trackers:
    """Opens the trackers before anything is measured, so that one that does not answer costs seconds.

    Raises:
        UsageError: there is no folder whose files they would get.
        TrackingError: as `open_trackers`.
    """
    if out is None:
        raise UsageError("logger: wants the report's files; give --out FOLDER")
    params = {f"evaluation.{name}": value for name, value in asdict(config.evaluation).items()}
    params |= {"model": model or "default", "data": config.datamodule.place, "part": config.part}
    return open_trackers(config.logger, RunInfo(f"evaluate {out.name}", out, params, git_commit()))


def keep(trackers: Trackers, evaluated: Evaluated, out: Path) -> None:
    """Logs the figures, copies the files, and ends the run."""
    figures = {name: value for name, value in evaluated.record.items() if isinstance(value, float)}
    trackers.log_metrics(figures, 0)
    names = ("report.html", "metrics.json", "images.csv", "images.json", "images.parquet", "confusion.png")
    trackers.log_artifacts({"evaluation": [out / name for name in names]})
    trackers.close()
    if trackers.description:
        say(trackers.description)
