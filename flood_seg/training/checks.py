"""Checks of the data before the first training step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flood_seg.classes import IGNORED
from flood_seg.console import warn
from flood_seg.data.store import DecodingStore
from flood_seg.errors import ConfigError, DataError, ImageError
from flood_seg.imaging.preprocess import normalize
from flood_seg.inference.values import measure_shift
from flood_seg.resources import check_batch_memory
from flood_seg.training.distributed import count_processes
from flood_seg.training.speed import choose_accelerator

if TYPE_CHECKING:
    from flood_seg.config.schema import DataConfig, TrainerConfig
    from flood_seg.data.datamodule import FloodDataModule
    from flood_seg.spec import ModelSpec

MAX_IMAGES_CHECKED = 16


def check_batches(options: TrainerConfig, shape: DataConfig, data: FloodDataModule) -> None:
    """Raises ConfigError where a process or a batch limit leaves no batch, or a batch does not fit in memory."""
    processes, sizes = count_processes(options), {"train": len(data.train_set), "val": min(map(len, data.val_sets))}
    if choose_accelerator(options.accelerator) == "cpu":  # a GPU reports itself when it is out of memory
        size = min(shape.batch_size, max(sizes.values()))
        check_batch_memory("datamodule.batch_size", size, len(shape.bands), shape.height, shape.width)
    for part, samples in sizes.items():
        if samples < processes:
            raise ConfigError(
                f"trainer.devices: {processes} devices, but {samples} samples in the {part} part; use fewer devices"
            )
        batches, limit = (
            -(-samples // processes // shape.batch_size),
            getattr(options, f"limit_{part}_batches"),
        )
        if limit <= 1 and int(batches * limit) < 1:
            key = f"trainer.limit_{part}_batches={limit}"
            raise ConfigError(f"{key}: leaves no batch of {batches}; give at least {1 / batches:.2g}, or 2.0 for two")


def check_values(data: FloodDataModule, spec: ModelSpec) -> None:
    """Checks the values of some training images.

    Raises:
        DataError: the values of most images do not match the configured scale; see `measure_shift`.
    """
    store, indices = data.train_set.store, data.train_set.indices
    chosen = indices[:: max(1, len(indices) // MAX_IMAGES_CHECKED)]
    failures, checked = [], 0
    for index in chosen:
        image, mask = store[index]
        counted = mask != IGNORED
        if not counted.any():  # a sample without labelled pixels
            continue
        checked += 1
        try:
            measure_shift(normalize(image, spec), spec, image.dtype, counted)
        except ImageError as error:
            failures.append(f"{store.pairs[index].image}: {error}")
    if len(failures) > checked / 2:
        raise DataError(
            f"{failures[0]} (and {len(failures) - 1} more of {checked} training images checked); set "
            "datamodule.value_scale; datamodule.mean=auto and datamodule.std=auto measure mean and std"
        )


def warn_of_absent_classes(data: FloodDataModule, spec: ModelSpec) -> None:
    """Warns of classes without a pixel in the training part; only if samples are cached, to avoid decoding them all."""
    if isinstance(data.train_set.store, DecodingStore):
        return
    absent = [name for name, count in zip(spec.class_names, data.count_pixels(), strict=True) if not count]
    if absent:
        warn(
            f"the training part has no pixel of {', '.join(absent)}, which the model cannot learn; check "
            "datamodule.labels and the output of 'flood-seg data stats'"
        )
