"""The history of a run: one row per epoch, in `history.csv` and in the checkpoint."""

from __future__ import annotations

import csv
import math
import time
from pathlib import Path
from typing import Any

import flood_seg.torchvision_compat  # noqa: F401 - before lightning

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from flood_seg.files import write_csv

METRICS = ("loss", "iou", "f1", "accuracy", "precision", "recall", "image_iou", "macro_iou", "frequency_weighted_iou")
COLUMNS = (
    "epoch",
    *(f"train_{name}" for name in METRICS),
    *(f"val_{name}" for name in METRICS),
    "lr",
    "seconds",
)
Row = dict[str, float]


class History(Checkpoint):
    """Collects the metrics of each epoch, independently of loggers.

    The rows are part of the checkpoint, so that a resumed run has exactly one row per epoch. It subclasses `Checkpoint`
    because Lightning calls those callbacks, in order, after the module has logged the training metrics of the epoch,
    and all others before: the row is complete, and included in the checkpoint that is saved next.
    """

    def __init__(self, folder: Path) -> None:
        self.path, self.rows = folder / "history.csv", list[Row]()
        self._started, self._lr, self._resumed = 0.0, 0.0, False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Steps ReduceLROnPlateau once when a run is resumed.

        Lightning steps it after the checkpoint of the epoch has been saved and, without the metric, not at all when it
        resumes from there; the row of that epoch has the metric.
        """
        if not self._resumed or not self.rows:
            return
        for config in trainer.lr_scheduler_configs:
            if config.reduce_on_plateau and config.monitor in self.rows[-1]:
                config.scheduler.step(self.rows[-1][config.monitor])  # type: ignore[arg-type] # takes a metric
        self._resumed = False

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the timer; stores the learning rate, which some schedulers change before the end of the epoch."""
        self._started, self._lr = time.monotonic(), float(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Adds the row of the epoch, after validation."""
        metrics = trainer.callback_metrics
        row: Row = {"epoch": trainer.current_epoch}
        row |= {name: float(metrics[name]) for name in COLUMNS if name in metrics}
        # Metrics of classes and of additional validation sets.
        row |= {name: float(metrics[name]) for name in sorted(metrics) if name.startswith("val_") and name not in row}
        row |= {"lr": self._lr, "seconds": time.monotonic() - self._started}
        self.rows.append(row)
        if trainer.is_global_zero:
            write_history(self.path, self.rows)

    def state_dict(self) -> dict[str, Any]:
        """Returns the rows, for the checkpoint."""
        return {"rows": [dict(row) for row in self.rows]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the rows of a checkpoint, which drops those of later epochs."""
        self.rows, self._resumed = list(state_dict["rows"]), True


def best_row(rows: list[Row], monitor: str = "val_iou", mode: str = "max") -> Row:
    """Returns the row of the best epoch, the first of equal ones, as `BestCheckpoint` selects it."""
    measured = [row for row in rows if math.isfinite(row.get(monitor, math.nan))] or rows
    sign = 1 if mode == "max" else -1
    return max(measured, key=lambda row: sign * row.get(monitor, math.nan))


def write_history(path: Path, rows: list[Row]) -> None:
    """Writes the rows as CSV with a header."""
    others = {name: None for row in rows for name in row if name not in COLUMNS}
    columns = [*COLUMNS, *others]
    write_csv(path, columns, [[row.get(name) for name in columns] for row in rows])


def read_history(path: Path) -> list[Row]:
    """Reads a file of `write_history`."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
