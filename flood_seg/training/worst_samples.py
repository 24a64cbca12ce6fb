"""Pictures of the validation samples that the model does worst on, in each epoch."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import flood_seg.torchvision_compat  # noqa: F401 - before lightning

import cv2
import numpy as np
from pytorch_lightning.callbacks import Callback

from flood_seg.imaging.display import to_picture
from flood_seg.metrics.confusion import image_ious
from flood_seg.plots.samples import plot_samples

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from flood_seg.tracking.composite import Trackers


class WorstSamples(Callback):
    """Keeps the predictions of the worst samples while validation runs, and hands pictures to the trackers."""

    def __init__(self, trackers: Trackers) -> None:
        self.trackers, self.count = trackers, trackers.worst
        self._worst: list[tuple[float, int, np.ndarray]] = []

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts anew."""
        self._worst.clear()

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Keeps a sample where it is worse than those that are kept; of the first validation set alone."""
        if dataloader_idx or outputs is None:
            return
        ious = image_ious(outputs["matrices"].cpu().numpy(), pl_module.spec.task)
        for iou, index, predicted in zip(ious, batch["index"].tolist(), outputs["predicted"], strict=True):
            if len(self._worst) < self.count or iou < self._worst[-1][0]:
                self._worst.append((float(iou), index, predicted.cpu().numpy().astype(np.uint8)))
                self._worst = sorted(self._worst, key=lambda kept: kept[:2])[: self.count]

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Draws a row a sample, and hands them over."""
        samples, epoch = trainer.datamodule.val_set, trainer.current_epoch  # type: ignore[attr-defined]
        for place, (iou, index, predicted) in enumerate(self._worst, 1):
            image, mask = samples.raw(0, index)
            title = f"{samples.store.pairs[samples.indices[index]].stem}: IoU {iou:.2f}"
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder, "row.png")
                plot_samples(
                    [to_picture(image, pl_module.spec.bands)], [mask], [predicted], [title], file, pl_module.spec
                )
                picture = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
            self.trackers.log_image(f"worst/{place}", picture, epoch)
