"""A grid of validation photos with their truth and the best model's prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from flood_seg.imaging.display import to_picture
from flood_seg.imaging.postprocess import to_classes
from flood_seg.metrics.confusion import confusion_matrix, image_ious
from flood_seg.plots.samples import plot_samples

if TYPE_CHECKING:
    from pathlib import Path

    from flood_seg.data.dataset import FloodDataset
    from flood_seg.networks.network import PaddedNetwork
    from flood_seg.spec import ModelSpec

ROWS = 8


def plot_validation(network: PaddedNetwork, spec: ModelSpec, samples: FloodDataset, path: Path) -> Path:
    """Predicts up to eight samples, spread evenly over the part, and draws them at network size."""
    chosen = np.unique(np.linspace(0, len(samples) - 1, ROWS).astype(int))
    images, truths, predictions, titles = [], [], [], []
    for index in chosen:
        image, mask = samples.raw(0, int(index))
        with torch.inference_mode():
            logits = network(samples[int(index)]["image"].unsqueeze(0))[0].numpy()
        predicted = to_classes(logits, spec.threshold, spec.temperature)
        matrix = confusion_matrix(predicted, mask, len(spec.class_names))[None]
        images.append(to_picture(image, spec.bands))
        truths.append(mask)
        predictions.append(predicted)
        stem = samples.store.pairs[samples.indices[int(index)]].stem
        titles.append(f"{stem}: IoU {image_ious(matrix, spec.task)[0]:.2f}")
    return plot_samples(images, truths, predictions, titles, path, spec)
