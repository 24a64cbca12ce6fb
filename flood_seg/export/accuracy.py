"""Accuracy control: a model is measured on photos, and layers stay float until it is good enough."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.console import say, track
from flood_seg.errors import ModelError
from flood_seg.imaging.postprocess import check_logits, to_classes
from flood_seg.imaging.preprocess import preprocess
from flood_seg.inference.engines import Engine, open_backend
from flood_seg.metrics.confusion import confusion_matrix, task_metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from flood_seg.config.schema import QuantizeOptions
    from flood_seg.evaluation.eval_images import EvalImage
    from flood_seg.export.int8 import OnnxQuantizer, OpenVinoQuantizer


@dataclass(frozen=True)
class Result:
    """A model on photos.

    Attributes:
        iou: against the true masks, in [0, 1].
        logits: float32 [channels, height, width] of each photo.
        milliseconds: the median of a photo.
        size_mb: of its files.
    """

    iou: float
    logits: list[np.ndarray]
    milliseconds: float
    size_mb: float


def measure(path: Path, engine: str, photos: Sequence[EvalImage]) -> Result:
    """Runs a model, by an engine of configs/backend/, on photos with masks at its network size, one by one."""
    backend = open_backend(Engine(engine, (), str(path)).node(), str(path), warmup=1)
    logits, matrices, seconds, spec = [], [], [], backend.spec
    for photo in track(photos, f"{path.stem}{path.suffix}", len(photos)):
        batch, started = preprocess(photo.image, spec)[None], time.perf_counter()
        logits.append(check_logits(backend.run(batch)[0], str(path)))
        seconds.append(time.perf_counter() - started)
        assert photo.mask is not None
        predicted = to_classes(logits[-1], spec.threshold, spec.temperature)
        matrices.append(confusion_matrix(predicted, photo.mask, len(spec.class_names)))
    files = [file for file in (path, path.with_suffix(".bin")) if file.is_file()]
    size = sum(file.stat().st_size for file in files) / 1e6
    return Result(task_metrics(np.stack(matrices), spec.task).iou, logits, statistics.median(seconds) * 1e3, size)


def quantize_within(
    options: QuantizeOptions,
    quantizer: OnnxQuantizer | OpenVinoQuantizer,
    path: Path,
    float_iou: float,
    photos: Sequence[EvalImage],
    layers: Sequence[str],
    rank: Callable[[], list[str]],
) -> tuple[Result, list[str]]:
    """Leaves out 0, 1, 2, 4, ... of the most harmful layers until the loss of IoU is within the bound.

    Args:
        options: `max_iou_drop` and `max_excluded`.
        quantizer: writes the candidates to `path`, where the good one lies in the end.
        path: of the candidates.
        float_iou: of the model that is quantized.
        photos: to measure on, with masks.
        layers: that can be quantized.
        rank: returns them, the most harmful first; called only where all of them lose too much.

    Returns:
        what the good one reached, and the layers that are left float.

    Raises:
        ModelError: `max_excluded` is reached.
    """
    ranked: list[str] = []
    count, most = 0, int(len(layers) * options.max_excluded)
    while True:
        quantizer.write(path, ranked[:count])
        result = measure(path, quantizer.engine, photos)
        drop = float_iou - result.iou
        say(f"{len(layers) - count} of {len(layers)} layers in INT8: IoU {result.iou:.4f}, before {float_iou:.4f}")
        if drop <= options.max_iou_drop:
            return result, ranked[:count]
        if count == most:
            refuse(drop, options, f" with {count} of {len(layers)} layers left float (quantize.max_excluded)")
        if not ranked:
            say("Finding the layers that hurt ...")
            ranked = rank()
        count = min(most, max(1, 2 * count))


def refuse(drop: float, options: QuantizeOptions, how: str = "") -> None:
    """Raises ModelError where the loss is beyond the bound."""
    if drop > options.max_iou_drop:
        raise ModelError(
            f"not written: {options.form} loses {drop:.4f} of IoU{how}, more than "
            f"quantize.max_iou_drop={options.max_iou_drop:g}; allow more, or quantize another model"
        )
