"""A run's history: a row an epoch, in `history.csv` and in the checkpoint."""

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

METRICS = ("loss", "iou", "f1", "accuracy", "precision", "recall", "image_iou")
COLUMNS = (
    "epoch",
    *(f"train_{name}" for name in METRICS),
    *(f"val_{name}" for name in METRICS),
    "lr",
    "seconds",
)
Row = dict[str, float]


class History(Checkpoint):
    """Collects the metrics of each epoch, with whatever logger.

    The rows are part of the checkpoint, so that a resumed run has exactly one row an epoch. It is a `Checkpoint` by
    kind because Lightning calls those, in their order, after the module has logged the epoch's training metrics, and
    all others before: so the row is complete, and in the checkpoint that comes after it.
    """

    def __init__(self, folder: Path) -> None:
        self.path, self.rows = folder / "history.csv", list[Row]()
        self._started, self._lr, self._resumed = 0.0, 0.0, False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Makes up for the scheduler step that a resumed run would lack.

        Lightning steps ReduceLROnPlateau after the checkpoint of the epoch was written and, having lost the metric,
        not at all when it goes on from there; the row of that epoch still has the metric.
        """
        if not self._resumed or not self.rows:
            return
        for config in trainer.lr_scheduler_configs:
            if config.reduce_on_plateau and config.monitor in self.rows[-1]:
                config.scheduler.step(self.rows[-1][config.monitor])  # type: ignore[arg-type] # a plateau takes a metric
        self._resumed = False

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock; keeps the learning rate, which some schedulers change before the epoch's end."""
        self._started, self._lr = time.monotonic(), float(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Adds the epoch's row; validation has run by now."""
        metrics = trainer.callback_metrics
        row: Row = {"epoch": trainer.current_epoch}
        row |= {name: float(metrics[name]) for name in COLUMNS if name in metrics}
        # Of each class, of each further validation set.
        row |= {name: float(metrics[name]) for name in sorted(metrics) if name.startswith("val_") and name not in row}
        row |= {"lr": self._lr, "seconds": time.monotonic() - self._started}
        self.rows.append(row)
        if trainer.is_global_zero:
            write_history(self.path, self.rows)

    def state_dict(self) -> dict[str, Any]:
        """Returns the rows, for the checkpoint."""
        return {"rows": [dict(row) for row in self.rows]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the rows of a checkpoint; those of epochs after it are in no checkpoint, and so are dropped."""
        self.rows, self._resumed = list(state_dict["rows"]), True


def best_row(rows: list[Row], monitor: str = "val_iou", mode: str = "max") -> Row:
    """Returns the row of the best epoch, the first of several: as the checkpoint's callback chooses."""
    measured = [row for row in rows if math.isfinite(row.get(monitor, math.nan))] or rows
    sign = 1 if mode == "max" else -1
    return max(measured, key=lambda row: sign * row.get(monitor, math.nan))


def write_history(path: Path, rows: list[Row]) -> None:
    """Writes the rows as CSV with a header."""
    further = {name: None for row in rows for name in row if name not in COLUMNS}
    columns = [*COLUMNS, *further]
    write_csv(path, columns, [[row.get(name) for name in columns] for row in rows])


def read_history(path: Path) -> list[Row]:
    """Reads what `write_history` wrote."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
