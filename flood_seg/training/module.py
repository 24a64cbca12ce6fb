"""The LightningModule: one step, one loss, metrics from counts over the whole epoch."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Literal

import flood_seg.torchvision_compat  # noqa: F401 - before lightning

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from flood_seg.evaluation.metrics import by_class, confusion_matrices, task_metrics
from flood_seg.spec import METADATA_KEY, ModelSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from torch.optim import Optimizer

    from flood_seg.data.dataset import Batch

Stage = Literal["train", "val"]
LOGGED = ("iou", "f1", "accuracy", "image_iou")


class SegmentationModule(pl.LightningModule):
    """Trains a network; its checkpoints carry the ModelSpec as JSON and load with `weights_only=True`.

    Logged once an epoch, for train and val: loss (mean over samples), IoU, F1, accuracy (from counts summed over all
    pixels of the epoch), image_iou (mean over images). Training metrics are those of the weights as they changed.
    Of several classes each one's are logged too, and the first are means over them.
    """

    def __init__(
        self,
        network: nn.Module,
        spec: ModelSpec,
        loss: nn.Module,
        make_optimizer: Callable[[list[nn.Parameter]], Optimizer],
        make_scheduler: Callable[[Optimizer], Any] | None = None,
        monitor: str = "val_iou",
    ) -> None:
        super().__init__()
        self.network, self.spec, self.loss = network, spec, loss
        self._make_optimizer, self._make_scheduler, self._monitor = make_optimizer, make_scheduler, monitor
        self._counts: dict[Stage, list[Tensor]] = {"train": [], "val": []}
        self._confusion: list[list[int]] = []

    def forward(self, images: Tensor) -> Tensor:
        """Maps float32 [batch, bands, height, width] to logits [batch, classes or 1, height, width]."""
        logits: Tensor = self.network(images)
        return logits

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the loss of a batch."""
        return self._step(batch, "train")

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the loss of a batch."""
        return self._step(batch, "val")

    def _step(self, batch: Batch, stage: Stage) -> Tensor:
        images, masks = batch["image"], batch["mask"]
        logits = self(images).float()  # the loss is taken in float32 whatever the network's precision
        loss: Tensor = self.loss(logits, masks)
        with torch.no_grad():
            predicted = logits[:, 0] > 0 if logits.shape[1] == 1 else logits.argmax(1)
            self._counts[stage].append(confusion_matrices(predicted, masks, len(self.spec.class_names)))
        self.log(f"{stage}_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(images))
        return loss

    def on_train_epoch_start(self) -> None:
        """Starts the counts anew."""
        self._counts["train"].clear()

    def on_validation_epoch_start(self) -> None:
        """Starts the counts anew."""
        self._counts["val"].clear()

    def on_train_epoch_end(self) -> None:
        """Logs the epoch's training metrics."""
        self._log_metrics("train")

    def on_validation_epoch_end(self) -> None:
        """Logs the epoch's validation metrics."""
        self._log_metrics("val")

    def _log_metrics(self, stage: Stage) -> None:
        matrices = torch.cat(self._counts[stage]).cpu().numpy()
        metrics = asdict(task_metrics(matrices, self.spec.task))
        for name in LOGGED:
            self.log(f"{stage}_{name}", metrics[name], prog_bar=name == "iou")
        if stage == "val":
            self._log_classes(matrices)

    def _log_classes(self, matrices: np.ndarray) -> None:
        """Logs each class's metrics of a task of several, as `val_iou/road`; keeps the confusion matrix."""
        self._confusion = matrices.sum(axis=0).tolist()
        if self.spec.task == "multiclass":
            for name, metrics in by_class(matrices, self.spec.class_names).items():
                for key in ("iou", "f1", "precision", "recall", "accuracy"):
                    self.log(f"val_{key}/{name}", metrics[key])

    def configure_optimizers(self) -> Any:
        """Builds optimizer and scheduler; the latter steps once an epoch, on the monitored metric if it wants one."""
        optimizer = self._make_optimizer([p for p in self.parameters() if p.requires_grad])
        if self._make_scheduler is None:
            return optimizer
        scheduler = {
            "scheduler": self._make_scheduler(optimizer),
            "monitor": self._monitor,
            "interval": "epoch",
        }
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the spec, with the epoch's validation metrics, so that the file says by itself what it is."""
        logged = self.trainer.callback_metrics
        metrics = {name: float(logged[name]) for name in sorted(logged) if name.startswith("val_")}
        spec = replace(self.spec, provenance={**self.spec.provenance, "metrics": metrics, "confusion": self._confusion})
        checkpoint[METADATA_KEY] = spec.to_json()
