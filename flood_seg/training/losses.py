"""Losses that our configuration can name: called with logits and class indices, they return a scalar."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class BCEWithLogits(nn.Module):
    """Binary cross-entropy of logits, with water pixels weighted by `pos_weight`."""

    def __init__(self, pos_weight: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("pos_weight", torch.tensor(float(pos_weight)), persistent=False)

    def forward(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Compares float32 logits [batch, 1, height, width] with class indices uint8 [batch, height, width]."""
        targets = masks.unsqueeze(1).to(logits.dtype)
        return functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=self.get_buffer("pos_weight"))


class BCEDice(nn.Module):
    """Binary cross-entropy plus the soft Dice loss over the whole batch, which follows F1 more closely.

    Dice: Milletari et al. 2016, https://doi.org/10.1109/3DV.2016.79
    """

    def __init__(self, pos_weight: float = 1.0, dice_weight: float = 1.0) -> None:
        super().__init__()
        self.bce, self.dice_weight = BCEWithLogits(pos_weight), dice_weight

    def forward(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Compares float32 logits [batch, 1, height, width] with class indices uint8 [batch, height, width]."""
        probabilities, targets = logits.sigmoid(), masks.unsqueeze(1).to(logits.dtype)
        overlap = 2 * (probabilities * targets).sum() + 1.0
        dice = 1 - overlap / (probabilities.sum() + targets.sum() + 1.0)
        loss: Tensor = self.bce(logits, masks) + self.dice_weight * dice
        return loss
