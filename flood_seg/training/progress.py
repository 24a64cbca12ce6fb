"""The training progress bar: Lightning's with rich, and the time that is left of the whole run."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from typing import Any

import flood_seg.torchvision_compat  # noqa: F401 - before lightning

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, Checkpoint, RichProgressBar

from flood_seg.console import say


def progress_bar(wanted: bool) -> list[Callback]:
    """Returns a rich bar on a terminal, a line an epoch elsewhere, nothing where none is wanted."""
    if not wanted:
        return []
    return [RichProgressBar(leave=False), EpochLines()] if sys.stdout.isatty() else [EpochLines()]


class EpochLines(Checkpoint):
    """Writes a line an epoch: metrics, seconds, and the time left if all epochs are run.

    A `Checkpoint` by kind for the reason that `History` is one.
    """

    def __init__(self) -> None:
        self._started, self._first = 0.0, 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock."""
        self._started, self._first = time.monotonic(), trainer.current_epoch

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the line."""
        done = trainer.current_epoch + 1 - self._first
        pace = (time.monotonic() - self._started) / done
        left = pace * ((trainer.max_epochs or 0) - trainer.current_epoch - 1)
        metrics: dict[str, Any] = trainer.callback_metrics
        shown = "  ".join(
            f"{name} {float(metrics[name]):.4f}"
            for name in ("train_loss", "val_loss", "train_iou", "val_iou", "val_f1")
            if name in metrics
        )
        say(f"epoch {trainer.current_epoch:3d}  {shown}  {pace:.1f} s an epoch, at most {_clock(left)} left")


def quieten_lightning() -> None:
    """Silences Lightning's advertisements and remarks on settings that are ours, not the user's."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning_fabric)\b")
    warnings.filterwarnings("ignore", message=r".*litlogger|.*LeafSpec")


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
