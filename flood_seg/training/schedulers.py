"""Learning-rate schedules that PyTorch does not have in one piece."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, OneCycleLR, SequentialLR

if TYPE_CHECKING:
    from torch.optim import Optimizer

START = 0.01  # of the learning rate


def warmup_cosine(optimizer: Optimizer, warmup_epochs: int, max_epochs: int, eta_min: float = 0.0) -> SequentialLR:
    """Rises linearly for some epochs, then falls by half a cosine (Loshchilov and Hutter, arXiv 1608.03983).

    Raises:
        ValueError: the rise takes no epoch, or all of them.
    """
    if not 0 < warmup_epochs < max_epochs:
        raise ValueError(f"warmup_epochs must be above 0 and below max_epochs ({max_epochs})")
    rise = LinearLR(optimizer, START, total_iters=warmup_epochs)
    fall = CosineAnnealingLR(optimizer, max_epochs - warmup_epochs, eta_min)
    return SequentialLR(optimizer, [rise, fall], [warmup_epochs])


def one_cycle(optimizer: Optimizer, total_steps: int, **options: Any) -> OneCycleLR:
    """Rises to the optimizer's learning rate and falls far below it, step by step over the whole run.

    Smith and Topin 2018, https://arxiv.org/abs/1708.07120; the peak is each parameter group's own learning rate.
    """
    return OneCycleLR(optimizer, [group["lr"] for group in optimizer.param_groups], total_steps, **options)
