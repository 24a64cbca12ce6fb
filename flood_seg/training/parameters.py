"""Which of the network's parameters learn how fast, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flood_seg.torchvision_compat  # noqa: F401 - before lightning

from pytorch_lightning.callbacks import Callback
from torch import nn

if TYPE_CHECKING:
    import pytorch_lightning as pl

ENCODER = "encoder."


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
