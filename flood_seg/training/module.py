"""The LightningModule, with metrics from pixel counts over the whole epoch."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, TypedDict

import flood_seg.torchvision_compat  # noqa: F401 - before lightning

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from flood_seg.errors import TrainingError
from flood_seg.metrics.confusion import by_class, confusion_matrices, task_metrics
from flood_seg.metrics.image_rates import RATES_KEY, ImageRates
from flood_seg.spec import METADATA_KEY, ModelSpec
from flood_seg.training.distributed import broadcast_buffers, gather

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch.optim import Optimizer


LOGGED_METRICS = ("iou", "f1", "accuracy", "precision", "recall", "image_iou", "macro_iou", "frequency_weighted_iou")


class Batch(TypedDict):
    """Samples of the network with a leading axis; see `flood_seg.data.datamodule.NetworkSample`."""

    image: Tensor
    mask: Tensor
    index: Tensor


class StepOutput(TypedDict):
    """The output of a step.

    loss: float32 scalar; predicted: class indices [batch, height, width]; matrices: confusion matrices, int64 [batch,
    classes, classes].
    """

    loss: Tensor
    predicted: Tensor
    matrices: Tensor


class SegmentationModule(pl.LightningModule):
    """Trains a network; its checkpoints contain the ModelSpec as JSON and load with `weights_only=True`.

    Logged once per epoch, for train and val: loss (mean over samples), IoU, F1, accuracy, precision and recall (from
    counts summed over all pixels of the epoch), image_iou, macro_iou and frequency_weighted_iou (means over images).
    Training metrics are of the weights as they changed during the epoch. For multiclass tasks these are means over
    classes, and the metrics of each class are logged too.
    """

    def __init__(
        self,
        network: nn.Module,
        spec: ModelSpec,
        loss: nn.Module,
        make_optimizer: Callable[[nn.Module], Optimizer],
        make_scheduler: Callable[[Optimizer, int], Any] | None = None,
        monitor: str = "val_iou",
        interval: str = "epoch",
        extra_val: Sequence[str] = (),
        extra_val_every: int = 1,
        extra_val_only: bool = False,
    ) -> None:
        """Initializes the module.

        Args:
            network: maps images to logits.
            spec: of the model.
            loss: function of logits and class indices.
            make_optimizer: returns the optimizer of a network.
            make_scheduler: returns the scheduler, given the optimizer and the number of steps of the run; None: a
                constant learning rate.
            monitor: the metric that the scheduler monitors.
            interval: whether the scheduler steps with each `epoch` or with each optimizer `step`.
            extra_val: names of the additional validation sets, in the order of their dataloaders, which follow that of
                the validation part.
            extra_val_every: number of epochs between their evaluations.
            extra_val_only: whether there is no validation part; its metrics are then computed over the images of all
                additional sets.
        """
        super().__init__()
        self.network, self.spec, self.loss = network, spec, loss
        self._make_optimizer, self._make_scheduler = make_optimizer, make_scheduler
        self._monitor, self._interval = monitor, interval
        extra = [f"val_{name}" for name in extra_val]
        self._stages = extra if extra_val_only else ["val", *extra]  # of each dataloader
        self._extra_val_every, self._extra_val_only = extra_val_every, extra_val_only
        self._counts: dict[str, list[Tensor]] = {stage: [] for stage in ("train", "val", *extra)}
        self._losses: dict[str, list[Tensor]] = {stage: [] for stage in self._counts}
        self._matrices: np.ndarray | None = None  # of the images of the last validation
        self.stops_at_nan = True  # False during the learning-rate finder, which runs until the loss diverges

    def forward(self, images: Tensor) -> Tensor:
        """Maps float32 [batch, bands, height, width] to logits [batch, classes or 1, height, width]."""
        logits: Tensor = self.network(images)
        return logits

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the loss of a batch."""
        return self._step(batch, "train")["loss"]

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> StepOutput | None:
        """Returns the output of a batch; None if its validation set is not evaluated in this epoch."""
        if dataloader_idx and not self._evaluates_extra():
            return None
        return self._step(batch, self._stages[dataloader_idx])

    def _evaluates_extra(self) -> bool:
        epoch, last = self.current_epoch + 1, self.trainer.max_epochs
        return epoch % self._extra_val_every == 0 or epoch == last

    def _step(self, batch: Batch, stage: str) -> StepOutput:
        images, masks = batch["image"], batch["mask"]
        logits = self(images).float()  # the loss is computed in float32 at any precision of the network
        loss: Tensor = self.loss(logits, masks)
        if self.stops_at_nan and not torch.isfinite(loss):
            raise TrainingError(self._diverged(loss.item(), stage))
        with torch.no_grad():
            predicted = logits[:, 0] > 0 if logits.shape[1] == 1 else logits.argmax(1)
            matrices = confusion_matrices(predicted, masks, len(self.spec.class_names))
            self._counts[stage].append(matrices)
            self._losses[stage].append(loss.detach() * len(images))
        return {"loss": loss, "predicted": predicted, "matrices": matrices}

    def _diverged(self, loss: float, stage: str) -> str:
        where = "training" if stage == "train" else "validation"
        precision = "" if str(self.trainer.precision).startswith("32") else ", trainer.precision=32-true"
        lr = self.trainer.optimizers[0].param_groups[0]["lr"] if self.trainer.optimizers else 0.0
        return (
            f"the {where} loss is {loss} at step {self.global_step} (epoch {self.current_epoch}); training stops and "
            f"exports no model; try a lower optimizer.lr (now {lr:.3g}), trainer.gradient_clip_val=1{precision}, and "
            "check the data for unusual values with 'flood-seg data stats'"
        )

    def on_train_epoch_start(self) -> None:
        """Resets the counts."""
        self._clear("train")

    def on_validation_epoch_start(self) -> None:
        """Resets the counts; all processes validate with the running averages of rank 0."""
        self._clear("val", *self._stages)
        broadcast_buffers(self.network.buffers())

    def _clear(self, *stages: str) -> None:
        for stage in stages:
            self._counts[stage].clear()
            self._losses[stage].clear()

    def on_train_epoch_end(self) -> None:
        """Logs the epoch's training metrics."""
        self._log_metrics("train")

    def on_validation_epoch_end(self) -> None:
        """Logs the epoch's validation metrics."""
        if self._extra_val_only:
            for kept in (self._counts, self._losses):
                kept["val"] = [batch for stage in self._stages for batch in kept[stage]]
            self._log_metrics("val")
        for stage in self._stages if self._evaluates_extra() else self._stages[:1]:
            self._log_metrics(stage)

    def _log_metrics(self, stage: str) -> None:
        matrices = np.array(gather([image for batch in self._counts[stage] for image in batch.tolist()]))
        metrics = asdict(task_metrics(matrices, self.spec.task))
        loss = sum(gather([float(loss) for loss in self._losses[stage]])) / len(matrices)
        self._log(f"{stage}_loss", loss, shown=stage in ("train", "val"))
        for name in LOGGED_METRICS:
            self._log(f"{stage}_{name}", metrics[name], shown=name == "iou" and stage in ("train", "val"))
        if stage == "val":
            self._matrices = matrices
        if stage != "train" and self.spec.task == "multiclass":
            self._log_classes(stage, matrices)

    def _log_classes(self, stage: str, matrices: np.ndarray) -> None:
        """Logs the metrics of each class, as `val_iou/road`."""
        for name, metrics in by_class(matrices, self.spec.class_names).items():
            for key in ("iou", "f1", "precision", "recall", "accuracy"):
                self._log(f"{stage}_{key}/{name}", metrics[key])

    def _log(self, name: str, value: float, *, shown: bool = False) -> None:
        """Logs a metric in float64, equal to that of `evaluate`; Lightning would round it to float32."""
        dtype = torch.float32 if self.device.type == "mps" else torch.float64  # MPS does not support float64
        self.log(name, torch.tensor(value, dtype=dtype), prog_bar=shown)

    def configure_optimizers(self) -> Any:
        """Builds the optimizer and the scheduler, which gets the monitored metric if it requires one."""
        optimizer = self._make_optimizer(self.network)
        if self._make_scheduler is None:
            return optimizer
        steps = int(self.trainer.estimated_stepping_batches) if self._interval == "step" else 0
        scheduler = {
            "scheduler": self._make_scheduler(optimizer, steps),
            "monitor": self._monitor,
            "interval": self._interval,
        }
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the spec, with the validation metrics of the epoch, which makes the file self-describing."""
        logged = self.trainer.callback_metrics
        metrics = {name: float(logged[name]) for name in sorted(logged) if name.startswith("val_")}
        provenance = {**self.spec.provenance, "metrics": metrics, "confusion": []}
        if self._matrices is not None:
            provenance["confusion"] = self._matrices.sum(axis=0).tolist()
            if rates := ImageRates.of(self._matrices):
                cut = {"threshold": 0.5, "temperature": 1.0}  # a pixel is foreground above logit 0
                provenance[RATES_KEY] = rates.to_record() | cut | {"part": "val"}
        checkpoint[METADATA_KEY] = replace(self.spec, provenance=provenance).to_json()
