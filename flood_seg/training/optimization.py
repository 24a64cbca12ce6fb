"""Parameter groups, encoder freezing, and composed learning-rate schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flood_seg.torchvision_compat  # noqa: F401 - before lightning

from pytorch_lightning.callbacks import Callback
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, OneCycleLR, SequentialLR

if TYPE_CHECKING:
    import pytorch_lightning as pl
    from torch.optim import Optimizer

ENCODER = "encoder."
WARMUP_START_FACTOR = 0.01  # of the learning rate


def parameter_groups(network: nn.Module, lr: float, encoder_lr_factor: float) -> list[dict[str, Any]]:
    """Returns the parameter groups of an optimizer: the encoder's, with `encoder_lr_factor` times `lr`, come last.

    Args:
        network: whose encoder is a submodule with the name `encoder`.
        lr: learning rate of the other parameters.
        encoder_lr_factor: 1: a single group.
    """
    named = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    if encoder_lr_factor == 1:
        return [{"params": [parameter for _, parameter in named]}]
    encoder = [parameter for name, parameter in named if _in_encoder(name)]
    rest = [parameter for name, parameter in named if not _in_encoder(name)]
    return [{"params": rest}, {"params": encoder, "lr": lr * encoder_lr_factor}]


def _in_encoder(name: str) -> bool:
    return f".{name}".find(f".{ENCODER}") >= 0


class FreezeEncoder(Callback):
    """Freezes the encoder, including its BatchNorm statistics, in the first epochs.

    The optimizer has its parameters from the beginning and skips those without a gradient, so that a resumed run equals
    an uninterrupted one.
    """

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Freezes or unfreezes the encoder, depending on the epoch."""
        frozen = trainer.current_epoch < self.epochs
        encoder = pl_module.network.network.encoder  # type: ignore[union-attr]
        assert isinstance(encoder, nn.Module)
        encoder.requires_grad_(not frozen)
        encoder.train(not frozen)


def warmup_cosine(optimizer: Optimizer, warmup_epochs: int, max_epochs: int, eta_min: float = 0.0) -> SequentialLR:
    """Linear warmup, then cosine annealing (Loshchilov and Hutter, arXiv 1608.03983).

    Raises:
        ValueError: `warmup_epochs` is not between 0 and `max_epochs`.
    """
    if not 0 < warmup_epochs < max_epochs:
        raise ValueError(f"warmup_epochs must be above 0 and below max_epochs ({max_epochs})")
    warmup = LinearLR(optimizer, WARMUP_START_FACTOR, total_iters=warmup_epochs)
    annealing = CosineAnnealingLR(optimizer, max_epochs - warmup_epochs, eta_min)
    return SequentialLR(optimizer, [warmup, annealing], [warmup_epochs])


def one_cycle(optimizer: Optimizer, total_steps: int, **options: Any) -> OneCycleLR:
    """One-cycle policy over all steps of a run.

    Smith and Topin 2018, https://arxiv.org/abs/1708.07120; the peak is the learning rate of each parameter group.
    """
    return OneCycleLR(optimizer, [group["lr"] for group in optimizer.param_groups], total_steps, **options)
