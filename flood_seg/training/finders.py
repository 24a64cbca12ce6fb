"""Finders of the learning rate and the batch size."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import flood_seg.torchvision_compat  # noqa: F401 - before lightning

import psutil
import pytorch_lightning as pl
import torch
from pytorch_lightning.tuner.tuning import Tuner

from flood_seg.console import say
from flood_seg.errors import ConfigError
from flood_seg.resources import peak_memory
from flood_seg.training.speed import choose_accelerator, choose_precision

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from flood_seg.config.schema import DataConfig, TrainerConfig, TunerConfig
    from flood_seg.data.datamodule import FloodDataModule
    from flood_seg.training.module import SegmentationModule

MAX_MEMORY_SHARE = 0.8  # of the available memory


def find_lr(
    options: TunerConfig,
    trainer_options: TrainerConfig,
    module: SegmentationModule,
    data: FloodDataModule,
    folder: Path,
) -> float:
    """Runs a learning-rate range test and returns the learning rate at the steepest descent of the loss.

    Smith 2017, https://arxiv.org/abs/1506.01186, by Lightning's Tuner, which restores the weights afterwards.

    Args:
        options: range of learning rates and number of steps.
        trainer_options: accelerator and precision.
        module: of the run, with its optimizer.
        data: of the run.
        folder: for `lr_finder.png`.

    Raises:
        ConfigError: the loss decreases at no learning rate.
    """
    accelerator = choose_accelerator(trainer_options.accelerator)
    trainer = pl.Trainer(
        accelerator=accelerator,
        devices=1,
        precision=choose_precision(trainer_options.precision, accelerator),  # type: ignore[arg-type]
        max_epochs=-1,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module.stops_at_nan = False
        found = Tuner(trainer).lr_find(
            module, datamodule=data, min_lr=options.min_lr, max_lr=options.max_lr, num_training=options.steps,
            update_attr=False,
        )  # fmt: skip
    module.stops_at_nan = True
    best = found.suggestion() if found else None
    if found is None or best is None:
        raise ConfigError(f"tuner.find_lr: the loss never decreases between {options.min_lr:g} and {options.max_lr:g}")
    from flood_seg.plots.history import plot_lr_finder

    plot = plot_lr_finder(found.results["lr"], found.results["loss"], best, folder / "lr_finder.png")
    say(f"Suggested learning rate {best:.2e}, at the steepest descent of the loss: {plot}")
    return float(best)


def find_batch_size(options: TrainerConfig, data: DataConfig, network: nn.Module, loss: nn.Module, limit: int) -> int:
    """Doubles the batch size until it does not fit in memory, and returns the largest that does.

    On a GPU each size is tried. On the CPU, where running out of memory would kill the process, the memory of the next
    size is estimated from the previous ones. The network is not modified.

    Args:
        options: accelerator and precision.
        data: bands, height and width of the input.
        network: maps images to logits.
        loss: function of logits and class indices.
        limit: maximum batch size.

    Raises:
        ConfigError: a batch of two samples does not fit.
    """
    accelerator = choose_accelerator(options.accelerator)
    device = torch.device("cuda" if accelerator == "gpu" else accelerator)
    trial = copy.deepcopy(network).to(device).train()
    dtype = torch.bfloat16 if choose_precision(options.precision, accelerator).startswith("bf16") else None

    def step(size: int) -> None:
        images = torch.randn(size, len(data.bands), data.height, data.width, device=device)
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            logits = trial(images)
        loss.to(device)(
            logits.float(), torch.zeros(size, data.height, data.width, dtype=torch.uint8, device=device)
        ).backward()

    try_size = _fits_gpu(step) if accelerator == "gpu" else _fits_cpu(step)
    size = best = 2
    while size <= limit and try_size(size):
        best, size = size, size * 2
    if size == 2:
        raise ConfigError(
            f"tuner.find_batch_size: 2 samples of {data.height}×{data.width} do not fit in memory, or there are fewer"
        )
    reason = "the next size does not fit in memory" if size <= limit else f"the limit is {limit}"
    say(f"Batch size {best}: {reason}")
    return best


def _fits_gpu(step: Callable[[int], None]) -> Callable[[int], bool]:
    def fits(size: int) -> bool:
        try:
            step(size)
        except torch.OutOfMemoryError:
            return False
        finally:
            torch.cuda.empty_cache()
        return True

    return fits


def _fits_cpu(step: Callable[[int], None]) -> Callable[[int], bool]:
    before, needed = psutil.Process().memory_info().rss, [0.0]  # bytes

    def fits(size: int) -> bool:
        if needed[0] * 2 > MAX_MEMORY_SHARE * psutil.virtual_memory().available:
            return False
        step(size)
        needed[0] = max(peak_memory() - before, 1 << 20)
        return True

    return fits
