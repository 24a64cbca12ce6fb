"""Checkpoints: written whole or not at all, the best one linked, loaded without running code from them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import flood_seg.torchvision_compat  # noqa: F401 - before lightning

import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from flood_seg.errors import ModelError
from flood_seg.imaging.write import atomic_path
from flood_seg.spec import METADATA_KEY, ModelSpec
from flood_seg.training.network import PaddedNetwork, build_network
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


def read_checkpoint(path: Path) -> tuple[dict[str, Any], ModelSpec]:
    """Loads a checkpoint onto the CPU, running no code from it.

    Raises:
        ModelError: the file is missing, damaged, or holds no ModelSpec.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such checkpoint; train one with 'flood-seg train' or give --ckpt")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever its unpickler meets
        raise ModelError(f"{path}: not a whole checkpoint of flood-seg ({type(error).__name__})") from error
    if not isinstance(checkpoint, dict) or METADATA_KEY not in checkpoint:
        raise ModelError(f"{path}: carries no ModelSpec; give a checkpoint that 'flood-seg train' wrote")
    return checkpoint, ModelSpec.from_json(checkpoint[METADATA_KEY], str(path))


def load_network(path: Path) -> tuple[PaddedNetwork, ModelSpec]:
    """Rebuilds the network of a checkpoint, in evaluation mode on the CPU; downloads nothing.

    Raises:
        ModelError: as `read_checkpoint`, or the weights do not fit the architecture that the spec names.
    """
    checkpoint, spec = read_checkpoint(path)
    made_of = spec.provenance
    network = build_network(made_of["architecture"], made_of["encoder"], len(spec.bands), spec.logit_channels)
    prefix = "network."
    weights = {k.removeprefix(prefix): v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelError(
            f"{path}: the weights do not fit {made_of['architecture']} with {made_of['encoder']}"
        ) from error
    return network.eval(), spec
