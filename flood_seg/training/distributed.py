"""Several processes that train one model: who writes, and how their counts come together."""

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
    """Whether this process writes and speaks, as all do but those that Lightning, torchrun or SLURM number above 0."""
    ranks = (os.environ[key] for key in ("RANK", "LOCAL_RANK", "SLURM_PROCID") if key in os.environ)
    return int(next(ranks, 0)) == 0


def fall_silent() -> None:
    """Keeps what this process says from the terminal; its errors stay."""
    sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - until the process ends


def count_processes(options: TrainerConfig) -> int:
    """Returns how many will train together, before Lightning has started them."""
    there = max(1, torch.cuda.device_count()) if options.accelerator in ("auto", "gpu") else 1
    return (there if options.devices == "auto" else int(options.devices)) * options.num_nodes


def choose_strategy(options: TrainerConfig, *, freezes: bool = False) -> str | Strategy:
    """Returns Lightning's strategy; several devices are `ddp` unless another is named.

    Running averages of BatchNorm are not exchanged at each step: validation would wait for ever where a process has a
    batch less. They are all made the first one's before each validation instead (`share_buffers`).
    """
    several = options.devices != 1 or options.num_nodes > 1
    if options.strategy == "ddp" or (options.strategy == "auto" and several):
        return DDPStrategy(broadcast_buffers=False, find_unused_parameters=freezes)
    return options.strategy


def share_buffers(buffers: Iterable[torch.Tensor]) -> None:
    """Makes each buffer the first process's; nothing where there is one process."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        for buffer in buffers:
            torch.distributed.broadcast(buffer, 0)


def gather(values: list[T]) -> list[T]:
    """Returns the values of all processes, which may have some more and some fewer; all must call it."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return values
    parts: list[list[T]] = [[] for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather_object(parts, values)
    return [value for part in parts for value in part]
