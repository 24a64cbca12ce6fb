"""`flood-seg report`: from the results of the analyses to a situation report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.config.compose import compose
from flood_seg.config.schema.report import ReportConfig
from flood_seg.console import say
from flood_seg.errors import UsageError
from flood_seg.files import check_writable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.verbs.common import PathLike


def report(
    overrides: Sequence[str] = (),
    *,
    results: Sequence[str] = (),
    area: PathLike | None = None,
    impact: PathLike | None = None,
    out: PathLike = "sitrep",
) -> None:
    """Write a situation report of mapped scenes.

    Raises:
        FloodSegError: of several kinds, before anything is written.
    """
    if not results:
        raise UsageError("--results is missing: flood-seg report --results map --out sitrep")
    config = compose("report", overrides, ReportConfig)

    from flood_seg.analysis.report.language import Language
    from flood_seg.analysis.report.sources import read_sources
    from flood_seg.analysis.report.write import write_report

    language = Language(config.report.language, config.report.timezone)
    maps = [Path(folder) for folder in results]
    sources = read_sources(maps, Path(area) if area else None, Path(impact) if impact else None, config.report.water)
    check_writable(Path(out))
    files = write_report(Path(out), sources, config.report, language)
    say(*(f"{path}: written" for path in files))
