"""Checkpoint callback and IO plugin: atomic writes, and a link to the best checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import flood_seg.torchvision_compat  # noqa: F401 - before lightning

import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from flood_seg.files import atomic_path
from flood_seg.inference.models import CHECKPOINT_FILE
from flood_seg.training.run import LAST

if TYPE_CHECKING:
    from pytorch_lightning import Trainer


class BestCheckpoint(ModelCheckpoint):
    """Keeps `best-epoch=NN-val_iou=0.NNNN.ckpt`, a link `best.ckpt` to it, and `last.ckpt` of the latest epoch."""

    def __init__(self, folder: Path, monitor: str = "val_iou", mode: str = "max") -> None:
        super().__init__(
            dirpath=folder,
            filename=f"best-{{epoch:02d}}-{{{monitor}:.4f}}",
            monitor=monitor,
            mode=mode,
            save_on_train_epoch_end=True,  # after validation and after the epoch's training metrics
        )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Saves and links the best checkpoint, then the last one, whose state includes the best score."""
        super().on_train_epoch_end(trainer, pl_module)
        if trainer.fast_dev_run:  # type: ignore[attr-defined] # set by a connector
            return
        folder = Path(str(self.dirpath))
        if self.best_model_path and trainer.is_global_zero:
            with atomic_path(folder / CHECKPOINT_FILE) as temporary:
                temporary.symlink_to(Path(self.best_model_path).name)
        # Not by save_last, which writes only in epochs that save a best checkpoint.
        trainer.save_checkpoint(folder / LAST)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint to a temporary file and renames it, so that an interrupted write keeps the previous one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Saves a checkpoint; see `TorchCheckpointIO`."""
        with atomic_path(Path(path)) as temporary:
            torch.save(checkpoint, temporary)
