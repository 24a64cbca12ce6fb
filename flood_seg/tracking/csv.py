"""Metrics as a CSV file in the run's folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.tracking.contract import LightningTracker

if TYPE_CHECKING:
    from flood_seg.tracking.contract import RunInfo


class CsvTracker(LightningTracker):
    """Writes metrics.csv; a resumed run writes another one (`csv-1`, ...): Lightning would delete the earlier rows."""

    name = "CSV"

    def __init__(self, run: RunInfo) -> None:
        from pytorch_lightning.loggers import CSVLogger

        earlier = len(list(run.folder.glob("csv*/")))
        logger = CSVLogger(run.folder, name="", version=f"csv-{earlier}" if earlier else "csv")
        super().__init__(logger, run)
        self.description = str(Path(logger.log_dir) / "metrics.csv")
