"""Plots of validation samples: a grid of the best model's predictions, and the worst samples of each epoch."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import flood_seg.torchvision_compat  # noqa: F401 - before lightning

import cv2
import numpy as np
import torch
from pytorch_lightning.callbacks import Callback

from flood_seg.imaging.display import to_picture
from flood_seg.imaging.postprocess import to_classes
from flood_seg.metrics.confusion import confusion_matrix, image_ious
from flood_seg.plots.samples import plot_samples

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from flood_seg.data.datamodule import FloodDataset
    from flood_seg.networks.network import PaddedNetwork
    from flood_seg.spec import ModelSpec
    from flood_seg.tracking.composite import Trackers

MAX_ROWS = 8


def plot_validation(network: PaddedNetwork, spec: ModelSpec, samples: FloodDataset, path: Path) -> Path:
    """Draws the predictions of up to eight evenly spaced samples, at network input size."""
    images, truths, predictions, titles = [], [], [], []
    for index in np.unique(np.linspace(0, len(samples) - 1, MAX_ROWS).astype(int)).tolist():
        image, mask = samples.raw(0, index)
        with torch.inference_mode():
            logits = network(samples[index]["image"].unsqueeze(0))[0].numpy()
        predicted = to_classes(logits, spec.threshold, spec.temperature)
        matrix = confusion_matrix(predicted, mask, len(spec.class_names))[None]
        images.append(to_picture(image, spec.bands))
        truths.append(mask)
        predictions.append(predicted)
        titles.append(_title(samples, index, image_ious(matrix, spec.task)[0]))
    return plot_samples(images, truths, predictions, titles, path, spec)


class WorstSamples(Callback):
    """Logs images of the validation samples with the lowest IoU of each epoch to the trackers."""

    def __init__(self, trackers: Trackers) -> None:
        self.trackers, self.count = trackers, trackers.worst
        self._worst: list[tuple[float, int, np.ndarray]] = []

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Clears the list of worst samples."""
        self._worst.clear()

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Keeps the predictions of the worst samples so far, of the first validation set only."""
        if dataloader_idx or outputs is None:
            return
        ious = image_ious(outputs["matrices"].cpu().numpy(), pl_module.spec.task)
        for iou, index, predicted in zip(ious, batch["index"].tolist(), outputs["predicted"], strict=True):
            if len(self._worst) < self.count or iou < self._worst[-1][0]:
                self._worst.append((float(iou), index, predicted.cpu().numpy().astype(np.uint8)))
                self._worst = sorted(self._worst, key=lambda kept: kept[:2])[: self.count]

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Draws the worst samples and logs one image per sample."""
        samples, epoch = trainer.datamodule.val_set, trainer.current_epoch  # type: ignore[attr-defined]
        for rank, (iou, index, predicted) in enumerate(self._worst, 1):
            image, mask = samples.raw(0, index)
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder, "row.png")
                images, titles = [to_picture(image, pl_module.spec.bands)], [_title(samples, index, iou)]
                plot_samples(images, [mask], [predicted], titles, file, pl_module.spec)
                plot = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
            self.trackers.log_image(f"worst/{rank}", plot, epoch)


def _title(samples: FloodDataset, index: int, iou: float) -> str:
    return f"{samples.store.pairs[samples.indices[index]].stem}: IoU {iou:.2f}"
