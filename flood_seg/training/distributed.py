"""Distributed training: rank, strategy, and gathering of results."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from pytorch_lightning.strategies import DDPStrategy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytorch_lightning.strategies import Strategy

    from flood_seg.config.schema import TrainerConfig

T = TypeVar("T")


def is_main() -> bool:
    """Returns whether this process has rank 0 (of Lightning, torchrun or SLURM), which writes files and logs."""
    ranks = (os.environ[key] for key in ("RANK", "LOCAL_RANK", "SLURM_PROCID") if key in os.environ)
    return int(next(ranks, 0)) == 0


def silence_output() -> None:
    """Discards the standard output of this process; standard error is kept."""
    sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - until the process ends


def count_processes(options: TrainerConfig) -> int:
    """Returns the number of training processes, before Lightning starts them."""
    available = max(1, torch.cuda.device_count()) if options.accelerator in ("auto", "gpu") else 1
    return (available if options.devices == "auto" else int(options.devices)) * options.num_nodes


def choose_strategy(options: TrainerConfig, *, freezes: bool = False) -> str | Strategy:
    """Returns the strategy of the Trainer; `auto` is `ddp` for several devices.

    BatchNorm statistics are not broadcast at each step: validation would deadlock where a process has one batch less.
    They are broadcast from rank 0 before each validation instead (`broadcast_buffers`).
    """
    several = options.devices != 1 or options.num_nodes > 1
    if options.strategy == "ddp" or (options.strategy == "auto" and several):
        return DDPStrategy(broadcast_buffers=False, find_unused_parameters=freezes)
    return options.strategy


def broadcast_buffers(buffers: Iterable[torch.Tensor]) -> None:
    """Broadcasts each buffer from rank 0; does nothing without distributed training."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        for buffer in buffers:
            torch.distributed.broadcast(buffer, 0)


def gather(values: list[T]) -> list[T]:
    """Returns the values of all processes, whose numbers may differ; a collective call."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return values
    parts: list[list[T]] = [[] for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather_object(parts, values)
    return [value for part in parts for value in part]
