"""Training progress: Lightning's rich progress bar, and one line per epoch with the remaining time."""

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


def progress_bar(enabled: bool) -> list[Callback]:
    """Returns a rich progress bar and epoch lines on a terminal, epoch lines alone elsewhere, or nothing."""
    if not enabled:
        return []
    return [RichProgressBar(leave=False), EpochLines()] if sys.stdout.isatty() else [EpochLines()]


class EpochLines(Checkpoint):
    """Prints one line per epoch: metrics, seconds per epoch, and the remaining time if all epochs are run.

    A subclass of `Checkpoint` for the same reason as `History`.
    """

    def __init__(self) -> None:
        self._started, self._first = 0.0, 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the timer."""
        self._started, self._first = time.monotonic(), trainer.current_epoch

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Prints the line."""
        done = trainer.current_epoch + 1 - self._first
        pace = (time.monotonic() - self._started) / done
        left = pace * ((trainer.max_epochs or 0) - trainer.current_epoch - 1)
        metrics: dict[str, Any] = trainer.callback_metrics
        shown = "  ".join(
            f"{name} {float(metrics[name]):.4f}"
            for name in ("train_loss", "val_loss", "train_iou", "val_iou", "val_f1")
            if name in metrics
        )
        say(f"epoch {trainer.current_epoch:3d}  {shown}  {pace:.1f} s/epoch, at most {_clock(left)} left")


def silence_lightning() -> None:
    """Silences Lightning's tips, and its warnings about settings that are not the user's."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning_fabric)\b")
    warnings.filterwarnings("ignore", message=r".*litlogger|.*LeafSpec")


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
