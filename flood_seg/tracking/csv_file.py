"""Metrics as a CSV file in the run's folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.tracking.contract import LocalTracker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flood_seg.tracking.contract import RunInfo


class CsvTracker(LocalTracker):
    """Writes Lightning's own metrics.csv; a resumed run writes a further one (`csv-1`, ...).

    Lightning would delete the metrics of the epochs before.
    """

    name = "CSV"

    def __init__(self, run: RunInfo) -> None:
        from pytorch_lightning.loggers import CSVLogger

        earlier = len(list(run.folder.glob("csv*/")))
        version = f"csv-{earlier}" if earlier else "csv"
        self._logger = CSVLogger(run.folder, name="", version=version, flush_logs_every_n_steps=1)
        self._logger.log_hyperparams(run.params)
        self.description = str(Path(self._logger.log_dir) / "metrics.csv")

    def log_metrics(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Writes a row."""
        self._logger.log_metrics(dict(metrics), epoch)
        self._logger.save()
