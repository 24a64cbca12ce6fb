"""Parameter groups, frozen encoders, and learning-rate schedules that PyTorch does not have in one piece."""

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
START = 0.01  # of the learning rate


def parameter_groups(network: nn.Module, lr: float, encoder_lr_factor: float) -> list[dict[str, Any]]:
    """Returns an optimizer's groups: all but the encoder first, then the encoder with `encoder_lr_factor` times `lr`.

    Args:
        network: whose encoder's parameters have names with `encoder.` at a part's beginning.
        lr: of the others.
        encoder_lr_factor: 1: all are one group.
    """
    named = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    if encoder_lr_factor == 1:
        return [{"params": [parameter for _, parameter in named]}]
    encoder = [parameter for name, parameter in named if _is_encoders(name)]
    rest = [parameter for name, parameter in named if not _is_encoders(name)]
    return [{"params": rest}, {"params": encoder, "lr": lr * encoder_lr_factor}]


def _is_encoders(name: str) -> bool:
    return f".{name}".find(f".{ENCODER}") >= 0


class FreezeEncoder(Callback):
    """Keeps the encoder as it is in the first epochs, its BatchNorm's running averages too.

    The optimizer has its parameters from the beginning, and passes over those without a gradient; so a resumed run is
    as an undisturbed one.
    """

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Freezes or frees the encoder, as the epoch's number says."""
        frozen = trainer.current_epoch < self.epochs
        encoder = pl_module.network.network.encoder  # type: ignore[union-attr]
        assert isinstance(encoder, nn.Module)
        encoder.requires_grad_(not frozen)
        encoder.train(not frozen)


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
