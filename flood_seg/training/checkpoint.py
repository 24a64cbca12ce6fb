"""Checkpoints: written whole or not at all, the best one linked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import flood_seg.torchvision_compat  # noqa: F401 - before lightning

import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from flood_seg.files import atomic_path
from flood_seg.training.run import BEST, LAST

if TYPE_CHECKING:
    from pytorch_lightning import Trainer


class BestCheckpoint(ModelCheckpoint):
    """Keeps `best-epoch=NN-val_iou=0.NNNN.ckpt`, a link `best.ckpt` to it, and `last.ckpt` of every epoch."""

    def __init__(self, folder: Path, monitor: str = "val_iou", mode: str = "max") -> None:
        super().__init__(
            dirpath=folder,
            filename=f"best-{{epoch:02d}}-{{{monitor}:.4f}}",
            monitor=monitor,
            mode=mode,
            save_on_train_epoch_end=True,  # after validation and after the epoch's training metrics
        )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Saves the best as its parent does, links it, and saves the last (whose state knows the best)."""
        super().on_train_epoch_end(trainer, pl_module)
        if trainer.fast_dev_run:  # type: ignore[attr-defined] # set by a connector
            return
        folder = Path(str(self.dirpath))
        if self.best_model_path and trainer.is_global_zero:
            with atomic_path(folder / BEST) as temporary:
                temporary.symlink_to(Path(self.best_model_path).name)
        # Not by save_last: that writes only in epochs that save a best one.
        trainer.save_checkpoint(folder / LAST)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint under another name and renames it: a kill in the middle leaves the one before."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """See the parent."""
        with atomic_path(Path(path)) as temporary:
            torch.save(checkpoint, temporary)
